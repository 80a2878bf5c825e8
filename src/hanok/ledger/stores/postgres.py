"""PostgreSQL, through psycopg 3 (extra `postgres`): tables in a schema named `hanok` of the database that is named.

Charges go over as one JSON text a statement, which the server takes apart: binding each value costs sixty times the
CPU here (docs/decisions/007).
"""

from __future__ import annotations

import select
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, cast

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict

from hanok.errors import StoreError
from hanok.ledger.stores import answering
from hanok.ledger.stores.dialect import Connection

SCHEMA = "hanok"
_DEFAULTS = {"connect_timeout": 5, "keepalives_idle": 10, "tcp_user_timeout": 10_000, "application_name": "hanok"}
"""A server that is gone is noticed within seconds (`tcp_user_timeout` in milliseconds); the URL may say otherwise."""
_OPTIONS = "-c lock_timeout=10s -c idle_in_transaction_session_timeout=60s"
"""A transaction whose client is gone keeps its locks no longer than that."""
LONGEST_S = 3600.0
"""How long the server may be at one question: sums of all charges, or an index of them, take their time."""
_WORDS = (
    ("INTEGER PRIMARY KEY AUTOINCREMENT", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
    ("COLLATE BINARY", 'COLLATE "C"'),
    ("INTEGER", "BIGINT"),
    ("REAL", "DOUBLE PRECISION"),
    ("BLOB", "BYTEA"),
    ("?", "%s"),
)


class PostgreSQL:
    """A database on a server, by its URL."""

    error = psycopg.Error
    begin = "BEGIN"
    alone = (
        "SELECT pg_advisory_xact_lock(4242)",
        f"DO $$ BEGIN IF to_regnamespace('{SCHEMA}') IS NULL THEN CREATE SCHEMA {SCHEMA}; END IF; END $$",
    )
    has_table = f"SELECT count(*) FROM pg_tables WHERE schemaname = '{SCHEMA}' AND tablename = ?"  # noqa: S608
    day = "to_char(to_timestamp(at) AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
    rows_at_once = 5000
    takes_nul = False
    hint = "check `ledger: {database: …}` in platform.yaml, and that the server runs and lets this role in"

    def __init__(self, url: str) -> None:
        """Raises `StoreError` when `url` cannot be read."""
        self._how = read_url(url, schema=SCHEMA, whose="the ledger's database")
        self._silence = answering.Silence()

    @property
    def place(self) -> str:
        return place_of(self._how)

    def connect(self) -> Connection:
        connection = answering.Connection.connect(**self._how, autocommit=True)
        connection.longest_s = LONGEST_S
        return cast("Connection", connection)

    def heeding_silence(self) -> AbstractContextManager[None]:
        return self._silence.heeded()

    def is_alive(self, connection: Connection) -> bool:
        return is_silent(cast("psycopg.Connection", connection).fileno())

    def translate(self, statement: str) -> str:
        return translated(statement)

    def sources(
        self, columns: Mapping[str, str], rows: Sequence[msgspec.Struct]
    ) -> Iterator[tuple[str, Sequence[Any]]]:
        yield _from_json(tuple(columns.items())), (msgspec.json.encode(rows).decode(),)


def read_url(url: str, *, schema: str, whose: str) -> dict[str, Any]:
    """How to connect, for psycopg, so that tables without a schema's name are those of `schema`.

    Raises `StoreError` when `url` cannot be read.
    """
    try:
        given = conninfo_to_dict(url)
    except (psycopg.Error, UnicodeError):  # whose texts may repeat the password
        raise StoreError(f"the address of {whose} cannot be read", hint=_EXAMPLE) from None
    options = f"{_OPTIONS} {given.get('options') or ''} -c search_path={schema}"
    return {**_DEFAULTS, **given, "options": options}


def place_of(how: Mapping[str, Any]) -> str:
    """Which database this is, without a password."""
    return f"PostgreSQL at {how.get('host', 'localhost')}, database {how.get('dbname', '')!r}"


def is_silent(file: int) -> bool:
    """Whether nothing has come on an idle connection: a server says nothing there but that it hangs up."""
    poll = select.poll()
    poll.register(file, select.POLLIN)
    return not poll.poll(0)


_EXAMPLE = "write `postgresql://user:password@host:5432/database`, with %-escapes for / @ : in the password"


@lru_cache(maxsize=256)
def translated(statement: str) -> str:
    """A statement in SQLite's words in PostgreSQL's."""
    for word, ours in _WORDS:
        statement = statement.replace(word, ours)
    return statement


@lru_cache(maxsize=8)
def _from_json(columns: tuple[tuple[str, str], ...]) -> str:
    names = ", ".join(f'"{name}"' for name, _ in columns)
    typed = ", ".join(f'"{name}" {kind}' for name, kind in columns)
    return translated(f"SELECT {names} FROM json_to_recordset(?) AS given ({typed})")  # noqa: S608
