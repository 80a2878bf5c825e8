"""The steps from a question to passages, for declared bases and for vector stores alike."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from hanok.errors import EngineError, HanokError, OverLimit, RequestError
from hanok.knowledge.embedding import embed
from hanok.knowledge.finding.counted import Counted
from hanok.knowledge.finding.expand import expand
from hanok.knowledge.finding.rerank import rerank
from hanok.knowledge.finding.rewrite import rewrite
from hanok.knowledge.recipe import is_made_by
from hanok.knowledge.store import Store
from hanok.knowledge.values import Collection, Found, Hit, Query, Question
from hanok.spec import Model, Recipe, Terms
from hanok.telemetry import Deed, Trace, hand_on, in_child_span
from hanok.wire import Caller, ModelPath

LONGEST_QUESTION = 8000
"""In characters. What embedders read is shorter still."""
PATIENCE_S = 30.0
"""How long a model may take to rewrite a question, or to order passages."""
KNOWN_FOR_S = 5.0
"""How long it is remembered which collection an alias stands for."""
_log = logging.getLogger(__name__)

MakeTerms = Callable[[str, Terms], str]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where to look, and how: the collection behind `alias`, called `collection` if it was made as declared now.

    `store` is the vector store, "" for a declared base. `reranker` is the declared model that orders: None where its
    name stands for several chat models.
    """

    alias: str
    collection: str
    recipe: Recipe
    embedder: str
    reranker: Model | None = None
    store: str = ""

    def is_of(self, name: str) -> bool:
        """Whether the collection of that name was made as declared now."""
        return is_made_by(name, self.collection)


