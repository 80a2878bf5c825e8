"""The namespace of jobs that are no team's: its walls, and what machines of jobs must be known by."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.component import Body, Component, Piece, Placed
from hanok.kubernetes.objects import labels, thing
from hanok.kubernetes.places import GPU_TAINT, JOBS, WORKLOAD
from hanok.kubernetes.plan import ClusterPlan

NAME = "jobs"


def render(_: ClusterPlan) -> Iterator[Piece]:
    """Jobs reach one another and the world; nobody else reaches them."""
    spec: Body = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [{"podSelector": {}}]}]}
    body = thing(
        "networking.k8s.io/v1", "NetworkPolicy", "own-pods-only", JOBS, labels=labels("walls", NAME), spec=spec
    )  # fmt: skip
    yield Placed(stage="apps", folder=JOBS, body=body)


def is_wanted(plan: ClusterPlan) -> bool:
    """Where there is anything for jobs."""
    jobs = plan.cluster.jobs
    return bool(jobs.kueue or jobs.trainer or jobs.ray or jobs.gpus or jobs.fsx_gib)


def notes(plan: ClusterPlan) -> Iterator[str]:
    """How nodes that are there are given to jobs."""
    if plan.cluster.jobs.gpus and not plan.on_aws:
        yield f"nodes for jobs need the label `{WORKLOAD}={JOBS}` and the taint `{GPU_TAINT}=true:NoSchedule`"


COMPONENT = Component(name=NAME, wanted=is_wanted, adapters={"": render}, notes=notes)
