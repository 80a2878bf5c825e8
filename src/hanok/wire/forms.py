"""OpenAI's JSON forms, for engines that make their answers themselves (https://platform.openai.com/docs/api-reference).

Also the two things read out of engines' own bytes: usage, and where one server-sent event ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, cast

import msgspec

from hanok.wire.chat import ChatRequest, Usage, json_bytes

DONE = b"data: [DONE]\n\n"
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


_Count = Annotated[int, msgspec.Meta(ge=0, le=10**12)]


class _Details(msgspec.Struct):
    cached_tokens: _Count | None = None
    cache_write_tokens: _Count | None = None
    cache_creation_tokens: _Count | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None
    total_tokens: _Count | None = None
    prompt_tokens_details: _Details | None = None
    cache_read_input_tokens: _Count | None = None
    cache_creation_input_tokens: _Count | None = None


_NO_DETAILS = _Details()


class _Body(msgspec.Struct):
    usage: _Usage | None = None


class _Event(msgspec.Struct):
    usage: _Usage | None = None
    choices: list[msgspec.Raw] | None = None


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_event = msgspec.json.Decoder(_Event).decode


def read_usage(body: bytes) -> Usage | None:
    """The usage in an engine's JSON body. Raises `msgspec.DecodeError` when the body is not such JSON."""
    return _usage(_decode_body(body).usage)


def read_event_usage(event: bytes) -> tuple[Usage | None, bool]:
    """The usage in one event's JSON, and whether it carries nothing else. Raises `msgspec.DecodeError`."""
    parsed = _decode_event(event)
    return _usage(parsed.usage), not parsed.choices


def _usage(found: _Usage | None) -> Usage | None:
    """Usage as OpenAI tells it, or as others do who put Anthropic's counts of its cache beside OpenAI's (LiteLLM).

    `prompt_tokens` includes what was read from a cache and written to it. Anthropic's own count does not: where the
    parts are more than the whole, it was passed on as it came, and they are added.
    """
    if found is None:
        return None
    if found.prompt_tokens is None and found.completion_tokens is None:  # servers that rerank tell only the sum
        return None if found.total_tokens is None else Usage(prompt_tokens=found.total_tokens)
    details = found.prompt_tokens_details or _NO_DETAILS
    read = details.cached_tokens or found.cache_read_input_tokens or 0
    written = details.cache_write_tokens or details.cache_creation_tokens or found.cache_creation_input_tokens or 0
    prompt = found.prompt_tokens or 0
    return Usage(
        prompt_tokens=prompt if read + written <= prompt else prompt + read + written,
        completion_tokens=found.completion_tokens or 0,
        cached_tokens=read,
        cache_write_tokens=written,
    )


def usage_form(usage: Usage) -> dict[str, Any]:
    """Usage in OpenAI's form."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def whole_body(
    request: ChatRequest,
    text: str,
    reason: FinishReason,
    usage: Usage,
    *,
    created: int,
    annotations: Sequence[Mapping[str, Any]] | None = None,
) -> bytes:
    """A chat or text completion in one body; a chat's message may have annotations."""
    chat = request.operation == "chat"
    noted = {} if annotations is None else {"annotations": annotations}
    said = {"message": {"role": "assistant", "content": text, **noted}} if chat else {"text": text}
    return json_bytes(
        {
            "id": _id(request),
            "object": "chat.completion" if chat else "text_completion",
            "created": created,
            "model": request.model,
            "choices": [{"index": 0, **said, "logprobs": None, "finish_reason": reason}],
            "usage": usage_form(usage),
        }
    )


def said_body(
    request: ChatRequest, message: Mapping[str, Any], reason: FinishReason, usage: Usage, *, created: int
) -> bytes:
    """A chat completion in one body, with this message of the assistant (`content`, `tool_calls`)."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "logprobs": None, "finish_reason": reason}
    head = {"id": _id(request), "object": "chat.completion", "created": created, "model": request.model}
    return json_bytes({**head, "choices": [choice], "usage": usage_form(usage)})


def text_event(
    request: ChatRequest,
    text: str | None,
    reason: FinishReason | None,
    *,
    created: int,
    annotations: Sequence[Mapping[str, Any]] | None = None,
) -> bytes:
    """One event of a streamed completion: a piece of text, or (with None) its end, maybe with annotations."""
    if request.operation == "chat":
        noted = {} if annotations is None else {"annotations": annotations}
        said: dict[str, Any] = {"delta": {**noted} if text is None else {"role": "assistant", "content": text}}
    else:
        said = {"text": text or ""}
    return _event(request, [{"index": 0, **said, "logprobs": None, "finish_reason": reason}], None, created)


def delta_event(
    request: ChatRequest, delta: Mapping[str, Any], reason: FinishReason | None = None, *, created: int
) -> bytes:
    """One event of a streamed chat with whatever its message grows by."""
    return _event(request, [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}], None, created)


def usage_event(request: ChatRequest, usage: Usage, *, created: int) -> bytes:
    """The event that reports a stream's usage."""
    return _event(request, [], usage_form(usage), created)


class _Stream(msgspec.Struct):
    id: str = ""
    created: int = 0
    model: str = ""


