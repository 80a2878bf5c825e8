"""The last word on what came of the manifests: Hanok's own loader. What it refuses is taken out, and told.

So whatever stands in a manifest, the platform is valid. Text of a manifest that looks like a variable of Hanok's stays
text: it must not bring in what the environment holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path as File
from typing import Any, cast

import yaml

from hanok.errors import Problem, SpecError
from hanok.migration.manifests.told import Draft, Path, Told
from hanok.migration.notes import Variable
from hanok.preflight.manifests import NO_BODY, mapping_at
from hanok.spec.load import parse

_ROUNDS = 100
_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")
_BEGINNING = re.compile(r"\$\{(?=[eE][nN][vV]:)(?P<proper>env:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-[^{}]*)?\})?")
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def mend(draft: Draft, variables: Sequence[Variable], told: Told, file: str) -> dict[str, Any]:
    """The draft's platform, without what Hanok refuses; empty where no model is left."""
    names = {each.name for each in variables}
    platform = cast("dict[str, Any]", _escaped(draft.platform(), names))
    stand_ins = {each.name: each.stand_in for each in variables}
    for _ in range(_ROUNDS):
        if not platform.get("models"):
            return {}
        problems = _problems(platform, stand_ins)
        if not problems:
            return platform
        _take_out(platform, problems, draft, told, file)
    return {}


def _problems(platform: Mapping[str, Any], stand_ins: Mapping[str, str]) -> Sequence[Problem]:
    text = str(yaml.dump(platform, Dumper=_Dumper, sort_keys=False, allow_unicode=True))
    try:
        parse(text, File("platform.yaml"), stand_ins)
    except SpecError as error:
        return error.problems
    return ()


def _take_out(platform: dict[str, Any], problems: Sequence[Problem], draft: Draft, told: Told, file: str) -> None:
    """Take out what each problem names, or the nearest thing around it that is there; the last of a list first."""
    found: dict[Path, Problem] = {}
    for problem in problems:
        steps = tuple(int(each[1]) if each[1] else each[2] for each in _STEP.finditer(problem.path))
        found.setdefault(_nearest(platform, steps), problem)
    for place in sorted(found, key=_order, reverse=True):
        if place:
            _tell(platform, place, found[place], draft, told, file)
            _delete(platform, place)
        else:
            platform.clear()


def _nearest(platform: Mapping[str, Any], steps: Path) -> Path:
    value: Any = platform
    for index, step in enumerate(steps):
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return steps[:index]
    return steps


def _order(place: Path) -> tuple[tuple[int, str], ...]:
    return tuple((step, "") if isinstance(step, int) else (-1, step) for step in place)


def _delete(platform: Any, place: Path) -> None:
    for step in place[:-1]:
        platform = platform[step]
    del platform[place[-1]]


def _tell(platform: Mapping[str, Any], place: Path, problem: Problem, draft: Draft, told: Told, file: str) -> None:
    message = f"Hanok refuses `{problem.path}`: {problem.message}. It was left out"
    key = str(place[0])
    block = mapping_at(platform, key, place[1]) if len(place) > 1 else NO_BODY
    origin = draft.origins.get((key, str(block.get("name"))))
    if origin is not None:
        told.wrong(origin[0], origin[1], message)
    else:
        told.in_code("wrong", file, 0, "", message)


def _escaped(value: Any, names: set[str]) -> Any:
    """Every text without a beginning of a variable that the platform does not name itself."""
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        return {key: _escaped(each, names) for key, each in pairs}
    if isinstance(value, list):
        return [_escaped(each, names) for each in cast("list[Any]", value)]
    if not isinstance(value, str) or "${" not in value:
        return value
    return _BEGINNING.sub(lambda found: found[0] if found["name"] in names else f"$ {found[0][1:]}", value)
