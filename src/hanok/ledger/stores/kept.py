"""A SQLite file in the state folder for what is kept for callers: batches, vector stores. All processes share it.

It is opened when it is first needed: a platform that keeps nothing of the kind has no such file.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hanok.errors import KeptUnreachable
from hanok.ledger.stores.sqlite import BUSY_TIMEOUT_S, write_ahead


class KeptFile:
    """The tables of one subject. Safe to use from several threads. All raise `StoreError`.

    `schema` are the statements that make them, `version` counts their changes: a file of a later one is refused.
    """

    def __init__(self, file: Path, *, schema: Sequence[str], version: int) -> None:
        self._file = file
        self._schema = schema
        self._version = version
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    @property
    def exist(self) -> bool:
        """Whether anything was ever kept."""
        return self._connection is not None or self._file.exists()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _ask(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._using() as connection:
            return connection.execute(statement, values).fetchall()

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection]:
        """One transaction."""
        with self._using() as connection, in_transaction(connection):
            yield connection

    @contextmanager
    def _using(self) -> Generator[sqlite3.Connection]:
        """The open file, for one thread at a time."""
        with self._lock, self._naming_file():
            yield self._open()

    @contextmanager
    def _naming_file(self) -> Generator[None]:
        """Tell which file it is that fails."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            message = f"{self._file} cannot be used: {error}"
            raise KeptUnreachable(message, hint="check the state folder's disk") from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._file, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            write_ahead(connection)
            connection.execute("BEGIN IMMEDIATE")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > self._version:
                hint = "upgrade Hanok, or name another `state:`"
                raise KeptUnreachable(f"{self._file} was written by a newer Hanok", hint=hint)
            if version == 0:
                for statement in self._schema:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {self._version}")
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        return connection


@contextmanager
def in_transaction(connection: sqlite3.Connection) -> Generator[None]:
    """All of what is done inside, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
