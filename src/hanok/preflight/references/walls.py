"""Calls that walls stop: an address in a pod's variables, arguments or configuration that NetworkPolicies close.

Told is what the tree proves: pods whose labels stand in it, policies that surely select them, and none that may let the
call through. What charts, operators and other plugins' policies may add is taken for a door.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from hanok.preflight.case import Case
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.manifests import Manifest, at, labels_at, mappings_at, text_at, whole_at
from hanok.preflight.ports import as_port, number_in, target_of
from hanok.preflight.references.callers import PLATFORM, Callers, has_proxy
from hanok.preflight.references.hosts import Named, named_hosts
from hanok.preflight.references.services import service_ports
from hanok.preflight.selecting import Labels
from hanok.preflight.walls import Address, Outside, Pods, Port, Walls, address_of, space_of
from hanok.preflight.wording import listed
from hanok.preflight.workloads import Workload

CLOSED = Rule(
    "HK234",
    "error",
    "a call that NetworkPolicies stop",
    "let it through: in an `ingress` rule of who is called, and in an `egress` rule of who calls",
)
_NAME_SERVERS = ("kube-system", "openshift-dns")
_NAME_PORTS = (53, 5353, 8053, 1053)
"""Where pods that answer for names listen: CoreDNS, and as OpenShift and Gardener have it."""
_OUTER_KEY = re.compile(r"(?:BASE_URL|API_BASE|ENDPOINT|API_URL)$", re.IGNORECASE)
_PUBLIC_NAME = re.compile(r"(?:[a-z0-9-]+\.)+(?:com|net|org|io|ai|dev|app|cloud|co)")
_BETWEEN = ("ServiceEntry", "EgressGateway", "CiliumEgressGatewayPolicy")
"""Kinds by which calls that leave the cluster take another way."""
What = Literal["in", "out", "port", "names"]
SHOWN = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Stopped:
    """A call that does not pass: of whom, to what (a text for messages), what stops it, and which policies do."""

    named: Named
    caller: Workload
    callee: str
    what: What
    policies: Sequence[Manifest]


@dataclass(frozen=True, kw_only=True, eq=False)
class Ways:
    """Calls between the pods of one case, each looked at once."""

    case: Case
    walls: Walls
    _pods: dict[Workload, Pods] = field(default_factory=dict[Workload, Pods])
    _behind: dict[tuple[str, str], Sequence[tuple[Pods, Workload | None]]] = field(
        default_factory=dict[tuple[str, str], Sequence[tuple[Pods, Workload | None]]]
    )
    _nameless: dict[Workload, Sequence[Manifest]] = field(default_factory=dict[Workload, "Sequence[Manifest]"])
    _told: dict[tuple[object, ...], tuple[What, Sequence[Manifest]] | None] = field(
        default_factory=dict[tuple[object, ...], "tuple[What, Sequence[Manifest]] | None"]
    )

    def stops(self, caller: Workload, named: Named) -> tuple[What, Sequence[Manifest]] | None:
        """What stops a call of this pod to a host; None where it may pass."""
        use, host = named.use, named.host
        key = (caller, use.namespace, use.name, host.port) if use else (caller, host.host, host.port)
        if key not in self._told:
            self._told[key] = self._stops(caller, named)
        return self._told[key]

    def _stops(self, caller: Workload, named: Named) -> tuple[What, Sequence[Manifest]] | None:
        if _is_on_host(caller) or not caller.most:
            return None
        own, address = self._of(caller), address_of(named.host.host)
        if address is None and (policies := self._without_names(caller, own)):
            return "names", policies
        if named.use is not None:
            return self._inside(caller, own, named.use.namespace, named.use.name, named.host.port)
        policies = self.walls.closing("Egress", own, Outside(address=address), Port(number=named.host.port))
        return ("out", policies) if policies else None

    def _inside(
        self, caller: Workload, own: Pods, space: str, name: str, port: int | None
    ) -> tuple[What, Sequence[Manifest]] | None:
        service = self.case.cluster.find("Service", name, space)
        found: list[tuple[What, Sequence[Manifest]]] = []
        for pods, workload in self._ends(space, name):
            if workload is caller:
                return None
            target = _target(service, workload, port)
            stopped = None if target is None else self._between(own, pods, target, port)
            if stopped is None:
                return None
            found.append(stopped)
        return found[0] if found else None

    def _between(self, own: Pods, pods: Pods, target: Port, port: int | None) -> tuple[What, Sequence[Manifest]] | None:
        if policies := self.walls.closing("Ingress", pods, own, target):
            return "in", policies
        policies = self.walls.closing("Egress", own, pods, target)
        if not policies:
            return None
        asked = replace(target, number=port, names=frozenset())
        passes = port is not None and not self.walls.closing("Egress", own, pods, asked)
        return ("port" if passes else "out"), policies

    def _without_names(self, caller: Workload, own: Pods) -> Sequence[Manifest]:
        """The policies by which a pod cannot ask for names."""
        if caller not in self._nameless:
            self._nameless[caller] = self._closing_names(caller, own)
        return self._nameless[caller]

    def _closing_names(self, caller: Workload, own: Pods) -> Sequence[Manifest]:
        if text_at(caller.spec, "dnsPolicy") in ("None", "Default") or at(caller.spec, "hostAliases"):
            return ()
        policies: Sequence[Manifest] = ()
        for server in self._servers:
            for number in _NAME_PORTS:
                policies = self.walls.closing("Egress", own, server, Port(number=number, protocol="UDP"))
                if not policies:
                    return ()
        return policies

    @property
    def _servers(self) -> Iterator[Pods]:
        known = Labels(known={"k8s-app": "kube-dns"}, whole=False)
        return (Pods(namespace=space, labels=known) for space in _NAME_SERVERS)

    def _of(self, workload: Workload) -> Pods:
        if workload not in self._pods:
            space = space_of(workload.manifest)
            self._pods[workload] = Pods(namespace=space, labels=Labels(known=workload.labels))
        return self._pods[workload]

    def _ends(self, space: str, name: str) -> Sequence[tuple[Pods, Workload | None]]:
        """The pods behind a Service, each with its workload where the tree has it; none where they are not known."""
        if (space, name) not in self._behind:
            self._behind[space, name] = list(self._found(space, name))
        return self._behind[space, name]

    def _found(self, space: str, name: str) -> Iterator[tuple[Pods, Workload | None]]:
        service = self.case.cluster.find("Service", name, space)
        if service is None:
            if (
                self.case.inventory.standing("Service", name, space) == "made"
                and space in self.case.inventory.namespaces
            ):
                yield Pods(namespace=space, labels=Labels(known={}, whole=False)), None
            return
        selector = labels_at(service.body, "spec", "selector")
        if not selector or text_at(service.body, "spec", "type") == "ExternalName":
            return
        workloads = [each for each in self.case.inventory.pods(space, selector) if each.most]
        if any(_is_on_host(each) for each in workloads):
            return
        yield from ((self._of(each), each) for each in workloads)
        if not workloads:
            yield Pods(namespace=space_of(service), labels=Labels(known=selector, whole=False)), None


def _is_on_host(workload: Workload) -> bool:
    """Whether its pods have the node's own network, which policies do not reach."""
    return at(workload.spec, "hostNetwork") not in (None, False)


