"""The gateway, which also leads agents' runs: pods with a disk each, their Services, how many there are, who may come.

A disk each, because charges that the database does not have yet must survive a machine. What is kept on one pod's disk
alone (files, batches, vector stores, responses) is found at the Service of the first pod.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from hanok.kubernetes.autoscaler import by_processors
from hanok.kubernetes.component import Body
from hanok.kubernetes.components.own.pods import FILE, NAME, container, pod
from hanok.kubernetes.components.own.size import Size, size_of
from hanok.kubernetes.hardening import spread
from hanok.kubernetes.objects import labels, selector, thing
from hanok.kubernetes.places import GATEWAY_PORT, HANOK, KEPT, PROMETHEUS_RELEASE
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.rewriting import start_digest
from hanok.kubernetes.roles import ROLE, role_of
from hanok.kubernetes.walls import READS

COMPONENT = "gateway"
HEADLESS = "hanok-pods"
LEAVING_S, SPARE_S = 5, 15
"""Seconds until no new calls come to a pod that ends; and beyond what running streams are given."""
LABELS = labels(NAME, COMPONENT)


def gateway(plan: ClusterPlan) -> Iterator[Body]:
    """Everything of the gateway but what it reads."""
    yield thing(
        "v1", "ServiceAccount", NAME, HANOK, labels=LABELS, annotations=_role(plan),
        automountServiceAccountToken=False,
    )  # fmt: skip
    yield _stateful_set(plan)
    yield from _services()
    one = {"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow"}
    spec = {**one, "selector": {"matchLabels": selector(NAME)}}
    yield thing("policy/v1", "PodDisruptionBudget", NAME, HANOK, labels=LABELS, spec=spec)
    if (size := size_of(plan)).follows:
        yield _autoscaler(size)
    if plan.cluster.observe.prometheus:
        yield _monitor()


def _role(plan: ClusterPlan) -> Body | None:
    role = role_of(plan, "hanok") if plan.on_aws else None
    return {ROLE: role} if role else None


def _stateful_set(plan: ClusterPlan) -> Body:
    own = plan.cluster.hanok
    drain_s = math.ceil(plan.platform.gateway.drain_s)
    size = size_of(plan)
    spec: Body = {
        **({} if size.follows else {"replicas": size.fewest}),
        "serviceName": HEADLESS,
        "podManagementPolicy": "Parallel",
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
        "selector": {"matchLabels": selector(NAME)},
        "template": {
            "metadata": {
                "labels": {**LABELS, **READS},
                "annotations": {"hanok.dev/start": start_digest(plan)},
            },
            "spec": {
                **pod(plan, _container(plan), state={}, grace_s=LEAVING_S + drain_s + SPARE_S),
                "topologySpreadConstraints": spread(selector(NAME)),
            },
        },
        "volumeClaimTemplates": [
            {
                "metadata": {"name": "state", "labels": selector(NAME)},
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": f"{own.state_gib}Gi"}},
                },
            }
        ],
    }
    return thing("apps/v1", "StatefulSet", NAME, HANOK, labels=LABELS, spec=spec)


def _container(plan: ClusterPlan) -> Body:
    return container(
        plan, NAME, ["up", FILE, "--log-json"],
        ports=[{"name": "http", "containerPort": GATEWAY_PORT}],
        startupProbe={**_probe("/health/live"), "periodSeconds": 2, "failureThreshold": 60},
        livenessProbe={**_probe("/health/live"), "periodSeconds": 10, "failureThreshold": 6, "timeoutSeconds": 5},
        readinessProbe={**_probe(_ready_path(plan)), "periodSeconds": 5, "failureThreshold": 2, "timeoutSeconds": 3},
        lifecycle={"preStop": {"sleep": {"seconds": LEAVING_S}}},
    )  # fmt: skip


def _probe(path: str) -> Body:
    return {"httpGet": {"path": path, "port": "http"}}


def _ready_path(plan: ClusterPlan) -> str:
    """Ready means that an engine is up. Where all may be at no replicas, that would wait for calls that never come."""
    models = plan.platform.models
    asleep = all(model.scale is not None and model.scale.min == 0 for model in models)
    return "/health/live" if asleep else "/health/ready"


def _services() -> Iterator[Body]:
    port = {"name": "http", "port": GATEWAY_PORT, "targetPort": "http", "appProtocol": "http"}
    first = {**selector(NAME), "apps.kubernetes.io/pod-index": "0"}
    yield thing("v1", "Service", NAME, HANOK, labels=LABELS, spec={"selector": selector(NAME), "ports": [port]})
    yield thing("v1", "Service", KEPT, HANOK, labels=labels(KEPT, COMPONENT), spec={"selector": first, "ports": [port]})
    spec = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": selector(NAME), "ports": [port]}
    yield thing("v1", "Service", HEADLESS, HANOK, labels=labels(HEADLESS, COMPONENT), spec=spec)


def _autoscaler(size: Size) -> Body:
    return by_processors(
        ("StatefulSet", NAME), HANOK, fewest=size.fewest, most=size.most, percent=size.percent, labels=LABELS
    )


def _monitor() -> Body:
    spec = {
        "selector": {"matchLabels": {"app.kubernetes.io/name": HEADLESS}},
        "endpoints": [{"port": "http", "path": "/metrics", "interval": "15s"}],
    }
    marks = labels(NAME, COMPONENT, release=PROMETHEUS_RELEASE)
    return thing("monitoring.coreos.com/v1", "ServiceMonitor", NAME, HANOK, labels=marks, spec=spec)
