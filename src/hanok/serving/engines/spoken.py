"""Answers that an engine in this process speaks word by word, streamed or whole, in OpenAI's form."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Self

from hanok.wire import Answer, ChatRequest, Chunk, Usage, WholeAnswer
from hanok.wire.forms import (
    DONE,
    FinishReason,
    read_last_user_text,
    text_event,
    usage_event,
    whole_body,
)

Sleep = Callable[[float], Awaitable[None]]


async def speak(
    request: ChatRequest, text: str, *, model: str, endpoint: str, delay_s: float = 0.0, sleep: Sleep = asyncio.sleep
) -> Answer:
    """Open an answer that says `text`, a word a token, within the request's `max_tokens`."""
    words = _words(text)
    limit = request.most_tokens
    reason: FinishReason = "stop" if limit is None or len(words) <= limit else "length"
    words = words[:limit]
    usage = Usage(prompt_tokens=count_words(request), completion_tokens=len(words))
    created = int(time.time())
    if request.stream:
        return SpokenAnswer(_events(request, words, reason, usage, created, delay_s, sleep), model, endpoint)
    for _ in words if delay_s else ():
        await sleep(delay_s)
    data = whole_body(request, "".join(words), reason, usage, created=created)
    return WholeAnswer(data, usage, model=model, endpoint=endpoint)


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
    words: list[str],
    reason: FinishReason,
    usage: Usage,
    created: int,
    delay_s: float,
    sleep: Sleep,
) -> AsyncIterator[Chunk]:
    for word in words:
        if delay_s:
            await sleep(delay_s)
        yield Chunk(text_event(request, word, None, created=created), 1)
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