def _target(service: Manifest | None, workload: Workload | None, port: int | None) -> Port | None:
    """The port that is called of the pods; None where the Service has no such port."""
    if service is None:
        return Port(number=None)
    ports = service_ports(service)
    if text_at(service.body, "spec", "clusterIP") == "None":
        return _port_of(workload, port, "TCP")
    if port is None and len(ports) == 1:
        port = whole_at(ports[0], "port")
    for each in ports:
        if port is not None and whole_at(each, "port") == port:
            return _port_of(workload, target_of(each), text_at(each, "protocol") or "TCP")
    return Port(number=None) if port is None else None


def _port_of(workload: Workload | None, target: object, protocol: str) -> Port:
    if workload is None:
        return Port(number=as_port(target), protocol=protocol)
    numbers = {number_in(each, target) for each in workload.containers} - {None}
    number = as_port(target) or (numbers.pop() if len(numbers) == 1 else None)
    if number is None:
        return Port(number=None, protocol=protocol)
    ports = (port for each in workload.everyone for port in mappings_at(each.body, "ports"))
    names = frozenset(text_at(each, "name") for each in ports if whole_at(each, "containerPort") == number)
    return Port(number=number, names=names, protocol=protocol)


# --- What is told -----------------------------------------------------------------------------------------------------


