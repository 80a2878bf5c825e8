"""File systems that many machines of a cluster share."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from hanok.spec.tree.values import Tree


class Lustre(Tree):
    """FSx for Lustre: each volume is a file system of its own, in one subnet."""

    subnet: Annotated[str, StringConstraints(pattern=r"^subnet-[0-9a-f]+$")] = Field(description="Its subnet.")
    security_groups: list[Annotated[str, StringConstraints(pattern=r"^sg-[0-9a-f]+$")]] = Field(
        min_length=1, description="Security groups that let the nodes in."
    )
    mib_s_per_tib: Literal["125", "250", "500", "1000"] = Field(
        default="250", description="MiB a second for each TiB of it."
    )


class Storage(Tree):
    """Where shared file systems are; needed where something is kept on one."""

    efs: Annotated[str, StringConstraints(pattern=r"^fs-[0-9a-f]+$")] | None = Field(
        default=None, description="An EFS file system that is there; each volume is a folder of it."
    )
    fsx: Lustre | None = Field(default=None, description="Where FSx for Lustre makes file systems.")
