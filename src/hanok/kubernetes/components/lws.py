"""LeaderWorkerSet: pods that are one replica together, for models that no single machine holds."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.component import Chart, Component, Piece
from hanok.kubernetes.plan import ClusterPlan

NAME, SPACE = "lws", "lws-system"


def render(_: ClusterPlan) -> Iterator[Piece]:
    """The controller, and a second that stands by: without it no lost group is made anew."""
    yield Chart(chart=NAME, release=NAME, namespace=SPACE, values={"replicaCount": 2})


def is_wanted(plan: ClusterPlan) -> bool:
    """Where a replica is spread over several machines."""
    return any(each.machines > 1 for each in plan.engines)


COMPONENT = Component(name=NAME, wanted=is_wanted, adapters={"v1": render})