def check_walls(case: Case) -> Iterator[Finding]:
    walls = Walls(cluster=case.cluster, inventory=case.inventory)
    if not walls.known:
        return
    found: dict[tuple[object, ...], list[Stopped]] = {}
    for each in _stopped(case, Ways(case=case, walls=walls)):
        key = ("names", each.caller) if each.what == "names" else (each.what, each.callee, *each.policies)
        found.setdefault(key, []).append(each)
    for together in found.values():
        yield _tell(together)


def _stopped(case: Case, ways: Ways) -> Iterator[Stopped]:
    callers = Callers(case=case)
    rerouted = any(True for _ in case.cluster.of(*_BETWEEN))
    cached = case.inventory.is_mentioned("node-local-dns")
    for named in named_hosts(case):
        pods, sure = callers.of(named)
        if named.use is None:
            pods = [] if rerouted else [each for each in pods if _leaves(named, each)]
        found = [(pod, stop) for pod in pods if (stop := ways.stops(pod, named))]
        if not sure and len(found) < len(pods):
            continue
        for pod, (what, policies) in found:
            if what != "names" or not cached:
                yield Stopped(named=named, caller=pod, callee=_callee(named), what=what, policies=policies)


def _leaves(named: Named, pod: Workload) -> bool:
    """Whether it is certain that a pod calls this host beyond the cluster."""
    host, path = named.host, named.leaf.path
    address = address_of(host.host)
    outer = _is_beyond(address) if address else _PUBLIC_NAME.fullmatch(host.host) is not None
    if not outer or any(has_proxy(each) for each in pod.everyone):
        return False
    if named.manifest.kind == "ConfigMap":
        return path == PLATFORM
    return path[-1:] == ("value",) and bool(_OUTER_KEY.search(text_at(named.manifest.body, *path[:-1], "name")))


def _is_beyond(address: Address) -> bool:
    return address.is_global and not address.is_multicast


def _callee(named: Named) -> str:
    port = f" at port {named.host.port}" if named.host.port is not None else ""
    return f"{named.use.title if named.use else named.host.host}{port}"


def _tell(stopped: Sequence[Stopped]) -> Finding:
    first = stopped[0]
    who = listed([each.caller.title for each in stopped], SHOWN)
    names = listed([f"{each.namespace}/{each.name}" for each in first.policies], SHOWN)
    several = len(first.policies) > 1
    walls = f"NetworkPolic{'ies' if several else 'y'} {names} close{'' if several else 's'}"
    none = "none of them lets" if several else "does not let"
    match first.what:
        case "names":
            message = f"pods of {who} cannot ask for names: {walls} what they may call, and {none} DNS (UDP 53) through"
            hint = "add an `egress` rule with `ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]`"
        case "in":
            message = f"pods of {who} cannot reach {first.callee}: {walls} the way in, and {none} them through"
            hint = "add an `ingress` rule there with the callers' namespace and labels, and the pods' own port"
        case "port":
            message = f"pods of {who} reach {first.callee} only by the Service's port: {walls} what they may call"
            hint = "name the pods' own port in the `egress` rule: policies look at it, not at the Service's"
        case "out":
            message = f"pods of {who} cannot reach {first.callee}: {walls} what they may call, and {none} this through"
            hint = "add an `egress` rule there that the callee's namespace, labels and own port fit"
    severity = "warning" if first.what == "port" else None
    return _place(first.named, message, hint, severity)


def _place(named: Named, message: str, hint: str, severity: Literal["warning"] | None) -> Finding:
    path, manifest = named.leaf.path, named.manifest
    found = CLOSED.on(manifest, *path, message=message, hint=hint, severity=severity)
    return replace(found, line=manifest.line_within(path, named.host.below)) if "\n" in named.leaf.text else found


CHECKS = (check_walls,)
