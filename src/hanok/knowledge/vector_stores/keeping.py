"""What callers do with their vector stores. Those of other tenants are not there for them."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from hanok.errors import RequestError, Unknown
from hanok.knowledge.finding.finder import Place
from hanok.knowledge.library import Library, place_of
from hanok.knowledge.values import Found, Hit, Plain, Question
from hanok.knowledge.vector_stores.entries import Attached, Chunking, Counts, FileBatch, VectorStore
from hanok.knowledge.vector_stores.record_store import Records, Slice
from hanok.spec import Platform, Retrieve, VectorStores
from hanok.wire import Caller

BASE = "/vector_stores"
"""What their collection is called, where a declared base has its name: no base can be called this."""
ID_DIGITS = 32
ACTIVE_EVERY_S = 60
CONTENT_PASSAGES = 1000
"""Passages that are read at once, of a file's text."""


class Files(Protocol):
    """Files that callers uploaded, by owner."""

    async def filename(self, id_: str, owner: str) -> str:
        """Raises `Unknown`."""
        ...

    async def read(self, id_: str, owner: str, limit_bytes: int) -> bytes:
        """Raises `Unknown`, and `DocumentRefused` when it is larger than that."""
        ...


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """A file to be attached."""

    file_id: str
    attributes: Mapping[str, Plain] = {}
    chunking: Chunking | None = None


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """How a search is to be ordered; what is None is as declared."""

    rerank: bool | None = None
    lexical_weight: float | None = None
    dense_weight: float | None = None

    def retrieve(self, declared: Retrieve) -> Retrieve:
        """What is declared, with these weights."""
        given = {"lexical_weight": self.lexical_weight, "dense_weight": self.dense_weight}
        return declared.model_copy(update={name: weight for name, weight in given.items() if weight is not None})


