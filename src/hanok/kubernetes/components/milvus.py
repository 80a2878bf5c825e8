"""Milvus: its operator, one `Milvus` of its parts, and walls round it.

What the write-ahead log, the index and every vector are kept in is an object store; the log is Woodpecker's, so there
is no Pulsar. All that stands in memory is in query nodes.
"""

from __future__ import annotations

from collections.abc import Iterator

from hanok.errors import Problem
from hanok.kubernetes.component import Body, Chart, Component, Piece, Placed
from hanok.kubernetes.notes import Known, Told
from hanok.kubernetes.objects import given, labels, thing
from hanok.kubernetes.places import HANOK, KNOWLEDGE, OBSERVABILITY, PROMETHEUS_RELEASE
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.pools import TOLERATION
from hanok.kubernetes.roles import account_with, bucket_asked, refuse_bucket, role_of
from hanok.kubernetes.vectors import memory_gib, vectors_mib
from hanok.kubernetes.walls import all_of, own_pods, port

NAME, OPERATOR = "milvus", "milvus-operator"
PODS = {"app.kubernetes.io/instance": NAME, "app.kubernetes.io/name": "milvus"}
"""What the operator labels every pod of this Milvus with, beside `component`: the part in small letters."""
PORT, METRICS_PORT = 19530, 9091
ETCD_GIB = 20
_RUNTIME: Body = {"type": "RuntimeDefault"}
USER = 999
"""Milvus' own user in its newer images, who owns its files there; to older ones a stranger, whose group is then root's,
as their files are. So no group is named. The operator, told `runAsNonRoot`, starts pods as 1000, whom newer images let
run nothing."""
_SAFE: Body = {
    "runAsUser": USER,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": _RUNTIME,
}
"""Of the container; its root can be written, for the operator's script merges configuration there."""


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """Controller first; Milvus itself is an app, so it waits for it."""
    values = {"podSecurityContext": {"runAsUser": 65532, "runAsNonRoot": True, "seccompProfile": _RUNTIME}}
    yield Chart(chart=OPERATOR, release=OPERATOR, namespace=OPERATOR, values=values)
    yield from (Placed(stage="apps", folder=KNOWLEDGE, body=each) for each in _objects(plan))


def _objects(plan: ClusterPlan) -> Iterator[Body]:
    yield _milvus(plan)
    yield account_with(_role(plan), NAME, KNOWLEDGE, NAME)
    yield _budget()
    yield _walls()
    if plan.cluster.observe.prometheus:
        yield _monitor()


def _milvus(plan: ClusterPlan) -> Body:
    spec = {
        "mode": plan.cluster.milvus.mode,
        "components": {**_common(plan), **_parts(plan)},
        "config": _config(plan),
        "dependencies": _dependencies(plan),
    }
    return thing("milvus.io/v1beta1", "Milvus", NAME, KNOWLEDGE, labels=labels(NAME, NAME), spec=spec)


# --- Pods -------------------------------------------------------------------------------------------------------------


def _common(plan: ClusterPlan) -> Body:
    """What holds for every part. The operator's own monitor has no release label, so ours stands in its place."""
    return given(
        image=_image(plan),
        serviceAccountName=NAME,
        runAsNonRoot=True,
        securityContext=_SAFE,
        disableMetric=True if plan.cluster.observe.prometheus else None,
        volumes=[{"name": "data", "emptyDir": {}}],
        volumeMounts=[{"name": "data", "mountPath": "/milvus/data"}],
    )


def _image(plan: ClusterPlan) -> str:
    """A pinned digest is that of the image without GPUs."""
    pin = plan.lock.pin(NAME)
    return f"{pin.image}:{pin.version}-gpu" if plan.index_gpus else plan.lock.image(NAME)


def _parts(plan: ClusterPlan) -> Body:
    server, memory = plan.cluster.milvus, memory_gib(plan.platform, plan.cluster.milvus)
    gpu = _on_gpu(plan) if plan.index_gpus else {}
    if server.mode == "standalone":
        return {"standalone": {**_part("standalone", 1, 2, memory + 4, gpu), "serviceType": "ClusterIP"}}
    return {
        "proxy": {**_part("proxy", 2, 1, 2), "serviceType": "ClusterIP"},
        "mixCoord": _part("mixcoord", 1, 1, 2),
        "streamingNode": _part("streamingnode", 2, 1, 4),
        "dataNode": _part("datanode", 1, 2, 8, gpu),
        "queryNode": _part("querynode", server.query_nodes, 2, memory, gpu),
    }


def _part(name: str, replicas: int, cpu: int, memory: int, more: Body | None = None) -> Body:
    """One kind of pods: memory is a limit, processors are not, and two of a kind stand apart."""
    requests: Body = {"cpu": str(cpu), "memory": f"{memory}Gi"}
    limits: Body = {"memory": f"{memory}Gi"}
    more = dict(more or {})
    devices = more.pop("devices", {})
    spread = [_apart(name, "kubernetes.io/hostname"), _apart(name, "topology.kubernetes.io/zone")]
    return {
        "replicas": replicas,
        "resources": {"requests": {**requests, **devices}, "limits": {**limits, **devices}},
        **({"topologySpreadConstraints": spread} if replicas > 1 else {}),
        **more,
    }


