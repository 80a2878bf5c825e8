"""Watching a call from its start to the end of its answer, for layers that measure and change nothing.

An observer is told what happens, in this order: `opened` once (unless nothing could be opened), `see` for every chunk,
`end` once. It is told of the end *before* the last chunk is handed on.
"""

from __future__ import annotations

from typing import Literal, Protocol, Self

from hanok.wire.chat import Answer, ChatModel, ChatRequest, Chunk, Embedder, EmbeddingRequest, Embeddings, Usage

Ending = Literal["ok", "cancelled", "failed"]
"""How a call ended: answered, given up by its caller, or not answered."""


class Observer(Protocol):
    """Somebody who watches one call."""

    def opened(self, model: str, endpoint: str) -> None:
        """An answer begins, given by this model at this endpoint."""
        ...

    def see(self, chunk: Chunk) -> None:
        """A piece of it passes."""
        ...

    def used(self, usage: Usage) -> None:
        """The engine has told what it used; may come again, the last word counts."""
        ...

    def end(self, ending: Ending) -> None:
        """The call is over. Told again when an ended answer is closed: the first word counts."""
        ...


async def open_observed(model: ChatModel, request: ChatRequest, observer: Observer) -> Answer:
    """Open an answer that the observer watches."""
    try:
        answer = await model.open(request)
    except BaseException as error:
        observer.end("failed" if isinstance(error, Exception) else "cancelled")
        raise
    observer.opened(answer.model, answer.endpoint)
    return _ObservedAnswer(answer, observer)


async def embed_observed(embedder: Embedder, request: EmbeddingRequest, observer: Observer) -> Embeddings:
    """Embed while the observer watches."""
    try:
        embeddings = await embedder.embed(request)
    except BaseException as error:
        observer.end("failed" if isinstance(error, Exception) else "cancelled")
        raise
    observer.opened(embeddings.model, embeddings.endpoint)
    if embeddings.usage is not None:
        observer.used(embeddings.usage)
    observer.end("ok")
    return embeddings


class _ObservedAnswer:
    """An answer with somebody watching."""

    __slots__ = ("_inner", "_observer", "endpoint", "model")

    def __init__(self, inner: Answer, observer: Observer) -> None:
        self._inner = inner
        self._observer = observer
        self.model = inner.model
        self.endpoint = inner.endpoint

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        try:
            chunk = await self._inner.__anext__()
        except StopAsyncIteration:
            self._observer.end("ok")
            raise
        except Exception:
            self._observer.end("failed")
            raise
        self._observer.see(chunk)
        if chunk.usage is not None:
            self._observer.used(chunk.usage)
        if chunk.last:
            self._observer.end("ok")
        return chunk

    async def aclose(self) -> None:
        self._observer.end("cancelled")
        await self._inner.aclose()
