"""The layer that charges: it opens the answer, watches usage go by, and writes one charge when the answer ends.

The charge is written before the last piece is handed on, so a caller who has seen the end has been charged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from hanok.ledger.prices import PriceList
from hanok.wire import Answer, Caller, ChatRequest, Chunk, EmbeddingRequest, Embeddings, ModelPath, Usage
from hanok.wire.charge import Charge
from hanok.wire.observed import Ending, embed_observed, open_observed

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
        return await open_observed(self._inner, request, meter)

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        meter = self._meter(request.caller, request.model, "embedding", request.input_bytes())
        return await embed_observed(self._inner, request, meter)

    def _meter(self, caller: Caller, model: str, operation: str, prompt_bytes: int) -> _Meter:
        return _Meter(self._books, self._prices, self._wall, self._monotonic, caller, model, operation, prompt_bytes)


class _Meter:
    """One call's meter: reads the clocks, holds the usage seen, and writes one charge at the end."""

    __slots__ = (
        "_books", "_caller", "_endpoint", "_events", "_first", "_model", "_monotonic", "_operation", "_prices",
        "_prompt_bytes", "_settled", "_start", "_unstreamed", "_usage", "_wall",
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
        self._unstreamed = 0
        self._settled = False
        self._usage: Usage | None = None

    def opened(self, model: str, endpoint: str) -> None:
        self._model, self._endpoint = model, endpoint

    def see(self, chunk: Chunk) -> None:
        if not self._first:
            self._first = self._monotonic()
        self._events += chunk.events
        self._unstreamed = len(chunk.data) if chunk.last and not chunk.events else 0

    def used(self, usage: Usage) -> None:
        self._usage = usage

    def end(self, ending: Ending) -> None:
        if self._settled:
            return
        self._settled = True
        start, first, now = self._start, self._first, self._monotonic()
        usage = self._usage or self._estimate()
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
                status=ending,
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
                cached_tokens=usage.cached_tokens,
                estimated=usage.estimated,
                cost_nano_usd=self._prices.rate(self._model).cost_nano_usd(usage),
                latency_ms=(now - start) * 1000,
                first_token_ms=(first - start) * 1000 if first else 0.0,
                request_id=caller.request_id,
                user=caller.user,
                session=caller.session,
            )
        )

    def _estimate(self) -> Usage:
        if not self._endpoint:
            return Usage()
        return Usage(
            prompt_tokens=self._prompt_bytes // BYTES_PER_TOKEN,
            completion_tokens=self._events or self._unstreamed // BYTES_PER_TOKEN,
            estimated=True,
        )
