"""What is wrong, and where; and what every check says alike."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something wrong at a place of the tree; `at_key` when the key itself is at fault, not its value.

    `instead` is the key that an unknown key was meant to be: that it is `missing` then is no second mistake.
    """

    place: tuple[str | int, ...]
    message: str
    hint: str | None = None
    at_key: bool = False
    instead: str | None = None
    missing: bool = False


def quoted(text: str) -> str:
    """What stands in the file, as a message shows it: in quotes, and not at any length."""
    return repr(text if len(text) <= 60 else f"{text[:59]}…")


def duplicates(block: str, named: Sequence[Any], hint: str) -> Iterator[Finding]:
    """Names that stand twice in one list."""
    first: dict[str, int] = {}
    for index, each in enumerate(named):
        if each.name in first:
            message = f"the name {quoted(each.name)} is taken by {block}[{first[each.name]}]"
            yield Finding(place=(block, index, "name"), message=message, hint=hint)
        first.setdefault(each.name, index)


def unknown(what: str, name: str, declared: Sequence[str], place: tuple[str | int, ...]) -> Finding:
    """A name of nothing, and what was perhaps meant."""
    near = difflib.get_close_matches(name, declared, n=1)
    known = ", ".join(declared) or "none"
    hint = f"did you mean {quoted(near[0])}?" if near else f"declared {what}s: {known}"
    return Finding(place=place, message=f"no {what} is called {quoted(name)}", hint=hint)
