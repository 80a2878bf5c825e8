"""The pipeline: sources → read, parse and split → embed in batches → write, all at once.

Every queue is bounded, and what counts is passages: a document is cut up, its passages wait for their turn, and whoever
read it waits until they have gone on. Embedding runs several batches at once, writing takes them in their order. So a
document's first passage, its head, is always written first; it says that the document is not whole until all are there.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import msgspec

from hanok.errors import DocumentRefused, SourceUnreadable, StoreError
from hanok.knowledge.ingesting.compare import NOTHING, Known, gone, has_same_marks, is_unchanged, known_of
from hanok.knowledge.ingesting.embedder import Embedder
from hanok.knowledge.ingesting.refusals import Refusals
from hanok.knowledge.ingesting.report import RefusedDocument, Report, SilentSource
from hanok.knowledge.ingesting.rows import head_of, row_of, version_of, with_head
from hanok.knowledge.source import Opened
from hanok.knowledge.store import Store
from hanok.knowledge.values import Entry, Head, Hit, Passage, Row
from hanok.spec import Recipe

WRITE_ROWS = 256
"""Rows in one write, while more are coming: each write makes the store safe its own way, which takes a moment."""
LINGER_S = 0.05
"""How long a batch that is not full waits for more passages."""
WRITE_LINGER_S = 2.0
"""How long a row waits for others to be written with: what a kill may make one pay for again."""
WAITING_ENTRIES = 64
EMPTY = "empty"
"""The reason of a document without text, for which nothing can be kept."""
MIB = 1024 * 1024

EmbedUnits = Callable[[list[str]], Awaitable[list[bytes]]]
"""Vectors of texts, for splitting where the meaning changes. Raises `DocumentRefused`."""
ReadPassages = Callable[[Entry, bytes, EmbedUnits], Awaitable[tuple[str, Sequence[Passage]]]]
"""From a document's bytes to its title and passages. Raises `DocumentRefused`."""
MakeTerms = Callable[[Sequence[str]], list[str]]
"""What passages are looked up by in words. Runs in a thread."""


@dataclass(frozen=True, kw_only=True)
class OpenSource:
    """A source that was opened; `mark` is its word, `name` what people call it."""

    mark: str
    name: str
    opened: Opened


@dataclass(frozen=True, kw_only=True)
class Means:
    """What an ingest works with. `readers` documents are read at once; `wall` gives Unix seconds."""

    store: Store
    collection: str
    recipe: Recipe
    sources: Sequence[OpenSource]
    read_passages: ReadPassages
    make_terms: MakeTerms
    embedder: Embedder
    refusals: Refusals
    ready: Callable[[], Awaitable[None]]
    """Awaited before the first passage is embedded. Raises `KnowledgeError` when the model does not fit."""
    make: Callable[[], Awaitable[None]] | None
    """Makes the collection where there is none yet: while documents are read and embedded, before the first write."""
    readers: int
    wall: Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A document that is to be read, and what is known of it."""

    entry: Entry
    source: OpenSource
    known: Known


@dataclass(kw_only=True)
class _Version:
    """A document's version on its way into the collection. `left` counts the passages that are not written yet."""

    entry: Entry
    head: Head
    known: Known
    left: int
    first: Row | None = None
    begun: bool = False
    refused: DocumentRefused | None = None


@dataclass(frozen=True, kw_only=True)
class _Piece:
    version: _Version
    passage: Passage
    ordinal: int


_Made = list[tuple[bytes | DocumentRefused, str]]
"""For each passage its vector, or why it has none, and its terms."""
_Batch = tuple[list[_Piece], asyncio.Task[_Made]]


@dataclass(kw_only=True)
class _Seen:
    documents: set[str] = field(default_factory=set[str])
    silent: set[str] = field(default_factory=set[str])


