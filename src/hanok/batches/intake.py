"""Where batches are ordered, looked at and called off. They are run elsewhere, maybe by another process."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping

from hanok.batches.asker import Asker
from hanok.batches.entries import Batch, FileEntry
from hanok.batches.shelf import ID_DIGITS
from hanok.batches.stores.folder import Folder
from hanok.batches.stores.tables import Tables
from hanok.errors import RequestError, StoreError, Unknown

_WINDOW = re.compile(r"([1-9][0-9]{0,2})([hd])")
_UNIT_S = {"h": 3600, "d": 86400}
LONGEST_WINDOW_S = 30 * 86400


class Intake:
    """Batches by owner. `wake` is called when there is something to do. All raise `StoreError`."""

    def __init__(
        self,
        *,
        tables: Tables,
        folder: Folder,
        asker: Asker,
        wake: Callable[[], None],
        wall: Callable[[], float],
        random_hex: Callable[[int], str],
    ) -> None:
        self._tables = tables
        self._folder = folder
        self._asker = asker
        self._wake = wake
        self._wall = wall
        self._random_hex = random_hex

    async def create(
        self,
        file: FileEntry,
        *,
        endpoint: str,
        completion_window: str,
        key_id: str,
        metadata: Mapping[str, str] | None,
        keep_s: int | None,
        session: str | None,
        run: str | None,
    ) -> Batch:
        """Order a batch of this file's lines. Raises `RequestError`."""
        if file.purpose != "batch":
            message = f"the file {file.id} is for {file.purpose!r}; upload it with purpose=batch"
            raise RequestError(message, param="input_file_id", code="invalid_value")
        if endpoint not in self._asker.endpoints:
            known = ", ".join(self._asker.endpoints)
            raise RequestError(f"`endpoint` is one of {known}", param="endpoint", code="invalid_value")
        now, id_ = int(self._wall()), f"batch_{self._random_hex(ID_DIGITS)}"
        batch = Batch(
            id=id_,
            owner=file.owner,
            key_id=key_id,
            input_file_id=file.id,
            endpoint=endpoint,
            completion_window=completion_window,
            created_at=now,
            expires_at=now + _window_s(completion_window),
            metadata=metadata,
            keep_s=keep_s,
            session=session or id_,
            run=run,
            output_file_id=f"file-{self._random_hex(ID_DIGITS)}",
            error_file_id=f"file-{self._random_hex(ID_DIGITS)}",
        )
        await asyncio.to_thread(self._begin, batch, file)
        self._wake()
        return batch

    async def find(self, id_: str, owner: str) -> Batch:
        """Raises `Unknown`."""
        batch = await asyncio.to_thread(self._tables.batch, id_, owner) if self._tables.exist else None
        if batch is None:
            raise Unknown(f"there is no batch {id_[:64]!r}", param="id", code="batch_not_found")
        return batch

    async def page(self, owner: str, *, after: str | None, limit: int) -> list[Batch]:
        """The owner's batches, the newest first, at most `limit`, that come after the one of that id."""
        if not self._tables.exist:
            return []
        return await asyncio.to_thread(self._tables.list_batches, owner, after=after, limit=limit)

    async def cancel(self, id_: str, owner: str) -> Batch:
        """Call a batch off. Raises `Unknown`, and `RequestError` when it has ended."""
        batch = await self.find(id_, owner)
        if not await asyncio.to_thread(self._tables.cancel, id_, owner, self._wall()):
            raise RequestError(f"the batch has ended: it is {batch.status}", param="id", code="batch_ended")
        self._wake()
        return await self.find(id_, owner)

    def _begin(self, batch: Batch, file: FileEntry) -> None:
        try:
            self._folder.begin_batch(batch.id, file.id)
            self._tables.add_batch(batch)
        except StoreError:
            self._folder.end_batch(batch.id)
            raise


def _window_s(text: str) -> int:
    """A completion window in seconds. Raises `RequestError`."""
    found = _WINDOW.fullmatch(text)
    if found is None or (seconds := int(found[1]) * _UNIT_S[found[2]]) > LONGEST_WINDOW_S:
        message = "`completion_window` is whole hours or days up to 30 days, as `24h` or `7d`"
        raise RequestError(message, param="completion_window", code="invalid_value")
    return seconds
