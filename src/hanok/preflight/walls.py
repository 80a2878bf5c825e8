"""Walls: NetworkPolicies, and whether a call passes them.

A pod that no policy selects is open. One that some select is closed in their direction, but for what one of them lets
through: policies only ever add. So a call is surely stopped where one policy surely selects the pod, and of all that
may select it none may let the call through; everything that is not known counts as a door.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Literal

from hanok.preflight.inventory import Inventory
from hanok.preflight.makers import walk
from hanok.preflight.manifests import Body, Cluster, Manifest, at, labels_at, list_at, mapping_at, text_at, texts_at
from hanok.preflight.ports import as_port
from hanok.preflight.selecting import Labels, Truth, every, is_added, means, some

Direction = Literal["Ingress", "Egress"]
Address = IPv4Address | IPv6Address
GROUP, KIND = "networking.k8s.io", "NetworkPolicy"
RULES_READ = 1000
"""Of a policy with more rules it is not said whom it lets through: each is asked about every call."""
SPACE_NAME = "kubernetes.io/metadata.name"
_OTHERS = ("NetworkPolicy", "EgressFirewall")
"""Endings of kinds by which network plugins open and close ways in other words."""
_CHANGERS = ("MutatingAdmissionPolicy", "Assign", "AssignMetadata", "ModifySet")
"""Kinds that change objects on their way in."""
_TRANSFORMS = (
    "namespace", "commonLabels", "labels", "patches", "patchesStrategicMerge", "patchesJson6902", "components",
    "transformers", "replacements",
)  # fmt: skip
"""What a kustomization changes of objects that stand in its files."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pods:
    """One end of a call: pods of a namespace. An empty namespace: whatever it will be applied to."""

    namespace: str
    labels: Labels


@dataclass(frozen=True, kw_only=True, eq=False)
class Outside:
    """The other end of a call: beyond the cluster. Of a name the address is not known."""

    address: Address | None = None


@dataclass(frozen=True, kw_only=True)
class Port:
    """What is called of a pod. `names` are its containers' names for the number; None stands for not known."""

    number: int | None
    names: frozenset[str] | None = None
    protocol: str = "TCP"


@dataclass(frozen=True, kw_only=True, eq=False)
class Walls:
    """All policies of the tree, and whoever else may open or close ways."""

    cluster: Cluster
    inventory: Inventory
    _spaces: dict[str, Labels] = field(default_factory=dict[str, Labels])
    _near: dict[tuple[Direction, Pods], Sequence[tuple[Manifest, Truth]]] = field(
        default_factory=dict[tuple[Direction, Pods], Sequence[tuple[Manifest, Truth]]]
    )

    @cached_property
    def known(self) -> bool:
        """Whether there are policies, and nothing that makes what they do unknown everywhere."""
        others = any(not space_of(each) or _is_changer(each) for each in self._others)
        return bool(self.policies) and not others and not any(_transforms(each) for each in self._builders)

    @cached_property
    def policies(self) -> Sequence[Manifest]:
        return list(self.cluster.of(KIND, group=GROUP))

    def closing(self, direction: Direction, pods: Pods, other: Pods | Outside, port: Port) -> Sequence[Manifest]:
        """The policies by which a call surely does not pass; none where it may. `pods` are whose walls these are."""
        if not self.known or self._is_foreign(pods.namespace):
            return ()
        near = self._selecting(direction, pods)
        sure = [each for each, truth in near if truth]
        if not sure or any(self._lets(each, direction, other, port) is not False for each, _ in near):
            return ()
        return sure

    def _is_foreign(self, namespace: str) -> bool:
        """Whether somebody else may have a say there: another kind of policy, or a chart with its own."""
        if self.inventory.maker(namespace or "default") is not None:
            return True
        return any(namespace in ("", space_of(each)) for each in self._others)

    @cached_property
    def _others(self) -> Sequence[Manifest]:
        return [each for each in self.cluster.manifests if _is_other(each)]

    @property
    def _builders(self) -> Iterator[Body]:
        """What kustomizations say, kustomize's and Flux's."""
        yield from (each.body for each in self.inventory.tools)
        for each in self.cluster.of("Kustomization", group="kustomize.toolkit.fluxcd.io"):
            spec = mapping_at(each.body, "spec")
            yield {"namespace": spec.get("targetNamespace"), "patches": spec.get("patches")}

    def _selecting(self, direction: Direction, pods: Pods) -> Sequence[tuple[Manifest, Truth]]:
        """The policies that may select the pods, and whether they surely do."""
        key = (direction, pods)
        if key not in self._near:
            found = ((each, _selects(each, direction, pods)) for each in self._candidates(pods))
            self._near[key] = [(each, truth) for each, truth in found if truth is not False]
        return self._near[key]

    def _candidates(self, pods: Pods) -> Iterable[Manifest]:
        if not pods.labels.whole or not pods.namespace:
            return self.policies
        keys = (None, *pods.labels.known.items())
        spaces = (pods.namespace, "")
        return (each for space in spaces for key in keys for each in self._by_label.get((space, key), ()))

    @cached_property
    def _by_label(self) -> Mapping[tuple[str, tuple[str, str] | None], Sequence[Manifest]]:
        """Policies by their namespace and one label that they ask for, None where that may be any."""
        found: dict[tuple[str, tuple[str, str] | None], list[Manifest]] = {}
        for each in self.policies:
            wanted = labels_at(each.body, "spec", "podSelector", "matchLabels").items()
            plain = ((key, value) for key, value in wanted if not is_added(key) and "{" not in value + key)
            found.setdefault((space_of(each), next(plain, None)), []).append(each)
        return found

    def _lets(self, policy: Manifest, direction: Direction, other: Pods | Outside, port: Port) -> Truth:
        """Whether one of its rules lets the call through."""
        rules = at(policy.body, "spec", direction.lower())
        if rules is None:
            return False
        if not isinstance(rules, list) or len(list_at(rules)) > RULES_READ:
            return None
        side = "from" if direction == "Ingress" else "to"
        listed = list_at(rules)
        return some(self._passes(policy, each, side, other, port) for each in listed)

    def _passes(self, policy: Manifest, rule: object, side: str, other: Pods | Outside, port: Port) -> Truth:
        if not isinstance(rule, dict):
            return None
        ports = _each(mapping_at(rule).get("ports"), lambda each: _has_port(each, port))
        if ports is False:
            return False
        return every((ports, _each(mapping_at(rule).get(side), lambda each: self._is_peer(policy, each, other))))

    def _is_peer(self, policy: Manifest, peer: Body, other: Pods | Outside) -> Truth:
        if isinstance(other, Outside):
            return _is_outside(peer, other)
        if "ipBlock" in peer or not peer:
            return None  # plugins differ in whether addresses of pods count
        spaces, pods = peer.get("namespaceSelector"), peer.get("podSelector")
        near = _same(space_of(policy), other.namespace) if spaces is None else means(spaces, self._space(other))
        return near if near is False or pods is None else every((near, means(pods, other.labels)))

    def _space(self, pods: Pods) -> Labels:
        """The labels of their namespace."""
        name = pods.namespace
        if name not in self._spaces:
            found = self.inventory.named("Namespace", name, "")
            own = {SPACE_NAME: name} if name else {}
            known = {key: value for each in found for key, value in each.labels.items()}
            self._spaces[name] = Labels(known={**known, **own}, whole=len(found) == 1)
        return self._spaces[name]


