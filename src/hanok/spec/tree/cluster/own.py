"""Hanok's own parts in a cluster."""

from typing import Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from hanok.spec.tree.values import Number, Tree, Whole


class Own(Tree):
    """The gateway, which also leads agents' runs, and ingestion."""

    image: str | None = Field(
        default=None,
        min_length=1,
        description="The image, best with its digest; by default `hanok:VERSION`, as the rendered recipe names it.",
    )
    replicas: Whole = Field(default=2, ge=1, le=100, description="Fewest gateways.")
    max_replicas: Whole = Field(default=6, ge=1, le=100, description="Most gateways.")
    cpu: Number = Field(default=1.0, gt=0, description="Processors of one gateway, without embedded engines'.")
    memory_gib: Number = Field(default=2.0, gt=0, description="Memory of one gateway, without embedded engines'.")
    state_gib: Whole = Field(default=10, ge=1, description="Disk of one gateway, for what is kept beside databases.")
    variables: dict[str, str] = Field(
        default={}, description="Values of `${env:NAME}` that are no secrets, as they are in the cluster."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.replicas > self.max_replicas:
            raise PydanticCustomError("own_order", "`replicas` must be at most `max_replicas`")
        return self
