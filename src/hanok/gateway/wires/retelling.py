"""An answer told on another wire: the engine's body or events in, this wire's out, chunk by chunk."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol, Self

from hanok.gateway.given import Given
from hanok.gateway.giving import JSON_TYPE, Giving
from hanok.gateway.http import Call, Header
from hanok.gateway.relay import COMMENT, relay
from hanok.wire import ChatRequest, Chunk


class Teller(Protocol):
    """Tells one answer in a wire's own form, whole or as events. What it raises ends the answer."""

    async def whole(self, data: bytes, answer: Given) -> bytes:
        """The body for this body of the engine."""
        ...

    def begin(self, answer: Given) -> bytes:
        """The events that come first."""
        ...

    def take(self, events: bytes) -> bytes:
        """What these whole events of the engine are on this wire."""
        ...

    async def end(self) -> bytes:
        """The events that come last. The answer is over when they are sent, so what must be kept is kept here."""
        ...

    def fail(self, error: Exception) -> bytes:
        """What is told before the error itself, which the desk words; often nothing."""
        ...


class Retold:
    """An answer whose chunks are what a `Teller` makes of them."""

    __slots__ = ("_begun", "_failed", "_over", "_teller", "answer", "endpoint", "model")

    def __init__(self, answer: Given, teller: Teller) -> None:
        self.answer = answer
        self.model = answer.model
        self.endpoint = answer.endpoint
        self._teller = teller
        self._begun = False
        self._over = False
        self._failed: Exception | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        if self._failed is not None:
            raise self._failed
        if self._over:
            raise StopAsyncIteration
        told = b""
        try:
            if not self._begun:
                self._begun, told = True, self._teller.begin(self.answer)
            return await self._next(told)
        except Exception as error:
            if not (last_words := told + self._teller.fail(error)):
                raise
            self._failed = error
            return Chunk(last_words)

    async def _next(self, told: bytes) -> Chunk:
        try:
            chunk = await self.answer.__anext__()
        except StopAsyncIteration:
            self._over = True
            return Chunk(told + await self._teller.end(), last=True)
        told += self._teller.take(chunk.data)
        if not chunk.last:
            return Chunk(told)
        self._over = True
        return Chunk(told + await self._teller.end(), last=True)

    async def aclose(self) -> None:
        await self.answer.aclose()


async def give_retold(
    giving: Giving, call: Call, request: ChatRequest, teller: Teller, *, comment: bytes = COMMENT
) -> None:
    """Ask for text and give it as `teller` tells it, streamed or whole; `comment` is said while nothing comes."""
    opening = giving.models.open(request)
    if not request.stream:
        await _give_whole(giving, call, request, teller, await opening)
        return

    def headers(retold: Retold | None) -> list[Header]:
        return giving.stream_headers(request.model, None if retold is None else retold.answer)

    await relay(call, _retell(opening, teller), headers=headers, keep_alive_s=giving.keep_alive_s, comment=comment)


async def _give_whole(giving: Giving, call: Call, request: ChatRequest, teller: Teller, answer: Given) -> None:
    try:
        chunk = await answer.__anext__()
        body = await teller.whole(chunk.data, answer)
        await call.reply(200, body, JSON_TYPE, *giving.about(request.model, answer))
    finally:
        await answer.aclose()


async def _retell(opening: Awaitable[Given], teller: Teller) -> Retold:
    return Retold(await opening, teller)
