"""External Secrets: every variable of the platform file, from a store into the cluster. No secret is in the tree.

The store may be read from Hanok's own namespaces alone: whoever may make an ExternalSecret elsewhere gets nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from hanok.errors import Problem
from hanok.kubernetes.component import Body, Chart, Component, Piece, Placed
from hanok.kubernetes.external import external_secret
from hanok.kubernetes.notes import Grant, Step, Told
from hanok.kubernetes.objects import given, labels, thing
from hanok.kubernetes.places import (
    HANOK,
    JOBS,
    KAGENT,
    KNOWLEDGE,
    MODELS,
    OBSERVABILITY,
    STORED_SPACE,
    VARIABLES_SECRET,
)
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.receivers import SECRET_KEY, made_up, stands_here
from hanok.kubernetes.rewriting import variables_read
from hanok.kubernetes.roles import ROLE, asked, role_of
from hanok.spec.nodes import dotted
from hanok.spec.written import Variable

NAME = "external-secrets"
API = "external-secrets.io/v1"
READERS = (HANOK, JOBS, KAGENT, KNOWLEDGE, MODELS, OBSERVABILITY)
READER = "reader"
VAULT_ROLE = "auth/kubernetes/role/external-secrets"
CREDENTIALS = "aws-credentials"
"""A Secret in the operator's namespace, where pods have no cloud roles: `access-key` and `secret-access-key`."""
_SERVICES = {"aws-secrets-manager": "SecretsManager", "aws-parameter-store": "ParameterStore"}


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """The operator, the store, and a Secret with the variables."""
    yield Chart(chart=NAME, release=NAME, namespace=NAME, values=_values(plan))
    if plan.secret_store != "existing":
        yield Placed(stage="configs", folder=NAME, body=_store(plan))
    if plan.secret_store == "kubernetes":
        yield from (Placed(stage="configs", folder=NAME, body=each) for each in _reading())
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
    role = role_of(plan, NAME)
    if plan.secret_store in _SERVICES and plan.on_aws and role:
        values["serviceAccount"] = {"annotations": {ROLE: role}}
    return values


def _store(plan: ClusterPlan) -> Body:
    secrets, makers = plan.cluster.secrets, {"vault": _vault, "kubernetes": _kubernetes}
    spec = {"provider": makers.get(plan.secret_store, _aws)(plan), "conditions": [{"namespaces": list(READERS)}]}
    return thing(API, "ClusterSecretStore", secrets.name, labels=labels(secrets.name, NAME), spec=spec)


def _aws(plan: ClusterPlan) -> Body:
    """By the operator's own role on EKS; elsewhere by credentials."""
    by_key = {
        f"{name}SecretRef": {"name": CREDENTIALS, "namespace": NAME, "key": key}
        for name, key in (("accessKeyID", "access-key"), ("secretAccessKey", "secret-access-key"))
    }
    auth = None if plan.on_aws else {"secretRef": by_key}
    return {"aws": given(service=_SERVICES[plan.secret_store], region=plan.cluster.region, auth=auth)}


def _vault(plan: ClusterPlan) -> Body:
    account = {"name": NAME, "namespace": NAME}
    auth = {"kubernetes": {"mountPath": "kubernetes", "role": NAME, "serviceAccountRef": account}}
    return {"vault": {"server": plan.cluster.secrets.url, "path": "secret", "version": "v2", "auth": auth}}


def _kubernetes(_: ClusterPlan) -> Body:
    """One Secret of this cluster itself, of a namespace in which nothing else is."""
    authority = {"type": "ConfigMap", "name": "kube-root-ca.crt", "key": "ca.crt", "namespace": STORED_SPACE}
    account = {"name": READER, "namespace": STORED_SPACE}
    return {
        "kubernetes": {
            "remoteNamespace": STORED_SPACE,
            "server": {"caProvider": authority},
            "auth": {"serviceAccount": account},
        }
    }


