"""PostgreSQL by CloudNativePG, where the file names none: the ledger's books, keys, and runs of agents.

The operator makes the database, its owner and a Secret with the address; no password is anybody's to choose.
"""

from __future__ import annotations

from collections.abc import Iterator

from hanok.errors import Problem
from hanok.kubernetes.component import Body, Chart, Component, Piece, Placed
from hanok.kubernetes.notes import Known, Told
from hanok.kubernetes.objects import given, labels, thing
from hanok.kubernetes.places import HANOK, OBSERVABILITY, POSTGRES
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.roles import bucket_asked, role_of
from hanok.kubernetes.walls import READS, all_of, port

NAME = "postgres-operator"
SPACE = "cnpg-system"
PORT, STATUS_PORT, METRICS_PORT = 5432, 8000, 9187
NIGHTLY = "0 0 2 * * *"
"""With seconds first, as the operator reads it."""
KEPT = "30d"


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """The operator, and one Cluster in Hanok's namespace."""
    values = {
        "replicaCount": 2,
        "resources": {"requests": {"cpu": "100m", "memory": "200Mi"}, "limits": {"memory": "400Mi"}},
    }
    yield Chart(chart=NAME, release="cnpg", namespace=SPACE, values=values)
    for body in (_cluster(plan), *_backups(plan), _wall()):
        yield Placed(stage="apps", folder=HANOK, body=body)


def _cluster(plan: ClusterPlan) -> Body:
    wished = plan.cluster.postgres
    spec: Body = {
        "instances": wished.instances,
        "bootstrap": {"initdb": {"database": "hanok", "owner": "hanok"}},
        "storage": {"size": f"{wished.storage_gib}Gi"},
        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
        "postgresql": {"parameters": {"shared_buffers": "256MB", "max_connections": "200"}},
        "affinity": {"enablePodAntiAffinity": True, "topologyKey": "topology.kubernetes.io/zone"},
        "serviceAccountTemplate": _account(plan),
        "backup": _store(plan),
    }
    return thing("postgresql.cnpg.io/v1", "Cluster", POSTGRES, HANOK, labels=labels(POSTGRES, NAME), spec=given(**spec))


def _account(plan: ClusterPlan) -> Body | None:
    role = role_of(plan, "postgres")
    if plan.cluster.postgres.backup_bucket is None or role is None:
        return None
    return {"metadata": {"annotations": {"eks.amazonaws.com/role-arn": role}}}


def _store(plan: ClusterPlan) -> Body | None:
    bucket = plan.cluster.postgres.backup_bucket
    if bucket is None:
        return None
    store = {
        "destinationPath": f"s3://{bucket}/{plan.cluster.environment}/{POSTGRES}",
        "s3Credentials": {"inheritFromIAMRole": True},
        "wal": {"compression": "gzip"},
        "data": {"compression": "gzip"},
    }
    return {"barmanObjectStore": store, "retentionPolicy": KEPT}


def _backups(plan: ClusterPlan) -> Iterator[Body]:
    if plan.cluster.postgres.backup_bucket:
        spec = {"schedule": NIGHTLY, "backupOwnerReference": "self", "cluster": {"name": POSTGRES}}
        yield thing(
            "postgresql.cnpg.io/v1", "ScheduledBackup", POSTGRES, HANOK, labels=labels(POSTGRES, NAME), spec=spec
        )


def _wall() -> Body:
    """In come Hanok's pods, its own instances, the operator, and who reads its metrics."""
    servers = {"matchLabels": {"cnpg.io/cluster": POSTGRES}}
    reads = {"matchLabels": READS}
    ingress = [
        {"from": [{"podSelector": reads}], "ports": [port(PORT)]},
        {"from": [{"podSelector": servers}], "ports": [port(PORT), port(STATUS_PORT)]},
        {"from": [all_of(SPACE)], "ports": [port(PORT), port(STATUS_PORT)]},
        {"from": [all_of(OBSERVABILITY)], "ports": [port(METRICS_PORT)]},
    ]
    spec = {"podSelector": servers, "policyTypes": ["Ingress"], "ingress": ingress}
    return thing("networking.k8s.io/v1", "NetworkPolicy", POSTGRES, HANOK, labels=labels(POSTGRES, NAME), spec=spec)


def refuse(plan: ClusterPlan) -> Iterator[Problem]:
    """Backups to S3 by a role, where there are no roles."""
    if plan.cluster.postgres.backup_bucket and not plan.on_aws:
        message = "backups go to S3 by an IAM role, and pods of this target have none"
        yield plan.written.problem(
            ("cluster", "postgres", "backup_bucket"),
            message,
            "take it out, or name a server by `ledger: {database: …}`",
        )


def notes(plan: ClusterPlan) -> Iterator[Told]:
    """Backups."""
    wished = plan.cluster.postgres
    if wished.backup_bucket is None:
        hint = "`cluster: {postgres: {backup_bucket: …}}`, or a server of your own by `ledger: {database: …}`, as RDS"
        yield Known(f"there are no backups: {hint}")
    else:
        yield from bucket_asked(plan, "postgres", f"{HANOK}/{POSTGRES}", wished.backup_bucket)
    if wished.instances == 1:
        yield Known("one server: while its machine is exchanged, charges wait in journals, and keys cannot be changed")


COMPONENT = Component(name=NAME, wanted=lambda plan: plan.postgres, adapters={"v1": render}, refuse=refuse, notes=notes)
