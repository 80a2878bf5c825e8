"""The rule by which a model's replicas are counted, as a value: the supervisor, the simulator and a cluster's manifests
are made of the same one.

What a ScaledObject of KEDA says of it: `fewest` and `most` are minReplicaCount and maxReplicaCount; each target is a
trigger of metric type AverageValue, whose query gives the sum over all replicas and whose threshold is `per_replica`
(activationThreshold 0; no value where nothing is known, with ignoreNullValues false); `up` and `down` are
advanced.horizontalPodAutoscalerConfig.behavior.scaleUp and scaleDown, each step a policy of type Pods and one of type
Percent with selectPolicy Max; `every_s` is pollingInterval and `idle_s` cooldownPeriod. The autoscaler of Kubernetes
itself looks every 15 seconds, whatever an object says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

from hanok.spec import ModelScale, ScaleSteps

TargetName = Literal["running", "waiting", "kv_cache"]
MILLI = 1000
"""Kubernetes counts metrics in thousandths, and so does the rule."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What one replica should have of something: calls that run, calls that wait, or a share of its KV cache."""

    name: TargetName
    per_replica: float

    @property
    def milli(self) -> int:
        return max(1, round(self.per_replica * MILLI))


@dataclass(frozen=True, kw_only=True)
class Steps:
    """How soon and how far the count may go in one direction: the larger of `replicas` and `percent` in `period_s`."""

    stable_s: int
    replicas: int | None
    percent: int | None
    period_s: int

    @classmethod
    def of(cls, steps: ScaleSteps) -> Self:
        return cls(stable_s=steps.stable_s, replicas=steps.replicas, percent=steps.percent, period_s=steps.period_s)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Between `fewest` and `most` replicas, as many as the targets want, changed in `up` and `down` steps."""

    fewest: int
    most: int
    targets: Sequence[Target]
    up: Steps
    down: Steps
    every_s: int = 15
    idle_s: int = 300

    @classmethod
    def of(cls, scale: ModelScale) -> Self:
        """As it is declared."""
        named: tuple[tuple[TargetName, float | None], ...] = (
            ("running", scale.running),
            ("waiting", scale.waiting),
            ("kv_cache", scale.kv_cache),
        )
        return cls(
            fewest=scale.min,
            most=scale.max,
            targets=tuple(Target(name=name, per_replica=each) for name, each in named if each is not None),
            up=Steps.of(scale.up),
            down=Steps.of(scale.down),
            every_s=scale.every_s,
            idle_s=scale.idle_s,
        )

    def target(self, name: TargetName) -> float | None:
        """What one replica should have of this; None where the rule does not look at it."""
        return next((each.per_replica for each in self.targets if each.name == name), None)