def space_of(manifest: Manifest) -> str:
    """The namespace that it names; empty where it leaves that to who applies it, or to a template."""
    name = text_at(manifest.body, "metadata", "namespace")
    return "" if "{" in name or "$" in name else name


def _same(one: str, other: str) -> Truth:
    """Whether two namespaces are the same; of one that is not named only its like is."""
    return one == other if bool(one) == bool(other) else None


def _selects(policy: Manifest, direction: Direction, pods: Pods) -> Truth:
    """Whether a policy closes the pods in this direction."""
    spec = at(policy.body, "spec")
    if not isinstance(spec, dict):
        return None
    types = at(spec, "policyTypes")
    listed = texts_at(types) or (["Ingress", "Egress"] if at(spec, "egress") else ["Ingress"])
    if types is not None and not isinstance(types, list):
        return None
    if direction not in listed:
        return False
    chosen = at(spec, "podSelector")
    near = _same(space_of(policy), pods.namespace)
    return near if near is False else every((near, means({} if chosen is None else chosen, pods.labels)))


def _each(listed: object, holds: Callable[[Body], Truth]) -> Truth:
    """Whether one of a list holds; a list that is empty, or not there, stands for all."""
    if listed is None or listed == []:
        return True
    if not isinstance(listed, list):
        return None
    items = list_at(listed)
    return some(holds(mapping_at(each)) if isinstance(each, dict) else None for each in items)


def _has_port(rule: Body, port: Port) -> Truth:
    protocol = rule.get("protocol")
    if (protocol or "TCP") != port.protocol:
        return False if protocol is None or isinstance(protocol, str) else None
    wanted = rule.get("port")
    if wanted is None:
        return True
    first = as_port(wanted)
    if first is None:
        return None if port.names is None or not isinstance(wanted, str) else wanted in port.names
    last = as_port(rule.get("endPort")) or first
    return None if port.number is None else first <= port.number <= last


def _is_outside(peer: Body, other: Outside) -> Truth:
    """Whether a rule's peer stands for an address beyond the cluster; pods never do."""
    if "ipBlock" not in peer:
        return False if peer else None
    if other.address is None:
        return None
    block = mapping_at(peer, "ipBlock")
    inside = _within(text_at(block, "cidr"), other.address)
    left_out = some(_within(each, other.address) for each in texts_at(block, "except"))
    return every((inside, None if left_out is None else not left_out))


def _within(cidr: str, address: Address) -> Truth:
    try:
        return address in ip_network(cidr, strict=False)
    except ValueError:
        return None


def address_of(host: str) -> Address | None:
    """A host that is an address; None for a name."""
    if not host[-1:].isdigit():  # the usual case, which needs no exception
        return None
    try:
        return ip_address(host)
    except ValueError:
        return None


def _is_other(manifest: Manifest) -> bool:
    if manifest.kind == KIND and manifest.group in (GROUP, "extensions"):
        return manifest.group != GROUP
    return manifest.kind.endswith(_OTHERS) or _is_changer(manifest)


def _is_changer(manifest: Manifest) -> bool:
    """Whether it may change pods, or make policies, anywhere."""
    if manifest.group == "kyverno.io":
        return any(at(value, "mutate") or at(value, "generate") for _, value in walk(manifest.body))
    return manifest.kind in _CHANGERS


def _transforms(builder: Body) -> bool:
    return any(builder.get(key) for key in _TRANSFORMS)
