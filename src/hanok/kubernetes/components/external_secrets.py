"""External Secrets: every variable of the platform file, from a store into the cluster. No secret is in the tree.

The store may be read from Hanok's own namespaces alone: whoever may make an ExternalSecret elsewhere gets nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from hanok.errors import Problem
from hanok.kubernetes.component import Body, Chart, Component, Piece, Placed
from hanok.kubernetes.external import external_secret
from hanok.kubernetes.objects import given, labels, thing
from hanok.kubernetes.places import (
    HANOK,
    JOBS,
    KAGENT,
    KNOWLEDGE,
    MODELS,
    OBSERVABILITY,
    VARIABLES_SECRET,
)
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.rewriting import variables_read
from hanok.spec.nodes import dotted

NAME = "external-secrets"
API = "external-secrets.io/v1"
READERS = (HANOK, JOBS, KAGENT, KNOWLEDGE, MODELS, OBSERVABILITY)
CREDENTIALS = "aws-credentials"
"""A Secret in the operator's namespace, where pods have no cloud roles: `access-key` and `secret-access-key`."""
_SERVICES = {"aws-secrets-manager": "SecretsManager", "aws-parameter-store": "ParameterStore"}
_STORES = {
    "aws-secrets-manager": "AWS Secrets Manager",
    "aws-parameter-store": "the AWS Parameter Store",
    "vault": "Vault",
    "existing": "the store",
}


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """The operator, the store, and a Secret with the variables."""
    yield Chart(chart=NAME, release=NAME, namespace=NAME, values=_values(plan))
    if plan.cluster.secrets.store != "existing":
        yield Placed(stage="configs", folder=NAME, body=_store(plan))
    read = variables_read(plan)
    if wanted := {each.name: each.name for each in plan.variables if each.name in read}:
        body = external_secret(plan, VARIABLES_SECRET, HANOK, wanted, component=NAME)
        yield Placed(stage="apps", folder=HANOK, body=body)


# --- The operator and the store ---------------------------------------------------------------------------------------


def _values(plan: ClusterPlan) -> Body:
    asked = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}}
    values: Body = {
        "replicaCount": 2,
        "leaderElect": True,
        "podDisruptionBudget": {"enabled": True},
        "resources": asked,
        "webhook": {"replicaCount": 2, "podDisruptionBudget": {"enabled": True}, "resources": asked},
        "certController": {"resources": asked},
    }
    role = plan.role_arn(NAME)
    if plan.cluster.secrets.store in _SERVICES and plan.on_aws and role:
        values["serviceAccount"] = {"annotations": {"eks.amazonaws.com/role-arn": role}}
    return values


def _store(plan: ClusterPlan) -> Body:
    secrets = plan.cluster.secrets
    provider = _vault(plan) if secrets.store == "vault" else _aws(plan)
    spec = {"provider": provider, "conditions": [{"namespaces": list(READERS)}]}
    return thing(API, "ClusterSecretStore", secrets.name, labels=labels(secrets.name, NAME), spec=spec)


def _aws(plan: ClusterPlan) -> Body:
    """By the operator's own role on EKS; elsewhere by credentials."""
    by_key = {
        f"{name}SecretRef": {"name": CREDENTIALS, "namespace": NAME, "key": key}
        for name, key in (("accessKeyID", "access-key"), ("secretAccessKey", "secret-access-key"))
    }
    auth = None if plan.on_aws else {"secretRef": by_key}
    return {"aws": given(service=_SERVICES[plan.cluster.secrets.store], region=plan.cluster.region, auth=auth)}


def _vault(plan: ClusterPlan) -> Body:
    account = {"name": NAME, "namespace": NAME}
    auth = {"kubernetes": {"mountPath": "kubernetes", "role": NAME, "serviceAccountRef": account}}
    return {"vault": {"server": plan.cluster.secrets.url, "path": "secret", "version": "v2", "auth": auth}}


# --- What is refused, and told ----------------------------------------------------------------------------------------


def refuse(plan: ClusterPlan) -> Iterator[Problem]:
    """A Vault that nobody can find."""
    secrets = plan.cluster.secrets
    if secrets.store == "vault" and secrets.url is None:
        yield plan.written.problem(
            ("cluster", "secrets", "store"), "where Vault is is not said", "add `url: https://…`"
        )


def notes(plan: ClusterPlan) -> Iterator[str]:
    """Every name that must be put into the store, and who may read it."""
    store = plan.cluster.secrets.store
    where = _STORES[store] + (", each as the field `value` under `secret/`" if store == "vault" else "")
    names = {each.name: dotted(each.place) for each in plan.variables}
    for name in sorted(names):
        yield f"put `{plan.secret_prefix}{name}` into {where} ({names[name]})"
    yield _reader(plan)


def _reader(plan: ClusterPlan) -> str:
    """Who must be let read the store."""
    account, names = f"{NAME}/{NAME}", f"`{plan.secret_prefix}*`"
    match plan.cluster.secrets.store:
        case "existing":
            return f"the ClusterSecretStore `{plan.cluster.secrets.name}` must be there, open to {', '.join(READERS)}"
        case "vault":
            return f"let Vault give the role `{NAME}` to the ServiceAccount {account}, to read `secret/` at {names}"
        case _ if plan.on_aws:
            return plan.role_note(NAME, account, f"read the secrets {names}")
        case _:
            keys = "`access-key` and `secret-access-key`"
            return f"make the Secret {NAME}/{CREDENTIALS} with {keys} of who may read {names}"


COMPONENT = Component(name=NAME, wanted=lambda _: True, adapters={"v1": render}, refuse=refuse, notes=notes)
