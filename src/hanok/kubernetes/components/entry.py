"""The entry: a Gateway with a load balancer before it, and the routes that lead callers to Hanok's door.

What one gateway alone keeps on its disk (files, batches, vector stores, responses) is always led to the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from hanok.errors import Problem
from hanok.kubernetes.component import Body, Component, Piece, Placed
from hanok.kubernetes.notes import Known, Step, Told
from hanok.kubernetes.objects import given, labels, thing
from hanok.kubernetes.places import ENTRY, ENTRY_GATEWAY, GATEWAY_PORT, HANOK, KEPT
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.walls import SPACE_NAME

NAME = "entry"
GATEWAY, TLS_SECRET, CLASS = ENTRY_GATEWAY, "hanok-tls", "agentgateway"
KEPT_BY_ONE = ("/v1/files", "/v1/batches", "/v1/vector_stores", "/v1/responses")
"""Paths of what is kept in the state folder of one process's machine, and in no database."""
FOR_EVER = "0s"
"""No timeout: streams and unstreamed answers end when they end; Hanok has its own."""
_ANNOTATION = "service.beta.kubernetes.io/aws-load-balancer-"
_CLASSES = {"eks": "service.k8s.aws/nlb", "eks-auto": "eks.amazonaws.com/nlb"}


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """The Gateway, how its proxies run, and its routes."""
    yield Placed(stage="apps", folder=ENTRY, body=_parameters(plan))
    yield Placed(stage="apps", folder=ENTRY, body=_gateway(plan))
    yield Placed(stage="apps", folder=HANOK, body=_route(plan))


def host_of(plan: ClusterPlan) -> str | None:
    """The name that callers use."""
    return urlsplit(plan.platform.gateway.url).hostname if plan.platform.gateway.url else None


# --- The Gateway ------------------------------------------------------------------------------------------------------


def _gateway(plan: ClusterPlan) -> Body:
    entry = plan.cluster.entry
    parameters = {"group": "agentgateway.dev", "kind": "AgentgatewayParameters", "name": GATEWAY}
    spec = {
        "gatewayClassName": CLASS,
        "infrastructure": given(annotations=_balancer(plan) or None, parametersRef=parameters),
        "listeners": list(_listeners(plan)),
    }
    issuer = {"cert-manager.io/cluster-issuer": entry.signer} if entry.signer else None
    return thing(
        "gateway.networking.k8s.io/v1", "Gateway", GATEWAY, ENTRY,
        labels=labels(GATEWAY, NAME), annotations=issuer, spec=spec,
    )  # fmt: skip


def _listeners(plan: ClusterPlan) -> Iterator[Body]:
    """TLS ends here with an issuer's certificate; with one of the cloud's, at the load balancer; else nowhere.

    Over port 80 an authority sees whose name it is; routes of other namespaces do not come to it.
    """
    routes = {"namespaces": {"from": "Selector", "selector": {"matchLabels": {SPACE_NAME: HANOK}}}}
    common = given(hostname=host_of(plan), allowedRoutes=routes)
    entry = plan.cluster.entry
    if not entry.signer:
        yield {"name": "http", "port": 443 if entry.certificate else 80, "protocol": "HTTP", **common}
        return
    tls = {"mode": "Terminate", "certificateRefs": [{"kind": "Secret", "name": TLS_SECRET}]}
    yield {"name": "https", "port": 443, "protocol": "HTTPS", **common, "tls": tls}
    if entry.acme and not entry.acme.zone:
        own = {"namespaces": {"from": "Same"}}
        yield {"name": "http", "port": 80, "protocol": "HTTP", **common, "allowedRoutes": own}


def _balancer(plan: ClusterPlan) -> dict[str, str]:
    """What AWS is told of the load balancer."""
    entry = plan.cluster.entry
    if not plan.on_aws:
        return {}
    told = {"scheme": "internet-facing" if entry.expose == "public" else "internal", "nlb-target-type": "ip"}
    if entry.certificate:
        told |= {"ssl-cert": entry.certificate, "ssl-ports": "443"}
    return {_ANNOTATION + key: value for key, value in told.items()}


