"""The library: whoever has a question gets passages from a declared base, and only those that he may read.

Who reads is taken from the caller, never from what is asked. Whether the base is open to the caller at all is decided
where his key is known, before this.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from hanok.errors import Unknown
from hanok.knowledge.embedding import embedder_of
from hanok.knowledge.finding.finder import Finder, MakeTerms, Place
from hanok.knowledge.recipe import alias_of, collection_of, digest_of
from hanok.knowledge.store import Store
from hanok.knowledge.values import EVERYONE, Collection, Found, Question
from hanok.spec import Knowledge, Platform, Recipe
from hanok.telemetry import Deed, Trace, hand_on
from hanok.wire import Caller, ModelPath


class Library:
    """Declared bases, to be asked.

    `models` is the outermost path, so that what a search asks of models is charged to its caller. `terms` is
    `ranking.terms_of_question`.
    """

    def __init__(
        self,
        *,
        models: ModelPath,
        store: Store,
        platform: Platform,
        terms: MakeTerms,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.finder = Finder(models=models, store=store, terms=terms, monotonic=monotonic, wall=wall)
        self.store = store
        self.change(platform)

    def change(self, platform: Platform, trace: Trace = hand_on, tell: Callable[[Deed], None] = lambda _: None) -> None:
        """Go on with what this platform declares, from the next question on. `tell` is told of searches."""
        self._platform = platform
        self._bases = {base.name: base for base in platform.knowledge}
        self._places: dict[str, Place] = {}
        self.finder.trace, self.finder.tell = trace, tell

    @property
    def bases(self) -> tuple[Knowledge, ...]:
        """The declared bases."""
        return tuple(self._bases.values())

    def base(self, name: str) -> Knowledge:
        """The base of that name. Raises `Unknown`."""
        found = self._bases.get(name)
        if found is None:
            raise unknown_base(name)
        return found

    async def collection(self, name: str) -> Collection | None:
        """What is there of that base. Raises `Unknown`, `StoreError`."""
        return await self.finder.collection(alias_of(self._platform.name, self.base(name).name))

    async def search(self, question: Question) -> Found:
        """The best passages that the question's caller may read.

        Raises `Unknown` when there is no such base or nothing was ever ingested into it, `RequestError` when the
        question or its filter is at fault or the caller's budget is spent, `StoreError`.
        """
        base = self.base(question.base)
        collection = await self.collection(question.base)
        if collection is None:
            message = (
                f"nothing was ingested into the knowledge base {base.name!r} yet: `hanok knowledge ingest {base.name}`"
            )
            raise Unknown(message, code="knowledge_empty")
        return await self.finder.find(self._place(base), collection, readers_of(question.caller), question)

    def _place(self, base: Knowledge) -> Place:
        place = self._places.get(base.name)
        if place is None:
            place = self._places[base.name] = place_of(self._platform, base, base.name)
        return place


def place_of(platform: Platform, recipe: Recipe, name: str, *, store: str = "") -> Place:
    """Where passages made by that recipe are looked for; `name` is the base's, or `vector_stores`."""
    embedder = embedder_of(platform, recipe)
    alias = alias_of(platform.name, name)
    rerank = recipe.retrieve.rerank
    return Place(
        alias=alias,
        collection=collection_of(alias, digest_of(recipe, embedder)),
        recipe=recipe,
        embedder=embedder.name,
        reranker=None if rerank is None else platform.model(rerank),
        store=store,
    )


def readers_of(caller: Caller) -> tuple[str, ...]:
    """Whose passages a caller may read in a declared base: everyone's, and those of the team of his key."""
    return (EVERYONE,) if caller.team is None else (EVERYONE, caller.team)


def unknown_base(name: str) -> Unknown:
    """What is told of a base that there is not, or that is not open: the same."""
    return Unknown(
        f"there is no knowledge base {name[:64]!r}; see /v1/knowledge", param="name", code="knowledge_not_found"
    )