def _reading() -> Iterator[Body]:
    """Who the operator is when it reads that namespace: it asks first whether it may read Secrets there at all."""
    marks, rbac = labels(READER, NAME), "rbac.authorization.k8s.io"
    yield thing("v1", "ServiceAccount", READER, STORED_SPACE, labels=marks, automountServiceAccountToken=False)
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]}
    yield thing(f"{rbac}/v1", "Role", READER, STORED_SPACE, labels=marks, rules=[rule])
    yield thing(
        f"{rbac}/v1", "RoleBinding", READER, STORED_SPACE, labels=marks,
        roleRef={"apiGroup": rbac, "kind": "Role", "name": READER},
        subjects=[{"kind": "ServiceAccount", "name": READER, "namespace": STORED_SPACE}],
    )  # fmt: skip


# --- What is refused, and told ----------------------------------------------------------------------------------------


def refuse(plan: ClusterPlan) -> Iterator[Problem]:
    """A Vault that nobody can find; names that the Parameter Store, or a Secret's keys, cannot have."""
    secrets = plan.cluster.secrets
    if secrets.store == "vault" and secrets.url is None:
        yield plan.written.problem(
            ("cluster", "secrets", "store"), "where Vault is is not said", "add `url: https://…`"
        )
    if plan.secret_store == "kubernetes" and secrets.prefix:
        message = "variables are keys of one Secret by their own names, with nothing before them"
        yield plan.written.problem(("cluster", "secrets", "prefix"), message, "delete it, or name another `store`")
    if secrets.store == "aws-parameter-store" and "/" in secrets.prefix and not secrets.prefix.startswith("/"):
        message = f"the Parameter Store takes no name of several steps that does not begin with /: {secrets.prefix}"
        yield plan.written.problem(("cluster", "secrets", "prefix"), message, f"write /{secrets.prefix}")


def notes(plan: ClusterPlan) -> Iterator[Told]:
    """Every name that must be put into the store, and who may read it."""
    for each in plan.variables:
        yield plan.value(each.name, dotted(each.place), made=_made_up(plan, each))
    if plan.secret_store != "kubernetes":
        yield _reader(plan)


def _made_up(plan: ClusterPlan, variable: Variable) -> str:
    """What nobody outside has to know beforehand: the admin key, and the secret key of the cluster's own Langfuse."""
    if variable.place == ("gateway", "admin_key"):
        return "$(openssl rand -hex 32)"
    if variable.place[:2] != ("telemetry", "export") or variable.place[-1] != "secret_key":
        return ""
    index = variable.place[2] if isinstance(variable.place[2], int) else 0  # one export need not be a list
    export = plan.platform.telemetry.export[index]
    return made_up(SECRET_KEY) if stands_here(plan, index, export) else ""


def _reader(plan: ClusterPlan) -> Told:
    """Who must be let read the store."""
    account, names = f"{NAME}/{NAME}", f"`{plan.secret_prefix}*`"
    match plan.secret_store:
        case "existing":
            return f"the ClusterSecretStore `{plan.cluster.secrets.name}` must be there, open to {', '.join(READERS)}"
        case "vault":
            return Step(message=f"let Vault give {account} the role `{NAME}`", shown=f"vault write {VAULT_ROLE}")
        case _ if plan.on_aws:
            return asked(plan, NAME, account, f"read the secrets {names}", [reading_grant(plan)])
        case _:
            message = f"make the Secret {NAME}/{CREDENTIALS} with the access key of a user who may read {names}"
            return Step(message=message, shown=f"secret generic {CREDENTIALS}")


def reading_grant(plan: ClusterPlan) -> Grant:
    """What the operator asks of AWS' stores, as its documentation has it."""
    where = f"{plan.cluster.region or '*'}:{plan.cluster.account or '*'}"
    if plan.secret_store == "aws-parameter-store":
        names = plan.secret_prefix.lstrip("/")
        return Grant(actions=("ssm:GetParameter*",), resources=(f"arn:aws:ssm:{where}:parameter/{names}*",))
    verbs = ("GetResourcePolicy", "GetSecretValue", "DescribeSecret", "ListSecretVersionIds")
    resource = f"arn:aws:secretsmanager:{where}:secret:{plan.secret_prefix}*"
    return Grant(actions=tuple(f"secretsmanager:{each}" for each in verbs), resources=(resource,))


COMPONENT = Component(name=NAME, wanted=lambda _: True, adapters={"v1": render}, refuse=refuse, notes=notes)
