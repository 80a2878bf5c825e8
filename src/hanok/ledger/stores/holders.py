"""A small file for each living holder of shared accounts, so that a successor can say what a dead one could not.

A holder locks its file as long as it lives, as it does its journal. It says which charges are its own (their ids' low
bits, and the id at which it began), and up to which one the others know them, a few times a second. The file goes away
when the holder leaves, or when a successor has told the rest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec

from hanok.errors import StoreError
from hanok.ledger.stores.locked import make_locked, take_left

_TOLD_AT = 512


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Who a holder is: its name among the others, the id at which its charges begin, and their low 12 bits."""

    holder: str
    begun: int
    own_bits: int


_decode = msgspec.json.Decoder(Mark).decode
_encode = msgspec.json.Encoder().encode


class HolderFile:
    """A holder's file, locked until dropped."""

    def __init__(self, path: Path, file: int, mark: Mark, told: int | None) -> None:
        self._path = path
        self._file = file
        self.mark = mark
        self.told = told
        """The id up to which the others know its charges; None when they were never told of any."""

    @classmethod
    def make(cls, folder: Path, mark: Mark) -> Self:
        """A new one. Raises `StoreError`."""
        path = folder / f"{mark.holder}.holder"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = make_locked(path, content=_encode(mark).ljust(_TOLD_AT))
        except OSError as error:
            raise StoreError(f"the holder's file {path} cannot be written: {error.strerror}") from error
        return cls(path, file, mark, None)

    def tell(self, told: int) -> None:
        """Note that the others know all charges up to this id."""
        if told != self.told:
            self.told = told
            os.pwrite(self._file, b"%-20d" % told, _TOLD_AT)

    def drop(self) -> None:
        """Delete it: nothing is left to tell."""
        self._path.unlink(missing_ok=True)
        os.close(self._file)

    def leave(self) -> None:
        """Unlock it, for somebody else to take up."""
        os.close(self._file)


def left_holders(folder: Path) -> Iterator[HolderFile]:
    """The files of holders that are dead, now ours alone."""
    for path in sorted(folder.glob("*.holder")):
        if (found := _take(path)) is not None:
            yield found


def _take(path: Path) -> HolderFile | None:
    file = take_left(path)
    if file < 0:
        return None
    try:
        told = os.pread(file, 20, _TOLD_AT).strip()
        return HolderFile(path, file, _decode(os.pread(file, _TOLD_AT, 0)), int(told) if told else None)
    except (OSError, msgspec.DecodeError):
        os.close(file)
        return None
