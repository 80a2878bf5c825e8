"""Files on disk: `files/` holds whole ones by their ids, `batches/` what runs, one folder a batch.

A file is written under another name, synced, and renamed when it is whole, so what has its id is whole. A batch's input
is a link, so that it stays while the batch runs, whoever deletes the file.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from hanok.errors import KeptUnreachable

PART = ".part"
LEFT_AFTER_S = 3600.0
INPUT, OUTPUT, ERRORS = "input.jsonl", "output.jsonl", "errors.jsonl"
PIECE_BYTES = 256 * 1024


class Folder:
    """The files in a state folder. All methods may wait for the disk, and raise `StoreError`. `wall`: Unix seconds."""

    def __init__(self, state: Path, *, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._files = state / "files"
        self._batches = state / "batches"

    def begin(self, name: str) -> BinaryIO:
        """A new file, to be written and then kept or dropped by that name."""
        with _plain_errors(self._files):
            self._files.mkdir(mode=0o700, parents=True, exist_ok=True)
            return (self._files / f"{name}{PART}").open("xb", buffering=0)

    def write(self, file: BinaryIO, data: bytes) -> None:
        """Write on."""
        with _plain_errors(self._files):
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]

    def keep(self, file: BinaryIO, name: str) -> None:
        """The file is whole: from now on it has that name, whatever happens."""
        with _plain_errors(self._files):
            os.fsync(file.fileno())
            file.close()
            (self._files / f"{name}{PART}").rename(self._files / name)
            _sync_folder(self._files)

    def drop(self, file: BinaryIO, name: str) -> None:
        """It is not wanted."""
        with contextlib.suppress(OSError):
            file.close()
        (self._files / f"{name}{PART}").unlink(missing_ok=True)

    def open(self, name: str) -> BinaryIO:
        """A whole file, for reading."""
        with _plain_errors(self._files):
            return (self._files / name).open("rb")

    def remove(self, name: str) -> None:
        with _plain_errors(self._files):
            (self._files / name).unlink(missing_ok=True)

    def remove_unknown(self, known: Collection[str | None]) -> None:
        """Remove what a killed process left: long there, and in no table."""
        before = self._wall() - LEFT_AFTER_S
        with _plain_errors(self._files), os.scandir(self._files) as entries:
            for entry in entries:
                if entry.name not in known and entry.stat().st_mtime < before:
                    Path(entry.path).unlink(missing_ok=True)

    # batches

    def begin_batch(self, batch: str, input_file: str) -> None:
        """Make a batch's folder, with its input."""
        folder = self._batches / batch
        with _plain_errors(folder):
            folder.mkdir(mode=0o700, parents=True)
            os.link(self._files / input_file, folder / INPUT)
            _sync_folder(folder)
            _sync_folder(self._batches)

    def input(self, batch: str) -> Path:
        return self._batches / batch / INPUT

    def output(self, batch: str) -> Path:
        return self._batches / batch / OUTPUT

    def errors(self, batch: str) -> Path:
        return self._batches / batch / ERRORS

    def publish(self, path: Path, name: str) -> int | None:
        """Make what a batch wrote a file of that name; its bytes, or None when nothing was written.

        May be done again, when nobody knows whether it was done.
        """
        with _plain_errors(self._files):
            self._files.mkdir(mode=0o700, parents=True, exist_ok=True)
            target = self._files / name
            if path.exists() and path.stat().st_size:
                path.rename(target)
                _sync_folder(self._files)
            return target.stat().st_size if target.exists() else None

    def end_batch(self, batch: str) -> None:
        """Remove a batch's folder."""
        shutil.rmtree(self._batches / batch, ignore_errors=True)

    def left_batches(self) -> list[str]:
        """The batches that have folders."""
        with contextlib.suppress(FileNotFoundError), _plain_errors(self._batches):
            return [each.name for each in self._batches.iterdir() if each.is_dir()]
        return []


def read_lines(path: Path, *, limit: int) -> Iterator[tuple[int, bytes | None]]:
    """Every line of a file with the byte it begins at and its line end; None for one longer than `limit` bytes."""
    with _plain_errors(path), path.open("rb") as file:
        start = 0
        while line := file.readline(limit + 1):
            if len(line) <= limit:
                yield start, line
            else:
                yield start, None
                while line and not line.endswith(b"\n"):
                    line = file.readline(PIECE_BYTES)
            start = file.tell()


def read_piece(path: Path, start: int, end: int) -> bytes:
    """Those bytes of a file."""
    with _plain_errors(path), path.open("rb") as file:
        file.seek(start)
        return file.read(end - start)


@contextmanager
def _plain_errors(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise KeptUnreachable(f"{path} cannot be used: {error.strerror or error}") from error


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
