"""What vector stores there are and what is in them, in SQLite in the state folder, for all processes of the folder.

Every process marks what its callers want; only the one that fills vector stores takes marks away. Opened when first
needed: a platform where nobody made a vector store has no such file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from hanok.knowledge.vector_stores.entries import Attached, Counts, FileBatch, Status, VectorStore
from hanok.ledger.stores.kept import KeptFile

VERSION = 1
_SCHEMA = (
    "CREATE TABLE stores (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,"
    " gone INTEGER NOT NULL DEFAULT 0, emptied INTEGER NOT NULL DEFAULT 0, form BLOB NOT NULL)",
    "CREATE INDEX stores_of ON stores (owner, seq)",
    "CREATE TABLE files (seq INTEGER PRIMARY KEY AUTOINCREMENT, file_id TEXT NOT NULL, store TEXT NOT NULL,"
    " owner TEXT NOT NULL, batch TEXT, status TEXT NOT NULL, attempt INTEGER NOT NULL, passages INTEGER NOT NULL,"
    " usage_bytes INTEGER NOT NULL, gone INTEGER NOT NULL DEFAULT 0, form BLOB NOT NULL, UNIQUE (store, file_id))",
    "CREATE INDEX files_open ON files (seq) WHERE status = 'in_progress' OR gone = 1",
    "CREATE INDEX files_of_owner ON files (owner)",
    "CREATE INDEX files_of_batch ON files (batch)",
    "CREATE TABLE batches (id TEXT PRIMARY KEY, store TEXT NOT NULL, form BLOB NOT NULL)",
)
_encode = msgspec.json.encode
_read_store = msgspec.json.Decoder(VectorStore).decode
_read_file = msgspec.json.Decoder(Attached).decode
_read_batch = msgspec.json.Decoder(FileBatch).decode


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of a list: at most `limit` of what comes after, or before, the one of that id."""

    limit: int
    after: str | None = None
    before: str | None = None
    order: Literal["asc", "desc"] = "desc"
    status: Status | None = None


