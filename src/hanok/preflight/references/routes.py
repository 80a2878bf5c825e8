"""Ways in: Ingresses, Gateways, routes and what they lead to, inference pools among it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hanok.preflight.case import Case
from hanok.preflight.charts import RELEASES, Chart, charts
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.labelled import pool_labels
from hanok.preflight.makers import spots
from hanok.preflight.manifests import (
    Body,
    Manifest,
    Step,
    at,
    mapping_at,
    mappings_at,
    selects,
    text_at,
    whole_at,
)
from hanok.preflight.ports import as_port
from hanok.preflight.references.services import backend, port_findings
from hanok.preflight.references.uses import OUTSIDE, Use, follow, is_name, together
from hanok.preflight.wording import labelled

NO_POOL = Rule(
    "HK216",
    "error",
    "an InferencePool that does not exist",
    "name the pool as group `inference.networking.k8s.io`, kind InferencePool, and its name",
)
NO_GATEWAY = Rule("HK217", "error", "a Gateway that does not exist", "add the Gateway, or name one that there is")
NO_LISTENER = Rule(
    "HK218", "error", "a Gateway that does not take the route", "name a listener that there is, and allow the namespace"
)
NO_GRANT = Rule(
    "HK219", "error", "a reference into another namespace that nobody granted", "add a ReferenceGrant over there"
)
GONE_FROM_KGATEWAY = Rule(
    "HK220",
    "error",
    "an InferencePool behind kgateway",
    "use a Gateway of class `agentgateway`, Istio or NGINX Gateway Fabric",
)
POOL_WITHOUT_PODS = Rule(
    "HK221", "error", "an InferencePool that no pod stands behind", "give selector and pod template the same labels"
)

BY_HEADER = Rule(
    "HK230",
    "warning",
    "a route by a header that nobody sends",
    "let the path alone choose, or have a body-based router set X-Gateway-Model-Name, and match that",
)

POOLS = "inference.networking.k8s.io"
OLD_POOLS = "inference.networking.x-k8s.io"
_ROUTES = ("HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute")
_MODEL_HEADERS = ("x-model", "model", "x-model-name", "model-name", "x-llm-model")
_GATEWAYS = "gateway.networking.k8s.io"


# --- Ingress ----------------------------------------------------------------------------------------------------------


def check_ingresses(case: Case) -> Iterator[Finding]:
    for ingress in case.cluster.of("Ingress", group="networking.k8s.io"):
        for pattern in ("spec.rules[].http.paths[].backend.service", "spec.defaultBackend.service"):
            for path, found in spots(ingress.body, pattern):
                if _is_annotated(ingress, text_at(found, "name")):
                    continue
                port = at(found, "port", "number") or at(found, "port", "name")
                use = _service(ingress, path, text_at(found, "name"), ingress.namespace)
                yield from backend(case, use, port, so="requests are answered with 503")


def _is_annotated(ingress: Manifest, name: str) -> bool:
    """AWS' controller has actions in place of Services: `alb.ingress.kubernetes.io/actions.NAME`."""
    return f"alb.ingress.kubernetes.io/actions.{name}" in ingress.annotations


def _service(user: Manifest, path: tuple[Step, ...], name: str, namespace: str) -> Use:
    return Use(manifest=user, path=path, kind="Service", name=name, namespace=namespace)


# --- Gateways ---------------------------------------------------------------------------------------------------------


def check_gateway_classes(case: Case) -> Iterator[Finding]:
    """Classes come with controllers, mostly from outside; one word for each."""
    gateways = case.cluster.of("Gateway", group=_GATEWAYS)
    uses = [
        Use(manifest=each, path=("spec", "gatewayClassName"), kind="GatewayClass", name=_class_of(each))
        for each in gateways
    ]
    for users in together(uses):
        first = users[0]
        if case.cluster.find("GatewayClass", first.name) is None and not _brings_class(case, first.name):
            message = f"GatewayClass {first.name} is not in these files; its controller must be in the cluster"
            yield first.say(OUTSIDE, message)


