"""Which kind of database an address is of, and what must be installed for it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Literal

from hanok.errors import StartError

Kind = Literal["SQLite", "PostgreSQL", "Redis"]
_EXTRAS = {"PostgreSQL": "postgres", "Redis": "redis"}


def kind_of(url: str | None) -> Kind:
    """Of `runs.database`: SQLite where it says nothing. Valkey is Redis here."""
    if url is None:
        return "SQLite"
    return "Redis" if url.startswith(("redis://", "rediss://", "unix://")) else "PostgreSQL"


@contextmanager
def needing(what: str, kind: Kind) -> Generator[None]:
    """Raises `StartError` where what is imported within is not installed. `what` are runs, say."""
    try:
        yield
    except ImportError as error:
        message = f"{what} in {kind} need a package that is missing: {error.name}"
        raise StartError(message, hint=f'pip install "hanok[agents,{_EXTRAS[kind]}]"') from error
