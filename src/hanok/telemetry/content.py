"""Prompts and answers in the form of OpenTelemetry's `gen_ai.input.messages` and `gen_ai.output.messages`.

A message is a role and parts; a part is text, a tool call, a tool's answer, reasoning, or media by its address. Media
that came inside the prompt (`data:` addresses, recorded sound) are named and left out. What cannot be read as OpenAI's
form is recorded as one text, and what is too long loses its oldest messages: recording never fails.

Runs in the exporter's thread, and only with `telemetry.content: true`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from hanok.telemetry.protobuf import utf8
from hanok.wire import ChatRequest, TaskRequest, json_bytes

CONTENT_LIMIT_BYTES = 64 * 1024
_Json = dict[str, Any]


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer said: `messages` is JSON, empty when nothing could be read."""

    messages: bytes = b""
    response_id: str = ""
    finish_reasons: tuple[str, ...] = ()


class _Url(msgspec.Struct):
    url: str = ""


class _Part(msgspec.Struct):
    type: str = "text"
    text: str | None = None
    image_url: _Url | None = None


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    index: int = 0
    id: str | None = None
    function: _Function | None = None


class _Message(msgspec.Struct):
    """A message, whole or a stream's piece of one."""

    role: str | None = None
    content: str | list[_Part] | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None
    tool_call_id: str | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    message: _Message | None = None
    delta: _Message | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Body(msgspec.Struct):
    id: str | None = None
    choices: list[_Choice] | None = None


_decode_messages = msgspec.json.Decoder(list[_Message]).decode
_decode_texts = msgspec.json.Decoder(str | list[str]).decode
_decode_body = msgspec.json.Decoder(_Body).decode


def input_messages(request: ChatRequest | TaskRequest) -> bytes:
    """What the model was given, as JSON of at most `CONTENT_LIMIT_BYTES`."""
    for name, read in (("messages", _read_messages), ("prompt", _read_texts), ("input", _read_texts)):
        if (raw := request.fields.get(name)) is not None:
            return _fit(read(bytes(raw)))
    return b""


def output_messages(answer: bytes, *, stream: bool) -> Told:
    """What an answer's body, or the events of a stream, said; an answer that is cut short says what came."""
    try:
        bodies = list(_stream_bodies(answer)) if stream else [_decode_body(answer)]
    except msgspec.DecodeError:
        return Told()
    choices = _merge(choice for body in bodies for choice in body.choices or ())
    if not choices:
        return Told()
    return Told(
        messages=_fit([_said(choice) for choice in choices]),
        response_id=next((body.id for body in bodies if body.id), ""),
        finish_reasons=tuple(choice.finish_reason for choice in choices if choice.finish_reason),
    )


def chat_messages(messages: object) -> bytes:
    """Messages in OpenAI's chat form, as JSON of at most `CONTENT_LIMIT_BYTES`."""
    return _fit(_read_messages(json_bytes(messages)))


def spoken(text: str) -> bytes:
    """An agent's answer as the one message that it is."""
    return _fit([{"role": "assistant", "parts": [_text(text)], "finish_reason": "stop"}])


def cut_text(text: str) -> bytes:
    """UTF-8 of at most `CONTENT_LIMIT_BYTES`."""
    data = utf8(text)
    return data if len(data) <= CONTENT_LIMIT_BYTES else data[:CONTENT_LIMIT_BYTES].decode("utf-8", "ignore").encode()


def first_of(values: Iterable[object]) -> bytes:
    """As many of these as fit, from the first on, as a JSON list of at most `CONTENT_LIMIT_BYTES`."""
    kept: list[bytes] = []
    room = CONTENT_LIMIT_BYTES - 2
    for data in map(json_bytes, values):
        room -= len(data) + 1
        if room < 0:
            break
        kept.append(data)
    return b"[" + b",".join(kept) + b"]"


def _read_messages(raw: bytes) -> list[_Json]:
    try:
        return [{"role": each.role or "user", "parts": list(_parts(each))} for each in _decode_messages(raw)]
    except msgspec.DecodeError:
        return [_user(raw.decode("utf-8", "replace"))]


def _read_texts(raw: bytes) -> list[_Json]:
    try:
        found = _decode_texts(raw)
    except msgspec.DecodeError:
        return [_user(raw.decode("utf-8", "replace"))]
    return [_user(found)] if isinstance(found, str) else [_user(*found)]


def _user(*texts: str) -> _Json:
    return {"role": "user", "parts": [_text(text) for text in texts]}


