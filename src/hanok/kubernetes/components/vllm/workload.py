"""What makes an engine's pods: one kind for each way that replicas are found and spread."""

from __future__ import annotations

from hanok.kubernetes.component import Body
from hanok.kubernetes.components.vllm.parts import engine_labels, pods_of
from hanok.kubernetes.components.vllm.pod import deadline_s, pod
from hanok.kubernetes.engines import EnginePlan
from hanok.kubernetes.objects import given, thing
from hanok.kubernetes.places import MODELS
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.replicas import shape_of, workload_name
from hanok.kubernetes.writing import ACCEPTS


def workload(plan: ClusterPlan, engine: EnginePlan) -> Body:
    """The engine's Deployment, StatefulSet or LeaderWorkerSet. Where replicas are scaled, their number is KEDA's."""
    match shape_of(plan, engine):
        case "Deployment":
            api, spec = "apps/v1", _deployment(plan, engine)
        case "StatefulSet":
            api, spec = "apps/v1", _stateful(plan, engine)
        case "LeaderWorkerSet":
            api, spec = "leaderworkerset.x-k8s.io/v1", _group(plan, engine)
    name, kind = workload_name(engine), shape_of(plan, engine)
    return thing(
        api, kind, name, MODELS, labels=engine_labels(engine), annotations=_accepted(engine), spec=given(**spec)
    )  # fmt: skip


def _accepted(engine: EnginePlan) -> dict[str, str] | None:
    """That a replica is alone is as the platform file has it; who renders it is told so."""
    alone = f"{ACCEPTS}HK610"
    return {alone: "one replica is what the platform file asks for"} if engine.most == 1 else None


def replicas(engine: EnginePlan) -> int | None:
    """The fixed number of replicas, if it is fixed."""
    return engine.least if engine.least == engine.most else None


def _deployment(plan: ClusterPlan, engine: EnginePlan) -> Body:
    return {
        "replicas": replicas(engine),
        "revisionHistoryLimit": 3,
        "progressDeadlineSeconds": deadline_s(engine),
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
        "selector": {"matchLabels": pods_of(engine)},
        "template": pod(plan, engine),
    }


def _stateful(plan: ClusterPlan, engine: EnginePlan) -> Body:
    """Pods start and end at once, not one after another; updates go one by one, so no further GPU is asked for."""
    return {
        "replicas": replicas(engine),
        "revisionHistoryLimit": 3,
        "serviceName": engine.name,
        "podManagementPolicy": "Parallel",
        "updateStrategy": {"type": "RollingUpdate"},
        "selector": {"matchLabels": pods_of(engine)},
        "template": pod(plan, engine),
    }


def _group(plan: ClusterPlan, engine: EnginePlan) -> Body:
    """A replica of several pods, one a machine, that begin and end together."""
    return {
        "replicas": replicas(engine),
        "rolloutStrategy": {
            "type": "RollingUpdate",
            "rollingUpdateConfiguration": {"maxSurge": 0, "maxUnavailable": 1},
        },
        "startupPolicy": "LeaderCreated",
        "leaderWorkerTemplate": {
            "size": engine.machines,
            "restartPolicy": "RecreateGroupOnPodRestart",
            "leaderTemplate": pod(plan, engine, "leader"),
            "workerTemplate": pod(plan, engine, "worker"),
        },
    }
