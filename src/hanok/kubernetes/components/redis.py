"""Valkey, where the file names no Redis: for budgets and limits that gateways share, and another for kept answers.

Two, because one that is full may forget kept answers, never budgets: https://valkey.io/topics/lru-cache/
"""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.component import Body, Component, Piece, Placed
from hanok.kubernetes.generated import PASSWORD, generated_secret
from hanok.kubernetes.hardening import container_security, pod_security
from hanok.kubernetes.notes import Known, Told
from hanok.kubernetes.objects import labels, selector, thing
from hanok.kubernetes.places import CACHE, HANOK, REDIS
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.rewriting import caches
from hanok.kubernetes.walls import READS, port

NAME = "redis"
PORT, USER, GRACE_S = 6379, 999, 30
LEFT_FREE = 0.75
"""Share of a pod's memory that data may take: a snapshot copies pages that change meanwhile."""
CACHE_GIB = 1
_KEPT = ["--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction"]
_FORGOTTEN = ["--appendonly", "no", "--save", "", "--maxmemory-policy", "allkeys-lru"]


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """Each with its password, which the cluster makes itself and nobody sees."""
    servers: list[Body] = []
    if plan.redis:
        wished = plan.cluster.redis
        servers += _server(plan, REDIS, _KEPT, memory_gib=wished.memory_gib, storage_gib=wished.storage_gib)
    if caches(plan):
        servers += _server(plan, CACHE, _FORGOTTEN, memory_gib=CACHE_GIB, storage_gib=None)
    yield from (Placed(stage="apps", folder=HANOK, body=each) for each in servers)


def _server(
    plan: ClusterPlan, name: str, flags: list[str], *, memory_gib: int, storage_gib: int | None
) -> Iterator[Body]:
    marks = labels(name, NAME)
    yield from _password(name)
    yield thing("v1", "ServiceAccount", name, HANOK, labels=marks, automountServiceAccountToken=False)
    port = {"name": "redis", "port": PORT, "targetPort": "redis"}
    yield thing("v1", "Service", name, HANOK, labels=marks, spec={"selector": selector(name), "ports": [port]})
    spec: Body = {
        "replicas": 1,
        "selector": {"matchLabels": selector(name)},
        "template": {
            "metadata": {"labels": marks},
            "spec": _pod(plan, name, flags, memory_gib, on_disk=storage_gib is not None),
        },
    }
    if storage_gib is None:
        yield thing("apps/v1", "Deployment", name, HANOK, labels=marks, spec=spec)
    else:
        disk = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": f"{storage_gib}Gi"}}}
        spec |= {"serviceName": name, "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": disk}]}
        yield thing("apps/v1", "StatefulSet", name, HANOK, labels=marks, spec=spec)
    budget = {"maxUnavailable": 1, "selector": {"matchLabels": selector(name)}}
    yield thing("policy/v1", "PodDisruptionBudget", name, HANOK, labels=marks, spec=budget)
    yield _wall(name)


def _pod(plan: ClusterPlan, name: str, flags: list[str], memory_gib: int, *, on_disk: bool) -> Body:
    most = f"{int(memory_gib * 1024 * LEFT_FREE)}mb"
    users = {"secretName": name, "items": [{"key": "users.acl", "path": "users.acl"}], "defaultMode": 0o440}
    return {
        "serviceAccountName": name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_S,
        "securityContext": pod_security(USER),
        "containers": [
            {
                "name": "valkey",
                "image": plan.lock.image(NAME),
                "command": ["valkey-server"],
                "args": ["--dir", "/data", "--aclfile", "/etc/valkey/users.acl", "--maxmemory", most, *flags],
                "ports": [{"name": "redis", "containerPort": PORT}],
                "env": [
                    {"name": "REDISCLI_AUTH", "valueFrom": {"secretKeyRef": {"name": name, "key": "password"}}},
                ],
                "resources": {
                    "requests": {"cpu": "250m", "memory": f"{memory_gib}Gi"},
                    "limits": {"memory": f"{memory_gib}Gi"},
                },
                "securityContext": container_security(),
                "startupProbe": {"tcpSocket": {"port": "redis"}, "periodSeconds": 2, "failureThreshold": 60},
                "livenessProbe": {"tcpSocket": {"port": "redis"}, "periodSeconds": 10, "failureThreshold": 6},
                "readinessProbe": {
                    "exec": {"command": ["sh", "-c", "valkey-cli ping | grep -q PONG"]},
                    "periodSeconds": 5,
                    "timeoutSeconds": 3,
                },
                "volumeMounts": [
                    {"name": "data", "mountPath": "/data"},
                    {"name": "users", "mountPath": "/etc/valkey", "readOnly": True},
                ],
            }
        ],
        "volumes": [
            {"name": "users", "secret": users},
            *([] if on_disk else [{"name": "data", "emptyDir": {"sizeLimit": "1Gi"}}]),
        ],
    }


def _password(name: str) -> Iterator[Body]:
    """Without signs that an address would have to escape."""
    texts = {
        "password": PASSWORD,
        "url": f"redis://:{PASSWORD}@{name}.{HANOK}.svc:{PORT}/0",
        "users.acl": f"user default on ~* &* +@all >{PASSWORD}\n",
    }
    return generated_secret(name, HANOK, texts, component=NAME)


def _wall(name: str) -> Body:
    """Only pods that read platform.yaml come in."""
    spec = {
        "podSelector": {"matchLabels": selector(name)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {
                "from": [{"podSelector": {"matchLabels": READS}}],
                "ports": [port(PORT)],
            }
        ],
        "egress": [],
    }
    return thing("networking.k8s.io/v1", "NetworkPolicy", name, HANOK, labels=labels(name, NAME), spec=spec)


def notes(plan: ClusterPlan) -> Iterator[Told]:
    """That it is one."""
    if plan.redis:
        yield Known(
            "budgets are shared through one Valkey: while it starts anew, gateways go on with what they hold, then "
            "refuse (503). For more than one, name a server by `ledger: {redis: …}`, as ElastiCache"
        )


COMPONENT = Component(name=NAME, wanted=lambda plan: plan.redis or caches(plan), adapters={"": render}, notes=notes)
