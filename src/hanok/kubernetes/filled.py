"""Secrets whose values are texts with variables in them: a header `Bearer ${env:TOKEN}` is filled in the cluster. Pure.

External Secrets fetches the variables and fills a template of its own, so that the tree holds names only.
"""

from __future__ import annotations

from collections.abc import Mapping

from hanok.kubernetes.component import Body
from hanok.kubernetes.external import external_secret
from hanok.kubernetes.plan import ClusterPlan
from hanok.spec.written import VARIABLE


def filled_secret(plan: ClusterPlan, name: str, namespace: str, texts: Mapping[str, str], *, component: str) -> Body:
    """An ExternalSecret whose Secret has these texts by key, as `template` writes them."""
    names = sorted({each for text in texts.values() for each in fetched(plan, text)})
    body = external_secret(plan, name, namespace, {each: each for each in names}, component=component)
    data = {key: template(plan, text) for key, text in sorted(texts.items())}
    body["spec"]["target"]["template"] = {"engineVersion": "v2", "data": data}
    return body


def template(plan: ClusterPlan, text: str) -> str:
    """A text of the platform file as External Secrets' template: what comes from the store is `{{ .NAME }}`."""
    return VARIABLE.sub(lambda found: _word(plan, found[1], found[2]), text)


def fetched(plan: ClusterPlan, text: str) -> list[str]:
    """Variables of a text that come from the store: those with neither a default nor a plain value."""
    plain = plan.cluster.hanok.variables
    return [each[1] for each in VARIABLE.finditer(text) if each[1] not in plain and each[2] is None]


def _word(plan: ClusterPlan, name: str, default: str | None) -> str:
    plain = plan.cluster.hanok.variables
    if name in plain:
        return plain[name]
    return f"{{{{ .{name} }}}}" if default is None else default