def cut_events(request: ChatRequest, seen: bytes, usage: Usage, detail: Mapping[str, Any]) -> bytes:
    """The end of a stream that is cut after the events `seen`: a finishing chunk, usage if wanted, `[DONE]`.

    `finish_reason` is `length`, as clients know it; `hanok` tells machines more.
    """
    began = _read_stream(seen)
    chat = request.operation == "chat"
    body: dict[str, Any] = {
        "id": began.id or _id(request),
        "object": "chat.completion.chunk" if chat else "text_completion",
        "created": began.created,
        "model": began.model or request.model,
    }
    said: dict[str, Any] = {"delta": {}} if chat else {"text": ""}
    choices = [
        {"index": index, **said, "logprobs": None, "finish_reason": "length"} for index in range(request.choices)
    ]
    last = b"data: " + json_bytes({**body, "choices": choices, "hanok": detail}) + b"\n\n"
    if request.wants_usage:
        last += b"data: " + json_bytes({**body, "choices": [], "usage": usage_form(usage)}) + b"\n\n"
    return last + DONE


def _read_stream(events: bytes) -> _Stream:
    for line in events.split(b"\n"):
        if line.startswith(b"data:"):
            try:
                return msgspec.json.decode(line[5:], type=_Stream)
            except msgspec.DecodeError:
                break
    return _Stream()


def _event(request: ChatRequest, choices: list[Any], usage: Any, created: int) -> bytes:
    chat = request.operation == "chat"
    body = {
        "id": _id(request),
        "object": "chat.completion.chunk" if chat else "text_completion",
        "created": created,
        "model": request.model,
        "choices": choices,
    }
    if usage is not None:
        body["usage"] = usage
    return b"data: " + json_bytes(body) + b"\n\n"


def _id(request: ChatRequest) -> str:
    prefix = "chatcmpl" if request.operation == "chat" else "cmpl"
    return f"{prefix}-{request.caller.request_id.removeprefix('req_') or 'local'}"


def split_events(data: bytes) -> tuple[bytes, bytes]:
    """Whole server-sent events, and the beginning of one that is not whole yet."""
    end = data.rfind(b"\n\n")
    cut = end + 2 if end >= 0 else 0
    carriage = data.rfind(b"\r\n\r\n", cut)
    if carriage >= 0:
        cut = carriage + 4
    return data[:cut], data[cut:]


class _TextPart(msgspec.Struct):
    type: str = "text"
    text: str | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_TextPart] | None = None


def read_last_user_text(request: ChatRequest) -> str:
    """What the user said last (or the prompt of a text completion), for engines that only look at that."""
    if request.operation == "text":
        return _prompt_text(request)
    messages = msgspec.json.decode(request.fields.get("messages", b"[]"), type=list[_Message])
    said = next(
        (message for message in reversed(messages) if message.role == "user"), messages[-1] if messages else None
    )
    if said is None or said.content is None:
        return ""
    if isinstance(said.content, str):
        return said.content
    return "".join(part.text or "" for part in said.content)


def _prompt_text(request: ChatRequest) -> str:
    prompt: Any = msgspec.json.decode(request.fields.get("prompt", b'""'))
    if isinstance(prompt, list):
        return " ".join(str(item) for item in cast("list[object]", prompt))
    return str(prompt)


class _Said(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Said | None = None
    delta: _Said | None = None
    text: str | None = None


class _Spoken(msgspec.Struct):
    choices: list[_Choice] = []


def read_whole_text(body: bytes) -> str:
    """The text of an unstreamed completion."""
    choice = msgspec.json.decode(body, type=_Spoken).choices[0]
    return (choice.message.content if choice.message else choice.text) or ""


def read_stream_text(events: bytes) -> list[str]:
    """The pieces of text in whole server-sent events."""
    pieces: list[str] = []
    for line in events.splitlines():
        payload = line.removeprefix(b"data:").strip() if line.startswith(b"data:") else b""
        if payload and payload != b"[DONE]":
            choices = msgspec.json.decode(payload, type=_Spoken).choices
            pieces.extend((choice.delta.content if choice.delta else choice.text) or "" for choice in choices)
    return pieces


def measure_events(events: bytes) -> list[tuple[int, int]]:
    """Of each event with text: its bytes, and how many of them are text. Nothing where they are not OpenAI's."""
    found: list[tuple[int, int]] = []
    for line in events.split(b"\n"):
        if line.startswith(b"data:") and not line.endswith(b"[DONE]"):
            try:
                said = msgspec.json.decode(line[5:], type=_Spoken).choices
            except msgspec.DecodeError:
                continue
            text = sum(len(((choice.delta.content if choice.delta else choice.text) or "").encode()) for choice in said)
            if said:
                found.append((len(line) + 2, text))
    return found


class _ErrorBody(msgspec.Struct):
    message: str


class _ErrorEnvelope(msgspec.Struct):
    error: _ErrorBody


def read_error_message(body: bytes) -> str | None:
    """The message in OpenAI's error envelope, if `body` is one."""
    try:
        return msgspec.json.decode(body, type=_ErrorEnvelope).error.message
    except msgspec.DecodeError:
        return None