class Keeping:
    """Vector stores of all tenants. `wake` tells whoever fills them that there is work. All raise `StoreError`."""

    def __init__(
        self,
        records: Records,
        *,
        library: Library,
        files: Files,
        platform: Platform,
        wake: Callable[[], None],
        wall: Callable[[], float],
        random_hex: Callable[[int], str],
    ) -> None:
        self._records = records
        self._library = library
        self._files = files
        self._wake = wake
        self._wall = wall
        self._random_hex = random_hex
        self.change(platform)

    def change(self, platform: Platform) -> None:
        """Go on by what this platform declares."""
        self._platform = platform

    @property
    def retrieve(self) -> Retrieve:
        """How passages are found, as declared."""
        return self._platform.vector_stores.retrieve

    # vector stores

    async def create(self, owner: str, fields: Mapping[str, object]) -> VectorStore:
        """Make a vector store with these fields.

        Raises `RequestError` when its owner has too many, `Unknown` when no model makes vectors.
        """
        self.place("")
        now = int(self._wall())
        id_ = f"vs_{self._random_hex(ID_DIGITS)}"
        bare = VectorStore(id=id_, owner=owner, created_at=now, last_active_at=now)
        store = msgspec.structs.replace(bare, **fields)
        most = self._platform.vector_stores.tenant_limit
        if not await asyncio.to_thread(self._records.add_store, store, most=most):
            message = (
                f"there are {most:,} vector stores already, the limit set by vector_stores.tenant_limit; delete some"
            )
            raise RequestError(message, code="vector_store_limit_exceeded")
        return store

    async def find(self, id_: str, owner: str) -> VectorStore:
        """Raises `Unknown`."""
        found = await asyncio.to_thread(self._records.store, id_, owner) if self._records.exist else None
        if found is None:
            raise unknown_store(id_)
        return found

    async def page(self, owner: str, part: Slice) -> list[VectorStore]:
        """The owner's vector stores."""
        return await asyncio.to_thread(self._records.list_stores, owner, part) if self._records.exist else []

    async def update(self, store: VectorStore, fields: Mapping[str, object]) -> VectorStore:
        """The vector store with other fields. Raises `RequestError` when it has expired."""
        if store.has_expired(self._wall()):
            raise _has_expired(store)
        changed = msgspec.structs.replace(store, last_active_at=int(self._wall()), **fields)
        await asyncio.to_thread(self._records.change_store, changed)
        return changed

    async def delete(self, store: VectorStore) -> None:
        """Nobody finds anything in it any more; its passages go soon."""
        await asyncio.to_thread(self._records.discard_store, store.id, store.owner)
        self._wake()

    async def counts(self, stores: Sequence[VectorStore]) -> list[Counts]:
        """The files of each."""
        if not stores:
            return []
        found = await asyncio.to_thread(self._records.counts, [store.id for store in stores])
        return [found[store.id] for store in stores]

    # files

    async def check(self, wishes: Sequence[Wish], owner: str) -> None:
        """Raises `Unknown` when one of the files is not the owner's."""
        for wish in wishes:
            await self._files.filename(wish.file_id, owner)

    async def attach(
        self, store: VectorStore, wishes: Sequence[Wish], caller: Caller, *, together: bool = False
    ) -> tuple[list[Attached], FileBatch | None]:
        """Attach files; they are read soon. Raises `Unknown` when one is not the owner's."""
        now = int(self._wall())
        if store.has_expired(now):
            raise _has_expired(store)
        id_ = f"vsfb_{self._random_hex(ID_DIGITS)}"
        batch = FileBatch(id=id_, store=store.id, created_at=now) if together else None
        files = [
            Attached(
                file_id=wish.file_id,
                store=store.id,
                owner=store.owner,
                filename=await self._files.filename(wish.file_id, store.owner),
                key_id=caller.key_id,
                created_at=now,
                batch=batch.id if batch else None,
                attributes=wish.attributes,
                chunking=wish.chunking,
            )
            for wish in {wish.file_id: wish for wish in wishes}.values()
        ]
        attached = await asyncio.to_thread(self._records.attach, files, batch=batch)
        await self._be_active(store)
        self._wake()
        return attached, batch

    async def file(self, store: VectorStore, file_id: str) -> Attached:
        """Raises `Unknown`."""
        found = await asyncio.to_thread(self._records.file, store.id, file_id, store.owner)
        if found is None:
            message = f"there is no file {file_id[:64]!r} in the vector store {store.id!r}"
            raise Unknown(message, param="file_id", code="file_not_found")
        return found

    async def files(self, store: VectorStore, part: Slice, *, batch: str | None = None) -> list[Attached]:
        """Files of a vector store, or of one batch of it."""
        return await asyncio.to_thread(self._records.list_files, store.id, store.owner, part, batch=batch)

    async def detach(self, file: Attached) -> None:
        """Nobody finds anything of it in that vector store any more."""
        await self._discard(file.file_id, file.owner, store=file.store)

    async def forget(self, file_id: str, owner: str) -> None:
        """A file was deleted: it goes from every vector store."""
        if self._records.exist:
            await self._discard(file_id, owner)

    async def content(self, file: Attached) -> list[Hit]:
        """The passages of a file, in order."""
        alias, hits = self.place(file.store).alias, list[Hit]()
        for first in range(0, file.passages, CONTENT_PASSAGES):
            last = first + CONTENT_PASSAGES - 1
            hits += await self._library.store.passages(
                alias,
                document=file.file_id,
                digest=file.digest,
                first=first,
                last=last,
                readers=(file.owner,),
                store=file.store,
            )
        return hits

    async def _discard(self, file_id: str, owner: str, *, store: str | None = None) -> None:
        stores = await asyncio.to_thread(self._records.discard_file, file_id, owner, store=store)
        for each in stores:
            alias = self.place(each).alias
            if await self._library.finder.collection(alias) is not None:
                await self._library.store.remove(alias, document=file_id, store=each)
        self._wake()

    # batches

    async def batch(self, store: VectorStore, id_: str) -> FileBatch:
        """Raises `Unknown`."""
        found = await asyncio.to_thread(self._records.batch, id_, store.id)
        if found is None:
            raise Unknown(f"there is no file batch {id_[:64]!r} in {store.id!r}", param="batch_id", code="not_found")
        return found

    async def batch_counts(self, batch: FileBatch) -> Counts:
        """The files of it."""
        return (await asyncio.to_thread(self._records.counts, [batch.id], of="batch"))[batch.id]

    async def cancel(self, batch: FileBatch) -> FileBatch:
        """Files of it that were not read yet are not read."""
        return await asyncio.to_thread(self._records.cancel_batch, batch, int(self._wall()))

    # searching

    async def search(self, store: VectorStore, question: Question, ranking: Ranking) -> Found:
        """The best passages. Raises `RequestError`."""
        if store.has_expired(self._wall()):
            raise _has_expired(store)
        place = self.place(store.id, ranking)
        collection = await self._library.finder.collection(place.alias)
        if collection is None:
            return Found(hits=(), looked_for=question.text)
        found = await self._library.finder.find(place, collection, (store.owner,), question)
        await self._be_active(store)
        return found

    def place(self, store: str, ranking: Ranking | None = None) -> Place:
        """Where its passages are. Raises `Unknown` when no model makes vectors."""
        recipe = self._platform.vector_stores
        if ranking is not None:
            recipe = recipe.model_copy(update={"retrieve": ranking.retrieve(recipe.retrieve)})
        return vector_stores_place(self._platform, recipe, store)

    async def _be_active(self, store: VectorStore) -> None:
        now = int(self._wall())
        if now - store.last_active_at >= ACTIVE_EVERY_S:
            await asyncio.to_thread(self._records.touch_store, store.id, now)


def vector_stores_place(platform: Platform, recipe: VectorStores, store: str) -> Place:
    """Where passages of vector stores are. How they are cut is up to each file, and makes no other collection."""
    named = place_of(platform, recipe.model_copy(update={"split": []}), BASE, store=store)
    return dataclasses.replace(named, recipe=recipe)


def unknown_store(id_: str) -> Unknown:
    """What is told of a vector store that there is not, or that is another tenant's: the same."""
    return Unknown(f"there is no vector store {id_[:64]!r}", param="vector_store_id", code="vector_store_not_found")


def _has_expired(store: VectorStore) -> RequestError:
    message = f"the vector store {store.id!r} was not used for {store.expires_days} days and has expired; make another"
    return RequestError(message, param="vector_store_id", code="vector_store_expired")
