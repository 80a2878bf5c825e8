"""platform.yaml as it is written: values with their variables unfilled, and the place of each.

What a cluster is given is this, not the filled tree: a secret that is set where the tree is rendered must not get in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hanok.errors import Problem
from hanok.spec.nodes import Book, Place, compose, construct, problem, walk, where

VARIABLE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}")
NOT_SET = "variable-not-set"
"""What stands, in some form, for a variable without a value where that is let pass."""


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One `${env:NAME}` or `${env:NAME:-default}`, and where it stands."""

    name: str
    default: str | None
    place: Place


@dataclass(frozen=True, kw_only=True, eq=False)
class Written:
    """A platform file as it stands: `values` as YAML gives them."""

    text: str
    values: dict[str, Any]
    book: Book

    def variables(self) -> Iterator[Variable]:
        """Every use of a variable, in the order of the file."""
        yield from _variables(self.values, ())

    def at(self, place: Place) -> Any:
        """What stands there; None where nothing is."""
        value: Any = self.values
        for step in self.standing(place):
            value = _step(value, step)
        return value

    def standing(self, place: Place) -> Place:
        """The place as it is written: where a block stands for a list of one, there is no index."""
        value, found = cast("Any", self.values), list[str | int]()
        for step in place:
            if not (step == 0 and isinstance(value, dict)):
                value = _step(value, step)
                found.append(step)
        return tuple(found)

    def problem(self, place: Place, message: str, hint: str) -> Problem:
        """What is wrong there, by file, line and column: of the place, or of the nearest above that is written."""
        place = self.standing(place)
        return problem(self.book.file, *where(place, self.book.places), place, message, hint)


def as_written(text: str, file: Path) -> Written:
    """The values of a platform file that has been checked. Raises `SpecError` for what is no YAML."""
    book = Book(file)
    root = compose(text, file)
    walk(root, (), book, [])
    return Written(text=text, values=construct(root, file), book=book)


def _step(value: Any, step: str | int) -> Any:
    if isinstance(value, dict):
        return cast("dict[str | int, Any]", value).get(step)
    items = cast("list[Any]", value) if isinstance(value, list) else []
    return items[step] if isinstance(step, int) and step < len(items) else None


def _variables(value: Any, place: Place) -> Iterator[Variable]:
    if isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            yield from _variables(item, (*place, key))
    elif isinstance(value, list):
        for index, item in enumerate(cast("list[Any]", value)):
            yield from _variables(item, (*place, index))
    elif isinstance(value, str):
        for found in VARIABLE.finditer(value):
            yield Variable(name=found[1], default=found[2], place=place)
