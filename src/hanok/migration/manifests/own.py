"""Hanok itself on the cluster, as `hanok render` put it there: the platform file in its ConfigMap, taken as it stands.

So a tree that was rendered gives back the platform it was rendered from; engines and pools add what they say besides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from hanok.migration.manifests.keys import Keys
from hanok.migration.manifests.told import Block, Draft, Path, Told
from hanok.migration.redis import ADDRESS_STAND_IN
from hanok.migration.secrets import DATABASE_STAND_IN, STAND_IN, URL_STAND_IN
from hanok.preflight import Case, Manifest
from hanok.preflight.manifests import NO_BODY, mapping_at, mappings_at
from hanok.preflight.reading import read_mapping

_NAMED = ("models", "knowledge", "tools", "agents")
_VARIABLE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}")
_FORMS = {"database": DATABASE_STAND_IN, "redis": ADDRESS_STAND_IN, "url": URL_STAND_IN, "uri": URL_STAND_IN}


def read_own(case: Case, draft: Draft, told: Told, keys: Keys) -> None:
    """Every platform file in a ConfigMap; of several the first counts."""
    for manifest in case.cluster.of("ConfigMap", group=""):
        for key, text in mapping_at(manifest.body, "data").items():
            body = read_mapping(text) if isinstance(text, str) and "serve" in text else NO_BODY
            if not any("serve" in each for each in mappings_at(body, "models")):
                continue
            told.take(manifest)
            if draft.models:
                told.left(manifest, ("data", key), "another platform of Hanok's: the first was taken")
            else:
                _take(manifest, ("data", key), body, draft, keys)
                told.carried(manifest, ("data", key), "models[]", "Hanok's own platform, as it stands")


def _take(manifest: Manifest, path: Path, body: Mapping[str, Any], draft: Draft, keys: Keys) -> None:
    for key, value in body.items():
        if key in _NAMED and isinstance(value, list):
            for block in cast("list[Any]", value):
                if isinstance(block, dict) and "name" in block:
                    draft.add(key, cast("Block", block), manifest, path)
        else:
            draft.rest[key] = value
    for key, text in _texts(body):
        for found in _VARIABLE.finditer(text):
            if found[2] is None:
                keys.variables.refer(found[1], _FORMS.get(key, STAND_IN))
            else:
                keys.variables.offer(found[1], found[2])


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text, with the nearest key above it."""
    if isinstance(value, dict):
        for name, each in cast("dict[str, Any]", value).items():
            yield from _texts(each, name)
    elif isinstance(value, list):
        for each in cast("list[Any]", value):
            yield from _texts(each, key)
    elif isinstance(value, str):
        yield key, value
