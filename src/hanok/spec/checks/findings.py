"""What is wrong, and where; and what every check says alike."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
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
    hint = f"did you mean {quoted(near[0])}?" if near else f"declared {_several(what)}: {known}"
    return Finding(place=place, message=f"no {what} is called {quoted(name)}", hint=hint)


def _several(what: str) -> str:
    """`tool of this agent` → `tools of this agent`."""
    first, of, whose = what.partition(" of ")
    return f"{first}s{of}{whose}"


def circles(after: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """The circles in which names lead to one another, one for each step that closes one, in linear time.

    Each begins with the name that comes first in `after`; steps to names that are not in there lead nowhere.
    """
    index = {name: position for position, name in enumerate(after)}
    done: set[str] = set()
    for start in after:
        path = {start: iter(after[start])} if start not in done else {}
        while path:
            name = next(reversed(path))
            step = next((each for each in path[name] if each in after and each not in done), None)
            if step is None:
                done.add(name)
                del path[name]
            elif step in path:
                circle = list(path)[list(path).index(step) :]
                first = circle.index(min(circle, key=index.__getitem__))
                yield circle[first:] + circle[:first]
            else:
                path[step] = iter(after[step])


def as_circle(circle: Sequence[str]) -> str:
    """`a → b → a`, and not at any length."""
    return " → ".join([*circle[:8], *(["…"] if len(circle) > 8 else []), circle[0]])
