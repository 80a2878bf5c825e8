"""Where tables are: a file of SQLite's or a schema of PostgreSQL's, and what they say differently."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from hanok.ledger.stores.dialect import Connection


class Place(Protocol):
    """Lends connections; what a driver says is wrong becomes a `StoreError`. Safe to use from several threads."""

    locked: str
    """Ends a SELECT whose rows stay as they are until the transaction's end."""
    unlocked: str
    """Ends one that passes over rows of which another transaction said so."""
    alone: tuple[str, ...]
    """Statements after which no other transaction that says them goes on before this one's end."""

    def reading(self) -> AbstractContextManager[Connection]: ...

    def writing(self, *, synced: bool = True) -> AbstractContextManager[Connection]:
        """One transaction: all of it is done, or nothing. What is not `synced` outlives its process at once, and a
        power cut after `sync`."""
        ...

    def sync(self) -> None:
        """Have all that was written so far outlive a power cut."""
        ...

    def having(self, metadata: Mapping[str, Any]) -> tuple[str, list[Any]]:
        """SQL for a row whose column `metadata` has these fields, each as it is here, and its values."""
        ...

    def close(self) -> None: ...
