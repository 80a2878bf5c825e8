"""Schemas of an OpenAPI document as JSON Schemas that stand by themselves: for models, who see them in every call.

References are put in place of what they name. What contains itself is cut where it begins again, and what is too deep
or too much is left open: a schema that says less allows more, and the server judges in the end. Constraints that only
OpenAPI has, or that models have no use of, are left out.

Formats: OpenAPI 3.0 and 3.1, Schema Object; RFC 6901.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast
from urllib.parse import unquote

from hanok.agents.tools.pointer import Nowhere, at

JSON_TYPES = frozenset(("string", "number", "integer", "boolean", "array", "object", "null"))
DEPTH, NODES = 16, 1200
"""Of one operation's schema: how deep, and how many schemas in all."""
TEXT, CHOICES = 300, 100
"""Characters of a description; values of an `enum`."""
_PATTERN = 100
_CHAIN = 20
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")

JsonObject = dict[str, Any]


class Broken(ValueError):
    """A document that does not hold together. Its text says what and where."""


def found_at(document: Any, reference: str) -> Any:
    """What a reference names. Raises `Broken`."""
    if not reference.startswith("#"):
        raise Broken(f"`$ref: {reference[:100]}` is of another document; bundle them into one")
    try:
        return at(document, unquote(reference[1:]))
    except Nowhere:
        raise Broken(f"`$ref: {reference[:100]}` names nothing in it") from None


def followed(document: Any, value: Any) -> Any:
    """What stands there, or what it refers to. Raises `Broken`."""
    for _ in range(_CHAIN):
        if not isinstance(value, dict) or not isinstance(reference := cast("JsonObject", value).get("$ref"), str):
            return cast("Any", value)
        value = found_at(document, reference)
    raise Broken("references lead to one another without end")


class Schemas:
    """Makes schemas of one operation stand by themselves; all of them together are bounded."""

    def __init__(self, document: JsonObject) -> None:
        self._document = document
        self._left = NODES

    def plain(self, schema: Any, within: tuple[str, ...] = ()) -> JsonObject:
        """The schema without references. `within` are those that lead here. Raises `Broken`."""
        self._left -= 1
        if not isinstance(schema, dict):
            return {}  # `true`, or nothing
        given = cast("JsonObject", schema)
        reference = given.get("$ref")
        if isinstance(reference, str):
            return self._referred(given, reference, within)
        if self._left < 0 or len(within) > DEPTH:
            return _outline(given)
        return self._with_parts(given, (*within, ""))

    def _referred(self, given: JsonObject, reference: str, within: tuple[str, ...]) -> JsonObject:
        target = found_at(self._document, reference)
        if reference in within:
            return _outline(followed(self._document, target))
        plain = self.plain(target, (*within, reference))
        return {**plain, **_texts(given)}

    def _with_parts(self, given: JsonObject, within: tuple[str, ...]) -> JsonObject:
        plain = {**_types(given), **_texts(given), **_constraints(given)}
        properties = _object(given.get("properties"))
        kept = {str(name): each for name, each in properties.items() if not self._is_read_only(each)}
        if kept:
            plain["properties"] = {name: self.plain(each, within) for name, each in kept.items()}
        required = [name for name in _list(given.get("required")) if name in kept or name not in properties]
        if required and kept:
            plain["required"] = list(dict.fromkeys(filter(lambda name: isinstance(name, str), required)))
        for key in _LISTS:
            if parts := _list(given.get(key)):
                plain[key] = [self.plain(each, within) for each in parts]
        for key in ("items", "not"):
            if isinstance(given.get(key), dict):
                plain[key] = self.plain(given[key], within)
        more = given.get("additionalProperties")
        if isinstance(more, (bool, dict)):
            plain["additionalProperties"] = more if isinstance(more, bool) else self.plain(more, within)
        return _nullable(plain, given)

    def _is_read_only(self, schema: Any) -> bool:
        return _object(followed(self._document, schema)).get("readOnly") is True


def _outline(schema: Any) -> JsonObject:
    """What is said of a schema that is not shown."""
    given = _object(schema)
    return {**_types(given), **_texts(given)}


def _types(given: JsonObject) -> JsonObject:
    told = given.get("type")
    types = [each for each in (cast("list[Any]", told) if isinstance(told, list) else [told]) if each in JSON_TYPES]
    if not types:
        return {"type": "object"} if "properties" in given else {}
    return {"type": types if len(types) > 1 else types[0]}


def _texts(given: JsonObject) -> JsonObject:
    """What it is for. A pattern is told and not kept: it is the document's, and may take for ever to match."""
    text, pattern = given.get("description") or given.get("title"), given.get("pattern")
    told = [shortened(text, TEXT)] if isinstance(text, str) else []
    told += [f"Pattern: {pattern}"] if isinstance(pattern, str) and len(pattern) <= _PATTERN else []
    return {"description": " ".join(told)} if told else {}


def _constraints(given: JsonObject) -> JsonObject:
    checks: Mapping[Callable[[Any], bool], Sequence[str]] = {
        _is_number: _NUMBERS,
        _is_count: _COUNTS,
        _is_text: ("format",),
        lambda value: value is True: ("uniqueItems",),
        _is_plain: ("default", "const"),
    }
    kept = {key: given[key] for fits, keys in checks.items() for key in keys if key in given and fits(given[key])}
    for key, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if given.get(key) is True and bound in kept:  # OpenAPI 3.0
            kept[key] = kept.pop(bound)
    choices = _list(given.get("enum"))
    if 0 < len(choices) <= CHOICES and all(map(_is_plain, choices)):
        kept["enum"] = choices
    return kept


def _nullable(plain: JsonObject, given: JsonObject) -> JsonObject:
    """With null as a type, where OpenAPI 3.0 says so."""
    if given.get("nullable") is not True or not isinstance(plain.get("type"), str):
        return plain
    choices = {"enum": [*plain["enum"], None]} if "enum" in plain and None not in plain["enum"] else {}
    return {**plain, "type": [plain["type"], "null"], **choices}


def shortened(text: str, length: int) -> str:
    """The text in one line, at most that long."""
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _object(value: Any) -> JsonObject:
    return cast("JsonObject", value) if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_plain(value: Any) -> bool:
    """Whether it is one value that JSON can hold: YAML has dates too."""
    return value is None or isinstance(value, (str, int, float, bool))
