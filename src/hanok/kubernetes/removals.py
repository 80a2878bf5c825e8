"""What a flat tree no longer has, as commands that delete it: of theirs Flux and Argo CD see to that. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any, cast

import yaml

from hanok.kubernetes.differences import differences
from hanok.kubernetes.formats.flat import HELMFILE, folder_of_stage

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_AFTER_CHARTS = folder_of_stage("controllers")
Release = tuple[str, str]


def removals(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """From the last stage to the first, and charts before what they stand on; nothing of a tree that is not flat."""
    paths = [each.path for each in differences(old, new) if each.what == "removed" and each.path[:1].isdigit()]
    paths.sort(reverse=True)
    before = [each for each in paths if each.partition("/")[0] > _AFTER_CHARTS]
    after = [each for each in paths if each not in before]
    return [
        *(_deleted(old[each]) for each in before),
        *_uninstalled(old, new),
        *(_deleted(old[each]) for each in after),
    ]


def _deleted(text: str) -> str:
    """By kind and group: some kinds have one name in several groups, as Cluster."""
    body = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    group, _, version = str(body["apiVersion"]).rpartition("/")
    kind = f"{body['kind'].lower()}.{version}.{group}" if group else body["kind"].lower()
    space = body["metadata"].get("namespace")
    where = f" -n {shlex.quote(space)}" if space else ""
    return f"kubectl delete {kind} {shlex.quote(body['metadata']['name'])}{where} --ignore-not-found"


def _uninstalled(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    kept = set(_releases(new))
    for space, name in reversed(list(_releases(old))):
        if (space, name) not in kept:
            yield f"helm uninstall {shlex.quote(name)} -n {shlex.quote(space)} --ignore-not-found"


def _releases(files: Mapping[str, str]) -> Iterator[Release]:
    if HELMFILE in files:
        body = cast("Mapping[str, Any]", yaml.load(files[HELMFILE], Loader=_Loader))  # noqa: S506 - a safe loader
        yield from ((str(each["namespace"]), str(each["name"])) for each in body["releases"])
