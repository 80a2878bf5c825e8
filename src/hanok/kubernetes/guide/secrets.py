"""The step that fills the secret store: one file that nobody keeps, and what puts each line of it there. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from hanok.kubernetes.components.external_secrets import CREDENTIALS, VAULT_ROLE, reading_grant
from hanok.kubernetes.components.external_secrets import NAME as READER
from hanok.kubernetes.external import stored_names
from hanok.kubernetes.guide.page import Page, listed, policy, sh
from hanok.kubernetes.notes import Value
from hanok.kubernetes.places import STORED, STORED_SPACE

STORES: Mapping[str, str] = {
    "aws-secrets-manager": "AWS Secrets Manager",
    "aws-parameter-store": "the AWS Parameter Store",
    "vault": "Vault, each as the field `value` under `secret/`",
    "kubernetes": f"the Secret `{STORED_SPACE}/{STORED}`",
    "existing": "the store",
}
_PUT: Mapping[str, str] = {
    "aws-secrets-manager": 'aws secretsmanager create-secret --name "{name}" --secret-string "{value}" > /dev/null',
    "aws-parameter-store": 'aws ssm put-parameter --type SecureString --name "{name}" --value "{value}" > /dev/null',
    "vault": 'vault kv put "secret/{name}" value="{value}"',
}
_ONE_SECRET = (
    f"kubectl create namespace {STORED_SPACE}",
    f"kubectl create secret generic {STORED} --namespace {STORED_SPACE} --from-env-file=secrets.env",
)
_LATER = (
    f'One value later: `kubectl patch secret {STORED} --namespace {STORED_SPACE} --patch \'{{"stringData": {{"NAME": '
    '"value"}}\'`; within `cluster.secrets.refresh_s` all others follow.\n'
)
_SPECIAL, _ESCAPED = re.compile(r'([\\$`"])'), r"\\\1"
"""What a shell would not leave as it is in a here-document."""


def steps(page: Page) -> Iterator[str]:
    """The names, which of them are made up here, and how they come into the store."""
    store, values = page.plan.secret_store, page.told(Value)
    yield from _reader(page)
    if not values:
        return
    now = [each for each in values if not each.later]
    yield f"What is secret is in no file of this tree. It comes from {STORES[store]}:\n"
    yield _table(values)
    if store == "existing" or not now:
        return
    yield "Write them into a file that you do not keep. What can be made up is; you fill in the rest:\n"
    yield sh("umask 077", "cat > secrets.env <<END", *_lines(page, now), "END", "${EDITOR:-vi} secrets.env")
    yield sh("grep '^[^=]*=$' secrets.env && echo 'these are still empty'", *_put(store))
    if store == "kubernetes":
        yield _LATER


def _reader(page: Page) -> Iterator[str]:
    """Who reads the store, where that is no role of the cloud's."""
    store = page.plan.secret_store
    if told := [each for each in page.of(str) if each.component == READER]:
        yield listed(told)
    if store == "vault":
        yield "Vault lets the operator read, where its method `kubernetes` is on (`vault auth enable kubernetes`):\n"
        yield sh(
            "vault policy write hanok - <<'HCL'",
            f'path "secret/data/{page.plan.secret_prefix}*" {{ capabilities = ["read"] }}',
            "HCL",
            f"vault write {VAULT_ROLE} policies=hanok ttl=1h \\",
            f"  bound_service_account_names={READER} bound_service_account_namespaces={READER}",
        )
    elif store in ("aws-secrets-manager", "aws-parameter-store") and not page.plan.on_aws:
        yield "A user of AWS reads the store, with an access key that the operator has:\n"
        yield sh(*_user(page))


def _user(page: Page) -> Iterator[str]:
    name = f"{page.cluster}-{READER}"
    yield f"aws iam create-user --user-name {name}"
    yield f"aws iam put-user-policy --user-name {name} --policy-name hanok --policy-document \"$(cat <<'JSON'"
    yield from policy([reading_grant(page.plan).form()]).splitlines()
    yield "JSON"
    yield ')"'
    yield f"read -r ID SECRET < <(aws iam create-access-key --user-name {name} --output text \\"
    yield "  --query 'AccessKey.[AccessKeyId, SecretAccessKey]')"
    yield f"kubectl create namespace {READER}"
    yield f"kubectl create secret generic {CREDENTIALS} --namespace {READER} \\"
    yield '  --from-literal=access-key="$ID" --from-literal=secret-access-key="$SECRET"'


def put(page: Page, value: Value, text: str) -> list[str]:
    """The commands that put one value into the store later; none where it is somebody else's."""
    store = page.plan.secret_store
    if store == "kubernetes":
        patch = f'{{\\"stringData\\": {{\\"{value.name}\\": \\"{text}\\"}}}}'
        return [f'kubectl patch secret {STORED} --namespace {STORED_SPACE} --patch "{patch}"']
    known = _PUT.get(store)
    return [known.format(name=_SPECIAL.sub(_ESCAPED, value.name), value=text)] if known else []


def _table(values: Sequence[Value]) -> str:
    rows = "".join(f"| `{each.name}` | {each.what.replace('|', chr(92) + '|')} |\n" for each in values)
    return f"| name | what it is |\n|---|---|\n{rows}"


def _lines(page: Page, values: Sequence[Value]) -> Iterator[str]:
    """`NAME=value`. In one Secret, all that the tree takes out of it."""
    made = {each.name: each.made for each in values}
    names = list(made)
    if page.plan.secret_store == "kubernetes":
        later = {each.name for each in page.told(Value) if each.later}
        names = [each for each in stored_names(each.body for each in page.objects) if each not in later]
    yield from (f"{_SPECIAL.sub(_ESCAPED, each)}={made.get(each, '')}" for each in names)


def _put(store: str) -> Iterator[str]:
    if store == "kubernetes":
        yield from _ONE_SECRET
    else:
        yield f"put() {{ {_PUT[store].format(name='$1', value='$2')}; }}"
        yield 'while IFS= read -r line; do put "${line%%=*}" "${line#*=}" < /dev/null; done < secrets.env'
    yield "rm secrets.env"
