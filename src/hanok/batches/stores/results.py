"""A running batch's results on disk: lines at the end of two files, synced before they count.

Whatever was written while the disk was busy with the last sync is synced together, so a sync costs the same for one
line and for a hundred. What a crash left of a line is cut off when the files are opened again, and so is what did not
fit on a full disk: that line is written again when there is room.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from hanok.batches.entries import Counts, Tokens
from hanok.batches.forms import read_written
from hanok.errors import KeptUnreachable

FULL_DISK_WAIT_S = 5.0
NO_TOKENS = Tokens()
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Result:
    """A line on its way to the disk."""

    line: bytes
    custom_id: str
    answered: bool
    tokens: Tokens
    written: asyncio.Future[None]


class _Ends:
    """A file of lines that grows at its end."""

    def __init__(self, path: Path) -> None:
        """Open it, and cut off a line that is not whole."""
        self.path = path
        self._file: BinaryIO = path.open("ab+", buffering=0)
        self._size = _whole_lines(path)
        os.ftruncate(self._file.fileno(), self._size)

    def write(self, data: bytes) -> OSError | None:
        """Write and sync, all or nothing; what went wrong."""
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fdatasync(self._file.fileno())
        except OSError as error:
            os.ftruncate(self._file.fileno(), self._size)
            return error
        self._size += len(data)
        return None

    def lines(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            yield from file

    def close(self) -> None:
        self._file.close()


class Results:
    """The lines that have ended: `output` those that were answered, `errors` the others. For one event loop."""

    def __init__(self, output: Path, errors: Path) -> None:
        """Open them as they were left. May wait for the disk. Raises `StoreError`."""
        self.done: set[str] = set()
        self.tokens = Tokens()
        self.completed = self.failed = 0
        self._waiting: list[_Result] = []
        self._writer: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        try:
            self._output, self._errors = _Ends(output), _Ends(errors)
        except OSError as error:
            raise KeptUnreachable(f"{output.parent} cannot be used: {error.strerror or error}") from error
        self.completed = self._read(self._output, self._add_tokens)
        self.failed = self._read(self._errors, lambda _: None)

    async def add(self, line: bytes, custom_id: str, *, answered: bool, tokens: Tokens = NO_TOKENS) -> None:
        """Return when the line is on disk, and counted. Who is cancelled meanwhile has it written all the same."""
        written = asyncio.get_running_loop().create_future()
        self._waiting.append(_Result(line, custom_id, answered, tokens, written))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        await asyncio.shield(written)

    def counts(self, total: int) -> Counts:
        return Counts(total=total, completed=self.completed, failed=self.failed)

    async def close(self) -> None:
        """Write what waits, unless the disk is full: what could not be written will be asked again."""
        self._closing.set()
        if self._writer is not None:
            await self._writer
        self._output.close()
        self._errors.close()

    async def _write(self) -> None:
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                for answered, file in ((True, self._output), (False, self._errors)):
                    if some := [each for each in waiting if each.answered is answered]:
                        await self._write_some(file, some)
        finally:
            self._writer = None

    async def _write_some(self, file: _Ends, some: list[_Result]) -> None:
        data = b"".join(each.line for each in some)
        while (failed := await asyncio.to_thread(file.write, data)) is not None:
            _log.error("%s cannot be written: %s; trying again", file.path, failed.strerror or failed)
            if await self._closes_within(FULL_DISK_WAIT_S):
                for each in some:
                    each.written.cancel()
                return
        for each in some:
            self._count(each)

    def _count(self, result: _Result) -> None:
        self.done.add(result.custom_id)
        self.completed += result.answered
        self.failed += not result.answered
        self.tokens += result.tokens
        if not result.written.done():
            result.written.set_result(None)

    async def _closes_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._closing.wait()
        except TimeoutError:
            return False

    def _read(self, file: _Ends, see: Callable[[Tokens], None]) -> int:
        count = 0
        for line in file.lines():
            try:
                written = read_written(line)
            except msgspec.DecodeError as error:
                raise KeptUnreachable(f"{file.path} is damaged: {error}") from error
            self.done.add(written.custom_id)
            see(written.tokens())
            count += 1
        return count

    def _add_tokens(self, tokens: Tokens) -> None:
        self.tokens += tokens


def _whole_lines(path: Path) -> int:
    """Where the last whole line ends."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - 64 * 1024)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
    return 0
