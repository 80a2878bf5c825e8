"""Answers that an engine in this process speaks word by word, calls of tools too, streamed or whole, as OpenAI does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, Self

import msgspec

from hanok.wire import Answer, ChatRequest, Chunk, Usage, WholeAnswer
from hanok.wire.forms import (
    DONE,
    FinishReason,
    delta_event,
    read_last_user_text,
    said_body,
    text_event,
    usage_event,
    whole_body,
)

Sleep = Callable[[float], Awaitable[None]]


class SpokenCall(msgspec.Struct, frozen=True):
    """A call of a tool, to be said: its id, the tool's name, the arguments as JSON text."""

    id: str
    name: str
    arguments: str


_Piece = str | dict[str, Any]
"""What is said at once, a token: a word, or a piece of a call as OpenAI streams it."""


async def speak(
    request: ChatRequest,
    text: str | None,
    *,
    model: str,
    endpoint: str,
    calls: Sequence[SpokenCall] = (),
    delay_s: float = 0.0,
    sleep: Sleep = asyncio.sleep,
) -> Answer:
    """Open an answer that says `text` and then calls tools, a word a token, within the request's `max_tokens`."""
    pieces = [*(() if text is None else _words(text)), *_call_pieces(request, calls)]
    limit = request.most_tokens
    ends: FinishReason = "tool_calls" if any(isinstance(piece, dict) for piece in pieces) else "stop"
    reason: FinishReason = ends if limit is None or len(pieces) <= limit else "length"
    pieces = pieces[:limit]
    usage = Usage(prompt_tokens=count_words(request), completion_tokens=len(pieces))
    created = int(time.time())
    if request.stream:
        return SpokenAnswer(_events(request, pieces, reason, usage, created, delay_s, sleep), model, endpoint)
    for _ in pieces if delay_s else ():
        await sleep(delay_s)
    return WholeAnswer(_body(request, pieces, reason, usage, created), usage, model=model, endpoint=endpoint)


def _call_pieces(request: ChatRequest, calls: Sequence[SpokenCall]) -> Iterator[dict[str, Any]]:
    for index, call in enumerate(calls if request.operation == "chat" else ()):
        function = {"name": call.name, "arguments": ""}
        yield {"index": index, "id": call.id, "type": "function", "function": function}
        for word in _words(call.arguments):
            yield {"index": index, "function": {"arguments": word}}


def _body(request: ChatRequest, pieces: list[_Piece], reason: FinishReason, usage: Usage, created: int) -> bytes:
    words = [piece for piece in pieces if isinstance(piece, str)]
    calls = [piece for piece in pieces if isinstance(piece, dict)]
    if not calls:
        return whole_body(request, "".join(words), reason, usage, created=created)
    message = {"content": "".join(words) if words else None, "tool_calls": _fold(calls)}
    return said_body(request, message, reason, usage, created=created)


def _fold(pieces: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Whole calls of the pieces that a stream would have."""
    calls: list[dict[str, Any]] = []
    for piece in pieces:
        if "id" in piece:
            calls.append({"id": piece["id"], "type": "function", "function": dict(piece["function"])})
        else:
            calls[-1]["function"]["arguments"] += piece["function"]["arguments"]
    return calls


class SpokenAnswer:
    """A stream made in this process: chunks from an async generator."""

    __slots__ = ("_chunks", "endpoint", "model")

    def __init__(self, chunks: AsyncIterator[Chunk], model: str, endpoint: str) -> None:
        self._chunks = chunks
        self.model = model
        self.endpoint = endpoint

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        return await self._chunks.__anext__()

    async def aclose(self) -> None:
        close = getattr(self._chunks, "aclose", None)
        if close is not None:
            await close()


async def _events(
    request: ChatRequest,
    pieces: list[_Piece],
    reason: FinishReason,
    usage: Usage,
    created: int,
    delay_s: float,
    sleep: Sleep,
) -> AsyncIterator[Chunk]:
    for piece in pieces:
        if delay_s:
            await sleep(delay_s)
        if isinstance(piece, str):
            yield Chunk(text_event(request, piece, None, created=created), 1)
        else:
            yield Chunk(delta_event(request, {"role": "assistant", "tool_calls": [piece]}, created=created), 1)
    yield Chunk(text_event(request, None, reason, created=created))
    yield Chunk(usage_event(request, usage, created=created) if request.wants_usage else b"", 0, usage)
    yield Chunk(DONE, 0, None, True)


def count_words(request: ChatRequest) -> int:
    """What such an engine takes for the tokens of a prompt: the words that the user said last."""
    return len(_words(read_last_user_text(request)))


def _words(text: str) -> list[str]:
    """Words with the space before them, so that joining them gives the text again."""
    words: list[str] = []
    for part in text.split(" "):
        words.append(f" {part}" if words else part)
    return words
