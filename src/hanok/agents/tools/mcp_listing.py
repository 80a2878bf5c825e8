"""What an MCP server lists, judged: which of its tools are offered, under which names, with which schemas.

A server is somebody else's program. What it says of its tools goes to models and to a validator, so it is bounded
here, once: what is too long is cut or left out, and each thing that is left out has a note that says why.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, cast

from jsonschema import Draft202012Validator, SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable

from hanok.agents.tool import ToolSpec
from hanok.agents.tools.mcp_names import fit_name, with_mark
from hanok.spec.tree.tools import McpTool
from hanok.wire import NANO

MOST_TOOLS = 200
"""The most tools of one server that are offered; more than that no model chooses among well."""
DESCRIPTION_LIMIT = 4000
"""Characters, as of tools that are declared."""
SCHEMA_LIMIT = 32_000
"""Characters of a schema as JSON."""
NOTES_LIMIT = 20
_DEEPEST = 40
_NOTHING_FETCHED: Any = Registry[Any]()
_ONE = ("items", "contains", "additionalProperties", "unevaluatedProperties", "unevaluatedItems", "propertyNames",
        "not", "if", "then", "else", "additionalItems", "contentSchema")  # fmt: skip
_SEVERAL = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("properties", "$defs", "definitions", "dependentSchemas")


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One tool as its server lists it; `repeatable` is what the server says of calling it twice."""

    name: str
    description: str
    schema: Mapping[str, Any]
    repeatable: bool


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A tool that is offered: `name` is the server's own, `spec` what models are told."""

    name: str
    spec: ToolSpec


def choose(listed: Iterable[Listed], declared: McpTool) -> tuple[list[Offer], list[str]]:
    """The tools to offer, and notes on those that are left out though they were asked for."""
    offers: dict[str, Offer] = {}
    seen: set[str] = set()
    notes: list[str] = []
    for tool in listed:
        if not _wanted(tool.name, declared):
            continue
        if reason := _reason_against(tool, seen, len(offers)):
            notes.append(f"{tool.name[:80]!r} is not offered: {reason}")
            continue
        seen.add(tool.name)
        name = _free_name(fit_name(tool.name, declared.name if declared.prefix else None), tool.name, offers)
        offers[name] = Offer(name=tool.name, spec=_spec(tool, name, declared))
    return list(offers.values()), _few(notes)


def tame(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema without regular expressions: those of strangers may take for ever (and the server checks them anyway).

    Models still read a `pattern`, in the description. Raises `ValueError` when it is nested too deeply.
    """
    return _tame(schema, _DEEPEST)


def _wanted(name: str, declared: McpTool) -> bool:
    return any(fnmatchcase(name, each) for each in declared.include) and not any(
        fnmatchcase(name, each) for each in declared.exclude
    )


def _reason_against(tool: Listed, seen: set[str], offered: int) -> str | None:
    if tool.name in seen:
        return "the server lists that name twice"
    if offered >= MOST_TOOLS:
        return f"more than {MOST_TOOLS} tools; choose some with `include`"
    return _reason_against_schema(tool.schema)


def _reason_against_schema(schema: Mapping[str, Any]) -> str | None:
    if schema.get("type", "object") != "object":
        return "its schema is not that of an object"
    try:
        if len(json.dumps(schema)) > SCHEMA_LIMIT:
            return f"its schema is longer than {SCHEMA_LIMIT} characters"
        if any(not reference.startswith("#") for reference in _references(tame(schema))):
            return "its schema refers to another document"
        return _reason_against_meaning(tame(schema))
    except (RecursionError, ValueError):
        return "its schema is nested too deeply"


def _reason_against_meaning(schema: Mapping[str, Any]) -> str | None:
    try:
        Draft202012Validator.check_schema(schema)
        validator: Any = Draft202012Validator(schema, registry=_NOTHING_FETCHED)
        next(iter(validator.iter_errors({})), None)  # what refers to itself without end shows at once
    except (SchemaError, Unresolvable) as error:
        return f"its schema is none: {str(error).splitlines()[0][:200]}"
    return None


def _references(schema: object) -> Iterable[str]:
    """Every `$ref` and `$dynamicRef` in it."""
    if isinstance(schema, dict):
        for key, value in cast("dict[str, object]", schema).items():
            if key in ("$ref", "$dynamicRef") and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for each in cast("list[object]", schema):
            yield from _references(each)


def _tame(schema: Mapping[str, Any], left: int) -> dict[str, Any]:
    if left == 0:
        raise ValueError("too deep")
    made = {key: _tame_value(key, value, left - 1) for key, value in schema.items()}
    if isinstance(pattern := made.pop("pattern", None), str):
        said = made.get("description")
        told = f"(pattern: {pattern[:200]})"
        made["description"] = f"{said} {told}" if isinstance(said, str) else told
    if made.pop("patternProperties", None) is not None:  # what they allow must not be forbidden now
        made.pop("additionalProperties", None)
        made.pop("unevaluatedProperties", None)
    return made


def _tame_value(key: str, value: object, left: int) -> object:
    if key in _ONE and isinstance(value, dict):
        return _tame(cast("dict[str, Any]", value), left)
    if (key in _SEVERAL or key == "items") and isinstance(value, list):
        return [_tame_any(each, left) for each in cast("list[object]", value)]
    if key in _NAMED and isinstance(value, dict):
        return {name: _tame_any(each, left) for name, each in cast("dict[str, object]", value).items()}
    return value


def _tame_any(value: object, left: int) -> object:
    return _tame(cast("dict[str, Any]", value), left) if isinstance(value, dict) else value


def _spec(tool: Listed, name: str, declared: McpTool) -> ToolSpec:
    return ToolSpec(
        name=name,
        description=_cut(tool.description or tool.name, DESCRIPTION_LIMIT),
        parameters={"type": "object", "properties": {}, **tame(tool.schema)},
        timeout_s=declared.timeout_s,
        max_output=declared.max_output,
        safe=tool.repeatable,
        cost_nano_usd=round(declared.usd * NANO),
    )


def _free_name(name: str, own: str, taken: Mapping[str, Offer]) -> str:
    return name if name not in taken else with_mark(name, own)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _few(notes: Sequence[str]) -> list[str]:
    left = len(notes) - NOTES_LIMIT
    return [*notes[:NOTES_LIMIT], *([f"and {left} more are not offered"] if left > 0 else [])]
