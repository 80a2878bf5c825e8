"""Where nodes come from: Karpenter's NodePools, and nodes that are there already.

A `Pool` says which instance types it may start, how they are labelled and tainted, and what pods may ask of each. Pools
of other clouds are known to be there, and nothing more: no pod is refused on their account.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from hanok.gpu import GIB
from hanok.gpu.catalog import Instance
from hanok.preflight.manifests import (
    Body,
    Cluster,
    Manifest,
    labels_at,
    list_at,
    mapping_at,
    mappings_at,
    text_at,
    whole_at,
)
from hanok.preflight.placement import Capacity
from hanok.preflight.quantities import CPU, DISK, MEMORY, PODS, Amounts, amount, amounts
from hanok.preflight.scheduling.choices import ANY, Choice, Choices, conflict, exactly, merge, read_choices
from hanok.preflight.scheduling.taints import Taint, read_taints
from hanok.preflight.scheduling.types import CAPACITY, DECIDED, KNOWN, NODEPOOL, OS, TYPE, Types, disk_left
from hanok.preflight.sharing import MIG_LABEL, NOT_SHARED, PLUGIN_LABEL, Operator, Shared, operators, shared
from hanok.preflight.workloads import GPU

_CLOUDS = {"karpenter.k8s.aws": "ec2", "eks.amazonaws.com": "auto"}
EC2_DISK, AUTO_DISK = 20 * GIB, 80 * GIB
"""Of a node class that does not say: Karpenter's and EKS Auto Mode's defaults."""
CAPACITIES: tuple[Capacity, ...] = ("reserved", "spot", "on-demand")
"""In the order in which Karpenter prefers them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Overlay:
    """What a NodeOverlay adds to instance types."""

    manifest: Manifest
    choices: Choices
    capacity: Amounts


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """One place that nodes come from."""

    name: str
    manifest: Manifest
    choices: Choices
    """What its nodes' labels may be."""
    taints: Sequence[Taint]
    names: frozenset[str]
    """Instance types that it may start."""
    missing: Sequence[str] = ()
    """Instance types that it names and nobody knows."""
    cloud: str = "ec2"
    """`ec2`, `auto`, `node` for nodes that are there, empty for clouds that are not known."""
    limits: Amounts = field(default_factory=dict[str, int])
    replicas: int | None = None
    """Of a static pool."""
    weight: int = 0
    disk: int | None = None
    most_pods: int | None = None
    shared: Shared = NOT_SHARED
    overlays: Sequence[Overlay] = ()
    fixed: Mapping[str, tuple[Instance, Amounts]] = field(default_factory=dict[str, tuple[Instance, Amounts]])
    """Of nodes that are there: what they are, and what pods may ask of them."""
    least_values: Mapping[str, int] = field(default_factory=dict[str, int])
    """So many values of a label Karpenter wants to choose from, where the pool lists the values."""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def is_open(self) -> bool:
        """Whether it may start types that are not known, so that nothing is proved by what it refuses."""
        return not self.cloud or bool(self.missing)

    @cached_property
    def capacities(self) -> frozenset[Capacity]:
        wanted = self.choices.get(CAPACITY, ANY)
        usual: list[Capacity] = [each for each in CAPACITIES if each != "reserved" or not wanted.others]
        return frozenset(each for each in usual if wanted.has(each))

    @cached_property
    def signature(self) -> tuple[object, ...]:
        """Pools alike in all that decides who may stand on their nodes are looked at once, but for their names."""
        if self.cloud == "node":
            return (self.name,)
        own = frozenset((key, each) for key, each in self.choices.items() if key != NODEPOOL)
        overlays = tuple(id(each) for each in self.overlays)
        return own, tuple(self.taints), self.disk, self.most_pods, self.cloud, overlays, id(self.shared)


def read_pools(cluster: Cluster, types: Types) -> list[Pool]:
    """Every pool in the tree, in the order of Karpenter's preference: by weight, then by name; nodes first."""
    told, overlays = operators(cluster), [_overlay(each) for each in cluster.of("NodeOverlay", group="karpenter.sh")]
    sharings: dict[tuple[str | None, str | None], Shared] = {}
    found = [
        _pool(each, cluster, types, told, overlays, sharings) for each in cluster.of("NodePool", group="karpenter.sh")
    ]
    found.sort(key=lambda each: (-each.weight, each.name))
    return [*_nodes(cluster, types), *found]


def _overlay(manifest: Manifest) -> Overlay:
    choices = read_choices(mappings_at(manifest.body, "spec", "requirements"))
    return Overlay(manifest=manifest, choices=choices, capacity=amounts(mapping_at(manifest.body, "spec", "capacity")))


def _pool(
    manifest: Manifest,
    cluster: Cluster,
    types: Types,
    told: Sequence[Operator],
    overlays: Sequence[Overlay],
    sharings: dict[tuple[str | None, str | None], Shared],
) -> Pool:
    body = manifest.body
    spec, labels = (
        mapping_at(body, "spec", "template", "spec"),
        labels_at(body, "spec", "template", "metadata", "labels"),
    )
    choices = merge([
        *read_choices(mappings_at(spec, "requirements")).items(),
        *exactly(labels),
        *exactly({NODEPOOL: manifest.name}),
    ])  # fmt: skip
    cloud = _cloud(spec)
    classed = _node_class(spec, cluster)
    if OS not in choices and cloud and not _is_windows(classed):
        choices[OS] = Choice(frozenset({"linux"}))
    key = (labels.get(MIG_LABEL), labels.get(PLUGIN_LABEL))
    if key not in sharings:
        sharings[key] = shared(labels, cluster, told)
    named = choices.get(TYPE, ANY)
    return Pool(
        name=manifest.name, manifest=manifest, choices=choices, labels=labels,
        taints=read_taints(mappings_at(spec, "taints")), cloud=cloud,
        names=types.left(choices) if cloud else frozenset(),
        missing=() if named.others else sorted(named.values - types.names),
        limits=amounts(mapping_at(body, "spec", "limits")), replicas=whole_at(body, "spec", "replicas"),
        least_values={key: least for key, least in _least_values(spec) if not choices[key].others},
        weight=whole_at(body, "spec", "weight") or 0, disk=_disk(classed, cloud),
        most_pods=whole_at(classed.body, "spec", "kubelet", "maxPods") if classed else None,
        shared=sharings[key],
        overlays=[each for each in overlays if conflict(choices, each.choices, KNOWN) is None],
    )  # fmt: skip


def _least_values(spec: Body) -> Iterator[tuple[str, int]]:
    for each in mappings_at(spec, "requirements"):
        least, key = whole_at(each, "minValues"), text_at(each, "key")
        if least and key in DECIDED:
            yield key, least


def _cloud(spec: Body) -> str:
    """Pools without a class are taken for EC2's: the schema finds what is missing."""
    return _CLOUDS.get(text_at(spec, "nodeClassRef", "group") or "karpenter.k8s.aws", "")


def _node_class(spec: Body, cluster: Cluster) -> Manifest | None:
    reference = mapping_at(spec, "nodeClassRef")
    return cluster.find(text_at(reference, "kind"), text_at(reference, "name"))


def _is_windows(classed: Manifest | None) -> bool:
    aliases = (
        (text_at(each, "alias") for each in mappings_at(classed.body, "spec", "amiSelectorTerms")) if classed else ()
    )
    return any(each.startswith("windows") for each in aliases)


def _disk(classed: Manifest | None, cloud: str) -> int | None:
    """Bytes of disk for pods, by the largest; None where the class is not there, or uses its instances' own disks."""
    if classed is None or text_at(classed.body, "spec", "instanceStorePolicy"):
        return None
    if cloud == "auto":
        size = amount(DISK, text_at(classed.body, "spec", "ephemeralStorage", "size"))
        return disk_left(size or AUTO_DISK)
    devices = mappings_at(classed.body, "spec", "blockDeviceMappings")
    sizes = [amount(DISK, text_at(each, "ebs", "volumeSize")) for each in devices]
    if None in sizes:
        return None
    return disk_left(max((each for each in sizes if each), default=EC2_DISK))


def _nodes(cluster: Cluster, types: Types) -> Iterator[Pool]:
    """Nodes that are there: those that a kubelet has told of."""
    for manifest in cluster.of("Node"):
        room = amounts(mapping_at(manifest.body, "status", "allocatable"))
        if manifest.group == "" and room.get(CPU) and room.get(MEMORY):
            yield _node(manifest, room, types)


def _node(manifest: Manifest, room: Amounts, types: Types) -> Pool:
    labels, name = manifest.labels, manifest.labels.get(TYPE, "")
    taints = read_taints(mappings_at(manifest.body, "spec", "taints"))
    if manifest.body.get("spec") and mapping_at(manifest.body, "spec").get("unschedulable") is True:
        taints = (*taints, Taint("node.kubernetes.io/unschedulable", "", "NoSchedule"))
    capacity: Capacity = "spot" if "spot" in _capacity(labels) else "on-demand"
    choices = merge([*exactly(labels), *exactly({CAPACITY: capacity})])
    host = types.instances.get(name) or _host(labels, room)
    called = name or "a node"
    return Pool(
        name=manifest.name, manifest=manifest, choices=choices, labels=labels, taints=taints, cloud="node", replicas=1,
        names=frozenset({called}), fixed={called: (host, {PODS: 110, **room})},
    )  # fmt: skip


def _capacity(labels: Mapping[str, str]) -> str:
    return (labels.get(CAPACITY) or labels.get("eks.amazonaws.com/capacityType") or "").lower()


def _host(labels: Mapping[str, str], room: Amounts) -> Instance:
    """A machine of which nothing is known but what its kubelet says."""
    gpus = room.get(GPU, 0)
    arch = "arm64" if labels.get("kubernetes.io/arch") == "arm64" else "amd64"
    return Instance(
        accelerator="", gpus=gpus, arch=arch, cpu=room[CPU] / 1000, memory_mib=max(1, room[MEMORY] >> 20),
        network_mbps=10_000,
    )  # fmt: skip


def has_hand_written(cluster: Cluster) -> list[Manifest]:
    """Nodes that no kubelet has told of: they stand in a file because somebody wrote them."""
    nodes = [each for each in cluster.of("Node") if each.group == ""]
    return [each for each in nodes if not list_at(each.body, "status", "conditions") and not each.body.get("status")]
