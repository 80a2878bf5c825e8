"""Fills vector stores: one process of a state folder at a time, the one that holds the lock.

What is to be done stands in the records, and nothing else remembers it: a process that is killed leaves its files as
they are, in progress, and the next one reads them again. Ids of passages are the same each time, so nothing is double.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec

from hanok.errors import DocumentRefused, HanokError, KnowledgeError, RequestError, StartError, Unknown
from hanok.knowledge.finding.finder import Place
from hanok.knowledge.ingesting.embedder import Embedder
from hanok.knowledge.ingesting.rows import head_of, row_of, with_head
from hanok.knowledge.ingesting.run import EmbedUnits
from hanok.knowledge.store import Store
from hanok.knowledge.values import Entry, Passage, Row
from hanok.knowledge.vector_stores.entries import Attached, ErrorCode, VectorStore
from hanok.knowledge.vector_stores.keeping import Files, vector_stores_place
from hanok.knowledge.vector_stores.record_store import Records
from hanok.ledger.stores.locked import claim
from hanok.spec import Platform, Recipe, Terms
from hanok.wire import Caller, ModelPath

TICK_S = 0.25
LOOK_EVERY_S = 1.0
EXPIRED_EVERY_S = 60.0
"""How often it is looked which vector stores have expired, where nothing else is written."""
REST_S = 5.0
TRIES = 3
"""How often a file is tried whose reading fails in a way that nobody foresaw."""
AT_ONCE = 4
"""Files that are read at once; more where more calls of the embedder are declared."""
MIB = 1024 * 1024
UNSUPPORTED = ("unknown_format", "binary")
_log = logging.getLogger(__name__)

Cut = Callable[[Entry, bytes, Recipe, EmbedUnits], Awaitable[tuple[str, Sequence[Passage]]]]
"""A document's bytes to its title and passages, by a recipe. Raises `DocumentRefused`."""
_Key = tuple[str, str]


