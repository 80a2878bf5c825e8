"""What one tree changes of another: object by object, key by key. Pure.

Objects are the same by kind, namespace and name, wherever their files are; items of lists by their `name`, where all
have one, so that one more container does not look like a change of all.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import yaml

from hanok.kubernetes.component import Body

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ABSENT = object()
Key = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One value that differs. `old` or `new` is None where there is none; `lines` are those of a long text."""

    place: str
    old: Any = None
    new: Any = None
    lines: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Change:
    """One object, or one file that is none, that is added, removed or changed."""

    what: Literal["added", "removed", "changed"]
    title: str
    path: str
    edits: Sequence[Edit] = ()


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> list[Change]:
    """Every change from the files of one tree to those of another, in the order of paths."""
    before, after = _objects(old), _objects(new)
    found = [_change(before.get(key), after.get(key), key) for key in before | after]
    return sorted((each for each in found if each), key=lambda each: (each.path, each.title))


Standing = tuple[str, Body | str]
"""A file's path, and what it holds."""


def _objects(files: Mapping[str, str]) -> dict[Key, Standing]:
    found: dict[Key, Standing] = {}
    for path, text in files.items():
        if path.endswith("/kustomization.yaml"):  # which only lists files
            continue
        body = _body(path, text)
        key = (path,) if isinstance(body, str) or not isinstance(body.get("metadata"), dict) else _key(body)
        found[key] = (path, body)
    return found


def _body(path: str, text: str) -> Body | str:
    """An object, or the text of what is none, or can no longer be read."""
    if not path.endswith(".yaml"):
        return text
    try:
        loaded = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, ValueError, RecursionError):  # a date that is none; nested too deeply
        return text
    return cast("Body", loaded) if isinstance(loaded, dict) else text


def _key(body: Body) -> Key:
    metadata = body["metadata"]
    return (str(body.get("kind")), str(metadata.get("namespace", "")), str(metadata.get("name")))


def _title(key: Key) -> str:
    if len(key) == 1:
        return key[0]
    kind, namespace, name = key
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def _change(old: Standing | None, new: Standing | None, key: Key) -> Change | None:
    if old is None or new is None:
        path, _ = cast("Standing", new or old)
        return Change(what="added" if old is None else "removed", title=_title(key), path=path)
    edits = list(_edits(old[1], new[1], ""))
    return Change(what="changed", title=_title(key), path=new[0], edits=edits) if edits else None


def _edits(old: Any, new: Any, place: str) -> Iterator[Edit]:
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _of_mappings(cast("Body", old), cast("Body", new), place)
    elif (before := _by_name(old)) is not None and (after := _by_name(new)) is not None:
        yield from _of_mappings(before, after, place, named=True)
    elif isinstance(old, str) and isinstance(new, str) and old != new and "\n" in old + new:
        yield Edit(place=place, lines=_lines(old, new))
    elif old != new:
        yield Edit(place=place, old=None if old is _ABSENT else old, new=None if new is _ABSENT else new)


def _of_mappings(old: Body, new: Body, place: str, *, named: bool = False) -> Iterator[Edit]:
    for key in old | new:
        inner = f"{place}[{key}]" if named else f"{place}.{key}".removeprefix(".")
        yield from _edits(old.get(key, _ABSENT), new.get(key, _ABSENT), inner)


def _by_name(items: Any) -> Body | None:
    """The items of a list by their names; None where not all have one of their own."""
    entries = cast("list[Any]", items) if isinstance(items, list) else []
    blocks = [cast("Body", each) for each in entries if isinstance(each, dict)]
    named = {str(each["name"]): each for each in blocks if "name" in each}
    return named if named and len(named) == len(entries) else None


def _lines(old: str, new: str) -> list[str]:
    """The lines that differ, with a line around them, as `diff -U1` shows them."""
    found = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=1)
    return [each for each in found if not each.startswith(("---", "+++"))]
