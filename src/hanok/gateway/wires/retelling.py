"""An opened answer told on another wire: the engine's events in, this wire's events out, chunk by chunk."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol, Self

from hanok.ledger import MeteredAnswer
from hanok.wire import Chunk


class Teller(Protocol):
    """Tells one streamed answer in a wire's own events. What it raises ends the answer."""

    def begin(self, answer: MeteredAnswer) -> bytes:
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

    def __init__(self, answer: MeteredAnswer, teller: Teller) -> None:
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


async def retell(opening: Awaitable[MeteredAnswer], teller: Teller) -> Retold:
    """Await the answer; it will be told by `teller`."""
    return Retold(await opening, teller)
