"""llm-d: a pool of each chat model's engines, an endpoint picker for each, and one Gateway before all of them.

Hanok's gateway asks that Gateway and says in a header which model it wants; whoever sends none is led by the model in
the body. The picker then chooses the replica: by the beginning of the prompt, by queues, by room in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.component import Body, Chart, Component, Piece, Placed
from hanok.kubernetes.engines import EnginePlan
from hanok.kubernetes.notes import Definitions, Known, Told
from hanok.kubernetes.objects import label, labels, thing
from hanok.kubernetes.places import ENGINE_PORT, INFERENCE_GATEWAY, MODELS, OBSERVABILITY, PROMETHEUS_RELEASE
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.replicas import MODEL_HEADER, is_picked, picker_release
from hanok.kubernetes.walls import pods_in, readers
from hanok.kubernetes.writing import as_yaml
from hanok.spec.tree import Model

NAME = "llm-d-router"
PAIRS = "pairs.yaml"
PROXIES = {"gateway.networking.k8s.io/gateway-name": INFERENCE_GATEWAY}
"""The label of a Gateway's own pods."""
FOR_EVER = "0s"
"""No timeout: answers end when they end; Hanok's gateway has its own."""
BLOCKS = 31_250
"""Blocks of prompts that the picker remembers for each engine: llm-d's own figure."""
_GATEWAYS = "gateway.networking.k8s.io/v1"


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """The Gateway, and for each model its pool with a picker, and the route to it."""
    for body in (_parameters(), _gateway(), _policy(), _door(plan)):
        yield Placed(stage="apps", folder=MODELS, body=body)
    for engines in _models(plan):
        yield _picker(plan, engines)
        for body in (_route(engines[0].model), _wall(plan, engines[0].model)):
            yield Placed(stage="apps", folder=MODELS, body=body)


def _models(plan: ClusterPlan) -> Iterator[list[EnginePlan]]:
    """The engines of each model whose replicas are picked."""
    for index in range(len(plan.platform.models)):
        if found := [each for each in plan.of_model(index) if is_picked(plan, each)]:
            yield found


# --- The Gateway ------------------------------------------------------------------------------------------------------


def _parameters() -> Body:
    """Two proxies or more, inside of the cluster alone."""
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
    spec: Body = {
        "service": {"spec": {"type": "ClusterIP"}},
        "podDisruptionBudget": {"spec": {"minAvailable": 1}},
        "horizontalPodAutoscaler": {
            "spec": {"minReplicas": 2, "maxReplicas": 6, "metrics": [{"type": "Resource", "resource": cpu}]}
        },
        "resources": {"requests": {"cpu": "500m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
        "shutdown": {"min": 10, "max": 300},
    }
    return _named("agentgateway.dev/v1alpha1", "AgentgatewayParameters", INFERENCE_GATEWAY, spec)


def _gateway() -> Body:
    parameters = {"group": "agentgateway.dev", "kind": "AgentgatewayParameters", "name": INFERENCE_GATEWAY}
    spec: Body = {
        "gatewayClassName": "agentgateway",
        "infrastructure": {"parametersRef": parameters},
        "listeners": [
            {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "Same"}}}
        ],
    }
    return _named(_GATEWAYS, "Gateway", INFERENCE_GATEWAY, spec)


def _policy() -> Body:
    """Before a route is looked for: the model's name out of the body; of requests without one, as the header says."""
    known = f'default(request.headers["{MODEL_HEADER}"], "")'
    request = {"set": [{"name": MODEL_HEADER, "value": f"default(json(request.body).model, {known})"}]}
    target = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": INFERENCE_GATEWAY}
    spec: Body = {
        "targetRefs": [target],
        "traffic": {"phase": "PreRouting", "transformation": {"request": request}},
    }
    return _named("agentgateway.dev/v1alpha1", "AgentgatewayPolicy", f"{INFERENCE_GATEWAY}-model", spec)


def _route(model: Model) -> Body:
    name = picker_release(model)
    header = {"type": "Exact", "name": MODEL_HEADER, "value": model.name}
    rule: Body = {
        "matches": [{"headers": [header]}],
        "backendRefs": [{"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": name}],
        "timeouts": {"request": FOR_EVER, "backendRequest": FOR_EVER},
    }
    spec: Body = {"parentRefs": [{"name": INFERENCE_GATEWAY}], "rules": [rule]}
    return _named(_GATEWAYS, "HTTPRoute", name, spec)


def _door(plan: ClusterPlan) -> Body:
    """Hanok's pods come in, and nobody else."""
    return _policed(plan, INFERENCE_GATEWAY, PROXIES, [readers()])


