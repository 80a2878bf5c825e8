"""Messages in LangChain's form, both ways: `{type: human | ai | system | tool}` outside, `{role: user | …}` inside.

Format: `langchain_core.messages` as LangGraph's server writes them. Either form is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import msgspec

from hanok.agents.values import Message
from hanok.errors import RequestError
from hanok.gateway.agents.bodies import call_problem, part_problem
from hanok.wire import json_bytes

_Json = dict[str, Any]
_ROLES = {
    "human": "user",
    "user": "user",
    "ai": "assistant",
    "assistant": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "tool",
}
_TYPES = {"user": "human", "assistant": "ai", "system": "system", "developer": "system", "tool": "tool"}
NewId = Callable[[str], str]


def read_messages(given: object, new_id: NewId) -> tuple[Message, ...]:
    """What `input.messages` says: a text, a message, or a list of such. Raises `RequestError`."""
    listed: Sequence[object] = cast("Sequence[object]", given) if isinstance(given, list) else [given]
    return tuple(_read(each, place, new_id) for place, each in enumerate(listed))


def as_langchain(message: Mapping[str, Any]) -> _Json:
    """A message as LangChain has it; one that is in no form of ours stays as it is."""
    role = message.get("role")
    if role not in _TYPES:
        return dict(message)
    told: _Json = {
        "type": _TYPES[role],
        "id": message.get("id"),
        "content": message.get("content") or "",
        "name": message.get("name"),
        "additional_kwargs": {},
        "response_metadata": {},
    }
    if role == "assistant":
        told |= {"tool_calls": [_call_form(each) for each in message.get("tool_calls") or ()], "invalid_tool_calls": []}
        if thought := message.get("reasoning_content"):
            told["additional_kwargs"] = {"reasoning_content": thought}
    if role == "tool":
        told |= {"tool_call_id": message.get("tool_call_id"), "status": "success"}
    return told


def values_form(values: Mapping[str, Any]) -> _Json:
    """A thread's values, their messages as LangChain has them."""
    messages = values.get("messages")
    if not isinstance(messages, list):
        return dict(values)
    listed = cast("list[Any]", messages)
    return {**values, "messages": [as_langchain(each) if isinstance(each, Mapping) else each for each in listed]}  # pyright: ignore[reportUnknownArgumentType]


def _read(given: object, place: int, new_id: NewId) -> Message:
    param = f"input.messages[{place}]"
    if isinstance(given, str):
        return {"id": new_id("msg"), "role": "user", "content": given}
    if isinstance(given, list) and len(pair := cast("list[Any]", given)) == 2:
        given = {"role": pair[0], "content": pair[1]}
    if not isinstance(given, dict):
        raise _invalid(param, "a message is a text, or has `role` (or `type`) and `content`")
    told = cast("_Json", given)
    name = told.get("role") or told.get("type")
    role = _ROLES.get(name) if isinstance(name, str) else None
    if role is None:
        raise _invalid(f"{param}.role", f"there is no role {name!r}: one of {', '.join(_ROLES)}")
    own = told.get("id")
    message: Message = {"id": own if isinstance(own, str) and own else new_id("msg"), "role": role}
    return {**message, "content": _content(told.get("content"), f"{param}.content"), **_more(told, param)}


def _content(content: object, param: str) -> object:
    """Refuses what would fail the run later, and stay in its thread."""
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise _invalid(param, "the content is a text, or a list of parts")
    parts = cast("list[Any]", content)
    told = [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]
    for place, part in enumerate(told):
        problem = part_problem(cast("_Json", part)) if isinstance(part, dict) else "a part is an object or a text"
        if problem is not None:
            raise _invalid(f"{param}[{place}]", problem)
    return told


def _more(told: _Json, param: str) -> _Json:
    """What messages of tools have besides."""
    more = {name: told[name] for name in ("name", "tool_call_id") if isinstance(told.get(name), str)}
    calls = told.get("tool_calls")
    if not calls:
        return more
    if not isinstance(calls, list) or not all(isinstance(each, dict) for each in cast("list[Any]", calls)):
        raise _invalid(f"{param}.tool_calls", "these are a list of objects")
    read = [_openai_call(each) for each in cast("list[_Json]", calls)]
    for place, call in enumerate(read):
        if problem := call_problem(call):
            raise _invalid(f"{param}.tool_calls[{place}]", problem)
    return {**more, "tool_calls": read}


def _openai_call(call: _Json) -> _Json:
    if "function" in call:
        return call
    arguments = json_bytes(call.get("args") or {}).decode()
    return {"id": call.get("id"), "type": "function", "function": {"name": call.get("name"), "arguments": arguments}}


def _call_form(call: Mapping[str, Any]) -> _Json:
    function: Mapping[str, Any] = call.get("function") or {}
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = msgspec.json.decode(arguments or "{}")
        except msgspec.DecodeError:
            arguments = {"INVALID_JSON": arguments}
    told = {"type": "tool_call", "id": call.get("id"), "name": function.get("name")}
    return {**told, "args": cast("_Json", arguments) if isinstance(arguments, dict) else {}}


def _invalid(param: str, message: str) -> RequestError:
    return RequestError(f"{param}: {message}", param=param, code="invalid_value")
