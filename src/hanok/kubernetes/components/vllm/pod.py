"""The pod of an engine: the container of vLLM, what it may, what it mounts, and when it counts as up."""

from __future__ import annotations

import math
from collections.abc import Iterator

from hanok.gpu.loading import IMAGE_S, hub_bytes_per_s, usual_start_s
from hanok.kubernetes.component import Body
from hanok.kubernetes.components.vllm.flags import DRAIN_S, Part, arguments
from hanok.kubernetes.components.vllm.parts import (
    BEHIND_PORT,
    PORT,
    SIDE_PORT,
    engine_labels,
    has_sidecar,
    own_port,
    pod_labels,
)
from hanok.kubernetes.components.vllm.resources import claims, resources, shared_gib
from hanok.kubernetes.components.vllm.weights import FOLDER, on_disk_bytes, volume
from hanok.kubernetes.engines import EnginePlan
from hanok.kubernetes.objects import given
from hanok.kubernetes.places import ENGINE_PORT, HUB_SECRET, HUB_SECRET_KEY
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.pools import TOLERATION

USER, HOME = 2000, "/home/vllm"
"""The user that vLLM's image has for those who do not want root; its group is 0, as the image's files are."""
LEAVE_S = 15
"""Seconds between the end of new calls and the engine's own end: others must hear that it goes."""
END_S = LEAVE_S + DRAIN_S + 15
PATIENCE = 1.5
"""Times the usual start that a start may take."""
LOOK_S = 10
ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"


def pod(plan: ClusterPlan, engine: EnginePlan, part: Part = "alone") -> Body:
    """A pod template: labels and spec."""
    named = pod_labels(engine)
    if part == "worker":
        named = {**engine_labels(engine), "app.kubernetes.io/name": f"{engine.name}-worker"}
    sidecars = [_sidecar(plan)] if has_sidecar(plan, engine) and part != "worker" else None
    spec = given(
        serviceAccountName=engine.name,
        automountServiceAccountToken=False,
        enableServiceLinks=False,
        terminationGracePeriodSeconds=END_S,
        nodeSelector=plan.pool_of(engine).labels,
        tolerations=[TOLERATION],
        topologySpreadConstraints=[_spread(named, key) for key in (ZONE, HOST)] if part == "alone" else None,
        affinity=_near(engine),
        securityContext=_pod_security(),
        initContainers=sidecars,
        resourceClaims=claims(plan, engine),
        containers=[_container(plan, engine, part)],
        volumes=list(_volumes(plan, engine)),
    )
    return {"metadata": {"labels": named}, "spec": spec}


def _pod_security() -> Body:
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": 0,
        "fsGroup": USER,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _spread(named: Body, key: str) -> Body:
    mine = {"app.kubernetes.io/name": named["app.kubernetes.io/name"]}
    return {
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": mine},
    }


def _near(engine: EnginePlan) -> Body | None:
    """Who hands keys and values to others stands in their zone, where that can be had; so do the pods of one replica,
    which speak at every token, and whose EFA ends at the zone."""
    terms = [*([_of_model(engine)] if engine.role else []), *([_of_group(engine)] if engine.machines > 1 else [])]
    preferred = [{"weight": 100, "podAffinityTerm": {**each, "topologyKey": ZONE}} for each in terms]
    return {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}} if preferred else None


def _of_model(engine: EnginePlan) -> Body:
    return {"labelSelector": {"matchLabels": {"llm-d.ai/model": pod_labels(engine)["llm-d.ai/model"]}}}


def _of_group(engine: EnginePlan) -> Body:
    """LeaderWorkerSet labels each pod with its replica."""
    mine = {"hanok.dev/model": engine_labels(engine)["hanok.dev/model"]}
    return {"labelSelector": {"matchLabels": mine}, "matchLabelKeys": ["leaderworkerset.sigs.k8s.io/group-key"]}


