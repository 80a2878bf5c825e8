"""The outermost layer: measures each call from its start to the end of its answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from hanok.telemetry.metrics import Metrics
from hanok.wire import Answer, ChatRequest, Chunk, EmbeddingRequest, Embeddings, ModelPath


class Traced:
    """A model whose every call is measured."""

    def __init__(self, inner: ModelPath, *, metrics: Metrics, monotonic: Callable[[], float]) -> None:
        self._inner = inner
        self._metrics = metrics
        self._monotonic = monotonic

    async def open(self, request: ChatRequest) -> Answer:
        span = _Span(self._metrics, request.model, self._monotonic)
        try:
            return _TracedAnswer(await self._inner.open(request), span)
        except BaseException as error:
            span.end("failed" if isinstance(error, Exception) else "cancelled")
            raise

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        span = _Span(self._metrics, request.model, self._monotonic)
        try:
            embeddings = await self._inner.embed(request)
        except BaseException as error:
            span.end("failed" if isinstance(error, Exception) else "cancelled")
            raise
        span.model.input_tokens += embeddings.usage.prompt_tokens
        span.end("ok")
        return embeddings


class _Span:
    """One call being measured; ends once."""

    __slots__ = ("_ended", "_metrics", "_monotonic", "_seen", "_start", "model")

    def __init__(self, metrics: Metrics, model: str, monotonic: Callable[[], float]) -> None:
        self._metrics = metrics
        self.model = metrics.model(model)
        self._monotonic = monotonic
        self._start = monotonic()
        self._seen = False
        self._ended = False
        metrics.running += 1

    def see(self, chunk: Chunk) -> None:
        if not self._seen:
            self._seen = True
            self.model.first_token.observe(self._monotonic() - self._start)
        if chunk.usage is not None:
            self.model.input_tokens += chunk.usage.prompt_tokens
            self.model.output_tokens += chunk.usage.completion_tokens
        if chunk.last:
            self.end("ok")

    def end(self, status: str) -> None:
        if self._ended:
            return
        self._ended = True
        self._metrics.running -= 1
        self.model.ended[status] += 1
        self.model.duration.observe(self._monotonic() - self._start)


class _TracedAnswer:
    """An answer being measured."""

    __slots__ = ("_inner", "_span", "endpoint", "model")

    def __init__(self, inner: Answer, span: _Span) -> None:
        self._inner = inner
        self._span = span
        self.model = inner.model
        self.endpoint = inner.endpoint

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        try:
            chunk = await self._inner.__anext__()
        except StopAsyncIteration:
            self._span.end("ok")
            raise
        except Exception:
            self._span.end("failed")
            raise
        self._span.see(chunk)
        return chunk

    async def aclose(self) -> None:
        self._span.end("cancelled")
        await self._inner.aclose()
