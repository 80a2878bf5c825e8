"""The pod that all of Hanok's own workloads share: its files, its variables, its bounds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from hanok.kubernetes.component import Body
from hanok.kubernetes.components.own.config import CONFIG, TEXTS, text_items
from hanok.kubernetes.engines import is_replaced
from hanok.kubernetes.hardening import container_security, pod_security
from hanok.kubernetes.places import CACHE, POSTGRES_SECRET, REDIS, VARIABLES_SECRET
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.rewriting import CACHE_VARIABLE, DATABASE, FOLDER, REDIS_VARIABLE, STATE, caches, variables_read

NAME = "hanok"
FILE = f"{FOLDER}/platform.yaml"
EMBEDDED: Mapping[str, tuple[float, float]] = {"llamacpp": (2.0, 2.0), "sentence-encoder": (0.5, 0.5)}
"""Processors and GiB of an embedded engine: of llama.cpp with a small model; a larger one needs `memory_gib`."""


def pod(plan: ClusterPlan, container: Body, *, state: Body, grace_s: int) -> Body:
    """The pod's spec around its container. `state` is the volume for what is kept."""
    return {
        "serviceAccountName": NAME,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace_s,
        "securityContext": pod_security(),
        "containers": [container],
        "volumes": [_files(plan), {"name": "tmp", "emptyDir": {"sizeLimit": "2Gi"}}, *([state] if state else [])],
    }


def container(plan: ClusterPlan, name: str, args: list[str], **more: object) -> Body:
    """Hanok's container. `more` are its further keys, as `ports`."""
    return {
        "name": name,
        "image": plan.image,
        "command": ["hanok"],
        "args": args,
        "workingDir": FOLDER,  # so that `kubectl exec … hanok keys create …` finds platform.yaml
        "env": list(_variables(plan)),
        "resources": _resources(plan),
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "files", "mountPath": FOLDER, "readOnly": True},
            {"name": "state", "mountPath": STATE},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of the pod's own
        ],
        **more,
    }


def _files(plan: ClusterPlan) -> Body:
    """The platform file and the texts that it names, side by side: a folder, so that changes come in."""
    sources: list[Body] = [{"configMap": {"name": CONFIG}}]
    if plan.texts:
        sources.append({"configMap": {"name": TEXTS, "items": text_items(plan)}})
    return {"name": "files", "projected": {"sources": sources}}


# --- Variables --------------------------------------------------------------------------------------------------------


def _variables(plan: ClusterPlan) -> Iterator[Body]:
    yield {"name": "HOME", "value": "/tmp"}  # noqa: S108
    used = variables_read(plan)
    for name, value in sorted(plan.cluster.hanok.variables.items()):
        if name in used:
            yield {"name": name, "value": value}
    for each in plan.variables:
        if each.name in used:
            yield _from_secret(each.name, VARIABLES_SECRET, each.name)
    if plan.postgres:
        yield _from_secret(DATABASE, POSTGRES_SECRET, "uri")
    if plan.redis:
        yield _from_secret(REDIS_VARIABLE, REDIS, "url")
    if caches(plan):
        yield _from_secret(CACHE_VARIABLE, CACHE, "url")


def _from_secret(name: str, secret: str, key: str) -> Body:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


# --- Resources --------------------------------------------------------------------------------------------------------


def _resources(plan: ClusterPlan) -> Body:
    """No limit of processors: what is free is there to be used."""
    own = plan.cluster.hanok
    engines = [EMBEDDED[each] for each in embedded(plan)]
    cpu, memory = own.cpu + sum(each[0] for each in engines), own.memory_gib + sum(each[1] for each in engines)
    mib = f"{math.ceil(memory * 1024)}Mi"
    return {"requests": {"cpu": f"{math.ceil(cpu * 1000)}m", "memory": mib}, "limits": {"memory": mib}}


def embedded(plan: ClusterPlan) -> list[str]:
    """Engines that stay processes beside Hanok, each once for each endpoint."""
    return [
        endpoint.engine
        for index, model in enumerate(plan.platform.models)
        for endpoint in model.serve
        if endpoint.engine in EMBEDDED and not (any(plan.of_model(index)) and is_replaced(endpoint, model))
    ]