class Finder:
    """Finds passages. `terms` makes of a text what is looked up in words; `monotonic` is in seconds, `wall` in Unix
    seconds."""

    def __init__(
        self,
        *,
        models: ModelPath,
        store: Store,
        terms: MakeTerms,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.trace: Trace = hand_on
        self.tell: Callable[[Deed], None] = lambda _: None
        """Told of every search: it is a span, with those of the models that it asks below."""
        self._wall = wall
        self._models = models
        self._store = store
        self._terms = terms
        self._monotonic = monotonic
        self._known: dict[str, tuple[Collection, float]] = {}

    async def collection(self, alias: str) -> Collection | None:
        """The collection that the alias stands for, as it was some seconds ago at most. Raises `StoreError`."""
        known = self._known.get(alias)
        if known is not None and self._monotonic() < known[1]:
            return known[0]
        found = await self._store.describe(alias)
        if found is None:
            self._known.pop(alias, None)
        else:
            self._known[alias] = found, self._monotonic() + KNOWN_FOR_S
        return found

    async def find(self, place: Place, collection: Collection, readers: tuple[str, ...], question: Question) -> Found:
        """The best passages there that these may read. Raises `RequestError`, `StoreError`."""
        if not question.text.strip():
            raise RequestError("the question is empty", param="query", code="invalid_value")
        if len(question.text) > LONGEST_QUESTION:
            message = f"a question has at most {LONGEST_QUESTION:,} characters, not {len(question.text):,}"
            raise RequestError(message, param="query", code="invalid_value")
        began = self._wall()
        if not question.is_call:
            question = msgspec.structs.replace(question, caller=in_child_span(question.caller, self.trace))
        try:
            found = await _Search(self, place, collection, readers, question).run()
        except HanokError as error:
            self._tell(place, question, began, error=type(error).__name__)
            raise
        self._tell(place, question, began, found)
        return found

    def _tell(
        self, place: Place, question: Question, began: float, found: Found | None = None, error: str = ""
    ) -> None:
        hits = found.hits if found is not None else ()
        name = place.store or question.base
        self.tell(
            Deed(
                operation="retrieval",
                name=name,
                caller=question.caller,
                began=began,
                ended=self._wall(),
                failed=bool(error),
                error=error,
                facts={
                    "data_source": name,
                    "top_k": question.k or place.recipe.retrieve.k,
                    "passages": len(hits),
                },
                given=question.text,
                told=[{"id": hit.id, "score": hit.score, "content": hit.text} for hit in hits],
            )
        )

    # what a search asks for

    def count(self) -> Counted:
        """The way to models, for one search."""
        return Counted(self._models)

    @property
    def store(self) -> Store:
        return self._store

    async def terms(self, text: str, kind: Terms) -> str:
        """What is looked up in words; beside the event loop where making them takes a while."""
        return await asyncio.to_thread(self._terms, text, kind) if kind == "kiwi" else self._terms(text, kind)


class _Search:
    """One question on its way."""

    def __init__(
        self, finder: Finder, place: Place, collection: Collection, readers: tuple[str, ...], question: Question
    ) -> None:
        self._finder = finder
        self._place = place
        self._collection = collection
        self._readers = readers
        self._question = question
        self._retrieve = place.recipe.retrieve
        self._notes: list[str] = []
        self._models = finder.count()

    async def run(self) -> Found:
        looked_for = await self._rewritten()
        hits = await self._looked_up(looked_for)
        hits = (await self._ordered(looked_for, hits))[: self._k]
        place, store = self._place, self._finder.store
        hits = await expand(store, place.alias, hits, self._retrieve, readers=self._readers, of=place.store)
        return Found(
            hits=tuple(hits),
            looked_for=looked_for,
            notes=tuple(self._notes),
            usage=self._models.usage,
            cost_nano_usd=self._models.cost_nano_usd,
        )

    @property
    def _k(self) -> int:
        return self._question.k or self._retrieve.k

    @property
    def _reranks(self) -> bool:
        return self._retrieve.rerank is not None and self._question.rerank is not False

    async def _rewritten(self) -> str:
        """The question as it is to be looked up."""
        model = self._retrieve.rewrite
        if model is None or self._question.rewrite is False:
            return self._question.text
        new = await self._try(
            "rewriting the question", lambda models, caller: rewrite(models, model, self._question.text, caller)
        )
        return new or self._question.text

    async def _looked_up(self, text: str) -> list[Hit]:
        retrieve, question = self._retrieve, self._question
        fetch = max(retrieve.fetch_k, self._k)
        query = Query(
            readers=self._readers,
            vector=await self._vector(text),
            terms=await self._finder.terms(text, self._place.recipe.index.terms),
            store=self._place.store,
            filter=question.filter,
            k=fetch if self._reranks else self._k,
            fetch_k=fetch,
            lexical_weight=retrieve.lexical_weight,
            dense_weight=retrieve.dense_weight,
            mmr_lambda=1.0 if self._reranks else retrieve.mmr_lambda,
            ef=max(retrieve.ef, fetch),
            nprobe=retrieve.nprobe,
        )
        return await self._finder.store.search(self._place.alias, query)

    async def _vector(self, text: str) -> bytes | None:
        """The question's vector; None where it cannot be compared with those that are there, or cannot be made."""
        place = self._place
        if not place.is_of(self._collection.name):
            self._notes.append(
                "looked up by words alone: what is there was ingested by another recipe; ingest it again"
            )
            return None
        if not self._retrieve.dense_weight:
            return None
        told = place.recipe.embed
        try:
            vectors = await self._ask_model(
                lambda models, caller: embed(
                    models, place.embedder, [told.query_prefix + text], caller=caller, dimensions=told.dimensions
                ),
            )
        except EngineError as error:
            self._note("embedding the question", error)
            return None
        return vectors[0]

    async def _ordered(self, text: str, hits: list[Hit]) -> list[Hit]:
        model = self._retrieve.rerank
        if model is None or not self._reranks or len(hits) < 2:
            return hits
        kind = "chat" if self._place.reranker is None else self._place.reranker.type
        ordered = await self._try(
            "ordering the passages", lambda models, caller: rerank(models, model, kind, text, hits, caller)
        )
        return hits if ordered is None else ordered

    async def _try(self, what: str, step: Callable[[ModelPath, Caller], Awaitable[T]]) -> T | None:
        """What a model makes; None when it fails. Budgets that are spent end the search."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self._ask_model(step)
        except OverLimit:
            raise
        except (HanokError, TimeoutError, msgspec.MsgspecError, LookupError, TypeError, ValueError) as error:
            self._note(what, error)
            return None

    async def _ask_model(self, step: Callable[[ModelPath, Caller], Awaitable[T]]) -> T:
        """One step that asks a model, with a span of its own."""
        return await step(self._models, in_child_span(self._question.caller, self._finder.trace))

    def _note(self, what: str, error: BaseException) -> None:
        _log.warning("%s failed, and was left out: %s", what, error or type(error).__name__)
        self._notes.append(f"{what} failed, and was left out")
