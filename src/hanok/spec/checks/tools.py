"""Tools, wherever they are declared: what they name must be there, and what models are told of them must hold."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Iterator
from typing import Any, cast

from hanok.spec.checks.findings import Finding, duplicates, quoted, unknown
from hanok.spec.signatures import NoFunction, NoSignature, read_signature
from hanok.spec.tree import (
    Agent,
    AgentTool,
    CodeTool,
    HttpTool,
    KnowledgeTool,
    McpTool,
    OpenApiTool,
    Platform,
    PythonTool,
    Tool,
)
from hanok.spec.tree.templates import PLACEHOLDER, names_in
from hanok.spec.tree.tools import is_plain

Place = tuple[str | int, ...]
SEVERAL = (McpTool, OpenApiTool)
"""Tools that are many, by names that are known only when they are opened."""
CALLABLE = (HttpTool, KnowledgeTool, PythonTool)
"""Tools that code may call: one function each, that need no run of their own."""


def check_tools(platform: Platform) -> Iterator[Finding]:
    """The tools of `tools`, and those that agents declare for themselves."""
    yield from duplicates("tools", platform.tools, "give one of them another name")
    for index, tool in enumerate(platform.tools):
        yield from _unfit(platform, None, tool, ("tools", index))
    for index, agent in enumerate(platform.agents):
        for position, tool in enumerate(agent.tools):
            if not isinstance(tool, str):
                yield from _unfit(platform, agent, tool, ("agents", index, "tools", position))


def known_tools(platform: Platform, agent: Agent | None) -> dict[str, Tool]:
    """The tools that an agent, or a tool beside it, may name: its own, and the declared."""
    own = [tool for tool in agent.tools if not isinstance(tool, str)] if agent else []
    return {tool.name: tool for tool in (*platform.tools, *own)}


def _unfit(platform: Platform, agent: Agent | None, tool: Tool, place: Place) -> Iterator[Finding]:
    match tool:
        case HttpTool():
            yield from _unfit_request(tool, place)
        case KnowledgeTool():
            bases = [base.name for base in platform.knowledge]
            if tool.base not in bases:
                yield unknown("knowledge base", tool.base, bases, (*place, "base"))
        case PythonTool():
            yield from _unfit_code(tool, place)
        case CodeTool():
            yield from _unfit_functions(platform, agent, tool, place)
        case AgentTool():
            if platform.agent(tool.agent) is None:
                yield unknown("agent", tool.agent, [each.name for each in platform.agents], (*place, "agent"))
        case McpTool() | OpenApiTool():
            pass


def _unfit_request(tool: HttpTool, place: Place) -> Iterator[Finding]:
    yield from _unfit_schema(tool.parameters, place)
    arguments: dict[str, Any] | None = tool.parameters.get("properties")
    if isinstance(arguments, dict):
        yield from _nameless(tool, arguments, place)
        yield from _placeless(tool, arguments, place)
    if re.search(r"[{}]", PLACEHOLDER.sub("", tool.url)):
        message = "has a { or } that is not around the name of an argument"
        yield Finding(place=(*place, "url"), message=message, hint="write it as `{query}`, or escape it: %7B, %7D")


def _nameless(tool: HttpTool, arguments: dict[str, Any], place: Place) -> Iterator[Finding]:
    """Places for arguments that there are not."""
    for where, text in _texts(tool):
        for name in names_in(text):
            if name not in arguments:
                yield unknown("argument", name, list(arguments), (*place, *where))


def _placeless(tool: HttpTool, arguments: dict[str, Any], place: Place) -> Iterator[Finding]:
    """Arguments that would be sent nowhere: `query` or `body` says what is sent in their place."""
    instead = "query" if tool.method in ("GET", "DELETE") else "body"
    named = names_in([tool.url, tool.query, tool.body])
    idle = next((name for name in arguments if name not in named), None)
    if idle is not None and (tool.query if instead == "query" else tool.body is not None):
        message = f"argument {quoted(idle)} stands nowhere in what is sent"
        hint = f"write `{{{idle}}}` where it belongs, or leave `{instead}` out: all arguments are sent there then"
        yield Finding(place=(*place, "parameters", idle), message=message, hint=hint)


def _texts(tool: HttpTool) -> Iterator[tuple[Place, str]]:
    """Where arguments may stand, and the texts there."""
    yield ("url",), tool.url
    yield from _texts_in(tool.query, ("query",))
    yield from _texts_in(tool.body, ("body",))


def _texts_in(value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            yield from _texts_in(item, (*place, key))
    elif isinstance(value, list):
        for index, item in enumerate(cast("list[Any]", value)):
            yield from _texts_in(item, (*place, index))


def _unfit_schema(schema: dict[str, Any], place: Place) -> Iterator[Finding]:
    """Schemas that are none, as far as the extra that knows them is installed."""
    if schema.get("type", "object") != "object":
        message = f"describes a value of type {schema['type']!r}, and arguments are an object"
        hint = "write `{type: object, properties: …}`, or in short `{query: string}`"
        yield Finding(place=(*place, "parameters", "type"), message=message, hint=hint)
    elif not is_plain(schema) and importlib.util.find_spec("jsonschema") is not None:  # which is slow to import
        validators: Any = importlib.import_module("jsonschema")
        try:
            validators.Draft202012Validator.check_schema(schema)
        except validators.SchemaError as error:
            where = (*place, "parameters", *error.absolute_path)
            yield Finding(place=where, message=f"is no JSON Schema: {error.message[:200]}")


def _unfit_code(tool: PythonTool, place: Place) -> Iterator[Finding]:
    try:
        signature = read_signature(tool.code, tool.function, annotated=not tool.parameters)
    except NoSignature as error:
        at = "function" if isinstance(error, NoFunction) else "code"
        message = f"line {error.line} of the code: {error.message}" if error.line else error.message
        yield Finding(place=(*place, at), message=message, hint=error.hint)
        return
    if tool.parameters:
        yield from _unfit_schema(tool.parameters, place)
        yield from _unfit_parameters(tool.parameters, signature.parameters, signature.name, place)


def _unfit_parameters(told: dict[str, Any], taken: dict[str, Any], function: str, place: Place) -> Iterator[Finding]:
    """Arguments that models may give and the function does not take, and the other way round."""
    properties: dict[str, Any] = told.get("properties", {})
    odd = [] if taken["additionalProperties"] else [name for name in properties if name not in taken["properties"]]
    for name in odd:
        yield unknown(f"argument of {function}()", name, list(taken["properties"]), (*place, "parameters", name))
    for name in taken["required"]:
        if name not in properties and not odd:
            message = f"{function}() needs the argument {quoted(name)}, which is not among them"
            yield Finding(place=(*place, "parameters"), message=message, hint="add it, or give it a default")


def _unfit_functions(platform: Platform, agent: Agent | None, tool: CodeTool, place: Place) -> Iterator[Finding]:
    known = known_tools(platform, agent)
    for position, name in enumerate(tool.functions):
        here = (*place, "functions", position)
        found = known.get(name)
        if found is None:
            yield unknown("tool", name, [each for each in known if each != tool.name], here)
        elif not isinstance(found, CALLABLE):
            message = f"{quoted(name)} is a tool of type {found.type}, which code cannot call"
            yield Finding(place=here, message=message, hint="name tools of type http, knowledge or python")
        elif found.usd:
            message = f"{quoted(name)} costs {found.usd:g} USD a call, and what code calls is not counted"
            yield Finding(place=here, message=message, hint="leave it to the model to call it, or take its `usd` out")
