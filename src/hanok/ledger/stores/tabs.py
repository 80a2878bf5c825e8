"""Tabs: what a running stream has used so far, on disk while it runs, so that a crash does not forget it.

A tab is a slot in a file mapped into memory: the beginnings of a charge, written when the call is let in, and the
number of tokens passed on since, one store of eight bytes a chunk. The operating system keeps the pages when the
process is killed. The charge proper goes to the journal when the call ends, and frees the slot; slots that are still
taken when a house starts belong to calls that a crash cut short, and are charged then.

A slot: the length of the JSON (4 bytes, 0 when free), the tokens (8), nano-dollars a token (8, a double), the JSON.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec

from hanok.errors import StoreError
from hanok.ledger.stores.locked import make_locked, take_left
from hanok.wire import Charge

SLOT_BYTES = 3072
SLOTS = 2048
_HEAD = struct.Struct("<IQd")
_LENGTH = struct.Struct("<I")
_TOKENS = struct.Struct("<Q")
_ROOM = SLOT_BYTES - _HEAD.size
_decode = msgspec.json.Decoder(Charge).decode
_encode = msgspec.json.Encoder().encode


class Tabs:
    """The tabs of one process. Raises `StoreError` when the file cannot be made at its full size."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(exist_ok=True)
            self._file = make_locked(path)
            self._map = self._map_whole()
        except OSError as error:
            raise StoreError(f"the ledger's tabs {path} cannot be written: {error.strerror}") from error
        self._free = list(range(0, SLOT_BYTES * SLOTS, SLOT_BYTES))

    def _map_whole(self) -> mmap.mmap:
        """All of it at once: storing into a page that a full disk has no room for would kill the process."""
        try:
            os.posix_fallocate(self._file, 0, SLOT_BYTES * SLOTS)
            return mmap.mmap(self._file, SLOT_BYTES * SLOTS)
        except OSError:
            self.path.unlink(missing_ok=True)
            os.close(self._file)
            raise

    def open(self, charge: Charge, nano_usd_a_token: float) -> int:
        """Begin a tab and give its place; -1 when all are taken: that call is charged at its end only."""
        if not self._free:
            return -1
        body = _encode(charge)
        if len(body) > _ROOM:
            body = _encode(msgspec.structs.replace(charge, user=None, session=None, run=None))
            if len(body) > _ROOM:
                return -1
        at = self._free.pop()
        start = at + _HEAD.size
        self._map[start : start + len(body)] = body
        _HEAD.pack_into(self._map, at, len(body), 0, nano_usd_a_token)
        return at

    def note(self, at: int, tokens: int) -> None:
        """So many tokens have been passed on."""
        if at >= 0:
            _TOKENS.pack_into(self._map, at + 4, tokens)

    def close(self, at: int) -> None:
        """The call is charged."""
        if at >= 0:
            _LENGTH.pack_into(self._map, at, 0)
            self._free.append(at)

    def drop(self) -> None:
        """Delete the file: no call runs any more."""
        self.path.unlink(missing_ok=True)
        self._map.close()
        os.close(self._file)


class LeftTabs:
    """The tabs of a process that died, locked by this one until dropped."""

    def __init__(self, path: Path, file: int) -> None:
        self._path = path
        self._file = file

    def charges(self) -> Iterator[Charge]:
        """The charges of calls that were running when their process died."""
        data = self._path.read_bytes()
        for at in range(0, len(data) - SLOT_BYTES + 1, SLOT_BYTES):
            length, tokens, nano_usd_a_token = _HEAD.unpack_from(data, at)
            if not 0 < length <= _ROOM:
                continue
            try:
                begun = _decode(data[at + _HEAD.size : at + _HEAD.size + length])
            except msgspec.DecodeError:
                continue
            cost = begun.cost_nano_usd + round(tokens * nano_usd_a_token)
            yield msgspec.structs.replace(begun, completion_tokens=tokens, cost_nano_usd=cost)

    def drop(self) -> None:
        """Delete the file: its calls are charged."""
        self._path.unlink(missing_ok=True)
        os.close(self._file)


def left_tabs(folder: Path) -> Iterator[LeftTabs]:
    """The tabs whose processes are gone, now ours."""
    for path in sorted(folder.glob("*.tabs")):
        if (file := take_left(path)) >= 0:
            yield LeftTabs(path, file)