class Run:
    """One pass over the sources of a base, told by `report` as it goes."""

    def __init__(self, means: Means, report: Report) -> None:
        embed = means.recipe.embed
        self._means = means
        self._report = report
        self._known: Mapping[str, Known] = {}
        self._seen = _Seen()
        self._found: asyncio.Queue[_Found | None] = asyncio.Queue(WAITING_ENTRIES)
        self._pieces: asyncio.Queue[_Piece | None] = asyncio.Queue(embed.batch * embed.concurrency * 2)
        self._batches: asyncio.Queue[_Batch | None] = asyncio.Queue(
            max(embed.concurrency * 2, WRITE_ROWS // embed.batch)
        )
        self._slots = asyncio.Semaphore(embed.concurrency)
        self._reading = means.readers
        self._readied = asyncio.Lock()
        self._is_ready = False
        self._making: asyncio.Task[None] | None = None
        self._rows: list[Row] = []
        self._due: float | None = None
        self._versions: dict[str, _Version] = {}

    async def run(self) -> None:
        """Bring the collection up to what the sources have. Raises `KnowledgeError` and `StoreError`."""
        if self._means.make is None:
            self._known = known_of(await self._means.store.heads(self._means.collection))
        try:
            async with asyncio.TaskGroup() as group:
                if self._means.make is not None:
                    self._making = group.create_task(_do(self._means.make))
                group.create_task(self._list())
                for _ in range(self._means.readers):
                    group.create_task(self._read())
                group.create_task(self._embed(group))
                group.create_task(self._write())
        except BaseExceptionGroup as errors:
            raise _first(errors) from None
        await self._remove_gone()

    # listing

    async def _list(self) -> None:
        for source in self._means.sources:
            try:
                await self._list_source(source)
            except SourceUnreadable as error:
                self._seen.silent.add(source.mark)
                self._report.silent.append(
                    SilentSource(source=source.name, message=error.message, hint=error.hint or "")
                )
        self._report.listed = True
        for _ in range(self._means.readers):
            await self._found.put(None)

    async def _list_source(self, source: OpenSource) -> None:
        async for entry in source.opened.entries():
            if entry.uri in self._seen.documents:
                continue  # two sources have it: the first counts
            self._seen.documents.add(entry.uri)
            self._report.documents += 1
            known = self._known.get(entry.uri, NOTHING)
            await self._withdraw(entry, known)
            if not self._settle_unread(entry, source, known):
                await self._found.put(_Found(entry=entry, source=source, known=known))

    async def _withdraw(self, entry: Entry, known: Known) -> None:
        """What those may read who may no longer goes at once: the version that follows may be refused, or come late."""
        if known.readers <= {entry.reader}:
            return
        current = known.current
        keep = current.digest if current is not None and current.reader == entry.reader else None
        await self._means.store.remove(self._means.collection, document=entry.uri, keep=keep)

    def _settle_unread(self, entry: Entry, source: OpenSource, known: Known) -> bool:
        """Whether nothing of a document has to be read."""
        if not known.others and is_unchanged(entry, known.current, source.mark):
            self._report.unchanged += 1
            return True
        if (refused := self._means.refusals.of_version(entry)) is not None:
            self._report.refused.append(refused)
            return True
        return False

    # reading

    async def _read(self) -> None:
        while (found := await self._found.get()) is not None:
            try:
                await self._read_one(found)
            except DocumentRefused as error:
                self._refuse(found.entry, error)
        self._reading -= 1
        if not self._reading:
            await self._pieces.put(None)

    async def _read_one(self, found: _Found) -> None:
        entry, current = found.entry, found.known.current
        limit_bytes = int(self._means.recipe.parse.max_file_mib * MIB)
        data = await found.source.opened.read(entry, limit_bytes)
        content = await _sha256(data)
        if (refused := self._means.refusals.of_content(entry, content)) is not None:
            self._report.refused.append(refused)
            return
        if current is not None and current.content == content and has_same_marks(entry, current):
            first = await self._first(current)
            if first is not None:
                await self._cut(found, current, [first])
                return
        try:
            title, passages = await self._means.read_passages(entry, data, self._embed_units)
            if not passages:
                raise DocumentRefused("there is no text in it", code=EMPTY)
        except DocumentRefused as error:
            await self._refuse_content(found, error, content)
            return
        head = head_of(
            entry,
            passages[0],
            digest=await asyncio.to_thread(version_of, entry, content, title, passages),
            content=content,
            title=title,
            passages=len(passages),
            size=len(data),
            source=found.source.mark,
            now=int(self._means.wall()),
        )
        await self._cut(found, head, passages)

    async def _first(self, head: Head) -> Passage | None:
        """The first passage of a version that is there."""
        hits = await self._means.store.passages(
            self._means.collection, document=head.document, digest=head.digest, first=0, last=0, readers=(head.reader,)
        )
        return next((_passage(hit, prefixed=head.prefixed) for hit in hits), None)

    async def _cut(self, found: _Found, head: Head, passages: Sequence[Passage]) -> None:
        """Send passages on. Of a version that is there it is the first: its head says what the source says now."""
        told = msgspec.structs.replace(
            head, found=found.entry.version, source=found.source.mark, written_at=int(self._means.wall())
        )
        version = _Version(entry=found.entry, head=told, known=found.known, left=len(passages))
        for ordinal, passage in enumerate(passages):
            if version.refused is not None:
                return
            await self._pieces.put(_Piece(version=version, passage=passage, ordinal=ordinal))

    async def _embed_units(self, texts: list[str]) -> list[bytes]:
        await self._make_ready()
        vectors = await self._means.embedder.embed(texts)
        self._report.tokens = self._means.embedder.tokens
        for vector in vectors:
            if isinstance(vector, DocumentRefused):
                raise vector
        return [vector for vector in vectors if isinstance(vector, bytes)]

    # embedding

    async def _embed(self, group: asyncio.TaskGroup) -> None:
        async for pieces in self._gather():
            await self._slots.acquire()
            task = group.create_task(self._embed_batch(pieces))
            await self._batches.put((pieces, task))
        await self._batches.put(None)

    async def _gather(self) -> AsyncIterator[list[_Piece]]:
        """Batches of passages, full ones while passages come fast enough."""
        while (piece := await self._pieces.get()) is not None:
            pieces, is_last = [piece], False
            while len(pieces) < self._means.recipe.embed.batch and not is_last:
                try:
                    async with asyncio.timeout(LINGER_S):
                        more = await self._pieces.get()
                except TimeoutError:
                    break
                if more is None:
                    is_last = True
                else:
                    pieces.append(more)
            yield pieces
            if is_last:
                return

    async def _embed_batch(self, pieces: list[_Piece]) -> _Made:
        """Terms are made here while the model works."""
        texts = [piece.passage.read() for piece in pieces]
        try:
            await self._make_ready()
            making = asyncio.to_thread(self._means.make_terms, texts)
            vectors, terms = await asyncio.gather(self._means.embedder.embed(texts), making)
            return list(zip(vectors, terms, strict=True))
        finally:
            self._report.tokens = self._means.embedder.tokens
            self._slots.release()

    async def _make_ready(self) -> None:
        async with self._readied:
            if not self._is_ready:
                await self._means.ready()
                self._is_ready = True

    # writing

    async def _write(self) -> None:
        while True:
            try:
                async with asyncio.timeout_at(self._due):
                    batch = await self._batches.get()
            except TimeoutError:
                await self._flush()
                continue
            if batch is None:
                await self._flush()
                return
            await self._take(*batch)
            if len(self._rows) >= WRITE_ROWS or self._is_due():
                await self._flush()

    def _is_due(self) -> bool:
        return self._due is not None and asyncio.get_running_loop().time() >= self._due

    async def _take(self, pieces: list[_Piece], task: asyncio.Task[_Made]) -> None:
        """Make rows of a batch."""
        for piece, (vector, words) in zip(pieces, await task, strict=True):
            version = piece.version
            if isinstance(vector, DocumentRefused) and version.refused is None:
                version.refused = vector
                await self._call_off(version)
            if version.refused is None and isinstance(vector, bytes):
                self._add(piece, vector, words)

    def _add(self, piece: _Piece, vector: bytes, terms: str) -> None:
        version = piece.version
        row = row_of(
            version.entry,
            piece.passage,
            digest=version.head.digest,
            ordinal=piece.ordinal,
            title=version.head.title,
            terms=terms,
            vector=vector,
            now=version.head.written_at,
        )
        if not piece.ordinal:
            version.first = row
            self._versions[version.entry.uri] = version
        version.left -= 1
        self._rows.append(row)
        if self._due is None:
            self._due = asyncio.get_running_loop().time() + WRITE_LINGER_S

    async def _flush(self) -> None:
        """Write the rows that are there. A version that spans several writes is whole when the last was done."""
        self._due = None
        if not self._rows:
            return
        if self._making is not None:
            await self._making
        rows, self._rows = self._rows, []
        touched = [self._versions[document] for document in dict.fromkeys(row.document for row in rows)]
        done = [version for version in touched if not version.left]
        finishing = [version for version in done if version.begun]
        await self._means.store.write(self._means.collection, [self._headed(row) for row in rows])
        self._report.passages += len(rows)
        if finishing:
            await self._means.store.write(self._means.collection, [_whole(version) for version in finishing])
        for version in touched:
            version.begun = True
        for version in done:
            await self._finish(version)

    def _headed(self, row: Row) -> Row:
        if row.ordinal:
            return row
        version = self._versions[row.document]
        return with_head(row, version.head, whole=not version.left)

    async def _finish(self, version: _Version) -> None:
        """A version is there: those before it go."""
        del self._versions[version.entry.uri]
        current, digest = version.known.current, version.head.digest
        if version.known.others or (current is not None and current.digest != digest):
            await self._means.store.remove(self._means.collection, document=version.entry.uri, keep=digest)
        self._count(version)

    def _count(self, version: _Version) -> None:
        report, current = self._report, version.known.current
        self._means.refusals.forget(version.entry.uri)
        if current is None:
            report.added += 1
        elif current.digest == version.head.digest and has_same_marks(version.entry, current):
            report.noted += 1
            return
        else:
            report.changed += 1
        report.bytes += version.head.bytes

    async def _call_off(self, version: _Version) -> None:
        """A version cannot be written to its end: what there is of it goes; the one before stays."""
        assert version.refused is not None
        self._rows = [row for row in self._rows if row.document != version.entry.uri]
        self._versions.pop(version.entry.uri, None)
        if version.begun:
            current = version.known.current
            keep = current.digest if current is not None else None
            await self._means.store.remove(self._means.collection, document=version.entry.uri, keep=keep)
        self._refuse(version.entry, version.refused, version.head.content)

    async def _refuse_content(self, found: _Found, error: DocumentRefused, content: str) -> None:
        """The version before stays, unless what was in it was taken out."""
        if error.code == EMPTY and found.known is not NOTHING:
            await self._means.store.remove(self._means.collection, document=found.entry.uri)
        self._refuse(found.entry, error, content)

    def _refuse(self, entry: Entry, error: DocumentRefused, content: str = "") -> None:
        refused = RefusedDocument(path=entry.path, code=error.code, message=error.message, hint=error.hint or "")
        self._report.refused.append(refused)
        if content:
            self._means.refusals.remember(entry, content, refused)

    # removing

    async def _remove_gone(self) -> None:
        declared = {source.mark for source in self._means.sources}
        documents = list(gone(dict(self._known), self._seen.documents, silent=self._seen.silent, declared=declared))
        for document in documents:
            await self._means.store.remove(self._means.collection, document=document)
            self._report.removed += 1
        self._means.refusals.keep_only(self._seen.documents, all_listed=not self._seen.silent)


async def _do(step: Callable[[], Awaitable[None]]) -> None:
    await step()


def _passage(hit: Hit, *, prefixed: bool) -> Passage:
    return Passage(text=hit.text, start=hit.start, end=hit.end, headings=hit.headings, page=hit.page, prefixed=prefixed)


def _whole(version: _Version) -> Row:
    if version.first is None:
        raise StoreError(f"{version.entry.path}: its first passage was never written")
    return with_head(version.first, version.head, whole=True)


async def _sha256(data: bytes) -> str:
    """Beside the loop where it takes more than a moment: about 1 ms a megabyte."""
    if len(data) < MIB // 4:
        return hashlib.sha256(data).hexdigest()
    return (await asyncio.to_thread(hashlib.sha256, data)).hexdigest()


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended the others."""
    error = errors.exceptions[0]
    return _first(cast("BaseExceptionGroup[BaseException]", error)) if isinstance(error, BaseExceptionGroup) else error
