"""MLflow in the cluster: spans, prompts, models and evaluations, on PostgreSQL, with its files in S3.

Its database is CloudNativePG's where the cluster has that operator; else one that the store knows the address of.
"""

from __future__ import annotations

from collections.abc import Iterator

from hanok.errors import Problem
from hanok.kubernetes.component import Body, Chart, Component, Piece, Placed
from hanok.kubernetes.external import external_secret
from hanok.kubernetes.job_pods import jobs_of_teams
from hanok.kubernetes.notes import Known, Told
from hanok.kubernetes.objects import labels, thing
from hanok.kubernetes.places import ENTRY, HANOK, JOBS, OBSERVABILITY
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.roles import ROLE, bucket_asked, refuse_bucket, role_of
from hanok.kubernetes.walls import all_of, own_pods, port

NAME = "mlflow"
DATABASE, PORT, DATABASE_PORT = "mlflow-postgres", 5000, 5432
SECRET = f"{DATABASE}-app"
"""Made by CloudNativePG with `username` and `password`; or by External Secrets with the same keys."""
STORED = {"username": "MLFLOW_DATABASE_USER", "password": "MLFLOW_DATABASE_PASSWORD"}
OPERATOR = "cnpg-system"
HOSTS = [
    *(f"{NAME}{rest}:{PORT}" for rest in ("", f".{OBSERVABILITY}", f".{OBSERVABILITY}.svc")),
    f"{NAME}.{OBSERVABILITY}.svc.cluster.local:{PORT}",
    "localhost:*",
    "127.0.0.1:*",
]
"""Names that it is called by: by default it answers to addresses alone, and to a name 403. Probes are let by.
https://mlflow.org/docs/latest/self-hosting/security/network
"""


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """The chart stands among apps, where its database is."""
    yield Chart(
        chart=NAME, release=NAME, namespace=OBSERVABILITY, values=_values(plan), stage="apps", folder=OBSERVABILITY
    )
    yield from (Placed(stage="apps", folder=OBSERVABILITY, body=each) for each in _objects(plan))


def _objects(plan: ClusterPlan) -> Iterator[Body]:
    if plan.postgres:
        yield _database()
        yield _database_walls()
    else:
        yield external_secret(plan, SECRET, OBSERVABILITY, STORED, component=NAME)
    yield _budget()
    yield _walls(plan)


def _database() -> Body:
    spec: Body = {
        "instances": 2,
        "bootstrap": {"initdb": {"database": NAME, "owner": NAME}},
        "storage": {"size": "20Gi"},
        "resources": {"requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
        "affinity": {"enablePodAntiAffinity": True, "topologyKey": "topology.kubernetes.io/zone"},
    }
    marks = labels(DATABASE, NAME)
    return thing("postgresql.cnpg.io/v1", "Cluster", DATABASE, OBSERVABILITY, labels=marks, spec=spec)


def _values(plan: ClusterPlan) -> Body:
    memory = {"requests": {"cpu": "500m", "memory": "2Gi"}, "limits": {"memory": "4Gi"}}
    role = _role(plan)
    found: Body = {
        "replicaCount": 2,
        "resources": memory,
        "podSecurityContext": {"fsGroup": 1001, "seccompProfile": {"type": "RuntimeDefault"}},
        "backendStore": {
            "databaseMigration": True,
            "databaseConnectionCheck": True,
            "postgres": {
                "enabled": True,
                "host": f"{DATABASE}-rw" if plan.postgres else plan.cluster.observe.mlflow_database,
                "port": DATABASE_PORT,
                "database": NAME,
                "driver": "psycopg2",
            },
            "existingDatabaseSecret": {"name": SECRET, "usernameKey": "username", "passwordKey": "password"},
        },
        "extraEnvVars": {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(HOSTS),
        },
        "serviceAccount": {"automount": False, **({"annotations": {ROLE: role}} if role else {})},
    }
    if bucket := plan.cluster.observe.bucket:
        s3 = {"enabled": True, "bucket": bucket, "path": NAME}
        found["artifactRoot"] = {"proxiedArtifactStorage": True, "s3": s3}
        found["extraEnvVars"]["AWS_DEFAULT_REGION"] = plan.cluster.region
    return found


def _budget() -> Body:
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": _pods()}}
    return thing("policy/v1", "PodDisruptionBudget", NAME, OBSERVABILITY, labels=labels(NAME, NAME), spec=spec)


def _pods() -> dict[str, str]:
    return {"app.kubernetes.io/instance": NAME, "app.kubernetes.io/name": NAME}


def _walls(plan: ClusterPlan) -> Body:
    """MLflow asks nobody who they are: spans come by the collector, models from jobs, people by the Gateway."""
    comers = [own_pods(), *(all_of(each) for each in (HANOK, JOBS, ENTRY)), *jobs_of_teams(plan)]
    spec: Body = {
        "podSelector": {"matchLabels": _pods()},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": comers, "ports": [port(PORT)]}],
    }
    return thing("networking.k8s.io/v1", "NetworkPolicy", NAME, OBSERVABILITY, labels=labels(NAME, NAME), spec=spec)


def _database_walls() -> Body:
    servers = {"matchLabels": {"cnpg.io/cluster": DATABASE}}
    spec: Body = {
        "podSelector": servers,
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [own_pods(), all_of(OPERATOR)]}],
    }
    marks = labels(DATABASE, NAME)
    return thing("networking.k8s.io/v1", "NetworkPolicy", DATABASE, OBSERVABILITY, labels=marks, spec=spec)


# --- What cannot be, and what is left to do ---------------------------------------------------------------------------


def _role(plan: ClusterPlan) -> str | None:
    observe = plan.cluster.observe
    return role_of(plan, "observe", observe.role) if observe.bucket else None


def refuse(plan: ClusterPlan) -> Iterator[Problem]:
    """A bucket that nobody reaches; none at all; a database that nobody named."""
    observe = plan.cluster.observe
    yield from refuse_bucket(plan, observe.bucket, _role(plan), ("cluster", "observe", "bucket"))
    if not plan.postgres and observe.mlflow_database is None:
        message = "the ledger has a database of its own elsewhere, and nobody says where MLflow's is"
        yield plan.written.problem(("cluster", "observe", "mlflow"), message, "set `cluster.observe.mlflow_database`")


def notes(plan: ClusterPlan) -> Iterator[Told]:
    """Rights, files, and that whoever reaches it may do anything."""
    bucket, role = plan.cluster.observe.bucket, _role(plan)
    if bucket and role:
        yield from bucket_asked(plan, "observe", f"{OBSERVABILITY}/{NAME}", bucket, plan.cluster.observe.role)
    elif bucket is None:
        yield Known("files of models are lost with each pod: name an S3 bucket in `cluster.observe.bucket`")
    if not plan.postgres:
        yield from (plan.value(each, "of MLflow's database") for each in STORED.values())


COMPONENT = Component(
    name=NAME, wanted=lambda plan: plan.cluster.observe.mlflow, adapters={"": render}, refuse=refuse, notes=notes
)