def _wall(plan: ClusterPlan, model: Model) -> Body:
    """The Gateway's proxies ask a picker, nobody else."""
    name = f"{picker_release(model)}-epp"
    return _policed(plan, name, {"llm-d-router-gateway": name}, [{"podSelector": {"matchLabels": PROXIES}}])


def _policed(plan: ClusterPlan, name: str, pods: Body, callers: list[Body]) -> Body:
    watch = [pods_in(OBSERVABILITY, "prometheus")] if plan.cluster.observe.prometheus else []
    spec: Body = {
        "podSelector": {"matchLabels": pods},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [*callers, *watch]}],
    }
    return _named("networking.k8s.io/v1", "NetworkPolicy", name, spec)


def _named(api: str, kind: str, name: str, spec: Body) -> Body:
    return thing(api, kind, name, MODELS, labels=labels(name, NAME), spec=spec)


# --- Pools and pickers ------------------------------------------------------------------------------------------------


def _picker(plan: ClusterPlan, engines: list[EnginePlan]) -> Chart:
    """llm-d's chart: the pool and its picker. One picker: a second would stand by unready, and none would be told of
    what the first knows; where it is gone, the Gateway takes any engine."""
    model = engines[0].model
    image, _, tag = plan.lock.image("llm-d-picker").partition(":")
    registry, _, repository = image.rpartition("/")
    picker: Body = {
        "image": {"registry": registry, "repository": repository, "tag": tag, "pullPolicy": "IfNotPresent"},
        "resources": {"requests": {"cpu": "2", "memory": "2Gi"}, "limits": {"memory": "8Gi"}},
    }
    if any(each.role for each in engines):
        told = as_yaml(pairs(model.routing.prefill_tokens))
        picker |= {"pluginsConfigFile": PAIRS, "pluginsCustomConfig": {PAIRS: told}}
    router: Body = {
        "modelServers": {
            "matchLabels": {"hanok.dev/model": label(model.name), "llm-d.ai/inference-serving": "true"},
            "targetPorts": [{"number": ENGINE_PORT}],
        },
        "epp": picker,
    }
    if plan.cluster.observe.prometheus:
        found = {"enabled": True, "auth": {"enabled": False}, "extraLabels": {"release": PROMETHEUS_RELEASE}}
        router["monitoring"] = {"prometheus": found}
    values = {"router": router}
    return Chart(
        chart=NAME, release=picker_release(model), namespace=MODELS, values=values, stage="apps", folder=MODELS
    )


def pairs(least_tokens: int) -> Body:
    """How a picker pairs engines: who answers is chosen first; where it lacks so many tokens of the prompt, who
    prefills."""
    scored = [{"pluginRef": "prefix-cache-scorer", "weight": 2}, {"pluginRef": "queue-scorer", "weight": 1}]
    plugins: list[Body] = [
        {
            "type": "approx-prefix-cache-producer",
            "parameters": {"autoTune": False, "maxPrefixTokensToMatch": 131_072, "lruCapacityPerServer": BLOCKS},
        },
        *({"type": each} for each in ("prefix-cache-scorer", "queue-scorer", "prefill-filter", "decode-filter")),
        {"type": "max-score-picker"},
        {"type": "prefix-based-pd-decider", "parameters": {"nonCachedTokens": max(1, least_tokens)}},
        {"type": "disagg-profile-handler", "parameters": {"deciders": {"prefill": "prefix-based-pd-decider"}}},
    ]
    return {
        "apiVersion": "llm-d.ai/v1alpha1",
        "kind": "EndpointPickerConfig",
        "plugins": plugins,
        "schedulingProfiles": [
            {"name": role, "plugins": [{"pluginRef": f"{role}-filter"}, {"pluginRef": "max-score-picker"}, *scored]}
            for role in ("prefill", "decode")
        ],
    }


# --- What is told -----------------------------------------------------------------------------------------------------


def notes(plan: ClusterPlan) -> Iterator[Told]:
    """Definitions that no chart brings, and what the route does not lead."""
    version = plan.lock.pin("inference-extension").version
    url = (
        f"https://github.com/kubernetes-sigs/gateway-api-inference-extension/releases/download/{version}/manifests.yaml"
    )
    yield Definitions(name=f"the Inference Extension {version}", url=url)
    for name in sorted({each.model.name for each in plan.engines if not is_picked(plan, each)}):
        yield Known(f"{name} makes no text, so Hanok's gateway asks its engines itself")


COMPONENT = Component(
    name=NAME,
    wanted=lambda plan: any(is_picked(plan, each) for each in plan.engines),
    adapters={"v1alpha2": render},
    notes=notes,
)
