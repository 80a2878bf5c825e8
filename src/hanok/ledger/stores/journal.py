"""The journal: charges on disk before a call's answer ends, in one `write` each.

The operating system keeps what was written even if the process is killed at once, so nothing charged is lost, and a
`write` of 300 bytes takes microseconds, so no request waits. The ledger's writer takes whole segments from here into
its database and deletes them; segments that a dead process left are taken at the next start. A live process holds a
lock on its segments, so that two never take the same one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import msgspec

from hanok.errors import StoreError
from hanok.ledger.stores.locked import make_locked, take_left
from hanok.wire.charge import Charge

_decode = msgspec.json.Decoder(Charge).decode
_encode = msgspec.json.Encoder().encode


class Segment:
    """One file of charges, a JSON object a line, held and locked by this process until dropped."""

    def __init__(self, path: Path, file: int, charges: list[Charge] | None) -> None:
        self.path = path
        self.charges = charges
        self.unwritten = 0
        self._file = file

    @classmethod
    def make(cls, path: Path) -> Self:
        """A new one. Raises `StoreError`."""
        try:
            return cls(path, make_locked(path, flags=os.O_APPEND), [])
        except OSError as error:
            raise StoreError(f"the ledger's journal {path} cannot be written: {error.strerror}") from error

    @property
    def name(self) -> str | None:
        """A name that no other segment has or had. None for one of an older release: its names came again."""
        return self.path.name if self.path.stem.count("-") == 2 else None

    def add(self, charge: Charge) -> None:
        """Write one charge. A full disk is remembered, not raised: the charge stays in memory until it is elsewhere."""
        line = _encode(charge) + b"\n"
        try:
            if (written := os.write(self._file, line)) != len(line):
                self._take_back(written)
        except OSError:
            self.unwritten += 1
        if self.charges is not None:
            self.charges.append(charge)

    def _take_back(self, written: int) -> None:
        """Cut off the beginning of a line that did not fit, so that the next one does not become part of it."""
        self.unwritten += 1
        os.ftruncate(self._file, os.fstat(self._file).st_size - written)

    def forget(self) -> None:
        """Free the charges' memory where the file holds them all; `read` brings them back."""
        if not self.unwritten:
            self.charges = None

    def leave(self) -> bool:
        """Close and unlock the file, to be found again as left behind; False when it does not hold all charges."""
        if not self.unwritten:
            os.close(self._file)
        return not self.unwritten

    def read(self) -> list[Charge]:
        """The charges of this segment. A line cut short by a crash belonged to a call whose answer never ended."""
        if self.charges is not None:
            return self.charges
        try:
            return list(read_charges(self.path))
        except FileNotFoundError:  # its own process took it while we opened it
            return []

    def drop(self) -> None:
        """Delete the file: its charges are safe elsewhere."""
        self.path.unlink(missing_ok=True)
        os.close(self._file)


class Journal:
    """The open segment, and the folder of them all."""

    def __init__(self, folder: Path, process_id: int, *, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._folder = folder
        self._process_id = process_id
        self._random_bytes = random_bytes
        self._number = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"the folder {folder} cannot be made: {error.strerror}") from error
        self.open = self._next()

    def turn(self) -> Segment:
        """Begin a new segment and give back the one that was open."""
        full, self.open = self.open, self._next()
        return full

    def left_behind(self) -> Iterator[Segment]:
        """Segments that no process holds, now ours."""
        for path in sorted(self._folder.glob("*.jsonl")):
            if path != self.open.path and (file := take_left(path)) >= 0:
                yield Segment(path, file, None)

    def charges(self) -> Iterator[Charge]:
        """The charges in all segments but the open one, whoever holds them, one file after the other."""
        for path in sorted(self._folder.glob("*.jsonl")):
            if path != self.open.path:
                with contextlib.suppress(FileNotFoundError):  # its process took it meanwhile
                    yield from read_charges(path)

    def _next(self) -> Segment:
        """A segment with a name for all time: in a container every process has the same id."""
        self._number += 1
        return Segment.make(self._folder / f"{self._process_id}-{self._number}-{self._random_bytes(8).hex()}.jsonl")


def read_charges(path: Path) -> Iterator[Charge]:
    """The whole lines of a segment."""
    with path.open("rb") as lines:
        for line in lines:
            try:
                yield _decode(line)
            except msgspec.DecodeError:
                continue
