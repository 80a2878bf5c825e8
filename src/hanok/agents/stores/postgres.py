"""PostgreSQL, through psycopg 3 (extra `postgres`): tables in a schema named `hanok_agents` of `runs.database`.

Connections are lent for one transaction each; one that failed is closed, and so is one that the server has left. So a
server that was away, or did not answer, needs nothing of us.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from hanok.agents.stores.rows import as_json, metadata_text, read_object
from hanok.agents.stores.run_tables import SCHEMA, VERSION
from hanok.agents.stores.runs import Runs
from hanok.errors import KeptUnreachable
from hanok.ledger.stores import answering
from hanok.ledger.stores.database import one_line
from hanok.ledger.stores.dialect import Connection
from hanok.ledger.stores.postgres import is_silent, place_of, read_url, translated

NAMESPACE = "hanok_agents"
"""The schema of all that agents keep."""
MOST_IDLE = 4
"""Connections kept for later: a recorder's, a worker's, and some for those who ask."""
_LOCK = 4243
_HINT = "check `runs: {database: …}` in platform.yaml, and that the server runs and lets this role in"


class PostgresRuns(Runs):
    """`RunStore` in a database on a server, which is asked when something is first needed."""

    def __init__(self, url: str) -> None:
        """Raises `StoreError` when `url` cannot be read."""
        super().__init__(PostgresPlace(url, subject="runs", schema=SCHEMA, version=VERSION))


class PostgresPlace:
    """The tables of one subject: `schema` are the statements that make them, `version` counts their changes."""

    locked = " FOR UPDATE"
    unlocked = " FOR UPDATE OF r SKIP LOCKED"
    alone = (f"SELECT pg_advisory_xact_lock({_LOCK + 1})",)

    def __init__(self, url: str, *, subject: str, schema: Sequence[str], version: int) -> None:
        """Raises `StoreError` when `url` cannot be read."""
        self._how = read_url(url, schema=NAMESPACE, whose="the database of agents' runs")
        self._subject = subject
        self._schema = schema
        self._version = version
        self._idle: list[psycopg.Connection] = []
        self._ready = False
        self.silence = answering.Silence()
        """What the server is asked elsewhere may be asked inside, too."""

    @contextmanager
    def reading(self) -> Generator[Connection]:
        with self._lent() as connection:
            yield _Translating(connection)

    @contextmanager
    def writing(self, *, synced: bool = True) -> Generator[Connection]:  # noqa: ARG002 - as the server does it
        with self._lent() as connection:
            connection.execute("BEGIN")
            yield _Translating(connection)
            connection.execute("COMMIT")

    def sync(self) -> None:
        """It is."""

    def having(self, metadata: Mapping[str, Any]) -> tuple[str, list[Any]]:
        fields = read_object(metadata_text(metadata))
        conditions = ["CAST(metadata AS JSONB) -> ? = CAST(? AS JSONB)"] * len(fields)
        return " AND ".join(conditions), [part for key, value in fields.items() for part in (key, as_json(value))]

    def close(self) -> None:
        """Close the connections that wait."""
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _lent(self) -> Generator[psycopg.Connection]:
        with naming(self._how), self.silence.heeded():
            connection = self._take()
            try:
                yield connection
            except BaseException:
                with contextlib.suppress(psycopg.Error):
                    connection.close()  # takes back what was begun
                raise
        if len(self._idle) < MOST_IDLE:
            self._idle.append(connection)
        else:
            connection.close()

    def _take(self) -> psycopg.Connection:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._connect()
            if is_silent(connection.fileno()):
                return connection
            connection.close()

    def _connect(self) -> psycopg.Connection:
        connection = answering.Connection.connect(**self._how, autocommit=True)
        try:
            if not self._ready:
                self._bring_up(connection)
                self._ready = True
        except BaseException:
            connection.close()
            raise
        return connection

    def _bring_up(self, connection: psycopg.Connection) -> None:
        """Make the tables where they are not there, one process at a time."""
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            if connection.execute("SELECT to_regnamespace(%s)", (NAMESPACE,)).fetchone() == (None,):
                connection.execute(f"CREATE SCHEMA {NAMESPACE}".encode())
            connection.execute("CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, number BIGINT NOT NULL)")
            found = connection.execute("SELECT number FROM marks WHERE name = %s", (self._subject,)).fetchone()
            if found is not None and found[0] > self._version:
                message = f"what {place_of(self._how)} has of {self._subject} was written by a newer Hanok"
                raise KeptUnreachable(message, hint="upgrade Hanok, or name another database")
            if found is None:
                for statement in self._schema:
                    connection.execute(translated(statement).encode())
                connection.execute("INSERT INTO marks VALUES (%s, %s)", (self._subject, self._version))


@contextmanager
def naming(how: Mapping[str, Any]) -> Generator[None]:
    """Tell which server it is that fails. Raises `KeptUnreachable`."""
    try:
        yield
    except psycopg.Error as error:
        raise KeptUnreachable(f"{place_of(how)} cannot be used: {one_line(error)}", hint=_HINT) from error


class _Translating:
    """A connection that takes SQLite's words."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Any:
        return self._connection.execute(translated(statement).encode(), values or None)

    def close(self) -> None:
        self._connection.close()
