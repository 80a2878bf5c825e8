"""KubeRay: clusters of Ray, made for a job and gone with it. The operator alone; who needs a cluster declares it."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.component import Chart, Component, Piece
from hanok.kubernetes.places import RAY
from hanok.kubernetes.plan import ClusterPlan

NAME = "kuberay"


def render(_: ClusterPlan) -> Iterator[Piece]:
    """The operator."""
    yield Chart(chart=NAME, release="kuberay-operator", namespace=RAY)


COMPONENT = Component(name=NAME, wanted=lambda plan: plan.cluster.jobs.ray, adapters={"v1": render})