class Records(KeptFile):
    """Safe to use from several threads; each method is one transaction. All raise `StoreError`."""

    def __init__(self, file: Path) -> None:
        super().__init__(file, schema=_SCHEMA, version=VERSION)

    # vector stores

    def add_store(self, store: VectorStore, *, most: int) -> bool:
        """Add a vector store, unless its owner has that many already."""
        with self._writing() as connection:
            asked = "SELECT count(*) FROM stores WHERE owner = ? AND gone = 0"
            if connection.execute(asked, (store.owner,)).fetchone()[0] >= most:
                return False
            connection.execute(
                "INSERT INTO stores (id, owner, form) VALUES (?, ?, ?)", (store.id, store.owner, _encode(store))
            )
            return True

    def store(self, id_: str, owner: str) -> VectorStore | None:
        found = self._ask("SELECT form FROM stores WHERE id = ? AND owner = ? AND gone = 0", (id_, owner))
        return _read_store(found[0][0]) if found else None

    def list_stores(self, owner: str, part: Slice) -> list[VectorStore]:
        rows = self._page("stores", "id", "owner = ? AND gone = 0", [owner], part)
        return [_read_store(row) for row in rows]

    def touch_store(self, id_: str, now: int) -> None:
        """It was used."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE stores SET form = CAST(json_set(CAST(form AS TEXT), '$.last_active_at', ?) AS BLOB)"
                " WHERE id = ?",
                (now, id_),
            )

    def change_store(self, store: VectorStore) -> None:
        with self._writing() as connection:
            connection.execute("UPDATE stores SET form = ?, emptied = 0 WHERE id = ?", (_encode(store), store.id))

    def discard_store(self, id_: str, owner: str) -> bool:
        """Mark a vector store and all in it as deleted; whether there was one."""
        with self._writing() as connection:
            done = connection.execute(
                "UPDATE stores SET gone = 1, emptied = 0 WHERE id = ? AND owner = ? AND gone = 0", (id_, owner)
            ).rowcount
            connection.execute("UPDATE files SET gone = 1 WHERE store = ? AND owner = ?", (id_, owner))
            return done > 0

    def mark(self) -> tuple[int, int]:
        """Another one whenever anything was written, here or by another process. Reads no rows."""
        with self._using() as connection:
            return connection.total_changes, connection.execute("PRAGMA data_version").fetchone()[0]

    def discarded_stores(self, now: float) -> list[VectorStore]:
        """Those whose passages are to go: they were deleted, or have expired and not been emptied."""
        rows = self._ask("SELECT form, gone FROM stores WHERE emptied = 0")
        found = [(_read_store(form), gone) for form, gone in rows]
        return [store for store, gone in found if gone or store.has_expired(now)]

    def forget_store(self, id_: str) -> None:
        """Its passages are gone: forget its files, and itself where it was deleted."""
        with self._writing() as connection:
            connection.execute("DELETE FROM files WHERE store = ?", (id_,))
            connection.execute("DELETE FROM batches WHERE store = ?", (id_,))
            connection.execute("DELETE FROM stores WHERE id = ? AND gone = 1", (id_,))
            connection.execute("UPDATE stores SET emptied = 1 WHERE id = ?", (id_,))

    def counts(self, ids: Sequence[str], *, of: Literal["store", "batch"] = "store") -> dict[str, Counts]:
        """The files of each, counted."""
        marks = ", ".join("?" * len(ids))
        rows = self._ask(
            f"SELECT {of}, status, count(*), sum(usage_bytes) FROM files"  # noqa: S608
            f" WHERE {of} IN ({marks}) AND gone = 0 GROUP BY {of}, status",
            list(ids),
        )
        found: dict[str, dict[str, int]] = {id_: {} for id_ in ids}
        for id_, status, count, usage in rows:
            found[id_][status] = count
            found[id_]["usage_bytes"] = found[id_].get("usage_bytes", 0) + usage
        return {id_: Counts(**each) for id_, each in found.items()}

    # files

    def attach(self, files: Iterable[Attached], *, batch: FileBatch | None = None) -> list[Attached]:
        """Attach files; one that is there already is attached anew. What can be found of it stays until then."""
        with self._writing() as connection:
            if batch is not None:
                connection.execute("INSERT INTO batches VALUES (?, ?, ?)", (batch.id, batch.store, _encode(batch)))
            return [_attach(connection, file) for file in files]

    def file(self, store: str, file_id: str, owner: str) -> Attached | None:
        found = self._ask(
            "SELECT form FROM files WHERE store = ? AND file_id = ? AND owner = ? AND gone = 0", (store, file_id, owner)
        )
        return _read_file(found[0][0]) if found else None

    def list_files(self, store: str, owner: str, part: Slice, *, batch: str | None = None) -> list[Attached]:
        where, values = "store = ? AND owner = ? AND gone = 0", [store, owner]
        if batch is not None:
            where, values = f"{where} AND batch = ?", [*values, batch]
        if part.status is not None:
            where, values = f"{where} AND status = ?", [*values, part.status]
        return [_read_file(row) for row in self._page("files", "file_id", where, values, part, within=store)]

    def discard_file(self, file_id: str, owner: str, *, store: str | None = None) -> list[str]:
        """Mark a file as deleted from one vector store, or from all of its owner's; those that it was in."""
        with self._writing() as connection:
            rows = connection.execute(
                "UPDATE files SET gone = 1 WHERE file_id = ? AND owner = ? AND gone = 0 AND store = coalesce(?, store)"
                " RETURNING store",
                (file_id, owner, store),
            ).fetchall()
            return [row[0] for row in rows]

    def forget_file(self, file: Attached) -> None:
        """Its passages are gone."""
        with self._writing() as connection:
            connection.execute(
                "DELETE FROM files WHERE store = ? AND file_id = ? AND gone = 1", (file.store, file.file_id)
            )

    def open_files(self) -> list[tuple[Attached, bool]]:
        """Every file that is to be read, or (True) whose passages are to go, the oldest first."""
        rows = self._ask("SELECT form, gone FROM files WHERE status = 'in_progress' OR gone = 1 ORDER BY seq")
        return [(_read_file(form), bool(gone)) for form, gone in rows]

    def is_wanted(self, file: Attached) -> bool:
        """Whether this attempt is still to be made."""
        return bool(
            self._ask(
                "SELECT 1 FROM files WHERE store = ? AND file_id = ? AND attempt = ? AND status = 'in_progress'"
                " AND gone = 0",
                (file.store, file.file_id, file.attempt),
            )
        )

    def settle(self, file: Attached) -> bool:
        """How a file's attempt ended; False when it is not wanted any more."""
        with self._writing() as connection:
            done = connection.execute(
                "UPDATE files SET form = ?, status = ?, passages = ?, usage_bytes = ?"
                " WHERE store = ? AND file_id = ? AND attempt = ? AND status = 'in_progress' AND gone = 0",
                (
                    _encode(file), file.status, file.passages, file.usage_bytes,
                    file.store, file.file_id, file.attempt,
                ),
            )  # fmt: skip
            return done.rowcount > 0

    def read_again(self) -> None:
        """All files are to be read again: what was made of them, or is being made, cannot be used any more."""
        with self._writing() as connection:
            rows = connection.execute(
                "SELECT form FROM files WHERE gone = 0 AND status IN ('completed', 'in_progress')"
            ).fetchall()
            for row in rows:
                file = _read_file(row[0])
                _write(connection, msgspec.structs.replace(file, status="in_progress", attempt=file.attempt + 1))

    def passages_of(self, owner: str) -> int:
        """How many passages an owner has in all."""
        return self._ask("SELECT coalesce(sum(passages), 0) FROM files WHERE owner = ?", (owner,))[0][0]

    # batches

    def batch(self, id_: str, store: str) -> FileBatch | None:
        found = self._ask("SELECT form FROM batches WHERE id = ? AND store = ?", (id_, store))
        return _read_batch(found[0][0]) if found else None

    def cancel_batch(self, batch: FileBatch, now: int) -> FileBatch:
        """Files of it that were not read yet are not read."""
        cancelled = msgspec.structs.replace(batch, cancelled_at=batch.cancelled_at or now)
        with self._writing() as connection:
            rows = connection.execute(
                "SELECT form FROM files WHERE batch = ? AND status = 'in_progress' AND gone = 0", (batch.id,)
            ).fetchall()
            for row in rows:
                _write(connection, msgspec.structs.replace(_read_file(row[0]), status="cancelled"))
            connection.execute("UPDATE batches SET form = ? WHERE id = ?", (_encode(cancelled), batch.id))
        return cancelled

    # pages

    def _page(
        self, table: str, id_: str, where: str, values: Sequence[Any], part: Slice, *, within: str | None = None
    ) -> list[bytes]:
        """Forms in the order that is asked for; those before an id come in that order, too."""
        mark = part.before or part.after
        backward = part.before is not None
        place, more = "", list(values)
        if mark is not None:
            sign = ">" if (part.order == "asc") != backward else "<"
            scope = " AND store = ?" if within else ""
            place = f" AND seq {sign} (SELECT seq FROM {table} WHERE {id_} = ?{scope})"  # noqa: S608
            more += [mark, *([within] if within else [])]
        order = part.order if not backward else ("asc" if part.order == "desc" else "desc")
        rows = self._ask(
            f"SELECT form FROM {table} WHERE {where}{place} ORDER BY seq {order} LIMIT ?",  # noqa: S608
            [*more, part.limit],
        )
        found = [row[0] for row in rows]
        return found[::-1] if backward else found


def _attach(connection: sqlite3.Connection, file: Attached) -> Attached:
    found = connection.execute(
        "SELECT form FROM files WHERE store = ? AND file_id = ?", (file.store, file.file_id)
    ).fetchone()
    if found is None:
        connection.execute(
            "INSERT INTO files (file_id, store, owner, batch, status, attempt, passages, usage_bytes, form)"
            " VALUES (?, ?, ?, ?, ?, ?, 0, 0, ?)",
            (file.file_id, file.store, file.owner, file.batch, file.status, file.attempt, _encode(file)),
        )
        return file
    before = _read_file(found[0])
    kept = {name: getattr(before, name) for name in ("digest", "passages", "usage_bytes", "created_at")}
    anew = msgspec.structs.replace(file, attempt=before.attempt + 1, **kept)
    _write(connection, anew)
    return anew


def _write(connection: sqlite3.Connection, file: Attached) -> None:
    connection.execute(
        "UPDATE files SET batch = ?, status = ?, attempt = ?, gone = 0, form = ? WHERE store = ? AND file_id = ?",
        (file.batch, file.status, file.attempt, _encode(file), file.store, file.file_id),
    )
