"""Files in: the versions that ship with Hanok, a platform's lock, and the texts that a platform file names."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import ValidationError

from hanok.errors import Problem, SpecError
from hanok.kubernetes.lock import Lock, Pin
from hanok.kubernetes.rewriting import is_in_image
from hanok.kubernetes.texts import named_texts
from hanok.spec.load import check, read
from hanok.spec.nodes import Place, compose, construct, problem, where
from hanok.spec.tree import Loaded
from hanok.spec.written import Book, Written, as_written, walk

_ALERTS = ("cluster", "observe", "alerts")
"""Where the cluster block has a secret, which is fetched there."""
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def shipped() -> Lock:
    """The versions that this Hanok knows."""
    text = resources.files("hanok.kubernetes").joinpath("versions.yaml").read_text("utf-8")
    pins = cast("dict[str, Any]", yaml.load(text, Loader=_Loader))  # noqa: S506 - a safe loader
    return Lock(pins={name: Pin.model_validate(each) for name, each in pins.items()}, source="built in")


def load_lock(file: Path) -> Lock:
    """A platform's lock, or, where there is none, what ships. What it does not name is as it ships.

    Raises `SpecError` with every mistake, by its line.
    """
    text = read(file) if file.exists() else ""
    if all(line.lstrip().startswith("#") or not line.strip() for line in text.splitlines()):
        return shipped()
    book = Book(file)
    root = compose(text, file)
    walk(root, (), book, [])
    pins, values = dict(shipped().pins), cast("Mapping[str, Any]", construct(root, file))
    for name, given in values.items():
        _take(name, given, pins, book)
    if book.problems:
        raise SpecError(book.problems)
    return Lock(pins=pins, source=str(file))


def as_platform(text: str, file: Path) -> tuple[Loaded, Written]:
    """A platform as a cluster has it: variables have the values of `cluster.hanok.variables`, never those of here.

    Raises `SpecError`.
    """
    written = as_written(text, file)
    plain: dict[str, str] = {}
    if isinstance(given := written.at(("cluster", "hanok", "variables")), dict):
        found = cast("Mapping[Any, Any]", given).items()
        plain = {name: value for name, value in found if isinstance(name, str) and isinstance(value, str)}
    problems = list(_unknown(written, plain))
    if problems:
        raise SpecError(problems)
    return check(written, plain, lenient=True), written


def _unknown(written: Written, plain: Mapping[str, str]) -> Iterator[Problem]:
    """Variables of the cluster block without a value: what stands there must be known now."""
    for each in written.variables():
        asked = each.place[:1] == ("cluster",) and each.place[:3] != _ALERTS
        if asked and each.default is None and each.name not in plain:
            message = f"the value of {each.name} is not known where the tree is rendered"
            hint = f"write it here, or into `cluster.hanok.variables`, or a default: ${{env:{each.name}:-…}}"
            yield written.problem(each.place, message, hint)


def load_texts(loaded: Loaded, written: Written) -> dict[str, str]:
    """The texts that a platform file names, by their path in it. Raises `SpecError` with each that cannot go along."""
    found: dict[str, str] = {}
    problems: list[Problem] = []
    for place, path in named_texts(loaded.platform):
        if not is_in_image(path):
            hint = "put it beside platform.yaml, and name it from there"
            problems.append(written.problem(place, f"{path} lies outside of the folder of platform.yaml", hint))
            continue
        try:
            found[path.removeprefix("./")] = (loaded.folder / path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            problems.append(written.problem(place, f"{path} cannot be read: {reason}", "the cluster is given its text"))
    if problems:
        raise SpecError(problems)
    return found


def _take(name: str, given: Any, pins: dict[str, Pin], book: Book) -> None:
    if name not in pins:
        near = difflib.get_close_matches(str(name), pins, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "delete it; `hanok render` writes those that there are"
        _blame(book, (name,), f"no component is called {name!r}", hint)
        return
    try:
        taken = Pin.model_validate({**pins[name].model_dump(exclude_unset=True), **(given or {})})
    except (ValidationError, TypeError) as error:
        told = error.errors(include_url=False)[0]["msg"] if isinstance(error, ValidationError) else "must be a block"
        _blame(book, (name,), told, "as `version: 1.2.3`")
    else:
        _keep(name, taken, pins, book)


def _keep(name: str, taken: Pin, pins: dict[str, Pin], book: Book) -> None:
    """A pin that still says where its image or chart is."""
    before = pins[name]
    lost = [key for key in ("image", "chart") if getattr(before, key) and not getattr(taken, key)]
    if taken.chart and taken.repository is None and not taken.chart.startswith("oci://"):
        lost.append("repository")
    for key in lost:
        _blame(book, (name,), f"its `{key}` cannot be null", "name another, or delete the line")
    pins[name] = taken


def _blame(book: Book, place: Place, message: str, hint: str) -> None:
    book.problems.append(problem(book.file, *where(place, book.places), place, message, hint))
