"""From an answer to what is kept of it, and from that to the answer that is wanted now. Pure.

A kept stream is its events as they came, without `[DONE]`, the usage event beside them; a kept body is the body. Asked
for in the same form, they are given as they are; otherwise a body becomes two events a choice, and a stream's pieces
are put together. What cannot be put together for certain is not given: then the model is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import msgspec

from hanok.caches.entry import Entry
from hanok.wire import ChatRequest, Chunk, json_bytes
from hanok.wire.forms import DONE, usage_form

FINISHED = frozenset({"stop", "length", "tool_calls", "function_call"})
"""Reasons to end that are the model's own; a filter's or an engine's may be others the next time."""
_SAID_IN_PIECES = frozenset(
    {"content", "refusal", "reasoning", "reasoning_content", "thinking", "text", "arguments", "signature"}
)
"""Texts that a stream gives in pieces; others it says once, or again and again."""
_LEFT_OUT = frozenset({"choices", "usage", "object", "obfuscation"})


class _Choice(msgspec.Struct):
    index: int = 0
    finish_reason: str | None = None


class _Body(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = msgspec.Raw()

    @property
    def tells_usage_alone(self) -> bool:
        return not self.choices and bytes(self.usage) not in (b"", b"null")


_decode_body = msgspec.json.Decoder(_Body).decode
_decode = msgspec.json.Decoder().decode
JsonObject = dict[str, Any]


class Unclear(Exception):
    """These pieces make no whole that could be relied on."""


# what is kept


def is_finished(body: bytes, request: ChatRequest) -> bool:
    """Whether every choice of a whole answer has been said to its end."""
    try:
        return _are_finished(_decode_body(body).choices or [], request)
    except (msgspec.MsgspecError, RecursionError):
        return False


def read_stream(data: bytes, request: ChatRequest) -> tuple[bytes, bytes] | None:
    """A whole stream's events without `[DONE]`, and its usage event; None unless every choice was said to its end."""
    kept: list[bytes] = []
    usage_event = b""
    choices: list[_Choice] = []
    try:
        for event, payload in _events(data):
            parsed = _decode_body(payload)
            if parsed.tells_usage_alone:
                usage_event = event
            else:
                kept.append(event)
                choices += parsed.choices or []
    except (msgspec.MsgspecError, RecursionError):
        return None
    return (b"".join(kept), usage_event) if _are_finished(choices, request) else None


def without_usage(data: bytes) -> bytes:
    """These events without the one that tells the usage and nothing else."""
    events = data.replace(b"\r\n", b"\n").split(b"\n\n")
    return b"".join(event + b"\n\n" for event in events if event and not _tells_usage_alone(event))


def _tells_usage_alone(event: bytes) -> bool:
    if b'"usage":' not in event:
        return False
    try:
        return _decode_body(event.removeprefix(b"data:")).tells_usage_alone
    except msgspec.MsgspecError:
        return False


def _events(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every event that carries JSON, and its JSON."""
    for event in data.replace(b"\r\n", b"\n").split(b"\n\n"):
        payload = b"\n".join(line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:"))
        if payload and payload != b"[DONE]":
            yield event + b"\n\n", payload


def _are_finished(choices: list[_Choice], request: ChatRequest) -> bool:
    """A limit that a budget put on the answer is none of the request's: what ends there is not whole."""
    ended = {choice.index: choice.finish_reason for choice in choices if choice.finish_reason is not None}
    expected = request.choices if request.operation == "chat" else 1
    if len(ended) < max(expected, len({choice.index for choice in choices})):
        return False
    reasons = set(ended.values())
    return reasons <= FINISHED and not (request.cap_tokens is not None and "length" in reasons)


# what is given


def replay(entry: Entry, request: ChatRequest) -> Chunk | None:
    """The kept answer as this request wants it; None when it cannot be given so."""
    if not request.stream:
        data = entry.data if entry.form == "whole" else _body_of(entry, request)
        return None if data is None else Chunk(data, 0, entry.usage, True)
    if entry.form == "stream":
        return Chunk(entry.data + _ending(entry, request), 0, entry.usage, True)
    data = _events_of(entry, request)
    return None if data is None else Chunk(data, 0, entry.usage, True)


def _ending(entry: Entry, request: ChatRequest) -> bytes:
    return entry.usage_event + DONE if request.wants_usage else DONE


def _events_of(entry: Entry, request: ChatRequest) -> bytes | None:
    """A body as a stream: what each choice says in one event, its end in another."""
    try:
        body = _object(_decode(entry.data))
        chat = request.operation == "chat"
        about = {name: value for name, value in body.items() if name not in _LEFT_OUT}
        about["object"] = "chat.completion.chunk" if chat else "text_completion"
        events: list[bytes] = []
        for choice in map(_object, body["choices"]):
            said, ending = (_chat_pieces if chat else _text_pieces)(choice)
            events += [_event({**about, "choices": [each]}) for each in (said, ending)]
        if request.wants_usage:
            usage = body.get("usage") or usage_form(entry.usage)
            events.append(_event({**about, "choices": [], "usage": usage}))
        return b"".join(events) + DONE
    except (msgspec.MsgspecError, Unclear, KeyError, TypeError):
        return None


def _chat_pieces(choice: JsonObject) -> tuple[JsonObject, JsonObject]:
    message = _object(choice["message"])
    calls = message.get("tool_calls")
    if calls is not None:
        message = {**message, "tool_calls": [{"index": at, **_object(call)} for at, call in enumerate(calls)]}
    rest = {name: value for name, value in choice.items() if name != "message"}
    said = {**rest, "delta": message, "finish_reason": None}
    return said, {"index": rest.get("index", 0), "delta": {}, "logprobs": None, "finish_reason": rest["finish_reason"]}


def _text_pieces(choice: JsonObject) -> tuple[JsonObject, JsonObject]:
    ending = {"index": choice.get("index", 0), "text": "", "logprobs": None, "finish_reason": choice["finish_reason"]}
    return {**choice, "finish_reason": None}, ending


def _event(body: JsonObject) -> bytes:
    return b"data: " + json_bytes(body) + b"\n\n"


def _body_of(entry: Entry, request: ChatRequest) -> bytes | None:
    """A stream's pieces as one body."""
    try:
        events = [_object(_decode(payload)) for _, payload in _events(entry.data + entry.usage_event)]
        body = {name: value for name, value in events[0].items() if name not in _LEFT_OUT}
        chat = request.operation == "chat"
        body["object"] = "chat.completion" if chat else "text_completion"
        choices: dict[int, JsonObject] = {}
        for event in events:
            for choice in map(_object, event.get("choices") or []):
                _add_choice(choices.setdefault(choice.get("index", 0), {}), choice)
        body["choices"] = [_whole_choice(choices[index], chat=chat) for index in sorted(choices)]
        usage = next((event["usage"] for event in reversed(events) if event.get("usage")), None)
        return json_bytes({**body, "usage": usage or usage_form(entry.usage)})
    except (msgspec.MsgspecError, Unclear, KeyError, IndexError, TypeError):
        return None


def _add_choice(known: JsonObject, choice: JsonObject) -> None:
    for name, value in choice.items():
        if name in ("delta", "logprobs"):
            _add(_begun(known, name), _object(value or {}))
        elif name == "text":
            known[name] = known.get(name, "") + value
        elif value is not None or name not in known:
            known[name] = value


def _add(known: JsonObject, piece: JsonObject) -> None:
    """Add what one piece says to what was said before."""
    for name, value in piece.items():
        if name == "tool_calls" and value is not None:
            _add_calls(_begun(known, name), value)
        elif isinstance(value, dict):
            _add(_begun(known, name), cast("JsonObject", value))
        elif isinstance(value, list):
            known[name] = _list(known.get(name) or []) + value
        elif isinstance(value, str) and name in _SAID_IN_PIECES:
            known[name] = (known.get(name) or "") + value
        elif value not in (None, "") or name not in known:
            if isinstance(known.get(name), str) and known[name] not in ("", value):
                raise Unclear  # a text in pieces of which we do not know that they are pieces
            known[name] = value


def _begun(known: JsonObject, name: str) -> dict[Any, Any]:
    """What was said under this name so far: nothing where there was null."""
    if known.get(name) is None:
        known[name] = {}
    return _object(known[name])


def _add_calls(known: dict[int, JsonObject], calls: list[Any]) -> None:
    for call in map(_object, calls):
        index = call.get("index")
        if index is None:
            raise Unclear
        _add(known.setdefault(index, {}), {name: value for name, value in call.items() if name != "index"})


def _whole_choice(choice: JsonObject, *, chat: bool) -> JsonObject:
    logprobs = choice.pop("logprobs", None) or None
    if not chat:
        return {**choice, "logprobs": logprobs}
    message: JsonObject = {"role": "assistant", "content": None, **choice.pop("delta", {})}
    calls: dict[int, JsonObject] | None = message.get("tool_calls")
    if calls is not None:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
        message["content"] = message["content"] or None
    return {**choice, "message": message, "logprobs": logprobs}


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise Unclear
    return cast("list[Any]", value)


def _object(value: Any) -> JsonObject:
    if not isinstance(value, dict):
        raise Unclear
    return cast("JsonObject", value)
