"""LeaderWorkerSet: pods that are one replica together, for models that no single machine holds."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.component import Body, Chart, Component, Piece
from hanok.kubernetes.plan import ClusterPlan

NAME, SPACE = "lws", "lws-system"
_SECURE: Body = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
"""The chart's own names no seccomp profile, and its namespace takes no pod without one."""


def render(_: ClusterPlan) -> Iterator[Piece]:
    """The controller, and a second that stands by: without it no lost group is made anew."""
    yield Chart(chart=NAME, release=NAME, namespace=SPACE, values={"replicaCount": 2, "podSecurityContext": _SECURE})


def is_wanted(plan: ClusterPlan) -> bool:
    """Where a replica is spread over several machines."""
    return any(each.machines > 1 for each in plan.engines)


COMPONENT = Component(name=NAME, wanted=is_wanted, adapters={"v1": render})
