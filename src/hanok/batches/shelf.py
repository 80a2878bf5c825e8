"""The shelf: files that callers bring, and that batches write, each seen by its owner alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import BinaryIO

from hanok.batches.entries import FileEntry
from hanok.batches.stores.folder import PIECE_BYTES, Folder
from hanok.batches.stores.tables import Order, Tables
from hanok.errors import RequestError, Unknown

ID_DIGITS = 24


class Incoming:
    """A file that is coming in. What is not kept leaves nothing."""

    def __init__(self, folder: Folder, file: BinaryIO, id_: str) -> None:
        self._folder = folder
        self._file = file
        self.id = id_
        self.bytes = 0

    async def take(self, data: bytes) -> None:
        """Write on. Raises `StoreError`."""
        self.bytes += len(data)
        await asyncio.to_thread(self._folder.write, self._file, data)

    async def keep(self) -> None:
        """The file is whole. Raises `StoreError`."""
        await asyncio.to_thread(self._folder.keep, self._file, self.id)

    async def drop(self) -> None:
        await asyncio.to_thread(self._folder.drop, self._file, self.id)


class Shelf:
    """Files by owner. `limit` is how many bytes an owner's files may take in all. All raise `StoreError`."""

    def __init__(
        self,
        *,
        tables: Tables,
        folder: Folder,
        limit: Callable[[], int],
        wall: Callable[[], float],
        random_hex: Callable[[int], str],
    ) -> None:
        self._tables = tables
        self._folder = folder
        self._limit = limit
        self._wall = wall
        self._random_hex = random_hex

    @asynccontextmanager
    async def receiving(self) -> AsyncGenerator[Incoming]:
        """A new file, to be taken and added; dropped when it was not."""
        id_ = f"file-{self._random_hex(ID_DIGITS)}"
        incoming = Incoming(self._folder, await asyncio.to_thread(self._folder.begin, id_), id_)
        try:
            yield incoming
        finally:
            await asyncio.shield(incoming.drop())

    async def add(
        self, incoming: Incoming, *, owner: str, filename: str, purpose: str, keep_s: int | None
    ) -> FileEntry:
        """Keep what came in. Raises `RequestError` when its owner has too much already."""
        now = int(self._wall())
        file = FileEntry(
            id=incoming.id,
            owner=owner,
            filename=filename,
            purpose=purpose,
            bytes=incoming.bytes,
            created_at=now,
            expires_at=None if keep_s is None else now + keep_s,
        )
        await incoming.keep()
        kept = await asyncio.to_thread(self._tables.add_file, file, limit=self._limit())
        if kept is not None:
            await asyncio.to_thread(self._folder.remove, file.id)
            left = max(0, self._limit() - kept)
            message = f"there is room for {left:,} bytes more, and this file has {file.bytes:,}; delete some"
            raise RequestError(message, param="file", code="storage_limit_exceeded")
        return file

    async def find(self, id_: str, owner: str) -> FileEntry:
        """Raises `Unknown`."""
        file = await asyncio.to_thread(self._tables.file, id_, owner, self._wall()) if self._tables.exist else None
        if file is None:
            raise Unknown(f"there is no file {id_[:64]!r}", param="id", code="file_not_found")
        return file

    async def page(
        self, owner: str, *, after: str | None, limit: int, order: Order, purpose: str | None
    ) -> list[FileEntry]:
        """The owner's files, at most `limit`, that come after the one of that id."""
        if not self._tables.exist:
            return []
        return await asyncio.to_thread(
            self._tables.list_files, owner, self._wall(), after=after, limit=limit, order=order, purpose=purpose
        )

    async def content(self, file: FileEntry) -> AsyncGenerator[bytes]:
        """A file's bytes, piece by piece."""
        opened = await asyncio.to_thread(self._folder.open, file.id)
        try:
            while piece := await asyncio.to_thread(opened.read, PIECE_BYTES):
                yield piece
        finally:
            opened.close()

    async def remove(self, file: FileEntry) -> None:
        """Delete it; a batch that has begun keeps its input."""
        await asyncio.to_thread(self._tables.remove_file, file.id, file.owner)
        await asyncio.to_thread(self._folder.remove, file.id)