def _class_of(gateway: Manifest) -> str:
    return text_at(gateway.body, "spec", "gatewayClassName")


def _brings_class(case: Case, name: str) -> bool:
    """Whether a release's chart has the name of the class: agentgateway, kgateway, istio …"""
    named = {each.name for each in case.cluster.of(*RELEASES)} | {each.name for each in charts(case.cluster)}
    stem = re.split(r"[-.]", name)[0]
    return any(stem in each for each in named)


def check_certificates(case: Case) -> Iterator[Finding]:
    """Secrets of listeners: there, and granted where they stand elsewhere."""
    for gateway in case.cluster.of("Gateway", group=_GATEWAYS):
        for path, found in spots(gateway.body, "spec.listeners[].tls.certificateRefs[]"):
            space = text_at(found, "namespace") or gateway.namespace
            if space != gateway.namespace and (text_at(found, "kind") or "Secret") == "Secret":
                use = Use(manifest=gateway, path=path, kind="Secret", name=text_at(found, "name"), namespace=space)
                yield from _ungranted(case, use, "")


# --- Routes -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Parent:
    """One Gateway that a route hangs itself on."""

    route: Manifest
    path: tuple[Step, ...]
    body: Body

    @property
    def use(self) -> Use:
        space = text_at(self.body, "namespace") or self.route.namespace
        name = text_at(self.body, "name")
        return Use(manifest=self.route, path=self.path, kind="Gateway", name=name, namespace=space)


def check_parents(case: Case) -> Iterator[Finding]:
    for parent in _parents(case):
        gateway = case.cluster.find("Gateway", parent.use.name, parent.use.namespace, group=_GATEWAYS)
        if gateway is None:
            yield from follow(case, [parent.use], NO_GATEWAY, "the route takes no traffic")
        else:
            yield from _refused(case, parent, gateway)


def _parents(case: Case) -> Iterator[_Parent]:
    for route in case.cluster.of(*_ROUTES):
        for path, found in spots(route.body, "spec.parentRefs[]"):
            if text_at(found, "kind") in ("", "Gateway"):
                yield _Parent(route=route, path=path, body=mapping_at(found))


def _refused(case: Case, parent: _Parent, gateway: Manifest) -> Iterator[Finding]:
    section, port = text_at(parent.body, "sectionName"), whole_at(parent.body, "port")
    listeners = mappings_at(gateway.body, "spec", "listeners")
    meant = [
        each for each in listeners if section in ("", text_at(each, "name")) and port in (None, whole_at(each, "port"))
    ]
    sets = any(True for _ in case.cluster.of("ListenerSet", "XListenerSet"))
    if not meant and not sets:
        there = ", ".join(f"{text_at(each, 'name')} (port {whole_at(each, 'port')})" for each in listeners) or "none"
        wanted = f"listener `{section}`" if section else f"listener at port {port}"
        message = f"{gateway.title} has no {wanted}; it has {there}"
        yield NO_LISTENER.on(parent.route, *parent.path, message=message)
    elif meant and not any(_admits(case, each, gateway, parent.route) for each in meant):
        message = (
            f"{gateway.title} takes no routes from namespace {parent.route.namespace}: "
            f"its listeners allow {_allowed(meant[0])}"
        )
        yield NO_LISTENER.on(parent.route, *parent.path, message=message)


def _allowed(listener: Body) -> str:
    source = text_at(listener, "allowedRoutes", "namespaces", "from") or "Same"
    return {"Same": "only their own namespace (`from: Same`, the default)"}.get(source, f"`from: {source}`")


