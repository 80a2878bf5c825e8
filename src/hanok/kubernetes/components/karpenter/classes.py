"""Node classes: image, role, network and disks of machines; Karpenter's own, and those of EKS Auto Mode.

Auto Mode chooses images, and stripes a machine's own NVMe by itself. Source: its NodeClass reference, October 2026.
"""

from __future__ import annotations

from hanok.kubernetes.component import Body
from hanok.kubernetes.components.karpenter.kinds import (
    GENERAL_DISK_GIB,
    KARPENTER,
    SYSTEM_GIB,
    SYSTEM_ONLY_GIB,
    NodeKind,
)
from hanok.kubernetes.objects import given, labels, thing
from hanok.kubernetes.plan import ClusterPlan

DISCOVERY = "karpenter.sh/discovery"
ROOTS = {"al2023": "/dev/xvda", "bottlerocket": "/dev/xvdb"}
"""The disk that holds images and pods, by the image's family."""
GPU_DISK: Body = {"iops": 4000, "throughput": 1000}
"""gp3's most MiB/s with the fewest operations that bear it: weights are read from it as a whole."""


def class_reference(plan: ClusterPlan, kind: NodeKind) -> Body:
    """How a NodePool names its class."""
    if plan.target == "eks-auto":
        return {"group": "eks.amazonaws.com", "kind": "NodeClass", "name": kind.name}
    return {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": kind.name}


def node_class(plan: ClusterPlan, kind: NodeKind) -> Body:
    """The class of a kind of node, by the same name."""
    auto = plan.target == "eks-auto"
    spec = {**_network(plan), **(_auto(plan, kind) if auto else _ec2(plan, kind))}
    api, name = ("eks.amazonaws.com/v1", "NodeClass") if auto else ("karpenter.k8s.aws/v1", "EC2NodeClass")
    return thing(api, name, kind.name, labels=labels(kind.name, KARPENTER), spec=spec)


def _network(plan: ClusterPlan) -> Body:
    found = [{"tags": {DISCOVERY: plan.cluster.nodes.discovery or plan.cluster.name}}]
    return {"subnetSelectorTerms": found, "securityGroupSelectorTerms": found, "tags": {DISCOVERY: plan.cluster.name}}


def _ec2(plan: ClusterPlan, kind: NodeKind) -> Body:
    """Pods cannot ask the machine for its role: one hop to the metadata service, with a token."""
    nodes = plan.cluster.nodes
    return given(
        role=nodes.role or f"KarpenterNodeRole-{plan.cluster.name}",
        amiSelectorTerms=[{"alias": nodes.ami}],
        blockDeviceMappings=[_root(plan, kind)],
        instanceStorePolicy="RAID0" if kind.on_nvme else None,
        metadataOptions={"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 1},
        networkInterfaces=_interfaces(kind) or None,
        placementGroupSelector=_placement(kind),
        capacityReservationSelectorTerms=_reservations(plan, kind),
    )


def _auto(plan: ClusterPlan, kind: NodeKind) -> Body:
    interfaces = _interfaces(kind)
    if interfaces:
        interfaces[0] |= {"secondaryIPv4PrefixCount": 1}
    size = {"size": f"{_disk_gib(plan, kind)}Gi"}
    return given(
        role=plan.cluster.nodes.role or f"AmazonEKSAutoNodeRole-{plan.cluster.name}",
        ephemeralStorage={**size, **(GPU_DISK if kind.gpus else {})},
        advancedNetworking={"networkInterfaces": interfaces} if interfaces else None,
        placementGroupSelector=_placement(kind),
        capacityReservationSelectorTerms=_reservations(plan, kind),
    )


def _root(plan: ClusterPlan, kind: NodeKind) -> Body:
    disk: Body = {"volumeSize": f"{_disk_gib(plan, kind)}Gi", "volumeType": "gp3", "encrypted": True}
    if kind.gpus and not kind.on_nvme:
        disk |= GPU_DISK
    device = ROOTS[plan.cluster.nodes.ami.partition("@")[0]]
    return {"deviceName": device, "ebs": {**disk, "deleteOnTermination": True}}


def _disk_gib(plan: ClusterPlan, kind: NodeKind) -> int:
    if not kind.gpus:
        return GENERAL_DISK_GIB
    if kind.on_nvme and plan.target == "eks":
        return SYSTEM_ONLY_GIB
    return max(plan.cluster.nodes.disk_gib, SYSTEM_GIB + kind.weights_gib)


def _interfaces(kind: NodeKind) -> list[Body]:
    """One for IP, and one for EFA on each network card. Source: AWS, EFA devices on Amazon EKS, August 2026."""
    if not kind.cards:
        return []
    cards = [(0, 1), *((card, 0) for card in range(1, kind.cards))]
    return [
        {"networkCardIndex": 0, "deviceIndex": 0, "interfaceType": "interface"},
        *({"networkCardIndex": card, "deviceIndex": index, "interfaceType": "efa-only"} for card, index in cards),
    ]


def _placement(kind: NodeKind) -> Body | None:
    return {"name": kind.placement_group} if kind.placement_group else None


def _reservations(plan: ClusterPlan, kind: NodeKind) -> list[Body] | None:
    found = [{"id": each} for each in plan.cluster.nodes.reservations]
    return found or None if kind.gpus else None
