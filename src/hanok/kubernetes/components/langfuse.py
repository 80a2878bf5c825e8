"""Langfuse in the cluster: web and worker, with PostgreSQL, ClickHouse, Valkey and an object store of its own.

Every secret is named, none is made up by the chart: Argo CD renders charts anew, and another salt or encryption key
makes keys and data unreadable. What a person must never lose comes from the store; passwords of its databases are made
in the cluster.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from hanok.errors import Problem
from hanok.kubernetes.component import Body, Chart, Component, Piece, Placed
from hanok.kubernetes.external import external_secret
from hanok.kubernetes.filled import fetched, template, templated_secret
from hanok.kubernetes.generated import PASSWORD, generated_secret
from hanok.kubernetes.notes import After, Told
from hanok.kubernetes.objects import labels, thing
from hanok.kubernetes.places import ENTRY, OBSERVABILITY
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.receivers import langfuse_keys
from hanok.kubernetes.roles import ROLE, bucket_asked, refuse_bucket, role_of
from hanok.kubernetes.walls import all_of, own_pods, port

NAME, OPERATOR = "langfuse", "clickhouse-operator"
PINNED, PROJECT = "langfuse-pinned", "langfuse-project"
"""Secrets: what must never change; and the first project's keys and its owner."""
STORED = {"salt": "LANGFUSE_SALT", "encryption-key": "LANGFUSE_ENCRYPTION_KEY", "nextauth": "LANGFUSE_NEXTAUTH_SECRET"}
OWNER = {"email": "LANGFUSE_ADMIN_EMAIL", "password": "LANGFUSE_ADMIN_PASSWORD"}
POSTGRES, REDIS, CLICKHOUSE, FILES = (f"langfuse-{each}-auth" for each in ("postgresql", "redis", "clickhouse", "s3"))
"""Secrets of its databases; three of these names are those that the chart hands to its sub-charts."""
WEB_PORT, USER = 3000, 1001
"""The user is that of both images, which name it by a word: without its number no pod is known not to be root's."""
NOISY = ("trace_log", "text_log", "opentelemetry_span_log", "metric_log", "asynchronous_metric_log", "latency_log")
"""ClickHouse's books about itself, which outgrow what is kept in it: not kept at all."""
KEPT = ("query_log", "part_log", "processors_profile_log", "query_metric_log", "error_log", "asynchronous_insert_log")
KEPT_DAYS = 3


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """ClickHouse's operator first; the chart stands among apps, where its Secrets are made."""
    yield Chart(chart=OPERATOR, release=OPERATOR, namespace=OPERATOR, needs=("cert-manager",))
    yield Chart(
        chart=NAME, release=NAME, namespace=OBSERVABILITY, values=_values(plan), stage="apps", folder=OBSERVABILITY
    )
    yield from (Placed(stage="apps", folder=OBSERVABILITY, body=each) for each in _objects(plan))


def _objects(plan: ClusterPlan) -> Iterator[Body]:
    yield external_secret(plan, PINNED, OBSERVABILITY, STORED, component=NAME)
    yield _project(plan)
    database = {"POSTGRES_USER": "postgres", "POSTGRES_DB": NAME, "USERDB_USER": NAME}
    passwords = {"POSTGRES_PASSWORD": PASSWORD, "USERDB_PASSWORD": PASSWORD}
    yield from generated_secret(POSTGRES, OBSERVABILITY, {**database, **passwords}, component=NAME)
    yield from generated_secret(REDIS, OBSERVABILITY, {"default": PASSWORD}, component=NAME)
    yield from generated_secret(CLICKHOUSE, OBSERVABILITY, {"password": PASSWORD}, component=NAME)
    if plan.cluster.observe.bucket is None:
        yield from generated_secret(FILES, OBSERVABILITY, _files_secret(), component=NAME)
    yield _walls()


def _project(plan: ClusterPlan) -> Body:
    """The first project's keys are those that spans are sent with."""
    public, secret = langfuse_keys(plan)
    texts = {"public-key": template(plan, public), "secret-key": template(plan, secret)}
    texts |= {key: f"{{{{ .{name} }}}}" for key, name in OWNER.items()}
    needs = [*fetched(plan, public), *fetched(plan, secret), *OWNER.values()]
    return templated_secret(plan, PROJECT, OBSERVABILITY, texts, needs, component=NAME)


