"""How many replicas there should be now: what Kubernetes' HorizontalPodAutoscaler (HPA) would say, driven by KEDA.

Everything that the answer depends on comes in and goes out as values, so that the same words decide on a laptop, in a
simulation and, kept by others, in a cluster. Sources: "Horizontal Pod Autoscaling: Algorithm details" of Kubernetes'
documentation, its controller (pkg/controller/podautoscaler: replica_calculator.go and horizontal.go), and KEDA's
"Scaling Deployments" with its executor (pkg/scaling/executor/scale_scaledobjects.go).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hanok.autoscaling.rule import MILLI, Rule, Steps, Target, TargetName

TOLERANCE = 0.1
"""A total this near to what is wanted changes nothing: the HPA's default."""


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What all replicas of a model have together: calls that run, calls that wait, and the sum of the shares of their
    KV caches in use. None where it is not known."""

    running: float | None = None
    waiting: float | None = None
    kv_cache: float | None = None

    def of(self, name: TargetName) -> float | None:
        return getattr(self, name)


@dataclass(frozen=True, slots=True)
class At:
    """A number, and the moment of it in seconds."""

    at: float
    count: int


@dataclass(frozen=True, kw_only=True)
class Past:
    """What must be remembered: recommendations, changes up and down, and when there was last something to do."""

    wanted: Sequence[At] = ()
    added: Sequence[At] = ()
    removed: Sequence[At] = ()
    active_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The number of replicas from now on, why, and what to remember until the next decision."""

    replicas: int
    because: str
    past: Past


def decide(demand: Demand, *, replicas: int, past: Past, rule: Rule, now: float) -> Decision:
    """How many replicas there should be, where `replicas` were asked for until now (those that still start included).

    `now` is in seconds of any clock that does not go back.
    """
    if _is_active(demand, rule):
        past = replace(past, active_at=now)
    if rule.fewest == 0 and (rest := _woken_or_rested(demand, replicas, past, rule, now)) is not None:
        return rest
    least = max(1, rule.fewest)
    if not least <= replicas <= rule.most:
        return _changed(replicas, min(max(replicas, least), rule.most), "outside min and max", past, rule, now)
    wanted, because = want(demand, replicas, rule)
    if wanted is None:
        return Decision(replicas=replicas, because=because, past=past)
    steady = _stabilised(wanted, replicas, past, rule, now)
    past = replace(past, wanted=(*_since(past.wanted, now - _longest(rule)), At(now, wanted)))
    count = _limited(steady, replicas, past, rule, now)
    if count == replicas != wanted:
        because = f"{because}; waiting for it to last" if steady == replicas else f"{because}; the step is full"
    return _changed(replicas, count, because, past, rule, now)


def _is_active(demand: Demand, rule: Rule) -> bool:
    """KEDA: any trigger above its activation threshold, which is 0."""
    return any((demand.of(target.name) or 0.0) > 0.0 for target in rule.targets)


def _woken_or_rested(demand: Demand, replicas: int, past: Past, rule: Rule, now: float) -> Decision | None:
    """KEDA's part, between none and one: one as soon as there is something to do; none, from whatever number, when
    there was nothing for the cooldown. A trigger that cannot be read keeps it from resting. None: the HPA decides."""
    if replicas == 0:
        awake = past.active_at == now
        return Decision(replicas=int(awake), because="somebody asks" if awake else "nobody asks", past=past)
    known = all(demand.of(target.name) is not None for target in rule.targets)
    if known and past.active_at != now and (past.active_at is None or past.active_at + rule.idle_s < now):
        return _changed(replicas, 0, f"nobody asked for {rule.idle_s} s", past, rule, now)
    return None


def want(demand: Demand, replicas: int, rule: Rule) -> tuple[int | None, str]:
    """What the targets want, unlimited: the largest number counts. None where that cannot be known.

    The HPA: where a metric is missing, the others may still add replicas, never remove any.
    """
    found = [(_proposed(total, target, replicas), target, total) for target, total in _totals(demand, rule)]
    missing = [target.name for target in rule.targets if demand.of(target.name) is None]
    if not found:
        return None, f"nothing is known of {', '.join(missing)}"
    count, target, total = max(found, key=lambda each: each[0])
    if missing and count < replicas:
        return None, f"{', '.join(missing)} not known, so none are removed"
    return count, f"{target.name} {total:g} at {target.per_replica:g} a replica"


def _totals(demand: Demand, rule: Rule) -> list[tuple[Target, float]]:
    return [(target, total) for target in rule.targets if (total := demand.of(target.name)) is not None]


def _proposed(total: float, target: Target, replicas: int) -> int:
    """The HPA's GetExternalPerPodMetricReplicas: the total over the target, rounded up; unchanged when nearly right.

    KEDA hands totals over in whole thousandths.
    """
    milli = int(total * MILLI + 1e-6)
    if abs(1.0 - milli / (target.milli * replicas)) <= TOLERANCE:
        return replicas
    return math.ceil(milli / target.milli)


def _stabilised(wanted: int, replicas: int, past: Past, rule: Rule, now: float) -> int:
    """The HPA's stabilizeRecommendationWithBehaviors: go up no further than the lowest, down no further than the
    highest recommendation of the window."""
    low = min([wanted, *(each.count for each in _since(past.wanted, now - rule.up.stable_s))])
    high = max([wanted, *(each.count for each in _since(past.wanted, now - rule.down.stable_s))])
    return min(max(replicas, low), high)


def _limited(wanted: int, replicas: int, past: Past, rule: Rule, now: float) -> int:
    """The HPA's convertDesiredReplicasWithBehaviorRate: within min, max, and what the steps allow in their period."""
    if wanted > replicas:
        began = replicas - _changes(past, rule.up, now)
        return min(wanted, rule.most, max(replicas, _highest(began, rule.up)))
    if wanted < replicas:
        began = replicas - _changes(past, rule.down, now)
        return max(wanted, rule.fewest, 1, min(replicas, _lowest(began, rule.down)))
    return replicas


def _changes(past: Past, steps: Steps, now: float) -> int:
    """How many more there are than at the beginning of the period."""
    added = sum(each.count for each in _since(past.added, now - steps.period_s))
    return added - sum(each.count for each in _since(past.removed, now - steps.period_s))


def _highest(began: int, steps: Steps) -> int:
    by_number = began + (steps.replicas or 0)
    return max(by_number, math.ceil(began * (1 + (steps.percent or 0) / 100)))


def _lowest(began: int, steps: Steps) -> int:
    by_number = began - (steps.replicas or 0)
    return min(by_number, int(began * (1 - (steps.percent or 0) / 100)))


def _changed(replicas: int, count: int, because: str, past: Past, rule: Rule, now: float) -> Decision:
    """The decision, its change remembered as long as a period of steps may reach back."""
    back = now - max(rule.up.period_s, rule.down.period_s)
    added, removed = _since(past.added, back), _since(past.removed, back)
    if count > replicas:
        added = (*added, At(now, count - replicas))
    elif count < replicas:
        removed = (*removed, At(now, replicas - count))
    return Decision(replicas=count, because=because, past=replace(past, added=added, removed=removed))


def _longest(rule: Rule) -> int:
    return max(rule.up.stable_s, rule.down.stable_s)


def _since(each: Sequence[At], moment: float) -> tuple[At, ...]:
    """Those after a moment."""
    return tuple(one for one in each if one.at > moment)
