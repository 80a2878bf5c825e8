"""Nodes that are there already: what must be on them so that the platform's pods find them. Nothing is rendered."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.component import Component
from hanok.kubernetes.places import GPU_TAINT, WORKLOAD
from hanok.kubernetes.plan import ClusterPlan

TAINTED = f"{GPU_TAINT}=true:NoSchedule"


def notes(plan: ClusterPlan) -> Iterator[str]:
    """The labels and the taint of each pool of machines with GPUs."""
    for pool in plan.pools:
        marks = ", ".join(f"`{key}={value}`" for key, value in pool.labels.items())
        count = f"{pool.gpus} {pool.accelerator}"
        yield f"{pool.most_machines} nodes with {count} each need the label {marks} and the taint `{TAINTED}`"
    if plan.cluster.jobs.gpus:
        yield f"nodes for jobs need the label `{WORKLOAD}=jobs` and the taint `{TAINTED}`"


COMPONENT = Component(name="nodes", wanted=lambda plan: not plan.on_aws, adapters={"": lambda _: iter(())}, notes=notes)
