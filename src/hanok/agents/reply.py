"""What a model has said in one call, put together from its stream: words, reasoning, and the tools it wants used.

Format: OpenAI's chat completion chunks, with `reasoning_content` as vLLM and DeepSeek have it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from hanok.agents.calls import MOST_CALLS
from hanok.agents.values import Message
from hanok.errors import EngineBroken, EngineRefused, Refusal
from hanok.wire import Answer, Usage

Heard = Callable[[str, bool], None]
"""Takes a piece of text as it comes, and whether it is reasoning."""


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Called(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Said(msgspec.Struct):
    content: str | list[dict[str, Any]] | None = None
    reasoning_content: str | None = None
    tool_calls: list[_Called] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Said | None = None
    message: _Said | None = None
    finish_reason: str | None = None


class _Body(msgspec.Struct):
    choices: list[_Choice] | None = None
    hanok: dict[str, Any] | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")


_decode = msgspec.json.Decoder(_Body).decode


@dataclass(kw_only=True)
class _Call:
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A message, why it ends (OpenAI's `finish_reason`), what it used, and who gave it.

    `cut` is Hanok's reason where a budget ended it; `parsed` the JSON object that it says, where that was asked for.
    """

    message: Message
    finish: str | None
    usage: Usage
    cost_nano_usd: int
    model: str
    cut: dict[str, Any] | None = None
    parsed: dict[str, Any] | None = None


@dataclass
class Hearing:
    """Puts one answer together."""

    heard: Heard
    text: list[str] = field(default_factory=list[str])
    reasoning: list[str] = field(default_factory=list[str])
    calls: dict[int, _Call] = field(default_factory=dict[int, _Call])
    finish: str | None = None
    cut: dict[str, Any] | None = None
    usage: Usage | None = None

    async def listen(self, answer: Answer) -> None:
        """Take all of it. Raises `EngineError`."""
        async for chunk in answer:
            self.usage = chunk.usage or self.usage
            for line in chunk.data.split(b"\n"):
                payload = line[5:].strip() if line.startswith(b"data:") else line.strip() if line[:1] == b"{" else b""
                if payload and payload != b"[DONE]":
                    self._take(payload, answer.endpoint)

    def message(self, id_: str) -> Message:
        """The assistant's message."""
        message: Message = {"id": id_, "role": "assistant", "content": "".join(self.text)}
        if self.reasoning:
            message["reasoning_content"] = "".join(self.reasoning)
        if self.calls:
            message["tool_calls"] = _forms([call for _, call in sorted(self.calls.items())], id_)
        return message

    def _take(self, payload: bytes, endpoint: str) -> None:
        try:
            body = _decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise EngineBroken(f"{endpoint} sent something that is no chat answer: {error}") from None
        if bytes(body.error) != b"null":
            refusal = Refusal(status=502, body=b'{"error":%b}' % bytes(body.error))
            raise EngineRefused(f"{endpoint} failed midway", refusal=refusal)
        self.cut = body.hanok or self.cut
        for choice in body.choices or ():
            if choice.index == 0:
                self._take_choice(choice)

    def _take_choice(self, choice: _Choice) -> None:
        self.finish = choice.finish_reason or self.finish
        said = choice.delta or choice.message
        if said is None:
            return
        if said.reasoning_content:
            self.reasoning.append(said.reasoning_content)
            self.heard(said.reasoning_content, True)
        if text := _text(said.content):
            self.text.append(text)
            self.heard(text, False)
        for place, called in enumerate(said.tool_calls or ()):
            self._take_call(place if called.index is None else called.index, called)

    def _take_call(self, index: int, called: _Called) -> None:
        call = self.calls.setdefault(index, _Call())
        call.id = call.id or called.id or ""
        if called.function is not None:
            call.name = call.name or called.function.name or ""
            call.arguments += called.function.arguments or ""


def _text(content: str | list[dict[str, Any]] | None) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content)
    return content or ""


def _forms(calls: Sequence[_Call], message_id: str) -> list[dict[str, Any]]:
    """Each call with an id that no other of the message has: engines leave ids out, or say one twice."""
    forms: dict[str, dict[str, Any]] = {}
    for place, call in enumerate(calls[:MOST_CALLS]):
        id_ = call.id if call.id and call.id not in forms else f"call_{message_id}_{place}"
        function = {"name": call.name, "arguments": call.arguments or "{}"}
        forms[id_] = {"id": id_, "type": "function", "function": function}
    return list(forms.values())
