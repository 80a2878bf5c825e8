"""The step that fills the secret store: one file that nobody keeps, and what puts each line of it there. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from hanok.kubernetes.external import stored_names
from hanok.kubernetes.guide.page import Page, listed, sh
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
    "aws-secrets-manager": 'aws secretsmanager create-secret --name "$1" --secret-string "$2" > /dev/null',
    "aws-parameter-store": 'aws ssm put-parameter --type SecureString --name "$1" --value "$2" > /dev/null',
    "vault": 'vault kv put "secret/$1" value="$2"',
}
_ONE_SECRET = (
    f"kubectl create namespace {STORED_SPACE}",
    f"kubectl create secret generic {STORED} --namespace {STORED_SPACE} --from-env-file=secrets.env",
)
_LATER = (
    f'One value later: `kubectl patch secret {STORED} --namespace {STORED_SPACE} --patch \'{{"stringData": {{"NAME": '
    '"value"}}\'`; within `cluster.secrets.refresh_s` all others follow.\n'
)
_SPECIAL, _ESCAPED = re.compile(r"([\\$`])"), r"\\\1"
"""What a shell would not leave as it is in a here-document."""


def steps(page: Page) -> Iterator[str]:
    """The names, which of them are made up here, and how they come into the store."""
    store, values = page.plan.secret_store, page.told(Value)
    if told := [each for each in page.of(str) if each.component == "external-secrets"]:
        yield listed(told)
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


def put(page: Page, value: Value, text: str) -> list[str]:
    """The commands that put one value into the store later; none where it is somebody else's."""
    store = page.plan.secret_store
    if store == "kubernetes":
        patch = f'{{\\"stringData\\": {{\\"{value.name}\\": \\"{text}\\"}}}}'
        return [f'kubectl patch secret {STORED} --namespace {STORED_SPACE} --patch "{patch}"']
    known = _PUT.get(store)
    return [known.replace('"$1"', f"'{value.name}'").replace('"$2"', f'"{text}"')] if known else []


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
        yield f"put() {{ {_PUT[store]}; }}"
        yield 'while IFS= read -r line; do put "${line%%=*}" "${line#*=}" < /dev/null; done < secrets.env'
    yield "rm secrets.env"
