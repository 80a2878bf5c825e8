"""What a team has in the cluster."""

from pydantic import Field

from hanok.spec.tree.values import Number, Tree, Whole


class Space(Tree):
    """A team's namespace: its share, and who may work in it."""

    team: str = Field(min_length=1, description="A declared team.")
    cpu: Number = Field(default=16.0, gt=0, description="Processors that its pods may ask for.")
    memory_gib: Number = Field(default=64.0, gt=0, description="Memory that its pods may ask for.")
    gpus: Whole = Field(default=0, ge=0, description="GPUs that its pods may ask for.")
    pods: Whole = Field(default=50, ge=1, description="Pods.")
    group: str | None = Field(
        default=None, description="The group of people who may work in it; by default `hanok:TEAM`."
    )
