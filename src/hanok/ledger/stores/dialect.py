"""What two databases do differently, and nothing else: how they are reached, and a few words.

SQL is written once (`schema`, `tables`), in SQLite's words; `translate` puts it into another database's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import msgspec


class Cursor(Protocol):
    """What a statement gave."""

    @property
    def rowcount(self) -> int: ...
    @property
    def description(self) -> Any: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...


class Connection(Protocol):
    """A connection where every statement stands alone until `BEGIN`. Closing it takes back what is not committed."""

    def execute(self, statement: Any, values: Sequence[Any] = ..., /) -> Any: ...
    def close(self) -> None: ...


class Dialect(Protocol):
    """One database's own ways."""

    @property
    def place(self) -> str:
        """Which database this is, for messages: never with a password."""
        ...

    @property
    def hint(self) -> str:
        """What to do when it cannot be opened."""
        ...

    @property
    def error(self) -> type[Exception]:
        """The driver's root of errors."""
        ...

    begin: str
    """Begins a transaction that will write."""
    alone: tuple[str, ...]
    """Statements after which this transaction alone may change the schema."""
    has_table: str
    """Asks for 1 when the table `?` is there."""
    day: str
    """A charge's day (UTC) as text, `2026-11-22`."""
    rows_at_once: int
    """How many rows to look at, add up and put in together."""
    takes_nul: bool
    """Whether text may hold the character U+0000."""

    def connect(self) -> Connection: ...

    def is_alive(self, connection: Connection) -> bool:
        """Whether a connection that lay idle can still be used, without asking the server."""
        ...

    def heeding_silence(self) -> AbstractContextManager[None]:
        """What a database is asked inside: where it does not answer others, that raises an `error` at once."""
        ...

    def translate(self, statement: str) -> str: ...

    def sources(
        self, columns: Mapping[str, str], rows: Sequence[msgspec.Struct]
    ) -> Iterator[tuple[str, Sequence[Any]]]:
        """Rows as what follows `INSERT INTO table (columns)`: SQL, already translated, and its values, in few parts."""
        ...