# --- The container ----------------------------------------------------------------------------------------------------


def _container(plan: ClusterPlan, engine: EnginePlan, part: Part) -> Body:
    ports = [{"name": PORT, "containerPort": own_port(plan, engine)}]
    ports += [{"name": "nixl", "containerPort": SIDE_PORT}] if engine.role else []
    answers = part != "worker"
    return given(
        name="vllm",
        image=plan.lock.image("vllm"),
        command=["vllm", "serve"],
        args=arguments(plan, engine, part),
        env=list(_environment(plan, engine)),
        ports=ports if answers else None,
        resources=resources(plan, engine),
        startupProbe=_startup(engine) if answers else None,
        readinessProbe=_probe(period=5, failures=3) if answers else None,
        livenessProbe=_probe(period=LOOK_S, failures=6) if answers else None,
        lifecycle={"preStop": {"sleep": {"seconds": LEAVE_S}}} if answers else None,
        securityContext={"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        volumeMounts=[
            {"name": "weights", "mountPath": FOLDER},
            {"name": "home", "mountPath": HOME},
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108 - the pod's
        ],
    )


def _environment(plan: ClusterPlan, engine: EnginePlan) -> Iterator[Body]:
    yield {"name": "HOME", "value": HOME}
    yield {"name": "USER", "value": "vllm"}
    yield {"name": "HF_HOME", "value": FOLDER}
    if plan.cluster.serving.token:
        reference = {"name": HUB_SECRET, "key": HUB_SECRET_KEY}
        yield {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": reference}}
    yield {"name": "VLLM_NO_USAGE_STATS", "value": "1"}
    if engine.role or engine.machines > 1:
        yield _own_address("VLLM_HOST_IP")
    if engine.role:
        yield _own_address("VLLM_NIXL_SIDE_CHANNEL_HOST")
    if has_sidecar(plan, engine) or engine.role == "prefill":
        yield {"name": "VLLM_HTTP_TIMEOUT_KEEP_ALIVE", "value": "120"}


def _own_address(name: str) -> Body:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}


def _startup(engine: EnginePlan) -> Body:
    return _probe(period=LOOK_S, failures=math.ceil(start_s(engine) * PATIENCE / LOOK_S))


def _probe(*, period: int, failures: int) -> Body:
    door = {"path": "/health", "port": PORT}
    return {"httpGet": door, "periodSeconds": period, "timeoutSeconds": 5, "failureThreshold": failures}


def start_s(engine: EnginePlan) -> float:
    """Seconds that a start usually takes where weights come from the hub, on the slowest of its machines' networks."""
    network = min(instance.network_mbps for _, instance in engine.option.machine.instances)
    return usual_start_s(on_disk_bytes(engine), hub_bytes_per_s(network))


def deadline_s(engine: EnginePlan) -> int:
    """Seconds after which a rollout counts as failed, in whole five minutes."""
    return math.ceil((start_s(engine) + IMAGE_S) * PATIENCE / 300) * 300


def _volumes(plan: ClusterPlan, engine: EnginePlan) -> Iterator[Body]:
    yield volume(plan, engine)
    yield {"name": "home", "emptyDir": {"sizeLimit": "20Gi"}}
    yield {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": f"{shared_gib(engine)}Gi"}}


def _sidecar(plan: ClusterPlan) -> Body:
    """llm-d's sidecar: asks the prefill pod that the picker chose, then the engine behind it."""
    return {
        "name": "routing-proxy",
        "image": plan.lock.image("llm-d-sidecar"),
        "restartPolicy": "Always",
        "args": [
            f"--port={ENGINE_PORT}",
            f"--model-server-port={BEHIND_PORT}",
            "--kv-connector=nixlv2",
            "--secure-proxy=false",
        ],
        "ports": [{"name": "sidecar", "containerPort": ENGINE_PORT}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": "sidecar"}, "periodSeconds": 5},
        "resources": {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
