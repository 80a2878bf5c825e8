"""The tables of files and batches, in SQLite in the state folder, for all processes of the folder.

A batch is written by the one process that runs batches; that somebody asked to cancel it stands in a column of its own,
so neither ever overwrites what the other wrote. Opened when first needed: a platform without batches has no such file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from hanok.batches.entries import Batch, FileEntry
from hanok.ledger.stores.kept import KeptFile

VERSION = 1
Order = Literal["asc", "desc"]
_SCHEMA = (
    "CREATE TABLE files (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,"
    " filename TEXT NOT NULL, purpose TEXT NOT NULL, bytes INTEGER NOT NULL, created_at INTEGER NOT NULL,"
    " expires_at INTEGER)",
    "CREATE INDEX files_of ON files (owner, seq)",
    "CREATE TABLE batches (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,"
    " ended INTEGER NOT NULL, created_at INTEGER NOT NULL, cancel_at INTEGER, form BLOB NOT NULL)",
    "CREATE INDEX batches_of ON batches (owner, seq)",
    "CREATE INDEX batches_open ON batches (seq) WHERE ended = 0",
)
_FILE = ("id", "owner", "filename", "purpose", "bytes", "created_at", "expires_at")
_COLUMNS = ", ".join(_FILE)
_read_batch = msgspec.json.Decoder(Batch).decode


class Tables(KeptFile):
    """Safe to use from several threads; each method is one transaction. All raise `StoreError`."""

    def __init__(self, file: Path) -> None:
        super().__init__(file, schema=_SCHEMA, version=VERSION)

    # files

    def add_file(self, file: FileEntry, *, limit: int) -> int | None:
        """Add a file, if its owner's then take at most `limit` bytes; else how many they take without it."""
        with self._writing() as connection:
            kept: int = connection.execute(
                "SELECT coalesce(sum(bytes), 0) FROM files WHERE owner = ?", (file.owner,)
            ).fetchone()[0]
            if kept + file.bytes > limit:
                return kept
            _insert_file(connection, file)
            return None

    def file(self, id_: str, owner: str, now: float) -> FileEntry | None:
        """The owner's file of that id, unless it has expired."""
        found = self._ask(
            f"SELECT {_COLUMNS} FROM files WHERE id = ? AND owner = ? AND (expires_at IS NULL OR expires_at > ?)",  # noqa: S608
            (id_, owner, now),
        )
        return _file(found[0]) if found else None

    def list_files(
        self, owner: str, now: float, *, after: str | None, limit: int, order: Order, purpose: str | None
    ) -> list[FileEntry]:
        """The owner's files, at most `limit`, that come after the one of that id."""
        sign = ">" if order == "asc" else "<"
        place = f"AND seq {sign} (SELECT seq FROM files WHERE id = ? AND owner = ?)" if after else ""  # noqa: S608
        values: list[Any] = [owner, now, *([after, owner] if after else []), *([purpose] if purpose else []), limit]
        rows = self._ask(
            f"SELECT {_COLUMNS} FROM files WHERE owner = ? AND (expires_at IS NULL OR expires_at > ?) {place}"  # noqa: S608
            f" {'AND purpose = ?' if purpose else ''} ORDER BY seq {order} LIMIT ?",
            values,
        )
        return [_file(row) for row in rows]

    def remove_file(self, id_: str, owner: str) -> bool:
        """Forget a file; whether there was one."""
        with self._writing() as connection:
            return connection.execute("DELETE FROM files WHERE id = ? AND owner = ?", (id_, owner)).rowcount > 0

    def expired(self, now: float) -> list[tuple[str, str]]:
        """The files that have expired: their ids and owners."""
        return [(row[0], row[1]) for row in self._ask("SELECT id, owner FROM files WHERE expires_at <= ?", (now,))]

    def remove_expired(self, now: float) -> list[str]:
        """Forget the files that have expired; their ids."""
        with self._writing() as connection:
            rows = connection.execute("DELETE FROM files WHERE expires_at <= ? RETURNING id", (now,)).fetchall()
            return [row[0] for row in rows]

    def known_files(self) -> set[str]:
        return {row[0] for row in self._ask("SELECT id FROM files")}

    # batches

    def add_batch(self, batch: Batch) -> None:
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO batches (id, owner, ended, created_at, form) VALUES (?, ?, 0, ?, ?)",
                (batch.id, batch.owner, batch.created_at, msgspec.json.encode(batch)),
            )

    def batch(self, id_: str, owner: str) -> Batch | None:
        found = self._ask("SELECT form, cancel_at FROM batches WHERE id = ? AND owner = ?", (id_, owner))
        return _batch(found[0]) if found else None

    def list_batches(self, owner: str, *, after: str | None, limit: int) -> list[Batch]:
        """The owner's batches, the newest first, at most `limit`, that come after the one of that id."""
        place = "AND seq < (SELECT seq FROM batches WHERE id = ? AND owner = ?)" if after else ""
        values = [owner, *([after, owner] if after else []), limit]
        rows = self._ask(
            f"SELECT form, cancel_at FROM batches WHERE owner = ? {place} ORDER BY seq DESC LIMIT ?",  # noqa: S608
            values,
        )
        return [_batch(row) for row in rows]

    def open_batches(self) -> list[Batch]:
        """Every batch that has not ended, the oldest first."""
        return [_batch(row) for row in self._ask("SELECT form, cancel_at FROM batches WHERE ended = 0 ORDER BY seq")]

    def cancel(self, id_: str, owner: str, now: float) -> bool:
        """Note that a batch is to be cancelled; whether it can be."""
        with self._writing() as connection:
            done = connection.execute(
                "UPDATE batches SET cancel_at = coalesce(cancel_at, ?) WHERE id = ? AND owner = ? AND ended = 0",
                (int(now), id_, owner),
            )
            return done.rowcount > 0

    def save(self, batch: Batch, files: Sequence[FileEntry] = ()) -> None:
        """How a batch stands now, and the files that it has written."""
        with self._writing() as connection:
            for file in files:
                _insert_file(connection, file)
            connection.execute(
                "UPDATE batches SET form = ?, ended = ? WHERE id = ?",
                (msgspec.json.encode(batch), batch.ended, batch.id),
            )

    def remove_batches(self, *, before: float) -> None:
        """Forget the batches made before then that have ended."""
        with self._writing() as connection:
            connection.execute("DELETE FROM batches WHERE ended = 1 AND created_at < ?", (before,))


def _insert_file(connection: sqlite3.Connection, file: FileEntry) -> None:
    connection.execute(
        f"INSERT INTO files ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",  # noqa: S608
        [getattr(file, name) for name in _FILE],
    )


def _file(row: Sequence[Any]) -> FileEntry:
    return FileEntry(**dict(zip(_FILE, row, strict=True)))


def _batch(row: Sequence[Any]) -> Batch:
    """A batch, and whether it is about to be cancelled."""
    batch = _read_batch(row[0])
    if row[1] is None or batch.ended or batch.status == "finalizing":
        return batch
    return msgspec.structs.replace(batch, status="cancelling", cancelling_at=row[1])
