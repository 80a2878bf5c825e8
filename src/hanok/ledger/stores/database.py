"""Connections, lent for one transaction each; what a driver says is wrong becomes a `StoreError`.

A connection that failed is closed, which takes back what it had begun; one that did its work waits for the next. So a
database that was restarted, or did not answer, needs nothing of us: the next transaction opens a new connection.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from contextlib import contextmanager

from hanok.errors import StoreError
from hanok.ledger.stores.dialect import Connection, Dialect
from hanok.ledger.stores.schema import bring_up
from hanok.ledger.stores.tables import Tables

MOST_IDLE = 4
"""Connections kept for later: the writer's, and a few for those who ask."""


class Database:
    """The ledger's database. Safe to use from several threads."""

    def __init__(self, dialect: Dialect) -> None:
        """Open it, and make its tables or bring them up. Raises `StoreError` when that cannot be done."""
        self._dialect = dialect
        self._idle: list[Connection] = []
        try:
            with self._lent() as connection:
                bring_up(connection, dialect)
        except dialect.error as error:
            raise StoreError(
                f"the ledger {dialect.place} cannot be opened: {one_line(error)}", hint=dialect.hint
            ) from error

    @contextmanager
    def reading(self) -> Generator[Tables]:
        """The tables, to ask them."""
        with self._plain_errors(), self._lent() as connection:
            yield Tables(connection, self._dialect)

    @contextmanager
    def writing(self) -> Generator[Tables]:
        """The tables, in one transaction: all of it is done, or nothing."""
        with self._plain_errors(), self._lent() as connection:
            connection.execute(self._dialect.begin)
            yield Tables(connection, self._dialect)
            connection.execute("COMMIT")

    def close(self) -> None:
        """Close the connections that wait."""
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _lent(self) -> Generator[Connection]:
        with self._dialect.heeding_silence():
            connection = self._take()
            try:
                yield connection
            except BaseException:
                with contextlib.suppress(self._dialect.error):
                    connection.close()
                raise
        if len(self._idle) < MOST_IDLE:
            self._idle.append(connection)
        else:
            connection.close()

    def _take(self) -> Connection:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._dialect.connect()
            if self._dialect.is_alive(connection):
                return connection
            connection.close()

    @contextmanager
    def _plain_errors(self) -> Generator[None]:
        try:
            yield
        except self._dialect.error as error:
            message = f"the ledger {self._dialect.place} cannot be used: {one_line(error)}"
            raise StoreError(message, hint=self._dialect.hint) from error


def one_line(error: Exception) -> str:
    """What a driver says, without the statement."""
    what, _, _ = str(error).partition("\nLINE ")  # PostgreSQL shows it too
    return " ".join(what.split())
