"""What a caller's chat request comes to when an agent is to answer it: what is said, and which thread it goes on.

Requests that want what a run cannot give are refused; what else a body says of the model's work (`temperature`, …) the
agent's declaration has said already, and is passed over.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hanok.agents.values import Message
from hanok.errors import RequestError
from hanok.gateway.agents.bodies import GivenMessage, NewId, ends_with_the_user
from hanok.gateway.bodies import decode_as
from hanok.wire import ChatRequest

_EMPTY = (b"null", b"[]", b"false", b"{}")
_NULL = msgspec.Raw(b"null")


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """The messages, and the name of the caller's own thread if he has one."""

    messages: tuple[Message, ...]
    thread: str | None

    def latest(self) -> tuple[Message, ...]:
        """What was said since the agent spoke last: the thread knows the rest."""
        spoken = [place for place, message in enumerate(self.messages) if message["role"] == "assistant"]
        return self.messages[spoken[-1] + 1 :] if spoken else self.messages


class _Metadata(msgspec.Struct):
    thread: str | None = None


class _Asked(msgspec.Struct):
    messages: list[GivenMessage]
    metadata: _Metadata | None = None


_decode = msgspec.json.Decoder(_Asked)


def read_asking(request: ChatRequest, new_id: NewId) -> Asking:
    """Raises `RequestError` when it asks for tools, several answers, or anything else that is not to be had here."""
    _refuse_fields(request)
    told = {name: request.fields[name] for name in ("messages", "metadata") if name in request.fields}
    asked = decode_as(_decode, msgspec.json.encode(told))
    messages = tuple(message.message(new_id) for message in asked.messages)
    ends_with_the_user(messages)
    return Asking(messages=messages, thread=(asked.metadata.thread if asked.metadata else None) or None)


def _refuse_fields(request: ChatRequest) -> None:
    model, fields = request.model, request.fields
    if request.operation != "chat":
        raise _refused("model", f"{model!r} is an agent: ask it at /v1/chat/completions")
    for name in ("tools", "functions"):
        if bytes(fields.get(name, _NULL)) not in _EMPTY:
            raise _refused(name, f"{model!r} has tools of its own and takes none: leave out {name!r}")
    if request.choices != 1:
        raise _refused("n", f"{model!r} gives one answer: leave out 'n'")
    for name in ("logprobs", "audio", "prediction"):
        if bytes(fields.get(name, _NULL)) not in _EMPTY:
            raise _refused(name, f"{model!r} gives text, nothing else: leave out {name!r}")
    form = bytes(fields.get("response_format", _NULL))
    if form not in _EMPTY and _type(form) != "text":
        raise _refused("response_format", f"{model!r} gives text: leave out 'response_format'")


def _type(form: bytes) -> Any:
    told = msgspec.json.decode(form)
    return told.get("type") if isinstance(told, dict) else None  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]


def _refused(param: str, message: str) -> RequestError:
    return RequestError(message, param=param, code="unsupported")
