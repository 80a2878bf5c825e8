"""NodePools: which machines may come, for whom, how many, and when they go again."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.component import Body
from hanok.kubernetes.components.karpenter.classes import class_reference
from hanok.kubernetes.components.karpenter.kinds import KARPENTER, NodeKind
from hanok.kubernetes.objects import given, labels, thing
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.pools import TAINT
from hanok.spec.tree import Target

TYPE, ZONE, ARCH = "node.kubernetes.io/instance-type", "topology.kubernetes.io/zone", "kubernetes.io/arch"
OS, CAPACITY = "kubernetes.io/os", "karpenter.sh/capacity-type"
INSTANCE: dict[Target, str] = {"eks": "karpenter.k8s.aws/instance-", "eks-auto": "eks.amazonaws.com/instance-"}
"""Before the names of an instance type's labels."""
LEAST_CPU = 3
"""General machines have more processors than this: what runs on every node takes most of a smaller one."""
KEPT_EMPTY, MOVED_AFTER = "10m", "5m"
MONTH = "720h"
TWO_WEEKS, TWENTY_DAYS, DRAINED_WITHIN = "336h", "480h", "24h"
"""Of Auto Mode's own pools; the longest that it takes; and its own time to drain, which counts, too."""
GIB_PER_CPU = 8


def node_pool(plan: ClusterPlan, kind: NodeKind) -> Body:
    """The NodePool of a kind of node."""
    spec: Body = given(replicas=kind.replicas) | {
        "template": {"metadata": {"labels": dict(kind.labels)}, "spec": _nodes(plan, kind)},
        "disruption": _disruption(kind),
        "limits": _limits(kind),
    }
    return thing("karpenter.sh/v1", "NodePool", kind.name, labels=labels(kind.name, KARPENTER), spec=spec)


def _nodes(plan: ClusterPlan, kind: NodeKind) -> Body:
    """Machines with GPUs do not expire where they need not: that evicts engines whether others can take over or not. A
    new image (drift) replaces them one by one, the next before the last."""
    return given(
        nodeClassRef=class_reference(plan, kind),
        requirements=list(_requirements(plan, kind)),
        taints=[TAINT] if kind.gpus else None,
        **_life(plan, kind),
    )


def _life(plan: ClusterPlan, kind: NodeKind) -> Body:
    """Auto Mode takes no pool whose nodes may live longer than 21 days, the last of them to drain."""
    if plan.target == "eks-auto":
        return {"expireAfter": TWENTY_DAYS if kind.gpus else TWO_WEEKS, "terminationGracePeriod": DRAINED_WITHIN}
    return {"expireAfter": "Never" if kind.gpus else MONTH}


def _requirements(plan: ClusterPlan, kind: NodeKind) -> Iterator[Body]:
    prefix = INSTANCE[plan.target]
    yield _among(CAPACITY, *_capacities(plan, kind))
    yield _among(ARCH, *sorted({each.arch for _, each in kind.instances}) or ["amd64"])
    yield _among(OS, "linux")
    if kind.families:
        yield _among(f"{prefix}family", *kind.families)
        yield {"key": f"{prefix}cpu", "operator": "Gt", "values": [str(LEAST_CPU)]}
    else:
        yield _among(TYPE, *kind.names)
    if plan.cluster.zones:
        yield _among(ZONE, *plan.cluster.zones)


def _among(key: str, *values: str) -> Body:
    return {"key": key, "operator": "In", "values": list(values)}


def _capacities(plan: ClusterPlan, kind: NodeKind) -> list[str]:
    """In one pool: Karpenter takes what is reserved first, then spot, and what else there is on demand."""
    reserved = ["reserved"] if kind.gpus and plan.cluster.nodes.reservations else []
    return [*reserved, *(["spot"] if kind.spot else []), "on-demand"]


def _disruption(kind: NodeKind) -> Body:
    """Nodes with GPUs go when they are empty, and not at once: the next replica would load its model anew."""
    if kind.gpus:
        policy, after, budget = "WhenEmpty", KEPT_EMPTY, "1"
    else:
        policy, after, budget = "WhenEmptyOrUnderutilized", MOVED_AFTER, "10%"
    return {"consolidationPolicy": policy, "consolidateAfter": after, "budgets": [{"nodes": budget}]}


def _limits(kind: NodeKind) -> Body:
    memory = {} if kind.gpus else {"memory": f"{kind.limits['cpu'] * GIB_PER_CPU}Gi"}
    return {**{name: str(count) for name, count in kind.limits.items()}, **memory}
