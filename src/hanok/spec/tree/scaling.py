"""How many replicas of an engine a model has, by how busy they are.

Each key is one of Kubernetes' HorizontalPodAutoscaler as KEDA makes it, with its limits, so that the rule that is tried
in `hanok simulate` and kept by `hanok up` can be kept by a cluster to the letter.
"""

from typing import Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from hanok.spec.tree.values import Number, Tree, Whole, unsaid


class ScaleSteps(Tree):
    """How soon and how far the number of replicas may change in one direction."""

    stable_s: Whole = Field(
        default=0,
        ge=0,
        le=3600,
        description="Seconds looked back on: of what was wanted meanwhile, the least change is made.",
    )
    replicas: Whole | None = Field(default=None, ge=1, description="Replicas that may be added or removed in a period.")
    percent: Whole | None = Field(
        default=100,
        ge=1,
        description="The same as a share of what there was; of the two, the larger change is allowed.",
    )
    period_s: Whole = Field(default=15, ge=1, le=1800, description="Seconds of a period.")

    @model_validator(mode="after")
    def _allows_something(self) -> Self:
        if self.replicas is None and self.percent is None:
            raise PydanticCustomError("scale_steps", "must have `replicas` or `percent`: else nothing may ever change")
        return self


class ScaleUp(ScaleSteps):
    """How more replicas are added."""

    replicas: Whole | None = Field(default=4, ge=1, description="Replicas that may be added in a period.")


class ScaleDown(ScaleSteps):
    """How replicas are removed."""

    stable_s: Whole = Field(
        default=300,
        ge=0,
        le=3600,
        description="Seconds looked back on: of what was wanted meanwhile, the least change is made.",
    )


class ModelScale(Tree):
    """Replicas of a model's engine: of the numbers that `running`, `waiting` and `kv_cache` ask for, the largest."""

    min: Whole = Field(default=1, ge=0, le=1000, description="Fewest. 0: none while nobody asks (see `idle_s`).")
    max: Whole = Field(ge=1, le=1000, description="Most replicas.")
    running: Number | None = Field(
        default=16.0, ge=0.001, description="Calls at once that one replica should answer; null: do not look at them."
    )
    waiting: Number | None = Field(
        default=1.0,
        ge=0.001,
        description="Calls that wait, in engines' queues and in the model's, for each replica; null: do not look.",
    )
    kv_cache: Number | None = Field(
        default=0.7, ge=0.001, le=1, description="Share of its KV cache that a replica should use; null: do not look."
    )
    up: ScaleUp = Field(default=unsaid(ScaleUp), description="How more are added.")
    down: ScaleDown = Field(default=unsaid(ScaleDown), description="How some are removed.")
    every_s: Whole = Field(
        default=15, ge=1, le=3600, description="Seconds between two decisions; a cluster's autoscaler keeps to 15."
    )
    idle_s: Whole = Field(
        default=300, ge=0, le=86_400, description="With `min: 0`: seconds without any call until the last are removed."
    )
    start_s: Number | None = Field(
        default=None,
        ge=0,
        le=86_400,
        description="For `hanok simulate`: seconds until an added replica answers, its node included; by default "
        "reckoned of a node's start and the size of the weights.",
    )

    @model_validator(mode="after")
    def _can_be_kept(self) -> Self:
        if self.min > self.max:
            raise PydanticCustomError("scale_order", "`min` must be at most `max`")
        if self.running is None and self.waiting is None and self.kv_cache is None:
            raise PydanticCustomError("scale_targets", "must look at one of `running`, `waiting` and `kv_cache`")
        if self.min == 0 and self.waiting is None:
            raise PydanticCustomError(
                "scale_asleep", "with `min: 0` must look at `waiting`: nothing else is told while there is no replica"
            )
        return self
