"""Values that come out of the sandbox: what of them may go further, and how they are shown.

A few bytes in the sandbox can stand for a billion items (a list of the same list, of the same list …), and they share
them still when they come out. So nothing walks a whole value: every walk here stops after a number of items.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, cast

ITEMS = 20_000
"""The most items of a value that is carried on, where nothing else is said: some tens of milliseconds."""
DEPTH = 100
"""The most levels of it."""
_DIGITS = 4000


class NotCarried(ValueError):
    """A value that JSON cannot carry, or too much of it; says why."""


def as_json(value: object, items: int = ITEMS) -> Any:
    """A value made of what JSON has: tuples and sets become lists, dates, times and decimals texts.

    Raises `NotCarried`.
    """
    return _Walk(items).plain(value, 0)


def text_of(value: object, longest: int) -> str:
    """A value as JSON; one that has more items than that would have characters is not carried. Raises `NotCarried`."""
    return json.dumps(as_json(value, longest), ensure_ascii=False, allow_nan=False)


class _Walk:
    """One walk through a value, which counts the items."""

    def __init__(self, items: int) -> None:
        self._items = self._left = items

    def plain(self, value: object, depth: int) -> Any:
        self._count(depth)
        if value is None or isinstance(value, bool | str):
            return value
        if isinstance(value, int | float):
            return _number(value)
        if isinstance(value, Mapping):
            items = cast("Mapping[object, object]", value).items()
            return {self._key(key): self.plain(item, depth + 1) for key, item in items}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.plain(item, depth + 1) for item in cast("list[object]", value)]
        if isinstance(value, datetime | date | time):
            return value.isoformat()
        if isinstance(value, Decimal | timedelta):
            return str(value)
        raise NotCarried(f"a value of type {_type(value)}, which JSON cannot carry; give text, numbers, lists or dicts")

    def _count(self, depth: int) -> None:
        self._left -= 1
        if self._left < 0:
            raise NotCarried(f"more than {self._items:,} items; give less")
        if depth > DEPTH:
            raise NotCarried(f"lists or dicts more than {DEPTH} levels deep")

    def _key(self, key: object) -> str:
        if isinstance(key, str):
            return key
        if isinstance(key, bool | int | float) or key is None:
            return json.dumps(_number(key) if isinstance(key, int | float) else key)
        raise NotCarried(f"a dict with keys of type {_type(key)}; use text")


def _number(value: float) -> float:
    if isinstance(value, float) and not math.isfinite(value):
        raise NotCarried(f"{value}, which JSON does not have; give None or a text")
    if isinstance(value, int) and value.bit_length() > _DIGITS * 3:
        raise NotCarried("a number of thousands of digits; give a text, or less of them")
    return value


def _type(value: object) -> str:
    """What the sandbox calls it: the classes of its own come as stand-ins that bear the name."""
    return str(getattr(value, "name", "")) or type(value).__name__ if _is_stand_in(value) else type(value).__name__


def _is_stand_in(value: object) -> bool:
    return type(value).__module__.startswith("pydantic_monty")


def shown(value: object, longest: int) -> str:
    """A value as Python writes it, cut at so many characters."""
    pieces: list[str] = []
    length = 0
    for piece in _pieces(value, longest, 0):
        pieces.append(piece)
        length += len(piece)
        if length > longest:
            return "".join(pieces)[:longest] + "…"
    return "".join(pieces)


def _pieces(value: object, longest: int, depth: int) -> Iterator[str]:
    if depth > DEPTH:
        yield "…"
    elif isinstance(value, str | bytes):
        yield repr(value[: longest + 1])
    elif isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > _DIGITS * 3:
        yield f"<a whole number of {value.bit_length():,} bits>"
    elif isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        yield from _joined("{", iter(items), "}", longest, depth)
    elif isinstance(value, list | tuple | set | frozenset):
        items = cast("list[object]", value)
        begin, end = {list: "[]", tuple: "()"}.get(type(items), "{}")
        end = ",)" if end == ")" and len(items) == 1 else end
        yield from _joined(begin, ((item,) for item in items), end, longest, depth)
    elif value is None or isinstance(value, bool | int | float | datetime | date | time | timedelta | Decimal):
        yield repr(value)
    else:
        yield f"<{_type(value)}>"


def _joined(begin: str, items: Iterator[tuple[object, ...]], end: str, longest: int, depth: int) -> Iterator[str]:
    yield begin
    for index, item in enumerate(items):
        if index:
            yield ", "
        yield from _pieces(item[0], longest, depth + 1)
        if len(item) == 2:
            yield ": "
            yield from _pieces(item[1], longest, depth + 1)
    yield end