def _text(text: str) -> _Json:
    return {"type": "text", "content": text}


def _parts(message: _Message) -> Iterator[_Json]:
    if message.tool_call_id is not None:
        yield {"type": "tool_call_response", "id": message.tool_call_id, "response": _plain_text(message)}
        return
    if message.reasoning_content:
        yield {"type": "reasoning", "content": message.reasoning_content}
    if isinstance(message.content, str):
        yield _text(message.content)
    elif message.content is not None:
        yield from map(_part, message.content)
    if message.refusal:
        yield _text(message.refusal)
    for call in message.tool_calls or ():
        function = call.function or _Function()
        yield {"type": "tool_call", "id": call.id, "name": function.name, "arguments": _arguments(function)}


def _plain_text(message: _Message) -> str:
    if isinstance(message.content, str):
        return message.content
    return "".join(part.text or "" for part in message.content or ())


def _part(part: _Part) -> _Json:
    if part.text is not None:
        return _text(part.text)
    url = part.image_url.url if part.image_url else ""
    if url and not url.startswith("data:"):
        return {"type": "uri", "modality": "image", "uri": url}
    return _text(f"[{part.type}, left out]")


def _arguments(function: _Function) -> Any:
    """A tool call's arguments as the object they spell, or as they came when they spell none."""
    try:
        return msgspec.json.decode(function.arguments or "{}")
    except msgspec.DecodeError:
        return function.arguments


def _stream_bodies(events: bytes) -> Iterator[_Body]:
    for line in events.splitlines():
        payload = line[5:].strip() if line.startswith(b"data:") else b""
        if payload.startswith(b"{"):
            try:
                yield _decode_body(payload)
            except msgspec.DecodeError:
                return


def _merge(choices: Iterable[_Choice]) -> list[_Choice]:
    """One choice for each index, with whole messages instead of pieces."""
    merged: dict[int, _Choice] = {}
    for choice in choices:
        found = merged.setdefault(choice.index, _Choice(index=choice.index, message=_Message(content="")))
        _add(found, choice)
    return [merged[index] for index in sorted(merged)]


def _add(whole: _Choice, piece: _Choice) -> None:
    into, said = whole.message or _Message(), piece.message or piece.delta or _Message(content=piece.text)
    into.role = into.role or said.role
    into.content = _plain_text(into) + _plain_text(said)
    into.reasoning_content = (into.reasoning_content or "") + (said.reasoning_content or "")
    into.refusal = (into.refusal or "") + (said.refusal or "")
    into.tool_calls = _add_calls(into.tool_calls or [], said.tool_calls or [], streamed=piece.delta is not None)
    whole.finish_reason = piece.finish_reason or whole.finish_reason


def _add_calls(calls: list[_ToolCall], pieces: list[_ToolCall], *, streamed: bool) -> list[_ToolCall]:
    if not streamed:
        return [*calls, *pieces]
    known = {call.index: call for call in calls}
    for piece in pieces:
        into = known.setdefault(piece.index, _ToolCall(index=piece.index, function=_Function()))
        said, function = piece.function or _Function(), into.function or _Function()
        into.id = into.id or piece.id
        into.function = _Function(
            name=function.name or said.name, arguments=(function.arguments or "") + (said.arguments or "")
        )
    return list(known.values())


def _said(choice: _Choice) -> _Json:
    message = choice.message or _Message()
    parts = [part for part in _parts(message) if part.get("content") != ""]
    return {"role": message.role or "assistant", "parts": parts, "finish_reason": choice.finish_reason or ""}


def _fit(messages: list[_Json]) -> bytes:
    """The newest messages that fit, as JSON; the oldest of them cut to what room is left."""
    kept: list[bytes] = []
    room = CONTENT_LIMIT_BYTES - 2
    for message in reversed(messages):
        data = json_bytes(message)
        if len(data) >= room:
            if cut := _cut(message, room - 1):
                kept.append(cut)
            break
        kept.append(data)
        room -= len(data) + 1
    return b"[" + b",".join(reversed(kept)) + b"]"


def _cut(message: _Json, room: int) -> bytes:
    """The message as one text that fits, or nothing where there is no room worth using."""
    text = "\n".join(str(part.get("content", part.get("response", ""))) for part in message["parts"])
    size = room
    while size > 64:
        shorter = text.encode()[:size].decode("utf-8", "ignore")
        if len(data := json_bytes({**message, "parts": [_text(shorter)]})) <= room:
            return data
        size = min(size - 16, size * room // len(data))
    return b""