def _admits(case: Case, listener: Body, gateway: Manifest, route: Manifest) -> bool:
    namespaces = mapping_at(listener, "allowedRoutes", "namespaces")
    match text_at(namespaces, "from") or "Same":
        case "Same":
            return gateway.namespace == route.namespace
        case "Selector":
            space = case.cluster.find("Namespace", route.namespace)
            labels = {"kubernetes.io/metadata.name": route.namespace, **(space.labels if space else {})}
            return space is None or selects(at(namespaces, "selector"), labels)
        case "None":
            return False
        case _:
            return True


def check_backends(case: Case) -> Iterator[Finding]:
    for route in case.cluster.of(*_ROUTES):
        for pattern in ("spec.rules[].backendRefs[]", "spec.rules[].filters[].requestMirror.backendRef"):
            for path, found in spots(route.body, pattern):
                yield from _backend(case, route, path, mapping_at(found))


def _backend(case: Case, route: Manifest, path: tuple[Step, ...], body: Body) -> Iterator[Finding]:
    space = text_at(body, "namespace") or route.namespace
    group, kind, name = text_at(body, "group"), text_at(body, "kind") or "Service", text_at(body, "name")
    if not is_name(name):
        return
    use = Use(manifest=route, path=path, kind=kind, name=name, namespace=space)
    if kind == "Service" and not group:
        yield from backend(case, use, as_port(at(body, "port")), so="requests are answered with 500")
    elif kind == "InferencePool":
        yield from _pool(case, use, group)
    if space != route.namespace:
        yield from _ungranted(case, use, group)


def _pool(case: Case, use: Use, group: str) -> Iterator[Finding]:
    where = (*use.path, "group")
    if group != POOLS:
        message = f"group `{group}` has no InferencePool that a Gateway knows; it is `{POOLS}` since v1"
        yield NO_POOL.on(use.manifest, *where, message=message)
        return
    found = case.inventory.named("InferencePool", use.name, use.namespace)
    if found and all(each.group != POOLS for each in found):
        message = f"{use.title} is of the group `{found[0].group}`; routes lead to `{POOLS}`"
        yield NO_POOL.on(use.manifest, *where, message=message)
    elif not found:
        yield from follow(case, [use], NO_POOL, "requests are answered with 500")


def _ungranted(case: Case, use: Use, group: str) -> Iterator[Finding]:
    grants = (each for each in case.cluster.of("ReferenceGrant") if each.namespace == use.namespace)
    if not any(_grants(each, use, group) for each in grants):
        if case.inventory.maker(use.namespace) is not None or not case.inventory.is_peopled(use.namespace):
            message = f"a ReferenceGrant in {use.namespace} must allow {use.manifest.kind} there from outside"
            yield use.say(OUTSIDE, message)
        else:
            message = f"no ReferenceGrant in {use.namespace} lets {use.manifest.title} use {use.title}"
            yield use.say(NO_GRANT, message)


def _grants(grant: Manifest, use: Use, group: str) -> bool:
    sources, targets = mappings_at(grant.body, "spec", "from"), mappings_at(grant.body, "spec", "to")
    from_here = any(
        text_at(each, "kind") == use.manifest.kind and text_at(each, "namespace") == use.manifest.namespace
        for each in sources
    )
    return from_here and any(
        text_at(each, "kind") == use.kind
        and text_at(each, "group") == group
        and text_at(each, "name") in ("", use.name)
        for each in targets
    )


def check_kgateway(case: Case) -> Iterator[Finding]:
    """Inference pools left kgateway for agentgateway: deprecated in 2.1, gone in 2.2 (February 2026)."""
    for parent in _parents(case):
        gateway = case.cluster.find("Gateway", parent.use.name, parent.use.namespace, group=_GATEWAYS)
        if gateway is not None and _class_of(gateway) == "kgateway":
            for path, found in spots(parent.route.body, "spec.rules[].backendRefs[]"):
                if text_at(found, "kind") == "InferencePool":
                    yield _left_behind(case, parent.route, path, gateway)


