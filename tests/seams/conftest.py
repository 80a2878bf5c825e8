"""What tests of the ledger's databases share: a ledger in each of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hanok.ledger import Ledger
from tests.postgres import Postgres, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


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
