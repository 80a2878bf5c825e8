"""Responses on disk: SQLite in the state folder, one row each, so that a conversation can go on after any restart.

A row is written, and synced, before the end of its answer is told. What is older than `keep_s` is gone, and of what is
more than `limit_bytes` in all, the oldest. Several processes may share the file. Rows are a tenant's own: nobody else
can read, continue or delete them.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import msgspec

from hanok.errors import KeptUnreachable, StoreError
from hanok.ledger.stores.sqlite import BUSY_TIMEOUT_S, write_ahead

THREADS = 8
SWEEP_EVERY = 256
"""Writes between two looks at the size of all."""
CHAIN = 1000
"""The most responses that one conversation is put together from."""
CHAIN_BYTES = 32 * 1024 * 1024
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS responses (
    id TEXT PRIMARY KEY, tenant TEXT NOT NULL, previous TEXT, at REAL NOT NULL, size INTEGER NOT NULL,
    items BLOB NOT NULL, response BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS responses_by_age ON responses (at, id, size);
"""
_CHAIN = """
WITH RECURSIVE chain (id, previous, depth, size) AS (
    SELECT id, previous, 1, size FROM responses WHERE id = ?1 AND tenant = ?2 AND at > ?3
    UNION ALL
    SELECT older.id, older.previous, chain.depth + 1, chain.size + older.size FROM responses AS older
    JOIN chain ON older.id = chain.previous
    WHERE older.tenant = ?2 AND older.at > ?3 AND chain.depth < ?4 AND chain.size < ?5
)
SELECT chain.id, chain.previous, chain.size, responses.items, responses.response
FROM chain JOIN responses USING (id) ORDER BY chain.depth DESC
"""


class KeptResponse(msgspec.Struct, frozen=True, kw_only=True):
    """One response as it is kept: its JSON, and the JSON list of its own input items. `at` is Unix seconds."""

    id: str
    tenant: str
    previous: str | None
    at: float
    response: bytes
    items: bytes


class Turn(msgspec.Struct, frozen=True):
    """What one response of a conversation took in and gave out, as JSON."""

    id: str
    previous: str | None
    items: bytes
    response: bytes

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.items) + len(self.response)


class _Write:
    """One response that is to be written."""

    __slots__ = ("done", "error", "kept")

    def __init__(self, kept: KeptResponse) -> None:
        self.kept = kept
        self.done = False
        self.error: StoreError | None = None


class ResponseStore:
    """The file. Its methods may be called from any thread; each raises `StoreError`."""

    def __init__(self, file: Path, *, keep_s: float, limit_bytes: int) -> None:
        self._file = file
        self.keep_s = keep_s
        self.limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._open: sqlite3.Connection | None = None
        self._threads = ThreadPoolExecutor(THREADS, "responses")
        self._waiting: deque[_Write] = deque()
        self._writes = 0

    async def run(
        self, work: Callable[Arguments, Result], *arguments: Arguments.args, **more: Arguments.kwargs
    ) -> Result:
        """Do it in a thread of the store's own: a slow disk keeps nobody else waiting."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *arguments, **more))

    def put(self, kept: KeptResponse) -> None:
        """Write one down, for good. Who comes first writes for all who wait: they share one sync of the disk."""
        write = _Write(kept)
        self._waiting.append(write)
        with self._lock:
            if not write.done:
                self._write([self._waiting.popleft() for _ in range(len(self._waiting))])
        if write.error is not None:
            raise write.error

    def _write(self, writes: Sequence[_Write]) -> None:
        try:
            with self._errors() as connection:
                self._insert(connection, [write.kept for write in writes])
        except StoreError as error:
            for write in writes:
                write.error = error
        for write in writes:
            write.done = True

    def _insert(self, connection: sqlite3.Connection, all_kept: Sequence[KeptResponse]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany("INSERT OR REPLACE INTO responses VALUES (?, ?, ?, ?, ?, ?, ?)", map(_row, all_kept))
            self._sweep_at_times(connection, all_kept)
            connection.execute("COMMIT")
        except BaseException:
            connection.rollback()
            raise

    def get(self, id_: str, tenant: str, now: float) -> Turn | None:
        """One response of the tenant's, if it is there."""
        asked = "SELECT id, previous, items, response FROM responses WHERE id = ? AND tenant = ? AND at > ?"
        with self._working() as connection:
            row = connection.execute(asked, (id_, tenant, now - self.keep_s)).fetchone()
        return None if row is None else Turn(*row)

    def chain(self, id_: str, tenant: str, now: float) -> Sequence[Turn] | None:
        """The response and those it followed, the oldest first.

        None when one of them is not there, or they are too many or too large (`CHAIN`, `CHAIN_BYTES`).
        """
        with self._working() as connection:
            rows: list[Any] = connection.execute(
                _CHAIN, (id_, tenant, now - self.keep_s, CHAIN, CHAIN_BYTES)
            ).fetchall()
        if not rows or rows[0][1] is not None:
            return None
        return [Turn(own, previous, items, response) for own, previous, _, items, response in rows]

    def delete(self, id_: str, tenant: str) -> bool:
        """Delete one of the tenant's; whether there was one."""
        with self._working() as connection:
            return connection.execute("DELETE FROM responses WHERE id = ? AND tenant = ?", (id_, tenant)).rowcount > 0

    def close(self) -> None:
        """Finish what is being written, and close the file."""
        self._threads.shutdown()
        with self._lock:
            if self._open is not None:
                self._open.close()
                self._open = None

    def _sweep_at_times(self, connection: sqlite3.Connection, written: Sequence[KeptResponse]) -> None:
        before, self._writes = self._writes, self._writes + len(written)
        if before == 0 or before // SWEEP_EVERY != self._writes // SWEEP_EVERY:
            self._sweep(connection, written[-1].at)

    def _sweep(self, connection: sqlite3.Connection, now: float) -> None:
        connection.execute("DELETE FROM responses WHERE at <= ?", (now - self.keep_s,))
        total = connection.execute("SELECT coalesce(sum(size), 0) FROM responses").fetchone()[0]
        if total > self.limit_bytes:
            connection.execute(
                "DELETE FROM responses WHERE id IN (SELECT id FROM ("
                "SELECT id, sum(size) OVER (ORDER BY at DESC, id DESC) AS newer FROM responses) WHERE newer > ?)",
                (self.limit_bytes,),
            )

    def _connection(self) -> sqlite3.Connection:
        """The open file, opened and made when it is first needed."""
        if self._open is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._open = _connect(self._file)
        return self._open

    @contextmanager
    def _working(self) -> Generator[sqlite3.Connection]:
        """The file for one thread at a time, each statement a transaction of its own. Raises `StoreError`."""
        with self._lock, self._errors() as connection:
            yield connection

    @contextmanager
    def _errors(self) -> Generator[sqlite3.Connection]:
        try:
            yield self._connection()
        except (sqlite3.Error, OSError) as error:
            hint = "check the state folder's permissions and free space"
            raise KeptUnreachable(f"{self._file} cannot be used: {error}", hint=hint) from error


def _row(kept: KeptResponse) -> Sequence[Any]:
    size = len(kept.response) + len(kept.items)
    return kept.id, kept.tenant, kept.previous, kept.at, size, kept.items, kept.response


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        file.chmod(0o600)
        write_ahead(connection)
        connection.executescript(_SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection
