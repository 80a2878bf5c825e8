"""What a pod asks of a node: amounts, labels, taints that it does not mind, ports, neighbours that it avoids.

Pods that ask for the same are one `Ask` to the rest: `key` says what is the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from hanok.preflight.manifests import (
    Body,
    Cluster,
    at,
    labels_at,
    mapping_at,
    mappings_at,
    text_at,
    texts_at,
    whole_at,
)
from hanok.preflight.quantities import CPU, DISK, MEMORY, PODS, Amounts, add, amounts, most
from hanok.preflight.scheduling.choices import Choice, Choices, exactly, merge, read_choices
from hanok.preflight.scheduling.taints import Toleration, read_tolerations
from hanok.preflight.scheduling.types import HOSTNAME
from hanok.preflight.sharing import claimed_gpus
from hanok.preflight.workloads import GPU, Container, Workload

JUDGED = (
    CPU, MEMORY, DISK, PODS, "nvidia.com/", "amd.com/gpu", "aws.amazon.com/neuron", "habana.ai/", "qualcomm.com/qaic",
    "vpc.amazonaws.com/efa",
)  # fmt: skip
"""Resources (or how their names begin) of which it is known who offers them."""
SILENT = ("vpc.amazonaws.com/",)
"""Resources that every node of the cloud offers in some number."""
ORDINARY = frozenset({CPU, MEMORY, DISK, PODS})
Port = tuple[str, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Repelled:
    """Pods that may not stand on the same node."""

    selector: Body
    namespaces: frozenset[str]


@dataclass(frozen=True, kw_only=True, eq=False)
class Ask:
    """What each pod of a workload asks for."""

    workload: Workload
    requests: Amounts
    unjudged: Sequence[str]
    """Resources of which nobody knows who offers them."""
    alternatives: Sequence[Choices]
    """Any of these will do."""
    tolerations: Sequence[Toleration]
    node_name: str
    ports: frozenset[Port]
    repels: Sequence[Repelled]
    claimed: int
    """GPUs claimed through dynamic resource allocation; they stand among the requests, too."""

    @cached_property
    def key(self) -> tuple[object, ...]:
        """Equal for pods that the same nodes take."""
        wanted = tuple(frozenset(each.items()) for each in self.alternatives)
        return frozenset(self.requests.items()), wanted, self.tolerations, self.node_name

    @cached_property
    def where(self) -> tuple[object, ...]:
        """Equal for pods that the same pools take, whatever they ask of a node."""
        return self.key[1:]

    @cached_property
    def extended(self) -> dict[str, int]:
        """What it asks for besides the ordinary: GPUs, network interfaces."""
        return {name: each for name, each in self.requests.items() if name not in ORDINARY}

    @property
    def alone(self) -> bool:
        """Whether it cares who stands beside it."""
        return bool(self.ports or self.repels)


def _added(requests: Amounts, cluster: Cluster) -> Iterator[Toleration]:
    """Tolerations that admission adds on EKS: pods that ask for `nvidia.com/gpu` tolerate taints with that key.

    All EKS clusters since 1.19 run ExtendedResourceToleration (docs.aws.amazon.com/eks, platform versions, 2026);
    other clusters seldom do.
    """
    if any(True for _ in cluster.of("EC2NodeClass")):
        for name in requests:
            if name not in ORDINARY:
                yield Toleration(key=name, operator="Exists", value="", effect="")


def ask(workload: Workload, cluster: Cluster) -> Ask:
    """What the pods of a workload ask for."""
    spec = workload.spec
    claimed = claimed_gpus(spec, workload.namespace, cluster)
    requests = add(requests_of(workload, cluster), {GPU: claimed} if claimed else {})
    judged = {name: each for name, each in requests.items() if name.startswith(JUDGED) and each > 0}
    unjudged = [each for each in requests if each not in judged and not each.startswith(SILENT)]
    name = text_at(spec, "nodeName") or _named_by_affinity(spec)
    return Ask(
        workload=workload, requests=judged, unjudged=unjudged, alternatives=tuple(_alternatives(workload, cluster)),
        tolerations=(*read_tolerations(mappings_at(spec, "tolerations")), *_added(requests, cluster)), node_name=name,
        ports=frozenset(_ports(workload)), repels=tuple(_repelled(workload)), claimed=claimed,
    )  # fmt: skip


def _alternatives(workload: Workload, cluster: Cluster) -> Iterator[Choices]:
    """The node selector with each term of the affinity: one of them has to hold."""
    spec = workload.spec
    always = [*exactly(labels_at(spec, "nodeSelector")), *_of_volumes(workload, cluster)]
    required = at(spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    terms = mappings_at(required, "nodeSelectorTerms")
    if not isinstance(required, dict):
        yield merge(always)
    for term in terms:
        if mappings_at(term, "matchExpressions") or mappings_at(term, "matchFields"):
            yield merge([*always, *read_choices(mappings_at(term, "matchExpressions")).items()])


def _named_by_affinity(spec: Body) -> str:
    """The node whose name an affinity's only term asks for, as the pods of a DaemonSet do."""
    required = at(spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    terms = mappings_at(required, "nodeSelectorTerms")
    fields = mappings_at(terms[0], "matchFields") if len(terms) == 1 else []
    values = [each for field in fields if text_at(field, "operator") == "In" for each in texts_at(field, "values")]
    return values[0] if len(values) == 1 else ""


def _of_volumes(workload: Workload, cluster: Cluster) -> Iterator[tuple[str, Choice]]:
    """Where the pod's volumes are, as far as that is written."""
    for volume in mappings_at(workload.spec, "volumes"):
        claim = cluster.find(
            "PersistentVolumeClaim", text_at(volume, "persistentVolumeClaim", "claimName"), workload.namespace
        )
        if claim is not None:
            held = cluster.find("PersistentVolume", text_at(claim.body, "spec", "volumeName"))
            kept = cluster.find("StorageClass", text_at(claim.body, "spec", "storageClassName"))
            yield from _of_volume(held.body if held else {})
            topologies = mappings_at(kept.body, "allowedTopologies") if kept and not held else []
            if len(topologies) == 1:
                for each in mappings_at(topologies[0], "matchLabelExpressions"):
                    yield text_at(each, "key"), Choice(frozenset(texts_at(each, "values")))


def _of_volume(body: Body) -> Iterator[tuple[str, Choice]]:
    terms = mappings_at(body, "spec", "nodeAffinity", "required", "nodeSelectorTerms")
    if len(terms) == 1:
        yield from read_choices(mappings_at(terms[0], "matchExpressions")).items()


def _ports(workload: Workload) -> Iterator[Port]:
    """Ports of the node that the pod takes for itself."""
    shares = workload.spec.get("hostNetwork") is True
    for container in workload.containers:
        for each in mappings_at(container.body, "ports"):
            port = whole_at(each, "hostPort") or (whole_at(each, "containerPort") if shares else None)
            if port:
                yield text_at(each, "protocol") or "TCP", port


def _repelled(workload: Workload) -> Iterator[Repelled]:
    terms = mappings_at(workload.spec, "affinity", "podAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    for term in terms:
        if text_at(term, "topologyKey") == HOSTNAME:
            elsewhere = isinstance(term.get("namespaceSelector"), dict)
            named = texts_at(term, "namespaces") or ([] if elsewhere else [workload.namespace])
            yield Repelled(selector=mapping_at(term, "labelSelector"), namespaces=frozenset(named))


def requests_of(workload: Workload, cluster: Cluster) -> Amounts:
    """What one pod asks for, with what its namespace's LimitRanges add where a container says nothing."""
    defaults = container_defaults(workload.namespace, cluster)
    if not defaults:
        return workload.requests
    running = add({}, *(_with(each, defaults) for each in workload.containers))
    first = most({}, *(_with(each, defaults) for each in workload.inits if not each.sidecar))
    return most(workload.requests, running, first)


def container_defaults(namespace: str, cluster: Cluster) -> dict[str, int]:
    """What a container is taken to ask for, by the LimitRanges of its namespace."""
    found: dict[str, int] = {}
    for manifest in cluster.of("LimitRange"):
        for each in mappings_at(manifest.body, "spec", "limits"):
            if manifest.namespace == namespace and text_at(each, "type") == "Container":
                found |= {**amounts(at(each, "default")), **amounts(at(each, "defaultRequest"))}
    return found


def _with(container: Container, defaults: Mapping[str, int]) -> Amounts:
    return {**defaults, **container.requests}
