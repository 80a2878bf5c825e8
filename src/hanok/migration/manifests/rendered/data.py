"""Databases and what is watched: `cluster.milvus`, `postgres`, `redis`, `observe`."""

from __future__ import annotations

from typing import Any

from hanok.migration.manifests.rendered.nodes import volume_gib
from hanok.migration.manifests.rendered.tree import (
    HANOK,
    KNOWLEDGE,
    OBSERVABILITY,
    RenderedTree,
    chart_said,
    given,
    metadata,
    said,
    whole_gib,
)  # fmt: skip
from hanok.migration.manifests.told import Block, Told
from hanok.preflight import Manifest
from hanok.preflight.charts import Chart
from hanok.preflight.manifests import at, mapping_at, mappings_at, text_at

_ROLE = "eks.amazonaws.com/role-arn"
_SIZES = ("spec", "dependencies", "storage", "inCluster", "values", "persistence", "size")


def read_data(tree: RenderedTree, told: Told) -> Block:
    """Databases that the cluster makes, and what watches it."""
    return given(
        milvus=_milvus(tree, told),
        postgres=_postgres(tree, told),
        redis=_redis(tree, told),
        observe=_observe(tree, told) if tree.find("StatefulSet", "hanok", HANOK) else None,
    )


def _milvus(tree: RenderedTree, told: Told) -> Block:
    milvus = tree.find("Milvus", "milvus", KNOWLEDGE, group="milvus.io")
    to, parts = "cluster.milvus", ("spec", "components")
    return given(
        mode=said(milvus, told, f"{to}.mode", "spec", "mode"),
        bucket=said(milvus, told, f"{to}.bucket", "spec", "config", "minio", "bucketName"),
        role=_own_role(tree.find("ServiceAccount", "milvus", KNOWLEDGE), "milvus"),
        storage_gib=whole_gib(said(milvus, told, f"{to}.storage_gib", *_SIZES)),
        query_nodes=said(milvus, told, f"{to}.query_nodes", *parts, "queryNode", "replicas"),
    )


def _own_role(account: Manifest | None, purpose: str) -> str | None:
    """A role that is not called as rendering would call it."""
    role = metadata(account, "annotations").get(_ROLE)
    return role if isinstance(role, str) and not role.endswith(f"-{purpose}") else None


def _postgres(tree: RenderedTree, told: Told) -> Block:
    server = tree.find("Cluster", "hanok-postgres", HANOK)
    to = "cluster.postgres"
    backup = said(server, told, f"{to}.backup_bucket", "spec", "backup", "barmanObjectStore", "destinationPath")
    return given(
        instances=said(server, told, f"{to}.instances", "spec", "instances"),
        storage_gib=whole_gib(said(server, told, f"{to}.storage_gib", "spec", "storage", "size")),
        backup_bucket=str(backup).removeprefix("s3://").partition("/")[0] if backup else None,
    )


def _redis(tree: RenderedTree, told: Told) -> Block:
    server = tree.find("StatefulSet", "hanok-redis", HANOK)
    pod = ("spec", "template", "spec", "containers", 0, "resources", "requests", "memory")
    claim = said(server, told, "cluster.redis.storage_gib", "spec", "volumeClaimTemplates", 0)
    return given(
        storage_gib=volume_gib(claim) if claim else None,
        memory_gib=whole_gib(said(server, told, "cluster.redis.memory_gib", *pod)),
    )


# --- What is watched --------------------------------------------------------------------------------------------------


def _observe(tree: RenderedTree, told: Told) -> Block:
    metrics, langfuse, mlflow = (tree.chart(each) for each in ("prometheus", "langfuse", "mlflow"))
    spec, to = ("prometheus", "prometheusSpec"), "cluster.observe"
    disk = chart_said(metrics, told, f"{to}.storage_gib", *spec, "storageSpec", "volumeClaimTemplate")
    days = str(chart_said(metrics, told, f"{to}.retention_days", *spec, "retention") or "")
    for chart, key in ((langfuse, "langfuse"), (mlflow, "mlflow")):
        if chart is not None:
            told.take(chart.manifest)
            told.carried(chart.manifest, (), f"{to}.{key}")
    return given(
        prometheus=metrics is not None,
        retention_days=int(days[:-1]) if days[:-1].isdigit() and days.endswith("d") else None,
        storage_gib=volume_gib(disk) if disk else None,
        alerts=_alerts(metrics, told),
        collector=False if _sends_elsewhere(tree) else None,
        langfuse=True if langfuse is not None else None,
        langfuse_url=chart_said(langfuse, told, f"{to}.langfuse_url", "langfuse", "nextauth", "url"),
        mlflow=True if mlflow is not None else None,
        mlflow_database=_database(mlflow),
        bucket=_bucket(langfuse, mlflow, told),
        role=_role(langfuse, mlflow),
    )


def _sends_elsewhere(tree: RenderedTree) -> bool:
    """Whether Hanok's pods send spans to receivers themselves."""
    collector = tree.find("OpenTelemetryCollector", "hanok", OBSERVABILITY)
    return collector is None and bool(at(tree.platform, "telemetry", "export"))


def _alerts(metrics: Chart | None, told: Told) -> Block | None:
    """Who hears of alerts. The address is in the secret store, by a name that the tree does not tell."""
    for each in _receivers(metrics):
        for key, to in (("slack_configs", "slack"), ("webhook_configs", "webhook")):
            if (found := at(each, key, 0)) is not None and metrics is not None:
                told.changed(metrics.manifest, (), "set ALERTS_URL to the receiver's address", "cluster.observe.alerts")
                return given(to=to, url="${env:ALERTS_URL}", channel=text_at(found, "channel") or None)
    return None


def _receivers(metrics: Chart | None) -> list[Any]:
    return list(mappings_at(metrics.values, "alertmanager", "config", "receivers")) if metrics else []


def _database(mlflow: Chart | None) -> str | None:
    host = text_at(mlflow.values, "backendStore", "postgres", "host") if mlflow else ""
    return host if host and host != "mlflow-postgres-rw" else None


def _bucket(langfuse: Chart | None, mlflow: Chart | None, told: Told) -> Any:
    """Langfuse has a bucket of its own in the cluster where none is named."""
    if langfuse is not None and mapping_at(langfuse.values, "s3").get("deploy") is False:
        return chart_said(langfuse, told, "cluster.observe.bucket", "s3", "bucket")
    return chart_said(mlflow, told, "cluster.observe.bucket", "artifactRoot", "s3", "bucket")


def _role(langfuse: Chart | None, mlflow: Chart | None) -> str | None:
    places = ((langfuse, ("langfuse", "serviceAccount")), (mlflow, ("serviceAccount",)))
    for chart, path in places:
        role = at(chart.values, *path, "annotations", _ROLE) if chart else None
        if isinstance(role, str) and not role.endswith("-observe"):
            return role
    return None