class Filler:
    """Fills vector stores while this process may.

    `callers` gives whoever has a key of that id, None when nobody has; `serves` says whether this process takes calls.
    """

    def __init__(
        self,
        state: Path,
        *,
        records: Records,
        store: Store,
        models: ModelPath,
        files: Files,
        cut: Cut,
        terms: Callable[[str, Terms], str],
        callers: Callable[[str], Caller | None],
        platform: Platform,
        serves: Callable[[], bool],
        wall: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._lock_file = state / "vector_stores.lock"
        self._lock = -1
        self._records = records
        self._store = store
        self._models = models
        self._files = files
        self._cut = cut
        self._terms = terms
        self._callers = callers
        self._serves = serves
        self._wall = wall
        self._monotonic = monotonic
        self._tasks: dict[_Key, asyncio.Task[None]] = {}
        self._resting: dict[_Key, float] = {}
        self._unforeseen: Counter[_Key] = Counter()
        self._woken = asyncio.Event()
        self._looked_at = float("-inf")
        self._making = asyncio.Lock()
        self._told = ""
        self._platform = platform
        self._collection: str = ""
        self._calls = asyncio.Semaphore(platform.vector_stores.embed.concurrency)
        self._coming: dict[_Key, tuple[str, int]] = {}
        self._counting = asyncio.Lock()
        self._quiet: tuple[tuple[int, int], float] | None = None
        self.change(platform)

    def change(self, platform: Platform) -> None:
        """Go on by what this platform declares, from the next look on."""
        self._next: Platform | None = platform
        self.wake()

    def wake(self) -> None:
        """Something has changed: look now."""
        self._looked_at = float("-inf")
        self._woken.set()

    async def live(self) -> None:
        """For ever: fill while it may."""
        while True:
            try:
                await self._look()
            except (HanokError, OSError) as error:
                self._tell(f"vector stores cannot be filled; trying again: {error}")
                self._looked_at = self._monotonic() + REST_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._woken.wait()
            self._woken.clear()

    def _tell(self, what: str) -> None:
        """Say what is wrong, once."""
        if what != self._told:
            self._told = what
            _log.warning("%s", what)

    async def close(self) -> None:
        """Leave what is being read as it is, and let another process take it up."""
        await self._stop(list(self._tasks.values()))
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        await asyncio.to_thread(self._records.close)

    # what there is to do

    async def _look(self) -> None:
        now = self._monotonic()
        if not self._serves() or not self._records.exist or now - self._looked_at < LOOK_EVERY_S or not self._may():
            return
        self._looked_at = now
        if self._next is not None:
            await self._take_up(self._next)
        mark = await asyncio.to_thread(self._records.mark)
        if self._quiet is not None and self._quiet[0] == mark and now < self._quiet[1]:
            return
        discarded = await asyncio.to_thread(self._records.discarded_stores, self._wall())
        for store in discarded:
            await self._empty(store)
        self._resting = {key: until for key, until in self._resting.items() if until > now}
        waiting = _in_turn(await asyncio.to_thread(self._records.open_files))
        self._quiet = None if discarded or waiting else (mark, now + EXPIRED_EVERY_S)
        for file, gone in waiting:
            key = (file.store, file.file_id)
            if key not in self._tasks and key not in self._resting and len(self._tasks) < self._at_once:
                self._begin(key, partial(self._clear if gone else self._fill, file))

    @property
    def _at_once(self) -> int:
        return max(AT_ONCE, self._platform.vector_stores.embed.concurrency)

    def _may(self) -> bool:
        """Whether this process is the one that fills vector stores."""
        if self._lock < 0:
            self._lock = claim(self._lock_file)
        return self._lock >= 0

    def _begin(self, key: _Key, work: Callable[[], Awaitable[None]]) -> None:
        async def do() -> None:
            try:
                await work()
            except HanokError as error:
                _log.warning("the file %s waits: %s", key[1], error)
                self._resting[key] = self._monotonic() + REST_S
            except Exception:  # noqa: BLE001 - a bug that one file meets keeps no other from being read
                _log.exception("the file %s waits", key[1])
                self._resting[key] = self._monotonic() + REST_S
            finally:
                self._tasks.pop(key, None)
                self._coming.pop(key, None)
                self.wake()

        self._tasks[key] = asyncio.create_task(do(), name=f"vector-store-{key[1]}")

    async def _take_up(self, platform: Platform) -> None:
        """Go on by another platform.

        Where another model makes vectors than before, or another index is declared, all files are read again. What is
        being read for the old collection is stopped first: it would write there, or make that collection anew.
        """
        place = vector_stores_place(platform, platform.vector_stores, "")
        if place.collection != self._collection:
            stopped = await self._stop(list(self._tasks.values()))
            standing = await self._store.describe(place.alias)
            is_other = standing is not None and not place.is_of(standing.name)
            if is_other:
                _log.warning("vector stores are declared otherwise than they were made: all files are read again")
            if stopped or is_other:
                await asyncio.to_thread(self._records.read_again)
            if standing is not None and is_other:
                await self._store.drop(standing.name)
        self._platform, self._collection = platform, place.collection
        self._calls = asyncio.Semaphore(platform.vector_stores.embed.concurrency)
        if self._next is platform:
            self._next = None

    async def _stop(self, tasks: Sequence[asyncio.Task[None]]) -> bool:
        """Whether there was anything to stop."""
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks = {key: task for key, task in self._tasks.items() if task not in tasks}
        return bool(tasks)

    async def _empty(self, store: VectorStore) -> None:
        """Remove the passages of a vector store that was deleted or has expired."""
        await self._stop([task for key, task in self._tasks.items() if key[0] == store.id])
        alias = self._place(store.id).alias
        if await self._store.describe(alias) is not None:
            await self._store.remove_store(alias, store.id)
        await asyncio.to_thread(self._records.forget_store, store.id)

    async def _clear(self, file: Attached) -> None:
        """Remove the passages of a file that was taken out."""
        await self._remove(file, keep=None)
        await asyncio.to_thread(self._records.forget_file, file)

    # one file

    async def _fill(self, file: Attached) -> None:
        """Read a file and write its passages; else note why not. Raises `StoreError`: then it is tried again."""
        try:
            made = await self._make(file)
        except DocumentRefused as error:
            made = _failed(file, "unsupported_file" if error.code in UNSUPPORTED else "invalid_file", error.message)
        except Unknown:
            made = _failed(file, "invalid_file", "the file was deleted before it was read")
        except (KnowledgeError, RequestError, StartError) as error:
            made = _failed(file, "server_error", error.message)
        except HanokError:
            raise
        except Exception as error:  # noqa: BLE001 - a bug, which may be met every time
            made = self._given_up(file, error)
        self._unforeseen.pop((file.store, file.file_id), None)
        if made is not None and await self._settle(made):
            await self._remove(file, keep=made.digest or None)
            return
        now = await asyncio.to_thread(self._records.file, file.store, file.file_id, file.owner)
        await self._remove(file, keep=now.digest or None if now else None)

    def _given_up(self, file: Attached, error: Exception) -> Attached:
        """The file as failed, once it was tried often enough; raises the error again before."""
        self._unforeseen[file.store, file.file_id] += 1
        if self._unforeseen[file.store, file.file_id] < TRIES:
            raise error
        _log.error("the file %s is given up", file.file_id, exc_info=error)
        told = f"it was tried {TRIES} times, and reading it failed with {type(error).__name__}: {error}"
        return _failed(file, "server_error", told)

    async def _settle(self, made: Attached) -> bool:
        """Note how it ended; its passages are no more on their way, but there."""
        async with self._counting:
            self._coming.pop((made.store, made.file_id), None)
            return await asyncio.to_thread(self._records.settle, made)

    async def _make(self, file: Attached) -> Attached | None:
        """The file as it is when all its passages are written; None when nobody wants it any more."""
        caller = self._callers(file.key_id)
        if caller is None:
            raise KnowledgeError("the key that attached it opens nothing any more")
        recipe = self._platform.vector_stores
        data = await self._files.read(file.file_id, file.owner, int(recipe.parse.max_file_mib * MIB))
        cut_by = recipe if file.chunking is None else recipe.model_copy(update={"split": [file.chunking.split()]})
        entry = Entry(uri=file.file_id, path=file.filename, reader=file.owner, metadata=file.attributes)
        place, embedder = self._place(file.store), self._embedder(caller)
        title, passages = await self._cut(entry, data, cut_by, partial(self._embedded, embedder))
        if not passages:
            raise DocumentRefused(f"{file.filename} has no text in it", code="empty")
        await self._take_room(file, len(passages))
        digest = hashlib.sha256(f"{hashlib.sha256(data).hexdigest()}:{file.attempt}".encode()).hexdigest()
        writing = _Writing(
            file=file, entry=entry, title=title, digest=digest, size=len(data), now=int(self._wall()), passages=passages
        )
        usage = await self._write(writing, place, embedder)
        if usage is None:
            return None
        return msgspec.structs.replace(
            file,
            status="completed",
            digest=digest,
            passages=len(passages),
            usage_bytes=usage,
            error_code=None,
            error_message="",
        )

    async def _take_room(self, file: Attached, passages: int) -> None:
        """Raises `KnowledgeError` when its owner has no room for them beside what is there and on its way."""
        most = self._platform.vector_stores.passages_limit
        async with self._counting:
            there = await asyncio.to_thread(self._records.passages_of, file.owner)
            coming = sum(count for owner, count in self._coming.values() if owner == file.owner)
            left = most - there - coming + file.passages
            if passages > left:
                message = f"it has {passages:,} passages, and there is room for {max(0, left):,} more (of {most:,})"
                raise KnowledgeError(f"{message}; delete some files")
            self._coming[file.store, file.file_id] = file.owner, max(0, passages - file.passages)

    def _embedder(self, caller: Caller) -> Embedder:
        told, model = self._platform.vector_stores.embed, self._place("").embedder
        return Embedder(
            self._open_models,
            model=model,
            prefix=told.passage_prefix,
            dimensions=told.dimensions,
            caller=caller,
        )

    async def _write(self, writing: _Writing, place: Place, embedder: Embedder) -> int | None:
        """Write all passages: the bytes that they take; None when the file is not wanted any more."""
        await self._ensure_collection(place, embedder)
        usage, first, batch = 0, None, place.recipe.embed.batch
        for start in range(0, len(writing.passages), batch):
            if not await asyncio.to_thread(self._records.is_wanted, writing.file):
                return None
            rows = await self._rows(writing, start, batch, embedder, place.recipe.index.terms)
            usage += sum(len(row.text.encode()) + len(row.vector) for row in rows)
            first = first or rows[0]
            await self._store.write(place.collection, writing.headed(rows))
        if first is not None and len(writing.passages) > batch:
            await self._store.write(place.collection, [writing.whole(first)])
        return usage

    async def _rows(self, writing: _Writing, start: int, count: int, embedder: Embedder, kind: Terms) -> list[Row]:
        texts = [passage.read() for passage in writing.passages[start : start + count]]
        vectors = await self._embedded(embedder, texts)
        terms = await asyncio.to_thread(lambda: [self._terms(text, kind) for text in texts])
        return [
            writing.row(place, vector, words)
            for place, (vector, words) in enumerate(zip(vectors, terms, strict=True), start=start)
        ]

    async def _ensure_collection(self, place: Place, embedder: Embedder) -> None:
        async with self._making:
            standing = await self._store.describe(place.collection)
            if standing is None:
                await self._store.create(place.collection, await embedder.probe(place.recipe.index))
            else:
                embedder.dimensions = standing.shape.dimensions
            pointed = await self._store.describe(place.alias)
            if pointed is None or pointed.name != place.collection:  # also after a kill between making and pointing
                await self._store.point(place.alias, place.collection)

    async def _embedded(self, embedder: Embedder, texts: Sequence[str]) -> list[bytes]:
        """Vectors of texts of one document, as many calls at once as declared. Raises as `_embedded`."""
        async with self._calls:
            return await _embedded(embedder, texts)

    async def _open_models(self) -> ModelPath:
        return self._models

    async def _remove(self, file: Attached, *, keep: str | None) -> None:
        """Remove what was written of a file, but for the version `keep`."""
        alias = self._place(file.store).alias
        if await self._store.describe(alias) is not None:
            await self._store.remove(alias, document=file.file_id, store=file.store, keep=keep)

    def _place(self, store: str) -> Place:
        return vector_stores_place(self._platform, self._platform.vector_stores, store)


class _Writing(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a file on its way into the collection."""

    file: Attached
    entry: Entry
    title: str
    digest: str
    size: int
    now: int
    passages: Sequence[Passage]

    def row(self, ordinal: int, vector: bytes, terms: str) -> Row:
        return row_of(
            self.entry,
            self.passages[ordinal],
            digest=self.digest,
            ordinal=ordinal,
            title=self.title,
            terms=terms,
            vector=vector,
            now=self.now,
            store=self.file.store,
        )

    def headed(self, rows: Sequence[Row]) -> list[Row]:
        """The rows, with a head on the document's first; it is whole where these are all."""
        head = self._with_head(rows[0], whole=len(rows) == len(self.passages))
        return [head, *rows[1:]] if rows[0].ordinal == 0 else list(rows)

    def whole(self, first: Row) -> Row:
        """The first row once all are written."""
        return self._with_head(first, whole=True)

    def _with_head(self, row: Row, *, whole: bool) -> Row:
        head = head_of(
            self.entry,
            self.passages[0],
            digest=self.digest,
            title=self.title,
            passages=len(self.passages),
            size=self.size,
            source="",
            now=self.now,
            store=self.file.store,
        )
        return with_head(row, head, whole=whole)


async def _embedded(embedder: Embedder, texts: Sequence[str]) -> list[bytes]:
    """Vectors of texts of one document. Raises `DocumentRefused` when the model does not take one of them."""
    vectors: list[bytes] = []
    for vector in await embedder.embed(texts):
        if isinstance(vector, DocumentRefused):
            raise vector
        vectors.append(vector)
    return vectors


def _failed(file: Attached, code: ErrorCode, message: str) -> Attached:
    """What could be found of it before can still be."""
    return msgspec.structs.replace(file, status="failed", error_code=code, error_message=message)


def _in_turn(files: Sequence[tuple[Attached, bool]]) -> list[tuple[Attached, bool]]:
    """The oldest of each owner first, then the second of each, and so on; what is to go before all."""
    seen: Counter[str] = Counter()
    places: list[tuple[bool, int]] = []
    for file, gone in files:
        places.append((not gone, seen[file.owner]))
        seen[file.owner] += 1
    return [each for _, each in sorted(zip(places, files, strict=True), key=lambda pair: pair[0])]
