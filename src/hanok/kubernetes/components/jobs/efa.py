"""EFA's device plugin: makes a machine's EFA interfaces known, for engines and jobs that are spread over machines."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.errors import Problem
from hanok.kubernetes.component import Body, Chart, Component, Piece
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.pools import TOLERATION

NAME = "efa-device-plugin"
SPACE = "efa"


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """The plugin on the machines of ours that have EFA: the chart's list of types ends before the newest."""
    types = sorted({*_of_engines(plan), *([plan.cluster.jobs.gpu] if plan.cluster.jobs.efa else [])})
    values: Body = {
        "tolerations": [TOLERATION],
        "supportedInstanceLabels": {"keys": ["node.kubernetes.io/instance-type"], "values": types},
    }
    yield Chart(chart=NAME, release=NAME, namespace=SPACE, values=values)


def _of_engines(plan: ClusterPlan) -> Iterator[str]:
    for pool in plan.pools:
        if any(each.machines > 1 for each in pool.engines):
            yield from pool.instances


def is_wanted(plan: ClusterPlan) -> bool:
    """Where something is spread over machines that have it."""
    jobs = plan.cluster.jobs.efa and plan.cluster.jobs.gpus
    return plan.on_aws and bool(jobs or any(each.machines > 1 for each in plan.engines))


def refuse(plan: ClusterPlan) -> Iterator[Problem]:
    """EFA on machines that have none."""
    jobs = plan.cluster.jobs
    host = plan.catalog.instances.get(jobs.gpu)
    if jobs.efa and host and not host.efa:
        able = ", ".join(name for name, each in plan.catalog.instances.items() if each.efa and each.gpus == host.gpus)
        message, place = f"{jobs.gpu} has no EFA", ("cluster", "jobs", "efa")
        yield plan.written.problem(place, message, f"with as many GPUs have it: {able}" if able else "leave `efa` out")


COMPONENT = Component(name=NAME, wanted=is_wanted, adapters={"": render}, refuse=refuse)
