"""LiteLLM's proxy beside Hanok's gateway, for callers who have its keys: its configuration follows from the models.

It asks Hanok's door, which then counts, keeps and falls back; or the cluster's engines itself, each replica as a
deployment of its own, and then fallbacks are its own. Models that only the door can reach are asked there either way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from hanok.kubernetes.component import Body, Component, Piece, Placed
from hanok.kubernetes.external import external_secret
from hanok.kubernetes.hardening import pod_security, spread
from hanok.kubernetes.notes import Known, Told
from hanok.kubernetes.objects import given, labels, selector, thing
from hanok.kubernetes.places import HANOK
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.replicas import endpoint_urls, is_picked
from hanok.kubernetes.walls import every_pod, port
from hanok.kubernetes.writing import as_yaml
from hanok.spec.tree import Model
from hanok.spec.tree.models import ModelType

NAME, PORT, USER = "litellm", 4000, 65534
"""Its name and port, and the user of its image without root: nobody."""
FOLDER, FILE = "/etc/litellm", "config.yaml"
MASTER_KEY, DOOR_KEY, DATABASE = "LITELLM_MASTER_KEY", "LITELLM_HANOK_KEY", "DATABASE_URL"
MODES: dict[ModelType, str] = {"chat": "chat", "embedding": "embedding", "moderation": "moderation"}
"""What LiteLLM calls them. It finds no way to rerank by OpenAI's form, so those models are asked of Hanok alone."""


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """The proxy with its configuration, its secrets and its walls."""
    for body in (_secrets(plan), _config(plan), _deployment(plan), *_around(plan)):
        yield Placed(stage="apps", folder=HANOK, body=body)


def _secrets(plan: ClusterPlan) -> Body:
    wanted = {MASTER_KEY: MASTER_KEY, DOOR_KEY: DOOR_KEY}
    if database := plan.cluster.serving.litellm.database:
        wanted[DATABASE] = database
    return external_secret(plan, NAME, HANOK, wanted, component=NAME)


# --- The configuration ------------------------------------------------------------------------------------------------


def _config(plan: ClusterPlan) -> Body:
    return thing("v1", "ConfigMap", NAME, HANOK, labels=labels(NAME, NAME), data={FILE: as_yaml(configuration(plan))})


def configuration(plan: ClusterPlan) -> Body:
    """LiteLLM's `config.yaml`."""
    found: Body = {"model_list": [each for entry in _entries(plan) for each in entry]}
    if plan.cluster.serving.litellm.to == "engines":
        found["litellm_settings"] = given(
            fallbacks=_fallbacks(plan, "error"),
            context_window_fallbacks=_fallbacks(plan, "context_window"),
            content_policy_fallbacks=_fallbacks(plan, "content_policy"),
        )
    found["router_settings"] = {"num_retries": 0 if plan.cluster.serving.litellm.to == "door" else 2}
    found["general_settings"] = given(
        master_key=f"os.environ/{MASTER_KEY}",
        database_url=f"os.environ/{DATABASE}" if plan.cluster.serving.litellm.database else None,
    )
    return found


def _entries(plan: ClusterPlan) -> Iterator[list[Body]]:
    for index, model in enumerate(plan.platform.models):
        if model.type in MODES:
            yield list(_deployments(plan, index, model))
    for tier in plan.platform.tiers:
        yield [_entry(tier.name, _at_the_door(plan, tier.name), {"mode": "chat"})]


def _deployments(plan: ClusterPlan, index: int, model: Model) -> Iterator[Body]:
    told: Body = {"mode": MODES[model.type]}
    if model.price:
        told |= {
            "input_cost_per_token": model.price.input / 1e6,
            "output_cost_per_token": model.price.output / 1e6,
        }
    for place in _places(plan, index, model):
        yield _entry(model.name, place, told)


def _entry(name: str, place: Body, told: Body) -> Body:
    return {"model_name": name, "litellm_params": place, "model_info": told}


def _places(plan: ClusterPlan, index: int, model: Model) -> Iterator[Body]:
    """The engines' addresses, or the door's."""
    engines = [each for each in plan.of_model(index) if each.role is None and not is_picked(plan, each)]
    if plan.cluster.serving.litellm.to == "door" or len(engines) < len(model.serve):
        yield _at_the_door(plan, model.name)
        return
    for url in (url for each in engines for url in endpoint_urls(plan, each)):
        yield {"model": f"hosted_vllm/{model.name}", "api_base": url, "api_key": "none"}


