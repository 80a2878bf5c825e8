"""SQLite: a file in the state folder, in WAL mode, synced at every commit."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec

from hanok.ledger.stores.dialect import Connection

BUSY_TIMEOUT_S = 10.0
"""Seconds to wait for another process that writes."""
LOOK_AGAIN_S = 0.01
MOST_ROWS = 64
"""Of one statement. Rows go in as many at once, then in halves, so that statements come again and are prepared once."""
CACHED_STATEMENTS = 24
"""One for each of these sizes and table, and a few: 300 KiB in all."""


class SQLite:
    """A file. Many rows a statement: SQLite gives up Python's lock for each, and getting it back stalls calls."""

    error = sqlite3.Error
    begin = "BEGIN IMMEDIATE"
    alone: tuple[str, ...] = ()
    has_table = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
    day = "date(at, 'unixepoch')"
    rows_at_once = 512
    takes_nul = True
    hint = "check the folder's permissions, or name another one as `state:` in platform.yaml"

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def place(self) -> str:
        return str(self._file)

    def connect(self) -> Connection:
        connection = sqlite3.connect(
            self._file,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=CACHED_STATEMENTS,
        )
        try:
            write_ahead(connection)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def is_alive(self, connection: Connection) -> bool:  # noqa: ARG002 - a file does not hang up
        return True

    def heeding_silence(self) -> AbstractContextManager[None]:
        return nullcontext()

    def translate(self, statement: str) -> str:
        return statement

    def sources(
        self, columns: Mapping[str, str], rows: Sequence[msgspec.Struct]
    ) -> Iterator[tuple[str, Sequence[Any]]]:
        read = attrgetter(*columns)
        for part in _in_parts(rows):
            yield _values(len(columns), len(part)), list(chain.from_iterable(map(read, part)))


def write_ahead(connection: sqlite3.Connection) -> None:
    """Have commits written ahead (WAL) and synced. Raises `sqlite3.Error`.

    Processes that begin a database at once are in each other's way, and here SQLite does not wait by itself.
    """
    until = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(LOOK_AGAIN_S)
    connection.execute("PRAGMA synchronous = FULL")


def _in_parts(rows: Sequence[msgspec.Struct]) -> Iterator[Sequence[msgspec.Struct]]:
    """Parts of `MOST_ROWS`, then of half as many, and so on down to one."""
    start, size = 0, MOST_ROWS
    while start < len(rows):
        while size > len(rows) - start:
            size //= 2
        yield rows[start : start + size]
        start += size


@lru_cache(maxsize=16)
def _values(columns: int, rows: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"VALUES {', '.join([row] * rows)}"
