"""KEDA: scales engines by what they tell of themselves. Which thresholds is each engine's own."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.component import Chart, Component, Piece
from hanok.kubernetes.plan import ClusterPlan

NAME = "keda"


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """The operator; it stands beside Prometheus, which it asks."""
    values = {
        "prometheus": {"operator": {"enabled": plan.cluster.observe.prometheus}},
        "podDisruptionBudget": {"operator": {"maxUnavailable": 1}, "metricServer": {"maxUnavailable": 1}},
    }
    yield Chart(chart=NAME, release=NAME, namespace=NAME, values=values)


def is_wanted(plan: ClusterPlan) -> bool:
    """Where the number of any engine's replicas changes."""
    return any(each.least != each.most for each in plan.engines)


COMPONENT = Component(name=NAME, wanted=is_wanted, adapters={"v1alpha1": render})
