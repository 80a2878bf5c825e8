"""What stands around an engine's pods: an account without rights, a Service, walls, a budget, a monitor."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.component import Body
from hanok.kubernetes.components.vllm.parts import MODEL, NAME, PORT, engine_labels, has_sidecar, pods_of
from hanok.kubernetes.engines import EnginePlan
from hanok.kubernetes.objects import label, labels, thing
from hanok.kubernetes.places import ENGINE_PORT, HANOK, INFERENCE_GATEWAY, MODELS, OBSERVABILITY, PROMETHEUS_RELEASE
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.replicas import is_picked, picker_release, shape_of
from hanok.kubernetes.walls import pods_in, port, readers

SCRAPE_EVERY = "15s"


def around(plan: ClusterPlan, engine: EnginePlan) -> Iterator[Body]:
    """All of it."""
    named = engine_labels(engine)
    yield thing("v1", "ServiceAccount", engine.name, MODELS, labels=named, automountServiceAccountToken=False)
    yield thing("v1", "Service", engine.name, MODELS, labels=named, spec=_service(plan, engine))
    budget = {"maxUnavailable": 1, "selector": {"matchLabels": pods_of(engine)}}
    yield thing("policy/v1", "PodDisruptionBudget", engine.name, MODELS, labels=named, spec=budget)
    yield thing("networking.k8s.io/v1", "NetworkPolicy", engine.name, MODELS, labels=named, spec=_walls(plan, engine))
    if plan.cluster.observe.prometheus:
        yield _monitor(engine)


def closed() -> Body:
    """Nobody comes in to the engines' namespace but as another policy says."""
    name = "nobody-by-default"
    spec: Body = {"podSelector": {}, "policyTypes": ["Ingress"]}
    return thing("networking.k8s.io/v1", "NetworkPolicy", name, MODELS, labels=labels(name, NAME), spec=spec)


def _service(plan: ClusterPlan, engine: EnginePlan) -> Body:
    """Without an address of its own where it gives replicas their names. The sidecar's port goes by number: ports of
    init containers have names that not every Kubernetes (before 1.33) and not every network plugin looks up."""
    door = ENGINE_PORT if has_sidecar(plan, engine) else PORT
    headless = {"clusterIP": "None"} if shape_of(plan, engine) == "StatefulSet" else {}
    return {**headless, "selector": pods_of(engine), "ports": [{"name": PORT, "port": ENGINE_PORT, "targetPort": door}]}


def _monitor(engine: EnginePlan) -> Body:
    spec: Body = {
        "selector": {"matchLabels": pods_of(engine)},
        "podMetricsEndpoints": [{"port": PORT, "path": "/metrics", "interval": SCRAPE_EVERY}],
    }
    named = {**engine_labels(engine), "release": PROMETHEUS_RELEASE}
    return thing("monitoring.coreos.com/v1", "PodMonitor", engine.name, MODELS, labels=named, spec=spec)


# --- Walls ------------------------------------------------------------------------------------------------------------


def _walls(plan: ClusterPlan, engine: EnginePlan) -> Body:
    """Calls come from Hanok's pods (ingests want vectors) or llm-d's, looks from Prometheus; out it goes to names and
    for weights."""
    peers = {"podSelector": {"matchLabels": {MODEL: label(engine.model.name)}}}
    joined = bool(engine.role) or engine.machines > 1
    mine = {MODEL: label(engine.model.name)} if joined else pods_of(engine)
    ins: list[Body] = [{"from": list(callers(plan, engine)), "ports": list(_ports(plan, engine))}]
    outs: list[Body] = [{"ports": [{"protocol": each, "port": 53} for each in ("UDP", "TCP")]}, {"ports": [port(443)]}]
    return {
        "podSelector": {"matchLabels": mine},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [*ins, *([{"from": [peers]}] if joined else [])],
        "egress": [*outs, *([{"to": [peers]}] if joined else [])],
    }


def callers(plan: ClusterPlan, engine: EnginePlan) -> Iterator[Body]:
    yield readers()
    if plan.cluster.serving.litellm.enabled and plan.cluster.serving.litellm.to == "engines":
        yield pods_in(HANOK, "litellm")
    if is_picked(plan, engine):
        yield {"podSelector": {"matchLabels": {"gateway.networking.k8s.io/gateway-name": INFERENCE_GATEWAY}}}
        yield {"podSelector": {"matchLabels": {"llm-d-router-gateway": f"{picker_release(engine.model)}-epp"}}}
    if plan.cluster.observe.prometheus:
        yield pods_in(OBSERVABILITY, "prometheus")


def _ports(plan: ClusterPlan, engine: EnginePlan) -> Iterator[Body]:
    yield port(PORT)
    if has_sidecar(plan, engine):
        yield port(ENGINE_PORT)