def _apart(name: str, key: str) -> Body:
    pods = {"matchLabels": {**PODS, "app.kubernetes.io/component": name}}
    return {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": pods}


def _on_gpu(plan: ClusterPlan) -> Body:
    """One whole GPU a pod; on nodes that are not ours, wherever there is one."""
    pool = plan.index_pool
    return given(devices={"nvidia.com/gpu": 1}, tolerations=[TOLERATION], nodeSelector=pool.labels if pool else None)


# --- Where it is kept -------------------------------------------------------------------------------------------------


def _config(plan: ClusterPlan) -> Body:
    found: Body = {"localStorage": {"path": "/milvus/data"}}
    if (bucket := plan.cluster.milvus.bucket) is not None:
        region = plan.cluster.region
        found["minio"] = {
            "bucketName": bucket, "rootPath": plan.platform.name, "useSSL": True, "useIAM": True, "region": region,
        }  # fmt: skip
    return found


def _dependencies(plan: ClusterPlan) -> Body:
    etcd = {"replicaCount": 3, "persistence": {"size": f"{ETCD_GIB}Gi"}}
    return {
        "msgStreamType": "woodpecker",
        "etcd": {"inCluster": {"deletionPolicy": "Retain", "pvcDeletion": False, "values": etcd}},
        "storage": _storage(plan),
    }


def _storage(plan: ClusterPlan) -> Body:
    """A bucket, by the region's own address: the client does not follow S3 from one to another."""
    server = plan.cluster.milvus
    if server.bucket is not None:
        return {"external": True, "type": "S3", "endpoint": f"s3.{plan.cluster.region}.amazonaws.com:443"}
    size = {"size": f"{server.storage_gib}Gi"}
    budget = {"enabled": True, "maxUnavailable": 1}
    values = (
        {"mode": "standalone", "persistence": size}
        if server.mode == "standalone"
        else {"mode": "distributed", "persistence": size, "podDisruptionBudget": budget}
    )
    return {"inCluster": {"deletionPolicy": "Retain", "pvcDeletion": False, "values": values}}


# --- Round it ---------------------------------------------------------------------------------------------------------


def _budget() -> Body:
    """One pod at a time, whichever part it is of."""
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": PODS}}
    return thing("policy/v1", "PodDisruptionBudget", NAME, KNOWLEDGE, labels=labels(NAME, NAME), spec=spec)


def _walls() -> Body:
    """In come Hanok's pods, Prometheus, and the operator, which asks etcd and MinIO how they are."""
    spec: Body = {
        "podSelector": {},
        "policyTypes": ["Ingress"],
        "ingress": [
            {"from": [own_pods(), all_of(OPERATOR)]},
            {"from": [all_of(HANOK)], "ports": [port(PORT)]},
            {"from": [all_of(OBSERVABILITY)], "ports": [port(METRICS_PORT)]},
        ],
    }
    return thing("networking.k8s.io/v1", "NetworkPolicy", NAME, KNOWLEDGE, labels=labels(NAME, NAME), spec=spec)


def _monitor() -> Body:
    targets = [f"app.kubernetes.io/{each}" for each in ("instance", "name", "component")]
    spec = {
        "selector": {"matchLabels": PODS},
        "podTargetLabels": targets,
        "podMetricsEndpoints": [{"port": "metrics", "path": "/metrics", "interval": "30s", "honorLabels": True}],
    }
    marks = labels(NAME, NAME, release=PROMETHEUS_RELEASE)
    return thing("monitoring.coreos.com/v1", "PodMonitor", NAME, KNOWLEDGE, labels=marks, spec=spec)


# --- What cannot be, and what is left to do ---------------------------------------------------------------------------


def _role(plan: ClusterPlan) -> str | None:
    server = plan.cluster.milvus
    return role_of(plan, NAME, server.role) if server.bucket else None


def refuse(plan: ClusterPlan) -> Iterator[Problem]:
    """A bucket that nobody reaches, and GPU indexes for which there is no machine large enough."""
    server = plan.cluster.milvus
    yield from refuse_bucket(plan, server.bucket, _role(plan), ("cluster", "milvus", "bucket"))
    if plan.index_gpus and plan.cluster.nodes.dra:
        message = "Milvus' operator asks for GPUs as a resource, and cannot claim them"
        hint = "leave `dra` out, or take an index that needs no GPU"
        yield plan.written.problem(("cluster", "nodes", "dra"), message, hint)
    if plan.on_aws and plan.index_gpus and plan.index_pool is None:
        need, on_gpu = memory_gib(plan.platform, server), vectors_mib(plan.platform, server) / 1024
        message = f"no machine with one GPU has {need} GiB for a query node, and {on_gpu:.0f} GiB on the GPU"
        yield plan.written.problem(("cluster", "milvus", "query_nodes"), message, "raise `cluster.milvus.query_nodes`")


def notes(plan: ClusterPlan) -> Iterator[Told]:
    """Rights, and Milvus' own password."""
    server, role = plan.cluster.milvus, _role(plan)
    if server.bucket and role:
        yield from bucket_asked(plan, NAME, f"{KNOWLEDGE}/{NAME}", server.bucket, server.role)
    if plan.on_aws and server.bucket is None:
        yield Known(
            "vectors stand on volumes of the cluster; name an S3 bucket in `cluster.milvus.bucket` to keep them apart"
        )
    if plan.platform.milvus.token is not None:
        yield Known("Milvus asks for no password here, so `milvus.token` is not looked at; Hanok's pods alone reach it")


COMPONENT = Component(
    name=NAME, wanted=lambda plan: plan.milvus, adapters={"v1beta1": render}, refuse=refuse, notes=notes
)