def _parameters(plan: ClusterPlan) -> Body:
    """Two proxies or more, spread; the load balancer's class says who makes it."""
    spec: Body = {
        "podDisruptionBudget": {"spec": {"minAvailable": 1}},
        "horizontalPodAutoscaler": {"spec": {"minReplicas": 2, "maxReplicas": 6, "metrics": [_busy()]}},
        "resources": {"requests": {"cpu": "500m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
        "shutdown": {"min": 10, "max": 300},
    }
    if plan.target in _CLASSES:
        spec["service"] = {"spec": {"loadBalancerClass": _CLASSES[plan.target]}}
    return thing(
        "agentgateway.dev/v1alpha1", "AgentgatewayParameters", GATEWAY, ENTRY, labels=labels(GATEWAY, NAME), spec=spec
    )


def _busy() -> Body:
    return {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
    }


# --- Routes -----------------------------------------------------------------------------------------------------------


def _route(plan: ClusterPlan) -> Body:
    kept = [{"path": {"type": "PathPrefix", "value": path}} for path in KEPT_BY_ONE]
    rules = [
        _rule("kept-by-one", kept, KEPT),
        _rule("all-else", [{"path": {"type": "PathPrefix", "value": "/"}}], HANOK),
    ]
    host = host_of(plan)
    spec = given(parentRefs=[{"name": GATEWAY, "namespace": ENTRY}], hostnames=[host] if host else None, rules=rules)
    return thing("gateway.networking.k8s.io/v1", "HTTPRoute", "hanok", HANOK, labels=labels("hanok", NAME), spec=spec)


def _rule(name: str, matches: list[Body], service: str) -> Body:
    return {
        "name": name,
        "matches": matches,
        "backendRefs": [{"name": service, "port": GATEWAY_PORT}],
        "timeouts": {"request": FOR_EVER, "backendRequest": FOR_EVER},
    }


# --- What is refused, and told ----------------------------------------------------------------------------------------


def refuse(plan: ClusterPlan) -> Iterator[Problem]:
    """Certificates without a cloud, or for no name; keys over the internet in plain text."""
    entry, place = plan.cluster.entry, ("cluster", "entry")
    if entry.certificate and not plan.on_aws:
        hint = "name an `issuer` of cert-manager instead"
        yield plan.written.problem(
            (*place, "certificate"), "load balancers of this target take no certificate by ARN", hint
        )
    named = "issuer" if entry.issuer else "acme"
    if entry.certificate and entry.signer:
        yield plan.written.problem(
            (*place, named), "TLS ends at the load balancer or at the Gateway", "keep one of both"
        )
    if entry.signer and host_of(plan) is None:
        hint = "add `gateway: {url: https://…}`, as callers name it"
        yield plan.written.problem((*place, named), "no certificate can be signed for no name", hint)
    if entry.expose == "public" and not (entry.certificate or entry.signer):
        message = "callers would send their keys over the internet in plain text"
        yield plan.written.problem((*place, "expose"), message, "add a `certificate` (its ARN), an `issuer`, or `acme`")


def notes(plan: ClusterPlan) -> Iterator[Told]:
    """Names, controllers, and what is not encrypted."""
    entry, host = plan.cluster.entry, host_of(plan)
    if plan.target == "eks":
        yield Step(message="install the AWS Load Balancer Controller", shown="-load-balancer kube-system/")
    if host:
        yield Step(message=f"let the name {host} lead to the load balancer", shown=f"name `{host}`")
    if not (entry.certificate or entry.signer):
        yield Known("callers come in without TLS: name a `certificate`, an `issuer` or `acme` in `cluster.entry`")


COMPONENT = Component(
    name=NAME,
    wanted=lambda plan: plan.cluster.entry.expose != "none",
    adapters={"": render},
    refuse=refuse,
    notes=notes,
)
