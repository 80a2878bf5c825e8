"""Secrets of the cluster by External Secrets: names only, never a value. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from hanok.kubernetes.component import Body
from hanok.kubernetes.objects import labels, thing
from hanok.kubernetes.places import STORED

if TYPE_CHECKING:
    from hanok.kubernetes.plan import ClusterPlan

VALUE = "value"
"""In Vault a secret is a block of values; ours is under this key."""


def external_secret(
    plan: ClusterPlan, name: str, namespace: str, variables: Mapping[str, str], *, component: str
) -> Body:
    """An ExternalSecret that makes a Secret of its name: `variables` are names in the store by the Secret's keys."""
    store = plan.cluster.secrets
    spec: Body = {
        "refreshInterval": f"{store.refresh_s}s",
        "secretStoreRef": {"kind": "ClusterSecretStore", "name": store.name},
        "target": {"name": name, "creationPolicy": "Owner"},
        "data": [{"secretKey": key, "remoteRef": _remote(plan, each)} for key, each in sorted(variables.items())],
    }
    named = labels(name, component)
    return thing("external-secrets.io/v1", "ExternalSecret", name, namespace, labels=named, spec=spec)


def _remote(plan: ClusterPlan, variable: str) -> Body:
    if plan.secret_store == "kubernetes":
        return {"key": STORED, "property": variable}
    key = {"key": f"{plan.secret_prefix}{variable}"}
    return {**key, "property": VALUE} if plan.secret_store == "vault" else key


def stored_names(bodies: Iterable[Body]) -> list[str]:
    """The keys of the one Secret that these objects look for in it, by name."""
    data = [each for body in bodies if body["kind"] == "ExternalSecret" for each in body["spec"].get("data", ())]
    return sorted({each["remoteRef"]["property"] for each in data if each["remoteRef"]["key"] == STORED})
