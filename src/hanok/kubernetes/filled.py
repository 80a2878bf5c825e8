"""Secrets whose values are texts with variables in them: a header `Bearer ${env:TOKEN}` is filled in the cluster. Pure.

External Secrets fetches the variables and fills a template of its own, so that the tree holds names only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from hanok.kubernetes.component import Body
from hanok.kubernetes.external import external_secret
from hanok.kubernetes.plan import ClusterPlan
from hanok.spec.written import VARIABLE


def filled_secret(plan: ClusterPlan, name: str, namespace: str, texts: Mapping[str, str], *, component: str) -> Body:
    """An ExternalSecret whose Secret has these texts of the platform file by key, filled."""
    needs = {each for text in texts.values() for each in fetched(plan, text)}
    made = {key: template(plan, text) for key, text in texts.items()}
    return templated_secret(plan, name, namespace, made, needs, component=component)


def templated_secret(
    plan: ClusterPlan, name: str, namespace: str, texts: Mapping[str, str], needs: Iterable[str], *, component: str
) -> Body:
    """An ExternalSecret whose Secret has what these templates make of the variables that are needed."""
    body = external_secret(plan, name, namespace, {each: each for each in needs}, component=component)
    body["spec"]["target"]["template"] = {"engineVersion": "v2", "data": dict(sorted(texts.items()))}
    return body


def template(plan: ClusterPlan, text: str) -> str:
    """A text of the platform file as External Secrets' template: what comes from the store is `{{ .NAME }}`."""
    return VARIABLE.sub(lambda found: _word(plan, found[1], found[2]), text)


def fetched(plan: ClusterPlan, text: str) -> list[str]:
    """Variables of a text that come from the store: those without a plain value that are secret or have no default."""
    return [each[1] for each in VARIABLE.finditer(text) if _is_fetched(plan, each[1], each[2])]


def _is_fetched(plan: ClusterPlan, name: str, default: str | None) -> bool:
    return name not in plan.cluster.hanok.variables and (default is None or name in plan.secret_variables)


def expression(plan: ClusterPlan, text: str) -> str:
    """The same as one expression inside of a template, for functions that take it whole."""
    parts = [each for each in _parts(plan, text) if each != '""']
    return f'list {" ".join(parts)} | join ""'


def _parts(plan: ClusterPlan, text: str) -> Iterator[str]:
    end = 0
    for found in VARIABLE.finditer(text):
        yield _quoted(text[end : found.start()])
        word = _word(plan, found[1], found[2])
        yield f".{found[1]}" if fetched(plan, found[0]) else _quoted(word)
        end = found.end()
    yield _quoted(text[end:])


def _quoted(text: str) -> str:
    """As Go's templates write a text."""
    return json.dumps(text)


def _word(plan: ClusterPlan, name: str, default: str | None) -> str:
    if _is_fetched(plan, name, default):
        return f"{{{{ .{name} }}}}"
    return plan.cluster.hanok.variables.get(name) or default or ""
