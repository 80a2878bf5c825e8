"""What a caller's chat request comes to when a knowledge base is to answer it: a question, and what was said before.

The last thing that the user said is the question. What a caller puts into system messages are wishes: they are told to
the model, below what holds for everyone. Requests that want what an answer with citations cannot be are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from hanok.errors import RequestError
from hanok.knowledge.answering.citations import UNCITED
from hanok.wire import ChatRequest

KEPT_TURNS = 6
"""Messages before the question that the model is told."""
KEPT_CHARACTERS = 2000
"""Of each of them."""
PASSED_ON = (
    "temperature",
    "top_p",
    "seed",
    "stop",
    "presence_penalty",
    "frequency_penalty",
    "reasoning_effort",
    "user",
)
"""Fields of a body that the model is told as they are; any other could take the task out of its hands."""
SOURCES_MARK = "\n\n———\n"
"""Stands before the list of sources below an answer."""
_CITED = re.compile(rf"[ \t]?(?:\[\d{{1,3}}\]|{re.escape(UNCITED)})")
_EMPTY = (b"null", b"[]", b"false", b"{}")
_NULL = msgspec.Raw(b"null")


class Turn(msgspec.Struct, frozen=True):
    """Something that was said before the question."""

    role: Literal["user", "assistant"]
    text: str


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A question, the turns before it, and the caller's wishes. `fields` of his body are for the model."""

    question: str
    turns: tuple[Turn, ...] = ()
    wishes: tuple[str, ...] = ()
    fields: Mapping[str, msgspec.Raw] = {}


class _Part(msgspec.Struct):
    type: str = "text"
    text: str | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None
    tool_calls: msgspec.Raw = _NULL


def read_conversation(request: ChatRequest) -> Conversation:
    """Raises `RequestError` when it asks for tools, pictures, or anything else that is not to be had here."""
    _refuse_fields(request)
    messages = msgspec.json.decode(request.fields["messages"], type=list[_Message])
    said = [(_role(message, place), _text(message, place)) for place, message in enumerate(messages)]
    asked = [place for place, (role, text) in enumerate(said) if role == "user" and text.strip()]
    if not asked:
        raise _refused("messages", "a knowledge base answers a question: there is no message of the user")
    turns = [(role, text) for role, text in said[: asked[-1]] if role != "system" and text.strip()]
    return Conversation(
        question=said[asked[-1]][1].strip(),
        turns=_in_turns(turns),
        wishes=tuple(text for role, text in said if role == "system" and text.strip()),
        fields={name: request.fields[name] for name in PASSED_ON if name in request.fields},
    )


def _refuse_fields(request: ChatRequest) -> None:
    if request.operation != "chat":
        raise _refused("model", f"{request.model!r} answers questions: ask it at /v1/chat/completions")
    fields = request.fields
    for name in ("tools", "functions"):
        if bytes(fields.get(name, _NULL)) not in _EMPTY:
            message = f"{request.model!r} answers from documents and takes no tools: leave out {name!r}"
            raise _refused(name, message)
    if request.choices != 1:
        raise _refused("n", f"{request.model!r} gives one answer: leave out 'n'")
    for name in ("logprobs", "audio", "prediction"):
        if bytes(fields.get(name, _NULL)) not in _EMPTY:
            raise _refused(name, f"{request.model!r} gives cited text, nothing else: leave out {name!r}")
    form = bytes(fields.get("response_format", _NULL))
    if form not in _EMPTY and _type(form) != "text":
        message = f"{request.model!r} gives text with citations, which is no JSON; see /v1/knowledge for JSON"
        raise _refused("response_format", message)


def _type(form: bytes) -> Any:
    told = msgspec.json.decode(form)
    return told.get("type") if isinstance(told, dict) else None  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]


def _role(message: _Message, place: int) -> Literal["user", "assistant", "system"]:
    if message.role in ("tool", "function") or bytes(message.tool_calls) not in _EMPTY:
        raise _refused(f"messages[{place}]", "a knowledge base takes no tools: leave out their calls and results")
    if message.role in ("system", "developer"):
        return "system"
    return "assistant" if message.role == "assistant" else "user"


def _text(message: _Message, place: int) -> str:
    if isinstance(message.content, str) or message.content is None:
        return message.content or ""
    for number, part in enumerate(message.content):
        if part.text is None:
            where = f"messages[{place}].content[{number}]"
            raise _refused(where, f"{where}: a knowledge base is asked in text, not with {part.type!r}")
    return "".join(part.text or "" for part in message.content)


def _in_turns(said: Sequence[tuple[str, str]]) -> tuple[Turn, ...]:
    """The last of them, user and assistant in turns beginning with the user, as some models' templates demand.

    Citations of earlier answers are left out: their numbers mean other passages now.
    """
    turns: list[Turn] = []
    for role, text in said[-KEPT_TURNS:]:
        plain = _without_sources(text) if role == "assistant" else text
        if turns and turns[-1].role == role:
            turns[-1] = Turn(turns[-1].role, f"{turns[-1].text}\n{plain}"[:KEPT_CHARACTERS])
        elif turns or role == "user":
            turns.append(Turn("assistant" if role == "assistant" else "user", plain[:KEPT_CHARACTERS]))
    return tuple(turns[:-1] if turns and turns[-1].role == "user" else turns)


def _without_sources(text: str) -> str:
    return _CITED.sub("", text.partition(SOURCES_MARK)[0]).strip()


def _refused(param: str, message: str) -> RequestError:
    return RequestError(message, param=param, code="unsupported")
