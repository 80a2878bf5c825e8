"""SQLite: `agents.db` in the state folder, for all processes of the folder."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from hanok.agents.stores.rows import has_fields, metadata_text
from hanok.agents.stores.run_tables import SCHEMA, VERSION
from hanok.agents.stores.runs import Runs
from hanok.ledger.stores.dialect import Connection
from hanok.ledger.stores.kept import KeptFile, in_transaction


class SqliteRuns(Runs):
    """`RunStore` in a file, which is made when it is first needed."""

    def __init__(self, file: Path) -> None:
        super().__init__(SqlitePlace(file, schema=SCHEMA, version=VERSION))


class SqlitePlace(KeptFile):
    """A file. One process writes at a time, so nothing needs to be locked beside the transaction."""

    locked = ""
    unlocked = ""
    alone = ()

    @contextmanager
    def reading(self) -> Generator[Connection]:
        with self._using() as connection:
            yield cast("Connection", connection)

    @contextmanager
    def writing(self, *, synced: bool = True) -> Generator[Connection]:
        with self._using() as connection:
            connection.execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
            with in_transaction(connection):
                yield cast("Connection", connection)

    def sync(self) -> None:
        with self._naming_file(), suppress(FileNotFoundError):  # no log: all of it is in the file
            log = os.open(f"{self._file}-wal", os.O_RDONLY)
            try:
                os.fsync(log)  # what others write meanwhile does not wait for it
            finally:
                os.close(log)

    def having(self, metadata: Mapping[str, Any]) -> tuple[str, list[Any]]:
        return "has_fields(metadata, ?)", [metadata_text(metadata)]

    def _connect(self) -> sqlite3.Connection:
        connection = super()._connect()
        connection.create_function("has_fields", 2, has_fields, deterministic=True)
        return connection