def _left_behind(case: Case, route: Manifest, path: tuple[Step, ...], gateway: Manifest) -> Finding:
    old = any(_is_old_kgateway(each) for each in charts(case.cluster))
    when = "is the last to lead to InferencePools, deprecated, in version 2.1" if old else "leads to none since 2.2"
    message = f"{gateway.title} is of class kgateway, which {when}"
    return GONE_FROM_KGATEWAY.on(route, *path, message=message, severity="warning" if old else None)


def _is_old_kgateway(chart: Chart) -> bool:
    return "kgateway" in chart.name and re.match(r"v?2\.([01])(?:\.|$)", chart.version) is not None


# --- Pools ------------------------------------------------------------------------------------------------------------


def check_model_headers(case: Case) -> Iterator[Finding]:
    """Clients of OpenAI's API name the model in the body; a header of its name must be set by somebody in between."""
    for route in case.cluster.of("HTTPRoute"):
        for path, rule in spots(route.body, "spec.rules[]"):
            if any(text_at(each, "kind") == "InferencePool" for each in mappings_at(rule, "backendRefs")):
                yield from _headers(case, route, path, mapping_at(rule))


def _headers(case: Case, route: Manifest, path: tuple[Step, ...], rule: Body) -> Iterator[Finding]:
    matches = mappings_at(rule, "matches")
    if not all(mappings_at(each, "headers") for each in matches):
        return  # one of them takes calls without any header
    for step, header in spots(rule, "matches[].headers[]"):
        name = text_at(header, "name").lower()
        if name in _MODEL_HEADERS and not _is_set(case, name):
            message = f"clients of OpenAI's API name the model in the body, and send no {name}: nothing matches"
            yield BY_HEADER.on(route, *path, *step, "name", message=message)


def _is_set(case: Case, name: str) -> bool:
    """Whether anything beside the matches of routes names the header."""
    word = re.compile(rf"(?<![\w-]){name}(?![\w-])", re.IGNORECASE)
    leaves = (
        leaf
        for each in case.cluster.manifests
        for leaf in case.inventory.leaves(each)
        if each.kind not in _ROUTES or "filters" in leaf.path
    )
    return any(word.search(leaf.text) for leaf in leaves)


def check_pools(case: Case) -> Iterator[Finding]:
    for pool in case.cluster.of("InferencePool"):
        if pool.group in (POOLS, OLD_POOLS):
            yield from _pods_of_pool(case, pool)
        if pool.group == POOLS:
            yield from _picker(case, pool)


def _pods_of_pool(case: Case, pool: Manifest) -> Iterator[Finding]:
    labels = pool_labels(pool)
    pods = case.inventory.pods(pool.namespace, labels)
    if pods:
        for path, number in spots(pool.body, "spec.targetPorts[].number"):
            yield from port_findings(pool, path, number, pods)
    elif labels:
        words = labelled(labels)
        maker = case.inventory.may_have_pods(pool.namespace, labels)
        if maker is None and case.inventory.is_peopled(pool.namespace):
            message = f"no pod in {pool.namespace} has the labels {words}: there is nothing to pick from"
            yield POOL_WITHOUT_PODS.on(pool, "spec", "selector", message=message)
        else:
            who = f"{maker.title} may make them" if maker else f"no pods of {pool.namespace} are in these files"
            yield OUTSIDE.on(pool, "spec", "selector", message=f"no pod here has the labels {words}; {who}")


def _picker(case: Case, pool: Manifest) -> Iterator[Finding]:
    where = ("spec", "endpointPickerRef")
    body = mapping_at(pool.body, *where)
    if text_at(body, "name") and text_at(body, "kind") in ("", "Service"):
        use = _service(pool, where, text_at(body, "name"), pool.namespace)
        yield from backend(case, use, at(body, "port", "number"), so="no endpoint is picked")


CHECKS = (
    check_ingresses,
    check_gateway_classes,
    check_certificates,
    check_parents,
    check_backends,
    check_kgateway,
    check_model_headers,
    check_pools,
)
