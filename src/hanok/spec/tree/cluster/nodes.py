"""Machines of a cluster."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from hanok.spec.tree.values import Tree, Whole


class Sharing(Tree):
    """GPUs that several engines share."""

    mode: Literal["none", "mig", "time-slicing", "mps"] = Field(
        default="none",
        description="How small models share GPUs: not at all, by slices of their own (MIG), by turns, or side by side.",
    )
    replicas: Whole = Field(default=4, ge=2, le=48, description="Engines on one GPU, by turns or side by side.")


class Nodes(Tree):
    """Machines. Those with GPUs follow from the models' plans."""

    spot: bool = Field(default=False, description="Try spot instances first, on demand where there are none.")
    general: list[str] = Field(
        default=["m7i.*", "m7a.*", "m6i.*"], min_length=1, description="Instance types for all that needs no GPU."
    )
    general_cpu: Whole = Field(
        default=256, ge=4, description="The most processors of those machines; eight GiB of memory go with each."
    )
    gpus: Whole | None = Field(default=None, ge=0, description="The most GPUs; by default what the models need.")
    reservations: list[Annotated[str, StringConstraints(pattern=r"^cr-[0-9a-z]+$")]] = Field(
        default=[], description="Reserved capacity for machines with GPUs, as capacity blocks; taken before all other."
    )
    sharing: Sharing = Field(default_factory=Sharing, description="GPUs that several engines share.")
    dra: bool = Field(default=False, description="Claim GPUs by Dynamic Resource Allocation (Kubernetes 1.34).")
    role: str | None = Field(
        default=None, description="IAM role of nodes; by default `KarpenterNodeRole-CLUSTER` or the Auto Mode one."
    )
    ami: str = Field(
        default="al2023@v20260801", pattern=r"^(al2023|bottlerocket)@.+$", description="Alias of the machine image."
    )
    discovery: str | None = Field(
        default=None, description="Value of the tag `karpenter.sh/discovery`; by default the cluster's name."
    )
    disk_gib: Whole = Field(
        default=300, ge=50, description="Disk of a machine with GPUs; more where its models' weights need more."
    )
