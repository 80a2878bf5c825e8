"""What a question's filter says of passages' metadata, read once: for Milvus an expression, else a plain predicate.

Filters come from callers, so they are bounded before anything is made of them, and what is put into an expression is
either a number, a word of ours, or a string quoted here. A key that a passage does not have equals nothing: `eq`, `in`
and the orders do not hold for it, `ne` and `nin` do. Values of other types are never equal, greater or less; true and
false are of a type of their own, and no numbers.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from hanok.errors import RequestError
from hanok.knowledge.values import Comparison, Compound, Plain

MAX_BYTES = 64 * 1024
MAX_DEPTH = 8
MAX_COMPARISONS = 200
MAX_KEY_CHARACTERS = 256
MAX_VALUE_CHARACTERS = 4096
_INT64 = 2**63
_ORDERS = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}
_SIGNS = {"eq": "==", "ne": "!=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


@dataclass(frozen=True, kw_only=True)
class Joined:
    """Conditions that all hold (`and`), or of which one holds or more (`or`)."""

    type: Literal["and", "or"]
    parts: tuple[Condition, ...]


Condition = Comparison | Joined


class _Typed(msgspec.Struct):
    type: str = ""


def read_filter(raw: msgspec.Raw | bytes | None) -> Condition | None:
    """Read a filter in OpenAI's form, as JSON. Raises `RequestError` with the place of what cannot be understood."""
    if raw is None or bytes(raw).strip() == b"null":
        return None
    if len(bytes(raw)) > MAX_BYTES:
        raise _mistake("filters", f"is longer than {MAX_BYTES} bytes")
    condition = _read(bytes(raw), "filters", MAX_DEPTH)
    if _count(condition) > MAX_COMPARISONS:
        raise _mistake("filters", f"compares more than {MAX_COMPARISONS} values")
    return condition


def holds(condition: Condition | None, metadata: Mapping[str, Plain]) -> bool:
    """Whether it holds for a passage with this metadata; no condition always does."""
    if condition is None:
        return True
    if isinstance(condition, Joined):
        return (all if condition.type == "and" else any)(holds(part, metadata) for part in condition.parts)
    return _compare(condition, metadata.get(condition.key))


def as_expression(condition: Condition) -> str:
    """The same for Milvus, Lite or server, over the JSON field `metadata`.

    https://milvus.io/docs/json-operators.md; Lite knows no `in` there, and a server compares no values of other types,
    true and false not with numbers. Lite, for which true is 1, is asked for `facts` instead.
    """
    if isinstance(condition, Joined):
        return "(" + f" {condition.type} ".join(as_expression(part) for part in condition.parts) + ")"
    field = f"metadata[{quoted(condition.key)}]"
    match condition.type:
        case "in":
            return "(" + " or ".join(f"{field} == {_literal(value)}" for value in _values(condition)) + ")"
        case "nin":
            unequal = " and ".join(f"{field} != {_literal(value)}" for value in _values(condition))
            return f"(not (exists {field}) or ({unequal}))"
        case "ne":
            return f"(not (exists {field}) or {field} != {_literal(condition.value)})"
        case _:
            return f"{field} {_SIGNS[condition.type]} {_literal(condition.value)}"


def quoted(text: str) -> str:
    """A string literal of Milvus' expressions."""
    return f'"{text.translate(_ESCAPES)}"'


def _read(raw: bytes, place: str, depth: int) -> Condition:
    if not depth:
        raise _mistake(place, f"is nested deeper than {MAX_DEPTH} levels")
    kind = _decode(raw, _Typed, place).type
    if kind in ("and", "or"):
        found = _decode(raw, Compound, place)
        if not found.filters:
            raise _mistake(f"{place}.filters", "is empty")
        parts = (_read(bytes(part), f"{place}.filters[{index}]", depth - 1) for index, part in enumerate(found.filters))
        return Joined(type=found.type, parts=tuple(parts))
    return _checked(_decode(raw, Comparison, place), place)


def _decode(raw: bytes, kind: Any, place: str) -> Any:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _mistake(place, f"cannot be understood: {error}") from None


def _checked(found: Comparison, place: str) -> Comparison:
    listed = isinstance(found.value, list)
    if listed != (found.type in ("in", "nin")):
        raise _mistake(f"{place}.value", f"must {'not ' if listed else ''}be a list for `{found.type}`")
    if not 1 <= len(found.key) <= MAX_KEY_CHARACTERS or not found.key.isprintable():
        raise _mistake(f"{place}.key", f"must be 1 to {MAX_KEY_CHARACTERS} printable characters")
    if not _values(found):
        raise _mistake(f"{place}.value", "is empty")
    for value in _values(found):
        _check_value(found, value, f"{place}.value")
    return found


def _check_value(found: Comparison, value: Plain, place: str) -> None:
    if isinstance(value, bool):
        if found.type in _ORDERS:
            raise _mistake(place, f"cannot be true or false for `{found.type}`")
    elif isinstance(value, str):
        if len(value) > MAX_VALUE_CHARACTERS or "\0" in value:
            raise _mistake(place, f"must be at most {MAX_VALUE_CHARACTERS} characters without a null character")
    elif isinstance(value, int) and not -_INT64 <= value < _INT64:
        raise _mistake(place, "is beyond 64 bits")


def _compare(found: Comparison, value: Plain | None) -> bool:
    match found.type:
        case "eq" | "in":
            return value is not None and _is_one_of(value, _values(found))
        case "ne" | "nin":
            return value is None or not _is_one_of(value, _values(found))
        case kind:
            try:
                return not isinstance(value, bool | None) and bool(_ORDERS[kind](value, found.value))
            except TypeError:
                return False


def _is_one_of(value: Plain, values: list[Plain]) -> bool:
    return any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in values)


def _values(found: Comparison) -> list[Plain]:
    return found.value if isinstance(found.value, list) else [found.value]


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return quoted(value) if isinstance(value, str) else repr(value)


def _count(condition: Condition) -> int:
    if isinstance(condition, Joined):
        return sum(_count(part) for part in condition.parts)
    return len(_values(condition))


def _mistake(place: str, what: str) -> RequestError:
    return RequestError(f"{place} {what}", param=place, code="invalid_filter")