def _files_secret() -> dict[str, str]:
    """As the chart would write it for SeaweedFS."""
    keys = [{"accessKey": NAME, "secretKey": PASSWORD}]
    who = {"name": NAME, "credentials": keys, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    return {"accessKey": NAME, "secretKey": PASSWORD, "seaweedfs_s3_config": json.dumps({"identities": [who]})}


def _walls() -> Body:
    """Its databases are for its own namespace; its door also for callers who come in by the Gateway."""
    entry = all_of(ENTRY)
    spec: Body = {
        "podSelector": {"matchLabels": {"app.kubernetes.io/instance": NAME}},
        "policyTypes": ["Ingress"],
        "ingress": [
            {"from": [own_pods()]},
            {"from": [entry], "ports": [port(WEB_PORT)]},
        ],
    }
    return thing("networking.k8s.io/v1", "NetworkPolicy", NAME, OBSERVABILITY, labels=labels(NAME, NAME), spec=spec)


# --- Values of the chart ----------------------------------------------------------------------------------------------


def _values(plan: ClusterPlan) -> Body:
    return {
        "langfuse": _langfuse(plan),
        "postgresql": {
            "auth": {
                "existingSecret": POSTGRES,
                "secretKeys": {"userPasswordKey": "USERDB_PASSWORD", "adminPasswordKey": "POSTGRES_PASSWORD"},
            },
            "resources": {"requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
        },
        "redis": {
            "auth": {"existingSecret": REDIS, "existingSecretPasswordKey": "default"},
            "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
        },
        "clickhouse": _clickhouse(),
        "s3": _files(plan),
    }


def _langfuse(plan: ClusterPlan) -> Body:
    web = {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"memory": "4Gi"}}
    role = _role(plan)
    found: Body = {
        "salt": _named(PINNED, "salt"),
        "encryptionKey": _named(PINNED, "encryption-key"),
        "nextauth": {"secret": _named(PINNED, "nextauth")},
        "features": {"telemetryEnabled": False, "signUpDisabled": True},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "podSecurityContext": {"runAsNonRoot": True, "runAsUser": USER, "seccompProfile": {"type": "RuntimeDefault"}},
        "web": {"replicas": 2, "resources": web},
        "worker": {"hpa": {"enabled": True, "minReplicas": 2, "maxReplicas": 6}, "resources": web},
        "additionalEnv": [{"name": f"LANGFUSE_INIT_{name}", **value} for name, value in _first(plan).items()],
    }
    if plan.cluster.observe.langfuse_url:
        found["nextauth"]["url"] = plan.cluster.observe.langfuse_url
    if role:
        found["serviceAccount"] = {"annotations": {ROLE: role}}
    return found


def _first(plan: ClusterPlan) -> dict[str, Body]:
    """An organisation, a project and its owner, there from the start; nothing is done to those that are."""
    name = plan.platform.name
    keys = {
        "PROJECT_PUBLIC_KEY": "public-key",
        "PROJECT_SECRET_KEY": "secret-key",
        "USER_EMAIL": "email",
        "USER_PASSWORD": "password",
    }
    return {
        "ORG_ID": {"value": name},
        "PROJECT_ID": {"value": name},
        **{each: {"valueFrom": _named(PROJECT, key)} for each, key in keys.items()},
    }


def _named(secret: str, key: str) -> Body:
    return {"secretKeyRef": {"name": secret, "key": key}}


def _clickhouse() -> Body:
    """Two replicas; the chart would look for definitions of its kinds, which a renderer without a cluster has not."""
    logs: Body = {each: {"@remove": "1"} for each in NOISY}
    logs |= {each: {"ttl": f"event_date + INTERVAL {KEPT_DAYS} DAY DELETE"} for each in KEPT}
    memory = {"requests": {"cpu": "1", "memory": "4Gi"}, "limits": {"memory": "8Gi"}}
    return {
        "crdCheck": False,
        "auth": {"existingSecret": CLICKHOUSE, "existingSecretKey": "password"},
        "cluster": {"replicas": 2, "resources": memory, "settings": logs},
    }


def _files(plan: ClusterPlan) -> Body:
    """The bucket, by the pods' role; or SeaweedFS in the cluster."""
    bucket = plan.cluster.observe.bucket
    if bucket is None:
        keys = {"rootUserSecretKey": "accessKey", "rootPasswordSecretKey": "secretKey"}
        return {"auth": {"existingSecret": FILES, **keys}}
    prefixes = {each: {"prefix": f"langfuse/{each}/"} for each in ("eventUpload", "batchExport", "mediaUpload")}
    region = plan.cluster.region
    return {"deploy": False, "bucket": bucket, "region": region, "forcePathStyle": False, **prefixes}


# --- What cannot be, and what is left to do ---------------------------------------------------------------------------


def _role(plan: ClusterPlan) -> str | None:
    observe = plan.cluster.observe
    return role_of(plan, "observe", observe.role) if observe.bucket else None


def refuse(plan: ClusterPlan) -> Iterator[Problem]:
    """A bucket that nobody reaches."""
    yield from refuse_bucket(plan, plan.cluster.observe.bucket, _role(plan), ("cluster", "observe", "bucket"))


def notes(plan: ClusterPlan) -> Iterator[Told]:
    """What to put into the store, rights, and how to come in."""
    text, number = "openssl rand -base64 32", "openssl rand -hex 32"
    told = {
        "LANGFUSE_SALT": (f"`{text}`; another makes its API keys worthless", text),
        "LANGFUSE_ENCRYPTION_KEY": (f"`{number}`; another makes what it encrypted unreadable", number),
        "LANGFUSE_NEXTAUTH_SECRET": (f"`{text}`", text),
        "LANGFUSE_ADMIN_EMAIL": ("of Langfuse's first user", ""),
        "LANGFUSE_ADMIN_PASSWORD": ("of Langfuse's first user", "openssl rand -hex 16"),
    }
    for name, (what, command) in told.items():
        yield plan.value(name, what, made=f"$({command})" if command else "")
    bucket, role = plan.cluster.observe.bucket, _role(plan)
    if bucket and role:
        yield from bucket_asked(plan, "observe", f"{OBSERVABILITY}/{NAME}", bucket, plan.cluster.observe.role)
    if plan.cluster.observe.langfuse_url is None:
        yield After(
            "open Langfuse by `kubectl port-forward -n observability svc/langfuse-web 3000`, or set `langfuse_url`"
        )


COMPONENT = Component(
    name=NAME, wanted=lambda plan: plan.cluster.observe.langfuse, adapters={"": render}, refuse=refuse, notes=notes
)
