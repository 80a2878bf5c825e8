"""From what `platform.yaml` says to a database: the one place that knows both."""

from __future__ import annotations

import importlib.util
from importlib import import_module
from pathlib import Path

from hanok.errors import StartError
from hanok.ledger.stores.dialect import Dialect
from hanok.ledger.stores.sqlite import SQLite


def find_dialect(folder: Path, database: str | None) -> Dialect:
    """SQLite in the state folder, or the PostgreSQL of this URL.

    Raises `StartError` when psycopg is not installed, `StoreError` when the URL cannot be read.
    """
    if database is None:
        return SQLite(folder / "ledger.db")
    if importlib.util.find_spec("psycopg") is None:
        raise StartError("a ledger in PostgreSQL needs the package psycopg", hint='pip install "hanok[postgres]"')
    return import_module("hanok.ledger.stores.postgres").PostgreSQL(database)