def _at_the_door(plan: ClusterPlan, name: str) -> Body:
    return {"model": f"openai/{name}", "api_base": f"{plan.gateway}/v1", "api_key": f"os.environ/{DOOR_KEY}"}


def _fallbacks(plan: ClusterPlan, why: str) -> list[Body] | None:
    """Each item has one name and a list: LiteLLM does not start with any other shape."""
    found = [(each.name, list(getattr(each.fallbacks, why))) for each in plan.platform.models if each.type in MODES]
    return [{name: others} for name, others in found if others] or None


# --- The proxy --------------------------------------------------------------------------------------------------------


def _deployment(plan: ClusterPlan) -> Body:
    digest = hashlib.sha256(as_yaml(configuration(plan)).encode()).hexdigest()[:16]
    template: Body = {
        "metadata": {"labels": labels(NAME, NAME), "annotations": {"hanok.dev/config": digest}},
        "spec": {
            "serviceAccountName": NAME,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 120,
            "securityContext": pod_security(USER),
            "topologySpreadConstraints": spread(selector(NAME)),
            "containers": [_container(plan)],
            "volumes": [
                {"name": "config", "configMap": {"name": NAME}},
                {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
            ],
        },
    }
    spec: Body = {
        "replicas": plan.cluster.serving.litellm.replicas,
        "revisionHistoryLimit": 3,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "selector": {"matchLabels": selector(NAME)},
        "template": template,
    }
    return thing("apps/v1", "Deployment", NAME, HANOK, labels=labels(NAME, NAME), spec=spec)


def _container(plan: ClusterPlan) -> Body:
    """Its root can be written: it unpacks its console there, and with a database what speaks with that."""
    return {
        "name": NAME,
        "image": plan.lock.image(NAME),
        "args": ["--config", f"{FOLDER}/{FILE}", "--port", str(PORT)],
        "envFrom": [{"secretRef": {"name": NAME}}],
        "ports": [{"name": "http", "containerPort": PORT}],
        "startupProbe": _probe("readiness", period=10, failures=30),
        "readinessProbe": _probe("readiness", period=10, failures=3),
        "livenessProbe": _probe("liveliness", period=15, failures=4),
        "lifecycle": {"preStop": {"sleep": {"seconds": 15}}},
        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"name": "config", "mountPath": FOLDER, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of the pod's own
        ],
    }


def _probe(path: str, *, period: int, failures: int) -> Body:
    door = {"path": f"/health/{path}", "port": "http"}
    return {"httpGet": door, "periodSeconds": period, "timeoutSeconds": 5, "failureThreshold": failures}


def _around(plan: ClusterPlan) -> Iterator[Body]:
    """An account without rights, a Service, a budget, and a way in for whoever is in the cluster."""
    named = labels(NAME, NAME)
    yield thing("v1", "ServiceAccount", NAME, HANOK, labels=named, automountServiceAccountToken=False)
    ports = [{"name": "http", "port": PORT, "targetPort": "http"}]
    yield thing("v1", "Service", NAME, HANOK, labels=named, spec={"selector": selector(NAME), "ports": ports})
    if plan.cluster.serving.litellm.replicas > 1:
        budget = {"maxUnavailable": 1, "selector": {"matchLabels": selector(NAME)}}
        yield thing("policy/v1", "PodDisruptionBudget", NAME, HANOK, labels=named, spec=budget)
    callers: Body = {"from": [every_pod()], "ports": [port("http")]}
    spec: Body = {"podSelector": {"matchLabels": selector(NAME)}, "policyTypes": ["Ingress"], "ingress": [callers]}
    yield thing("networking.k8s.io/v1", "NetworkPolicy", NAME, HANOK, labels=named, spec=spec)


def notes(plan: ClusterPlan) -> Iterator[Told]:
    """What must be in the secret store, and what LiteLLM is not told of."""
    yield plan.value(MASTER_KEY, "LiteLLM's own: `sk-` and `openssl rand -hex 32`", made="sk-$(openssl rand -hex 32)")
    told = "made by `hanok keys create litellm` once Hanok runs: LiteLLM shows it at Hanok's door"
    yield plan.value(DOOR_KEY, told, later="litellm")
    if database := plan.cluster.serving.litellm.database:
        yield plan.value(database, "the address of LiteLLM's PostgreSQL")
    for model in plan.platform.models:
        if model.type not in MODES:
            yield Known(f"{model.name} is not among LiteLLM's models: ask Hanok's door for it")


COMPONENT = Component(
    name=NAME, wanted=lambda plan: plan.cluster.serving.litellm.enabled, adapters={"": render}, notes=notes
)
