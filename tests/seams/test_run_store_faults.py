"""What goes wrong round a store of runs, really caused: nothing acknowledged is lost, and nothing needs a restart."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg
import pytest

from hanok.agents.store import RunStore
from hanok.agents.stores.postgres import PostgresRuns
from hanok.errors import StoreError
from hanok.ledger.stores import kept
from tests.postgres import Postgres
from tests.seams.conftest import fresh_url, raw_redis
from tests.seams.test_run_store import claim, event, ids, open_runs, order, receipt

ROOT = Path(__file__).parents[2]
PROLOGUE = """
import os, resource, signal, sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from hanok.errors import KeptUnreachable
from tests.seams.test_run_store import event, open_runs, order, receipt
store = open_runs(Path(sys.argv[2]), sys.argv[3] or None)
"""
TAKES_TURNS = """
print("ready", flush=True)
sys.stdin.readline()
while runs := store.claim("child", now=100.0, lease_s=60.0, most=3):
    for run in runs:
        print(run.id, flush=True)
        assert store.save(replace(run, state="done", ended_at=101.0), worker="child")
store.close()
"""
DIES = """
store.add_run(order("r"))
store.claim("child", now=100.0, lease_s=10.0, most=1)
for number in range(1, 51):
    store.append([event("r", number)], receipts=[receipt("r", f"{number}:tool", n=number)], worker="child")
os.kill(os.getpid(), signal.SIGKILL)
"""
HAS_A_FULL_DISK = """
store.add_run(order("r"))
kept = 0
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    while kept < 1000:
        store.append([event("r", kept + 1, text="x" * 1000)], receipts=[receipt("r", f"{kept + 1}:tool", n=1)])
        kept += 1
except KeptUnreachable as error:
    assert "check the state folder's disk" in error.hint, error.hint
assert 5 < kept < 1000, kept
assert len(store.receipts("r")) == store.last_seq("r") == kept
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.append([event("r", kept + 1)])
assert store.last_seq("r") == kept + 1
store.close()
"""


def command(program: str, folder: Path, database: str | None) -> list[str]:
    return [sys.executable, "-c", PROLOGUE + program, str(ROOT), str(folder), database or ""]


@pytest.fixture(params=["sqlite", "postgres", "redis"])
def database(request: pytest.FixtureRequest) -> str | None:
    return None if request.param == "sqlite" else fresh_url(request, request.param)


@pytest.fixture
def open_store(database: str | None, tmp_path: Path) -> Iterator[Callable[[], RunStore]]:
    with ExitStack() as stack:

        def open_one() -> RunStore:
            store = open_runs(tmp_path, database)
            stack.callback(store.close)
            return store

        yield open_one


def test_two_processes_never_have_the_same_run(
    open_store: Callable[[], RunStore], tmp_path: Path, database: str | None
) -> None:
    store = open_store()
    for number in range(40):
        store.add_run(order(f"r{number}"))
    mine: list[str] = []
    with subprocess.Popen(
        command(TAKES_TURNS, tmp_path, database), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.stdin.write("go\n")
        child.stdin.flush()
        while found := claim(store, "parent", most=3):
            mine += ids(found)
        theirs = child.stdout.read().split()
    assert child.returncode == 0
    assert sorted(mine + theirs) == sorted(f"r{number}" for number in range(40))


def test_what_was_acknowledged_is_there_after_a_kill(
    open_store: Callable[[], RunStore], tmp_path: Path, database: str | None
) -> None:
    died = subprocess.run(command(DIES, tmp_path, database), text=True, capture_output=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    store = open_store()
    assert store.last_seq("r") == 50
    assert store.receipts("r")["50:tool"].result == {"n": 50}
    assert claim(store, "b", now=109.0) == []
    assert ids(claim(store, "b", now=111.0)) == ["r"]


def test_a_full_disk_refuses_a_step_as_a_whole_and_takes_the_next_when_there_is_room(tmp_path: Path) -> None:
    ended = subprocess.run(command(HAS_A_FULL_DISK, tmp_path, None), text=True, capture_output=True)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("database", ["sqlite", "postgres"], indirect=True)
def test_a_database_that_another_holds_is_waited_for_and_then_said_to_be_in_use(
    open_store: Callable[[], RunStore],
    database: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kept, "BUSY_TIMEOUT_S", 0.02)
    store = PostgresRuns(f"{database}&options=-c%20lock_timeout%3D20ms") if database else open_store()
    store.add_run(order("r"))
    with ExitStack() as stack:
        stack.callback(store.close)
        if database:
            other = stack.enter_context(psycopg.connect(database))
            other.execute("LOCK TABLE hanok_agents.runs IN ACCESS EXCLUSIVE MODE")
            unlock = other.rollback
        else:
            locking = stack.enter_context(
                closing(sqlite3.connect(tmp_path / "state" / "agents.db", isolation_level=None))
            )
            locking.execute("BEGIN EXCLUSIVE")
            unlock = lambda: locking.execute("ROLLBACK")  # noqa: E731
        with pytest.raises(StoreError, match="cannot be used"):
            store.wish("r", "cancel")
        unlock()
        store.wish("r", "cancel")
        assert [run.wish for run in claim(store)] == ["cancel"]


def test_a_server_that_was_away_is_found_again_by_itself(postgres: Postgres) -> None:
    store = PostgresRuns(postgres.fresh())
    store.add_run(order("r"))
    postgres.kill()
    try:
        with pytest.raises(StoreError, match="cannot be used"):
            store.append([event("r", 1)], receipts=[receipt("r")])
    finally:
        postgres.start()
    store.append([event("r", 1)], receipts=[receipt("r")])
    assert ids(claim(store)) == ["r"]
    assert len(store.events("r")) == len(store.receipts("r")) == 1
    store.close()


def test_runs_of_a_newer_release_are_left_alone(
    open_store: Callable[[], RunStore], database: str | None, postgres: Postgres, tmp_path: Path
) -> None:
    first = open_store()
    first.add_run(order("r"))
    first.close()
    if database and database.startswith("redis:"):
        with raw_redis(database) as server:
            server.set("hanok:{}:agents:runs-version", 99)
    elif database:
        postgres.run(database, "UPDATE hanok_agents.marks SET number = 99 WHERE name = 'runs'")
    else:
        with closing(sqlite3.connect(tmp_path / "state" / "agents.db")) as connection:
            connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer Hanok"):
        open_store().run("r", tenant=None)


def test_an_address_that_cannot_be_read_is_told_without_its_password() -> None:
    with pytest.raises(StoreError, match=r"address of the database of agents' runs cannot be read") as caught:
        PostgresRuns("postgresql://u:hidden@h:port/d?x=1")
    assert "hidden" not in str(caught.value)
    with pytest.raises(StoreError, match=r"PostgreSQL at 127\.0\.0\.1, database 'd' cannot be used") as away:
        PostgresRuns("postgresql://u:hidden@127.0.0.1:1/d").run("r", tenant=None)
    assert "hidden" not in str(away.value)
    assert "runs: {database" in (away.value.hint or "")
