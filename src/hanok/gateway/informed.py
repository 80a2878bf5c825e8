"""The layer that answers from documents: `model: knowledge/NAME` is looked up, put before a model, and checked.

It stands above everything that picks a model, so what it asks below is admitted, charged and traced as any call of its
caller. A call that names a model passes with one look-up. What an answer looks like is its writer's business: OpenAI's
chat here, events of `/v1/knowledge/{name}/answer` there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, Self

import msgspec

from hanok.errors import Unknown
from hanok.gateway.access import KNOWLEDGE
from hanok.gateway.given import Given, Models
from hanok.gateway.informed_form import chat_body, chat_end, text_events
from hanok.knowledge.answering import Answerer, Asked, Library, Telling, read_conversation
from hanok.ledger import Hold, MeteredResult
from hanok.spec import Platform
from hanok.wire import ChatRequest, Chunk, Kept, TaskRequest, Tier, Usage

_NOTHING_USED = Usage()


class Writer(Protocol):
    """Tells one answer in a form: as a body, or as events."""

    def whole(self, telling: Telling[Given], usage: Usage) -> bytes: ...

    def begin(self, telling: Telling[Given]) -> bytes: ...

    def more(self, text: str) -> bytes: ...

    def end(self, telling: Telling[Given], usage: Usage) -> bytes: ...


class Informed:
    """Answers from knowledge bases. `wall` gives Unix seconds."""

    def __init__(self, inner: Models, library: Library, *, wall: Callable[[], float] = time.time) -> None:
        self.inner = inner
        self._answerer: Answerer[Given] = Answerer(inner, library)
        self._wall = wall
        self._names: dict[str, bool] = {}

    def change(self, platform: Platform) -> None:
        """Go on with these knowledge bases."""
        self._answerer.change(platform)
        self._names = {f"{KNOWLEDGE}{base.name}": base.answer.list_sources for base in platform.knowledge}

    def open(self, request: ChatRequest) -> Coroutine[Any, Any, Given]:
        """Raises as the layer below does, and as a search does."""
        lists_sources = self._names.get(request.model)
        return self.inner.open(request) if lists_sources is None else self._open(request, lists_sources)

    def perform(self, request: TaskRequest) -> Coroutine[Any, Any, MeteredResult]:
        """Tasks are none of documents' business."""
        return self.inner.perform(request)

    async def answer(self, asked: Asked, writer: Writer) -> InformedAnswer:
        """An answer in the form of `writer`. Raises as `open` does."""
        if not (asked.model or self._answerer.model_for(asked.base)):
            message = f"no model is declared that could answer from {asked.base!r}: declare one of type `chat`"
            raise Unknown(message, code="no_chat_model")
        return InformedAnswer(await self._answerer.open(asked), writer, asked)

    async def _open(self, request: ChatRequest, lists_sources: bool) -> InformedAnswer:
        asked = Asked(
            base=request.model.removeprefix(KNOWLEDGE),
            talk=read_conversation(request),
            caller=request.caller,
            options=request.options,
            stream=request.stream,
            max_tokens=request.max_tokens,
        )
        return await self.answer(asked, _ChatWriter(request, lists_sources, created=int(self._wall())))


class InformedAnswer:
    """An answer from documents, in its writer's form; it is the model's own answer where it comes to who gave it."""

    def __init__(self, telling: Telling[Given], writer: Writer, asked: Asked) -> None:
        opened = telling.opened
        self._telling = telling
        self._writer = writer
        self._stream = asked.stream
        self._begun = self._over = False
        self.model = telling.model
        self.endpoint = f"{KNOWLEDGE}{asked.base}" if opened is None else opened.endpoint
        self.kept: Kept | None = None if opened is None else opened.kept
        self.tier: Tier | None = None if opened is None else opened.tier

    @property
    def hold(self) -> Hold | None:
        """Where the model's call stands with its accounts."""
        return None if self._telling.opened is None else self._telling.opened.hold

    @property
    def cost_nano_usd(self) -> int:
        """What the search has cost, and the model's call when it is over."""
        found, opened = self._telling.found, self._telling.opened
        return found.cost_nano_usd + (0 if opened is None else opened.cost_nano_usd)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        if self._over:
            raise StopAsyncIteration
        return await (self._next_events() if self._stream else self._whole())

    async def aclose(self) -> None:
        await self._telling.aclose()

    async def _whole(self) -> Chunk:
        async for _ in self._telling:
            pass
        self._over = True
        usage = self._usage()
        return Chunk(self._writer.whole(self._telling, usage), 0, usage, True)

    async def _next_events(self) -> Chunk:
        begun = b"" if self._begun else self._writer.begin(self._telling)
        self._begun = True
        if begun:
            return Chunk(begun)
        async for text in self._telling:
            if text:
                return Chunk(self._writer.more(text), 1)
        self._over = True
        usage = self._usage()
        return Chunk(self._writer.end(self._telling, usage), 0, usage, True)

    def _usage(self) -> Usage:
        """Of all calls that the answer took: the model's, and those of the search."""
        said, found = self._telling.usage or _NOTHING_USED, self._telling.found.usage
        if found is None:
            return said
        return msgspec.structs.replace(
            said,
            prompt_tokens=said.prompt_tokens + found.prompt_tokens,
            completion_tokens=said.completion_tokens + found.completion_tokens,
        )


class _ChatWriter:
    """OpenAI's chat completions."""

    def __init__(self, request: ChatRequest, lists_sources: bool, *, created: int) -> None:
        self._request = request
        self._lists_sources = lists_sources
        self._created = created

    def whole(self, telling: Telling[Given], usage: Usage) -> bytes:
        return chat_body(self._request, telling, self._sources(telling), usage, created=self._created)

    def begin(self, telling: Telling[Given]) -> bytes:  # noqa: ARG002 - the first words begin it
        return b""

    def more(self, text: str) -> bytes:
        return text_events(self._request, text, created=self._created)

    def end(self, telling: Telling[Given], usage: Usage) -> bytes:
        sources = self._sources(telling)
        listed = text_events(self._request, sources, created=self._created) if sources else b""
        return listed + chat_end(self._request, telling, usage, created=self._created)

    def _sources(self, telling: Telling[Given]) -> str:
        return telling.sources() if self._lists_sources else ""
