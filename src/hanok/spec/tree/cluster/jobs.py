"""Queues and training in a cluster."""

from pydantic import Field

from hanok.spec.tree.values import Number, Tree, Whole


class JobMachine(Tree):
    """One machine of your own, as far as pods may ask for it."""

    gpus: Whole = Field(ge=1, description="Its GPUs.")
    cpu: Number = Field(gt=0, description="Its processors.")
    memory_gib: Number = Field(gt=0, description="Its memory.")


class Jobs(Tree):
    """Work that waits its turn."""

    kueue: bool = Field(default=False, description="Kueue: queues of teams, who share what there is.")
    trainer: bool = Field(default=False, description="Kubeflow Trainer.")
    ray: bool = Field(default=False, description="KubeRay.")
    gpus: Whole = Field(default=0, ge=0, description="GPUs that jobs may take beside the models'.")
    gpu: str = Field(default="p5.48xlarge", min_length=1, description="Their instance type; with `machine` any name.")
    machine: JobMachine | None = Field(
        default=None, description="What one of them has, on target `kubernetes`; by default what that type has on AWS."
    )
    always: bool = Field(default=False, description="Keep all their machines, whether there are jobs or not.")
    image: str = Field(
        default="pytorch/pytorch:2.10.0-cuda12.8-cudnn9-runtime",
        min_length=1,
        description="What the runtime `torch` of Kubeflow Trainer runs jobs in; with EFA, one that has its libraries.",
    )
    efa: bool = Field(default=False, description="EFA between their machines.")
    placement_group: str | None = Field(
        default=None, min_length=1, description="A cluster placement group that is there, for their machines."
    )
    fsx_gib: Whole | None = Field(default=None, ge=1200, multiple_of=1200, description="FSx for Lustre, shared.")
