"""The parts of `APPLY.md` that ask and tell: what to do before, secrets, roles; what to do after, what is so. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from hanok.kubernetes.notes import After, Known, Note, Role, Value
from hanok.kubernetes.places import STORED, STORED_SPACE
from hanok.kubernetes.plan import ClusterPlan

_STORES: Mapping[str, str] = {
    "aws-secrets-manager": "AWS Secrets Manager",
    "aws-parameter-store": "the AWS Parameter Store",
    "vault": "Vault, each as the field `value` under `secret/`",
    "kubernetes": f"the Secret `{STORED_SPACE}/{STORED}`",
    "existing": "the store",
}
_PUT: Mapping[str, str] = {
    "aws-secrets-manager": "aws secretsmanager create-secret --name NAME --secret-string VALUE{region}",
    "aws-parameter-store": "aws ssm put-parameter --type SecureString --name NAME --value VALUE{region}",
    "vault": "vault kv put secret/NAME value=VALUE",
}
_ONE_SECRET = """\
What is secret is in no file of this tree. Write it into a file that you do not keep, a line `NAME=value` for each:

```
{names}
```

and make the one Secret of it that all others are filled from:

```sh
kubectl create namespace {space}
kubectl create secret generic {secret} --namespace {space} --from-env-file=secrets.env
```

Later: the second with `--dry-run=client -o yaml | kubectl apply -f -` behind it; within `cluster.secrets.refresh_s` all
others follow.
"""
_ISSUER = "aws eks describe-cluster --name {cluster}{region} --query cluster.identity.oidc.issuer --output text"
_MAKE = """\
```sh
aws iam create-role --role-name ROLE --assume-role-policy-document file://trust.json
aws iam put-role-policy --role-name ROLE --policy-name hanok --policy-document file://rights.json
```
"""
_BY_ANNOTATION = """\
ServiceAccounts take these roles by the cluster's OIDC provider. All are trusted so, by a `trust.json` where `SUBJECT`
is what stands beside the role, and `OIDC` is what this says, without `https://`:

```sh
{issuer}
```
"""
_BY_ASSOCIATION = """\
A Pod Identity association binds these roles to ServiceAccounts. All have the same `trust.json`:
"""


def sections(plan: ClusterPlan, notes: Sequence[Note], stored: Sequence[str]) -> Iterator[str]:
    """What to do before the tree is applied. `stored` are the names that the tree takes from the secret store."""
    if plain := [each for each in notes if isinstance(each.told, str)]:
        yield f"## Before\n\n{_listed(plain)}"
    if values := [each.told for each in notes if isinstance(each.told, Value)]:
        yield f"## Secrets\n\n{_secrets(plan, values, stored)}"
    if roles := [each.told for each in notes if isinstance(each.told, Role)]:
        yield f"## IAM roles\n\n{_roles(plan, roles)}"


def later(notes: Sequence[Note]) -> Iterator[str]:
    """What to do once it runs, and what there is to know."""
    for kind, title in ((After, "After"), (Known, "Good to know")):
        if told := [each for each in notes if isinstance(each.told, kind)]:
            yield f"## {title}\n\n{_listed(told)}"


def _listed(notes: Iterable[Note]) -> str:
    return "".join(f"- **{each.component}**: {each.message}\n" for each in notes)


def _secrets(plan: ClusterPlan, values: Iterable[Value], stored: Sequence[str]) -> str:
    store = plan.secret_store
    rows = "".join(f"| `{each.name}` | {each.what.replace('|', chr(92) + '|')} |\n" for each in values)
    command = _PUT.get(store, "").format(region=_region(plan))
    how = f"\n```sh\n{command}\n```\n" if command else ""
    if store == "kubernetes":
        names = "\n".join(f"{each}=" for each in stored)
        how = "\n" + _ONE_SECRET.format(names=names, space=STORED_SPACE, secret=STORED)
    return f"Put these into {_STORES[store]}:\n\n| name | what it is |\n|---|---|\n{rows}{how}"


# --- Roles ------------------------------------------------------------------------------------------------------------


def _roles(plan: ClusterPlan, roles: Sequence[Role]) -> str:
    annotated, bound = ([each for each in roles if each.annotated is which] for which in (True, False))
    parts = ["Each is made so; its `rights.json` stands below its name.\n", _MAKE]
    if annotated:
        issuer = _ISSUER.format(cluster=plan.cluster.name, region=_region(plan))
        parts += [_BY_ANNOTATION.format(issuer=issuer), _block(_trust_by_issuer(plan)), *map(_annotated, annotated)]
    if bound:
        parts += [_BY_ASSOCIATION, _block(_trust_by_association()), *(_bound(plan, each) for each in bound)]
    return "\n".join(parts)


def _annotated(role: Role) -> str:
    subjects = ", ".join(f"`system:serviceaccount:{each.replace('/', ':')}`" for each in role.accounts)
    return f"### `{role.name}`\n\nTo {role.why}. `SUBJECT`: {subjects}\n\n{_rights(role)}"


def _bound(plan: ClusterPlan, role: Role) -> str:
    commands = "".join(f"{_association(plan, role, each)}\n" for each in role.accounts)
    return f"### `{role.name}`\n\nTo {role.why}.\n\n```sh\n{commands}```\n\n{_rights(role)}"


def _association(plan: ClusterPlan, role: Role, account: str) -> str:
    space, _, name = account.partition("/")
    return (
        f"aws eks create-pod-identity-association --cluster-name {plan.cluster.name}{_region(plan)} "
        f"--namespace {space} --service-account {name} --role-arn arn:aws:iam::ACCOUNT:role/{role.name}"
    )


def _rights(role: Role) -> str:
    return _block([each.form() for each in role.grants])


def _trust_by_issuer(plan: ClusterPlan) -> list[dict[str, object]]:
    account = plan.cluster.account or "ACCOUNT"
    said = {"OIDC:aud": "sts.amazonaws.com", "OIDC:sub": ["SUBJECT"]}
    return [
        {
            "Effect": "Allow",
            "Principal": {"Federated": f"arn:aws:iam::{account}:oidc-provider/OIDC"},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": said},
        }
    ]


def _trust_by_association() -> list[dict[str, object]]:
    who = {"Service": "pods.eks.amazonaws.com"}
    return [{"Effect": "Allow", "Principal": who, "Action": ["sts:AssumeRole", "sts:TagSession"]}]


def _block(statements: Sequence[Mapping[str, object]]) -> str:
    """A policy, to be pasted."""
    policy = {"Version": "2012-10-17", "Statement": statements}
    return f"```json\n{json.dumps(policy, indent=2)}\n```\n"


def _region(plan: ClusterPlan) -> str:
    return f" --region {plan.cluster.region}" if plan.cluster.region else ""
