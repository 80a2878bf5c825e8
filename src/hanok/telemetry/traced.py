"""The outermost layer: measures each call from its start to the end of its answer."""

from __future__ import annotations

from collections.abc import Callable

from hanok.telemetry.metrics import Metrics
from hanok.wire import Answer, ChatRequest, Chunk, EmbeddingRequest, Embeddings, ModelPath, Usage
from hanok.wire.observed import Ending, embed_observed, open_observed


class Traced:
    """A model whose every call is measured."""

    def __init__(self, inner: ModelPath, *, metrics: Metrics, monotonic: Callable[[], float]) -> None:
        self._inner = inner
        self._metrics = metrics
        self._monotonic = monotonic

    async def open(self, request: ChatRequest) -> Answer:
        return await open_observed(self._inner, request, _Span(self._metrics, request.model, self._monotonic))

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        return await embed_observed(self._inner, request, _Span(self._metrics, request.model, self._monotonic))


class _Span:
    """One call being measured."""

    __slots__ = ("_ended", "_metrics", "_model", "_monotonic", "_seen", "_start", "_usage")

    def __init__(self, metrics: Metrics, model: str, monotonic: Callable[[], float]) -> None:
        self._metrics = metrics
        self._model = metrics.model(model)
        self._monotonic = monotonic
        self._start = monotonic()
        self._seen = False
        self._usage: Usage | None = None
        self._ended = False
        metrics.running += 1

    def opened(self, model: str, endpoint: str) -> None:
        pass

    def see(self, chunk: Chunk) -> None:
        if not self._seen and chunk.data:
            self._seen = True
            self._model.first_token.observe(self._monotonic() - self._start)

    def used(self, usage: Usage) -> None:
        self._usage = usage

    def end(self, ending: Ending) -> None:
        if self._ended:
            return
        self._ended = True
        self._metrics.running -= 1
        if self._usage is not None:
            self._model.input_tokens += self._usage.prompt_tokens
            self._model.output_tokens += self._usage.completion_tokens
        self._model.ended[ending] += 1
        self._model.duration.observe(self._monotonic() - self._start)
