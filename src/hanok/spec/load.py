"""platform.yaml in: bytes to a checked tree, with every mistake told by file, line and column.

YAML is composed into nodes first, so that each value keeps its place; `${env:NAME}` and `${env:NAME:-default}` are
filled in (nothing else reads the environment); then Pydantic checks shapes and `spec.checks` what refers to what.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import ValidationError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from hanok.errors import Problem, SpecError
from hanok.spec.checks import Finding, check_references
from hanok.spec.explain import explain
from hanok.spec.tree import Loaded, Platform

SIZE_LIMIT_BYTES = 4 * 1024 * 1024
DEPTH_LIMIT = 64
NODE_LIMIT = 200_000
_VARIABLE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
Place = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader; a class of its own so that nothing registered elsewhere leaks in."""


def load(file: Path, environment: Mapping[str, str] | None = None) -> Loaded:
    """Read and check a platform file.

    Raises `SpecError` with every problem found: an unreadable file, broken UTF-8 or YAML, wrong shapes, names that
    refer to nothing.
    """
    text = _read(file)
    return parse(text, file, os.environ if environment is None else environment)


def parse(text: str, file: Path, environment: Mapping[str, str]) -> Loaded:
    """Check a platform given as text; `file` is for messages and relative paths."""
    root = _compose(text, file)
    places: dict[Place, Node] = {}
    keys: dict[Place, Node] = {}
    problems: list[Problem] = []
    _walk(root, (), places, keys, problems, file, [])
    if problems:
        raise SpecError(problems)
    tree = _construct(root, file)
    filled = _fill(tree, (), environment, places, problems, file)
    if problems:
        raise SpecError(_sorted(problems))
    try:
        platform = Platform.model_validate(filled)
    except ValidationError as error:
        findings = [explain(Platform, detail) for detail in error.errors(include_url=False, include_input=False)]
        raise SpecError(_place(findings, file, places, keys)) from None
    if findings := check_references(platform):
        raise SpecError(_place(findings, file, places, keys))
    folder = file.resolve().parent
    return Loaded(platform=platform, file=file, folder=folder, state=folder / platform.state)


def _read(file: Path) -> str:
    def fail(message: str, hint: str | None = None) -> SpecError:
        return SpecError([Problem(file=str(file), line=0, column=0, path="", message=message, hint=hint)])

    try:
        if file.is_dir():
            raise fail("is a folder, not a file", "name the file, as in `hanok up platform.yaml`")
        with file.open("rb") as handle:
            data = handle.read(SIZE_LIMIT_BYTES + 1)
    except FileNotFoundError:
        raise fail("no such file", "write a starter with `hanok init`") from None
    except OSError as error:
        raise fail(f"cannot be read: {error.strerror}") from None
    if len(data) > SIZE_LIMIT_BYTES:
        raise fail(f"is larger than {SIZE_LIMIT_BYTES // 1024**2} MiB", "a platform file is a few kilobytes of YAML")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        raise SpecError(
            [
                Problem(
                    file=str(file),
                    line=line,
                    column=column,
                    path="",
                    message=f"is not UTF-8: byte 0x{data[error.start]:02x}",
                    hint="save the file as UTF-8",
                )
            ]
        ) from None


def _compose(text: str, file: Path) -> MappingNode:
    loader: Any = _Loader(text)
    try:
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        message = f"is not YAML: {error.problem or error.context}"
        raise SpecError([_problem(file, line, column, (), message)]) from None
    except yaml.YAMLError as error:
        raise SpecError([_problem(file, 0, 0, (), f"is not YAML: {str(error).splitlines()[0]}")]) from None
    except RecursionError:
        raise SpecError([_problem(file, 0, 0, (), "is nested too deeply")]) from None
    finally:
        loader.dispose()
    if node is None:
        raise SpecError([_problem(file, 0, 0, (), "is empty", "write a starter with `hanok init`")])
    if not isinstance(node, MappingNode):
        hint = "it begins with keys such as `name:` and `models:`"
        raise SpecError([_problem(file, node.start_mark.line + 1, 1, (), "is not a mapping of keys", hint)])
    return node


