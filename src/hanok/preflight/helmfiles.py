"""Helmfiles: each release is taken for an object that installs a chart, so that it counts as one of Flux's does.

What a release is told in other files, by templates and by environments is not read: `valuesFrom` says that there is
more. Form: https://helmfile.readthedocs.io, `releases[]`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from yaml import Node

from hanok.preflight.manifests import Body, Manifest, list_at, mapping_at, mappings_at, text_at

GROUP = "helmfile.sh"
"""In place of an API's group: no API server is given such objects."""
KIND = "Release"


def is_helmfile(body: Body) -> bool:
    """Whether a mapping without a kind tells helmfile what to install."""
    return any(_is_release(each) for each in mappings_at(body, "releases"))


def releases(body: Body, file: str, nodes: list[Node], offset: int) -> Iterator[Manifest]:
    """A `Release` for each that is installed. `nodes` are those of the list's items, `offset` as a manifest's."""
    for index, each in enumerate(list_at(body, "releases")):
        release = mapping_at(each)
        if _is_release(release) and release.get("installed") is not False:
            node = nodes[index] if index < len(nodes) else None
            yield Manifest(body=_release(release), file=file, node=node, offset=offset)


def _is_release(each: Body) -> bool:
    return bool(text_at(each, "name") and text_at(each, "chart"))


def _release(each: Body) -> Body:
    values: dict[str, Any] = {}
    unread = list_at(each, "set") + list_at(each, "secrets")
    for part in list_at(each, "values"):
        if isinstance(part, dict):
            values = _laid_over(values, cast("dict[str, Any]", part))
        else:
            unread.append(part)
    metadata = {"name": text_at(each, "name"), "namespace": text_at(each, "namespace") or "default"}
    chart, version = text_at(each, "chart"), text_at(each, "version")
    spec = {"chart": chart, "version": version, "values": values, "valuesFrom": unread}
    return {"apiVersion": f"{GROUP}/v1", "kind": KIND, "metadata": metadata, "spec": spec}


def _laid_over(first: Body, later: Body) -> dict[str, Any]:
    """Both, mappings within each other: so Helm reads one file of values after another."""
    both = {key: (first[key], later[key]) for key in first.keys() & later.keys()}
    deep = {
        key: _laid_over(mapping_at(one), mapping_at(two)) for key, (one, two) in both.items() if _are_mappings(one, two)
    }
    return {**first, **later, **deep}


def _are_mappings(*values: object) -> bool:
    return all(isinstance(each, dict) for each in values)
