"""A model's wish to use a tool, read and told: OpenAI's form of tool calls, and JSON in answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from hanok.agents.tool import ToolResult, ToolSpec

MOST_CALLS = 128
"""Calls of one message that are looked at: no honest model asks for more side by side."""
MOST_CHARACTERS = 1_000_000
"""Of the arguments of one call."""
MOST_DEPTH = 100
"""Objects and lists within one another in the arguments of a call: what keeps them takes no more than some hundreds."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One tool call. `key` names it in the run's receipts and requests; `problem` says why its arguments are none."""

    id: str
    key: str
    name: str
    arguments: dict[str, Any]
    problem: str | None = None


def read_call(call: Mapping[str, Any], key: str) -> Asked:
    """Read one of a message's `tool_calls`."""
    function: Mapping[str, Any] = call.get("function") or {}
    name, id_ = str(function.get("name") or ""), str(call.get("id") or key)
    raw = function.get("arguments")
    if isinstance(raw, dict):
        return Asked(id=id_, key=key, name=name, arguments=cast("dict[str, Any]", raw))
    if len(str(raw or "")) > MOST_CHARACTERS:
        return Asked(id=id_, key=key, name=name, arguments={}, problem=f"more than {MOST_CHARACTERS} characters")
    try:
        read = json.loads(str(raw or "{}"), parse_int=_read_int)
    except (ValueError, RecursionError) as error:
        return Asked(id=id_, key=key, name=name, arguments={}, problem=str(error))
    if not isinstance(read, dict):
        return Asked(id=id_, key=key, name=name, arguments={}, problem="they must be an object")
    if _is_deeper(cast("object", read), MOST_DEPTH):
        return Asked(id=id_, key=key, name=name, arguments={}, problem=f"they are nested deeper than {MOST_DEPTH}")
    return Asked(id=id_, key=key, name=name, arguments=cast("dict[str, Any]", read))


def _read_int(text: str) -> int:
    """A whole number that everything takes that keeps it. Raises `ValueError`."""
    if len(text) > 20 or not -(2**63) <= (read := int(text)) < 2**63:
        raise ValueError(f"the number {text[:25]} has more than 64 bits: say it as a text")
    return read


def _is_deeper(value: object, most: int) -> bool:
    if isinstance(value, dict | list):
        inner = cast("dict[str, object]", value).values() if isinstance(value, dict) else cast("list[object]", value)
        return most == 0 or any(_is_deeper(each, most - 1) for each in inner)
    return False


def tool_form(spec: ToolSpec) -> dict[str, Any]:
    """A tool as models are told of it."""
    parameters = dict(spec.parameters) or {"type": "object", "properties": {}}
    function = {"name": spec.name, "description": spec.description, "parameters": parameters}
    return {"type": "function", "function": function}


def schema_form(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON Schema as `response_format`."""
    name = str(schema.get("title") or "answer")
    return {"type": "json_schema", "json_schema": {"name": name, "schema": dict(schema)}}


def fitted(result: ToolResult, most: int) -> ToolResult:
    """A result no longer than that many characters, saying what was left out."""
    if len(result.content) <= most:
        return result
    cut = len(result.content) - most
    return replace(result, content=f"{result.content[:most]}\n[{cut} more characters were cut off]")


def read_object(text: str) -> dict[str, Any] | None:
    """The JSON object in an answer: all of it, or what stands in a fence or between the outer braces, if any does."""
    tries = [text, text.partition("```json")[2].partition("```")[0], text[text.find("{") : text.rfind("}") + 1]]
    for each in tries:
        try:
            read = json.loads(each)
        except (ValueError, RecursionError):
            continue
        if isinstance(read, dict):
            return cast("dict[str, Any]", read)
    return None