def _walk(
    node: Node,
    place: Place,
    places: dict[Place, Node],
    keys: dict[Place, Node],
    problems: list[Problem],
    file: Path,
    above: list[Node],
) -> None:
    """Note where every value and key stands; find duplicate keys, cycles and bombs of aliases on the way."""
    places[place] = node
    if node in above or len(above) > DEPTH_LIMIT or len(places) > NODE_LIMIT:
        mark = node.start_mark
        message = "refers to itself" if node in above else "is nested too deeply or repeats too much"
        raise SpecError([_problem(file, mark.line + 1, mark.column + 1, place, message)])
    if isinstance(node, SequenceNode):
        for index, item in enumerate(cast("list[Node]", node.value)):
            _walk(item, (*place, index), places, keys, problems, file, [*above, node])
    elif isinstance(node, MappingNode):
        seen: dict[str, Node] = {}
        for key, value in cast("list[tuple[Node, Node]]", node.value):
            name = str(key.value) if isinstance(key, ScalarNode) else "?"
            mark = key.start_mark
            if name in seen and name != "<<":
                first = seen[name].start_mark.line + 1
                message = f"key {name!r} is written twice; the first is in line {first}"
                problems.append(_problem(file, mark.line + 1, mark.column + 1, (*place, name), message))
            seen[name] = key
            keys[(*place, name)] = key
            _walk(value, (*place, name), places, keys, problems, file, [*above, node])


def _construct(root: MappingNode, file: Path) -> Any:
    loader: Any = _Loader("")
    try:
        return loader.construct_document(root)
    except (yaml.MarkedYAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise SpecError(
            [_problem(file, line, column, (), f"is not plain YAML: {getattr(error, 'problem', error)}")]
        ) from None
    finally:
        loader.dispose()


def _fill(
    value: Any,
    place: Place,
    environment: Mapping[str, str],
    places: Mapping[Place, Node],
    problems: list[Problem],
    file: Path,
) -> Any:
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value).items()
        return {key: _fill(item, (*place, str(key)), environment, places, problems, file) for key, item in items}
    if isinstance(value, list):
        return [
            _fill(item, (*place, index), environment, places, problems, file)
            for index, item in enumerate(cast("list[Any]", value))
        ]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        if name in environment:
            return environment[name]
        if default is None:
            line, column = _where(place, places)
            message = f"the environment has no variable {name}"
            hint = f"set it (`export {name}=…`) or give a default: ${{env:{name}:-…}}"
            problems.append(_problem(file, line, column, place, message, hint))
        return default or ""

    return _VARIABLE.sub(replace, value)


def _place(
    findings: list[Finding], file: Path, places: Mapping[Place, Node], keys: Mapping[Place, Node]
) -> list[Problem]:
    problems: list[Problem] = []
    for finding in findings:
        place = _as_written(finding.place, places)
        table = keys if finding.at_key and place in keys else places
        line, column = _where(place, table)
        problems.append(_problem(file, line, column, place, finding.message, finding.hint))
    return _sorted(problems)


def _as_written(place: Place, places: Mapping[Place, Node]) -> Place:
    """`serve` may be written as one block where the tree holds a list: then index 0 is not in the file."""
    written: Place = ()
    for step in place:
        if isinstance(step, int) and step == 0 and isinstance(places.get(written), MappingNode):
            continue
        written = (*written, step)
    return written


def _where(place: Place, places: Mapping[Place, Node]) -> tuple[int, int]:
    while place and place not in places:
        place = place[:-1]
    mark = places[place].start_mark if place in places else None
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)


def _problem(file: Path, line: int, column: int, place: Place, message: str, hint: str | None = None) -> Problem:
    return Problem(file=str(file), line=line, column=column, path=dotted(place), message=message, hint=hint)


def _sorted(problems: list[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: (problem.line, problem.column))


def dotted(place: Place) -> str:
    """`("models", 0, "serve")` as `models[0].serve`."""
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
