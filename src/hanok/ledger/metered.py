"""The layer that charges: it opens the answer, watches usage go by, and writes one charge when the answer ends.

The charge is written before the last piece is handed on, so a caller who has seen the end has been charged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, Self

from hanok.ledger.charges import Charge, Status
from hanok.ledger.prices import PriceList
from hanok.wire import Answer, Caller, ChatRequest, Chunk, EmbeddingRequest, Embeddings, ModelPath, Usage

BYTES_PER_TOKEN = 4
"""For estimates only: English averages about four bytes a token, Korean about three."""


class Books(Protocol):
    """Where charges go."""

    def next_id(self) -> int: ...
    def record(self, charge: Charge) -> None: ...


class Metered:
    """A model whose every call is charged."""

    def __init__(
        self,
        inner: ModelPath,
        *,
        books: Books,
        prices: PriceList,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._inner = inner
        self._books = books
        self._prices = prices
        self._wall = wall
        self._monotonic = monotonic

    async def open(self, request: ChatRequest) -> Answer:
        meter = self._meter(request.caller, request.model, request.operation, request.prompt_bytes())
        try:
            answer = await self._inner.open(request)
        except BaseException as error:
            meter.settle("failed" if isinstance(error, Exception) else "cancelled")
            raise
        meter.served_by(answer.model, answer.endpoint)
        return _MeteredAnswer(answer, meter)

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        meter = self._meter(request.caller, request.model, "embedding", 0)
        try:
            embeddings = await self._inner.embed(request)
        except BaseException as error:
            meter.settle("failed" if isinstance(error, Exception) else "cancelled")
            raise
        meter.served_by(embeddings.model, embeddings.endpoint)
        meter.usage = embeddings.usage
        meter.settle("ok")
        return embeddings

    def _meter(self, caller: Caller, model: str, operation: str, prompt_bytes: int) -> _Meter:
        return _Meter(self._books, self._prices, self._wall, self._monotonic, caller, model, operation, prompt_bytes)


class _Meter:
    """One call's meter: reads the clocks, holds the usage seen, settles once."""

    __slots__ = (
        "_books", "_caller", "_endpoint", "_events", "_first", "_model", "_monotonic", "_operation", "_prices",
        "_prompt_bytes", "_settled", "_start", "_wall", "usage",
    )  # fmt: skip

    def __init__(
        self,
        books: Books,
        prices: PriceList,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        caller: Caller,
        model: str,
        operation: str,
        prompt_bytes: int,
    ) -> None:
        self._books = books
        self._prices = prices
        self._wall = wall
        self._monotonic = monotonic
        self._caller = caller
        self._model = model
        self._endpoint = ""
        self._operation = operation
        self._prompt_bytes = prompt_bytes
        self._start = monotonic()
        self._first = 0.0
        self._events = 0
        self._settled = False
        self.usage: Usage | None = None

    def served_by(self, model: str, endpoint: str) -> None:
        self._model, self._endpoint = model, endpoint

    def see(self, chunk: Chunk) -> None:
        if not self._first:
            self._first = self._monotonic()
        self._events += chunk.events
        if chunk.usage is not None:
            self.usage = chunk.usage
        if chunk.last:
            self.settle("ok")

    def settle(self, status: Status) -> None:
        if self._settled:
            return
        self._settled = True
        now = self._monotonic()
        usage = self.usage or self._estimate()
        caller = self._caller
        self._books.record(
            Charge(
                id=self._books.next_id(),
                at=self._wall(),
                key_id=caller.key_id,
                key_name=caller.key_name,
                model=self._model,
                endpoint=self._endpoint,
                operation=self._operation,
                status=status,
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
                cached_tokens=usage.cached_tokens,
                estimated=usage.estimated,
                cost_nano_usd=self._prices.rate(self._model).cost_nano_usd(usage),
                latency_ms=round((now - self._start) * 1000, 3),
                first_token_ms=round((self._first - self._start) * 1000, 3) if self._first else 0.0,
                request_id=caller.request_id,
                user=caller.user,
                session=caller.session,
            )
        )

    def _estimate(self) -> Usage:
        if not self._endpoint:
            return Usage()
        return Usage(
            prompt_tokens=self._prompt_bytes // BYTES_PER_TOKEN, completion_tokens=self._events, estimated=True
        )


class _MeteredAnswer:
    """An answer with a meter on it."""

    __slots__ = ("_inner", "_meter", "endpoint", "model")

    def __init__(self, inner: Answer, meter: _Meter) -> None:
        self._inner = inner
        self._meter = meter
        self.model = inner.model
        self.endpoint = inner.endpoint

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        try:
            chunk = await self._inner.__anext__()
        except StopAsyncIteration:
            self._meter.settle("ok")
            raise
        except Exception:
            self._meter.settle("failed")
            raise
        self._meter.see(chunk)
        return chunk

    async def aclose(self) -> None:
        self._meter.settle("cancelled")
        await self._inner.aclose()
