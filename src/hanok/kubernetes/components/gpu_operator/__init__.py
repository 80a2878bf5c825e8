"""NVIDIA's GPU operator: makes GPUs of a node known, shares them out by the node's labels, and tells how they are.

Values only where they differ from the chart's defaults (v26.7.0). On EKS' images driver and container toolkit are there
already; EKS Auto Mode brings all of it but the metrics (see `dcgm.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

from hanok.errors import Problem
from hanok.kubernetes.component import Body, Chart, Component, Piece, Placed
from hanok.kubernetes.components.gpu_operator.alerts import alerts
from hanok.kubernetes.components.gpu_operator.monitor import monitor
from hanok.kubernetes.notes import Known, Step, Told
from hanok.kubernetes.objects import labels, thing
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.pools import GPU, Pool
from hanok.kubernetes.writing import as_yaml

NAME = SPACE = "gpu-operator"
PLUGIN_CONFIG = "device-plugin"
OFF: Body = {"enabled": False}


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """The chart, how GPUs are shared where they are, and alerts."""
    yield Chart(chart=NAME, release=NAME, namespace=SPACE, values=_values(plan))
    if _turns(plan):
        yield Placed(stage="controllers", folder=NAME, body=_plugin_config(plan))
    if plan.cluster.observe.prometheus:
        yield Placed(stage="configs", folder=NAME, body=alerts(plan))


def _values(plan: ClusterPlan) -> Body:
    values: Body = {}
    if plan.on_aws:
        values |= {"driver": OFF, "toolkit": OFF}
    if plan.cluster.nodes.dra or _has_plugin(plan):
        values["devicePlugin"] = OFF
    elif _turns(plan):
        values["devicePlugin"] = {"config": {"name": PLUGIN_CONFIG}}
    if any(pool.mode == "mig" for pool in plan.pools):
        values["mig"] = {"strategy": "mixed"}
    if plan.cluster.observe.prometheus:
        values["dcgmExporter"] = {"serviceMonitor": monitor()}
    return values


def _has_plugin(plan: ClusterPlan) -> bool:
    """Whether the nodes' image brings a device plugin of its own."""
    return plan.on_aws and plan.cluster.nodes.ami.startswith("bottlerocket")


def _turns(plan: ClusterPlan) -> list[Pool]:
    """Pools whose GPUs several pods use, by turns or side by side."""
    return [each for each in plan.pools if each.sharing_key]


def _plugin_config(plan: ClusterPlan) -> Body:
    """By key; a node's label names its key, and no key is the default: other nodes keep whole GPUs."""
    data = {str(pool.sharing_key): as_yaml(_sharing(pool)) for pool in _turns(plan)}
    return thing("v1", "ConfigMap", PLUGIN_CONFIG, SPACE, labels=labels(PLUGIN_CONFIG, NAME), data=data)


def _sharing(pool: Pool) -> Body:
    """Renamed, so that nobody takes a share for a GPU; and one share a pod: two may be of the same GPU."""
    told: Body = {"renameByDefault": True, "resources": [{"name": GPU, "replicas": pool.shares}]}
    if pool.mode == "mps":
        return {"version": "v1", "sharing": {"mps": told}}
    return {"version": "v1", "sharing": {"timeSlicing": {**told, "failRequestsGreaterThanOne": True}}}


def refuse(plan: ClusterPlan) -> Iterator[Problem]:
    """Ways to hand out GPUs, and to share them, that exclude one another."""
    yield from _refuse_claims(plan)
    mode, place = plan.cluster.nodes.sharing.mode, ("cluster", "nodes", "sharing", "mode")
    if mode in ("time-slicing", "mps") and plan.cluster.nodes.dra:
        message = f"GPUs that are claimed (DRA) are not shared by the device plugin ({mode})"
        yield plan.written.problem(place, message, "leave `dra` out, or take `mig`")
    if mode != "none" and _has_plugin(plan):
        message = f"Bottlerocket brings a device plugin that is told nothing of {mode}"
        yield plan.written.problem(place, message, "take an image `al2023@…`, or leave `sharing` out")


def _refuse_claims(plan: ClusterPlan) -> Iterator[Problem]:
    """Where GPUs are claimed no device plugin runs, and what asks for them as a resource waits for ever."""
    if not plan.cluster.nodes.dra:
        return
    if plan.cluster.jobs.gpus:
        message = "jobs ask for GPUs as a resource, which queues count, and not by claims"
        yield plan.written.problem(("cluster", "nodes", "dra"), message, "leave `dra` out, or give jobs no `gpus`")
    if _has_plugin(plan):
        message = "Bottlerocket's own device plugin would hand out the GPUs that are claimed a second time"
        yield plan.written.problem(("cluster", "nodes", "dra"), message, "take an image `al2023@…`, or leave `dra` out")


def notes(plan: ClusterPlan) -> Iterator[Told]:
    """What sharing costs."""
    wanted = plan.cluster.nodes.sharing.mode
    if wanted in ("time-slicing", "mps") and not _turns(plan):
        yield Known(f"no model is small enough for a {plan.cluster.nodes.sharing.replicas}th of a GPU: none is shared")
    for pool in _turns(plan):
        names = ", ".join(each.name for each in pool.engines)
        yield Known(
            f"{names} share GPUs ({pool.mode}): each is told to take {pool.memory_utilization:.1%} of the memory"
        )
    for pool in () if plan.on_aws else plan.pools:
        for key, value in pool.operator_labels.items():
            message = f"label nodes of {pool.name} with `{key}={value}`, too: by it the operator shares out their GPUs"
            yield Step(message=message, shown=f"{key}={value}")
    if not plan.on_aws:
        yield Known("the operator installs NVIDIA's driver on nodes that have none")


COMPONENT = Component(
    name=NAME,
    wanted=lambda plan: plan.target != "eks-auto" and bool(plan.needs_gpus or plan.cluster.jobs.gpus),
    adapters={"v1": render},
    refuse=refuse,
    notes=notes,
)
