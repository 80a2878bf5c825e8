"""Karpenter: makes the cluster's machines. On EKS it is installed, in EKS Auto Mode it is there.

A pool of machines with GPUs for each kind that the models were planned on, one for jobs, and one for all else. Both
targets get the same pools; what differs is the node class, the labels of instance types, and what Auto Mode lacks.
"""

from __future__ import annotations

from collections.abc import Iterator

from hanok.errors import Problem
from hanok.kubernetes.component import Body, Chart, Component, Piece, Placed
from hanok.kubernetes.components.karpenter.classes import node_class
from hanok.kubernetes.components.karpenter.kinds import KARPENTER, NodeKind, node_kinds, unknown_instances
from hanok.kubernetes.components.karpenter.overlays import overlays
from hanok.kubernetes.components.karpenter.pools import node_pool
from hanok.kubernetes.notes import AddOn, Known, Step, Told
from hanok.kubernetes.objects import labels, thing
from hanok.kubernetes.places import OBSERVABILITY, PROMETHEUS_RELEASE
from hanok.kubernetes.plan import ClusterPlan

SPACE = "kube-system"


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """The charts, unless Auto Mode has it; then a pool and a class for each kind of node."""
    if plan.target == "eks":
        yield from _charts(plan)
        if plan.cluster.observe.prometheus:
            yield Placed(stage="configs", folder=KARPENTER, body=_monitor())
    for kind in node_kinds(plan):
        yield from (Placed(stage="nodes", folder=KARPENTER, body=each) for each in _bodies(plan, kind))


def _charts(plan: ClusterPlan) -> Iterator[Chart]:
    """Definitions apart, so that upgrades reach them: Helm leaves those in a chart's `crds` as they are."""
    yield Chart(chart="karpenter-crd", release="karpenter-crd", namespace=SPACE, stage="provisioners", folder=KARPENTER)
    yield Chart(
        chart=KARPENTER, release=KARPENTER, namespace=SPACE, stage="provisioners", folder=KARPENTER,
        needs=("karpenter-crd",), values=_values(plan),
    )  # fmt: skip


def _values(plan: ClusterPlan) -> Body:
    settings: Body = {"clusterName": plan.cluster.name, "interruptionQueue": plan.cluster.name}
    gates = {"nodeOverlay": "overlay", "staticCapacity": "replicas"}
    if wanted := {gate: True for gate, key in gates.items() if any(getattr(each, key) for each in node_kinds(plan))}:
        settings["featureGates"] = wanted
    size: Body = {"cpu": "1", "memory": "1Gi"}
    return {"settings": settings, "controller": {"resources": {"requests": size, "limits": {"memory": "1Gi"}}}}


def _monitor() -> Body:
    """Not by the chart: its kind is not there yet when nodes are first made."""
    spec: Body = {
        "namespaceSelector": {"matchNames": [SPACE]},
        "selector": {"matchLabels": {"app.kubernetes.io/name": KARPENTER}},
        "endpoints": [{"port": "http-metrics", "path": "/metrics"}],
    }
    marks = {**labels(KARPENTER, KARPENTER), "release": PROMETHEUS_RELEASE}
    return thing("monitoring.coreos.com/v1", "ServiceMonitor", KARPENTER, OBSERVABILITY, labels=marks, spec=spec)


def _bodies(plan: ClusterPlan, kind: NodeKind) -> Iterator[Body]:
    yield node_class(plan, kind)
    yield node_pool(plan, kind)
    yield from overlays(kind)


def refuse(plan: ClusterPlan) -> Iterator[Problem]:
    """Types that are not known, fewer GPUs than are needed, and what Auto Mode's nodes cannot do."""
    for place, name in unknown_instances(plan):
        hint = "write a type such as p5.48xlarge, or a family such as m7i.*; `hanok catalog show` lists types"
        yield plan.written.problem(place, f"the catalogue has no machine {name!r} for this", hint)
    yield from _too_few(plan)
    if plan.target == "eks-auto":
        yield from _not_in_auto(plan)


def _too_few(plan: ClusterPlan) -> Iterator[Problem]:
    needed, most = sum(each.most_gpus for each in plan.pools), plan.cluster.nodes.gpus
    if most is not None and needed > most:
        message = f"the models need {needed} GPUs at most, as whole machines, and {most} are allowed"
        yield plan.written.problem(("cluster", "nodes", "gpus"), message, f"allow {needed}, or fewer replicas")


def _not_in_auto(plan: ClusterPlan) -> Iterator[Problem]:
    nodes = plan.cluster.nodes
    if nodes.sharing.mode != "none":
        message = "EKS Auto Mode brings its own device plugin, which shares no GPUs"
        yield plan.written.problem(
            ("cluster", "nodes", "sharing"), message, "take the target `eks`, or give each engine a GPU of its own"
        )
    if nodes.dra:
        message = "EKS Auto Mode does not support Dynamic Resource Allocation"
        yield plan.written.problem(("cluster", "nodes", "dra"), message, "take the target `eks`, or leave `dra` out")
    if "ami" in nodes.model_fields_set:
        yield plan.written.problem(
            ("cluster", "nodes", "ami"), "EKS Auto Mode chooses machine images itself", "leave `ami` out"
        )


def notes(plan: ClusterPlan) -> Iterator[Told]:
    """What must be there in AWS before nodes can come."""
    name = plan.cluster.name
    if plan.target == "eks":
        message = "make the cluster, with Karpenter's role and queue, the nodes' role and its access entry, and tags"
        yield Step(message=message, shown=f"--stack-name Karpenter-{name}")
        yield AddOn(name="vpc-cni", values='{"enableNetworkPolicy": "true"}')  # else network policies are words
    else:
        message = "make the cluster, with the nodes' role and its access entry, tags, and network policies enforced"
        yield Step(message=message, shown="autoModeConfig")
        yield Known(
            "Auto Mode lets no machine live longer than 21 days: those with GPUs are exchanged after 20, and a model "
            "of one replica is away while it loads anew"
        )
    if plan.cluster.nodes.reservations:
        yield Known(
            "reserved capacity ends at its time: Karpenter drains its nodes before, and other capacity takes over"
        )
    if plan.cluster.nodes.dra:
        yield Known(
            "AWS supports claims of GPUs (DRA) on static capacity alone: nodes for the most replicas are there at all "
            "times, and static pools are alpha in Karpenter"
        )
    if any(each.overlay for each in node_kinds(plan)):
        yield Known("NodeOverlay is alpha in Karpenter: it is what makes shares of GPUs known before a node is there")
    if plan.cluster.jobs.efa or any(each.machines > 1 for each in plan.engines):
        yield "EFA needs a security group that allows all traffic to and from itself"


COMPONENT = Component(
    name=KARPENTER, wanted=lambda plan: plan.on_aws, adapters={"v1": render}, refuse=refuse, notes=notes
)
