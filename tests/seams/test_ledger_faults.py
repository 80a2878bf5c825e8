"""Faults of disk and database, really caused: no charge is lost, none counts twice, and nothing needs a restart."""

from __future__ import annotations

import logging
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from hanok.errors import StartError, StoreError
from hanok.ledger import Ledger, books
from hanok.ledger.stores import sqlite
from tests.charges import charge
from tests.postgres import Postgres

ROOT = Path(__file__).parents[2]

PROLOGUE = """
import os, resource, signal, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from hanok.ledger import Ledger, books
from tests.charges import charge
books.COMMIT_EVERY_S = float(sys.argv[4])
ledger = Ledger(Path(sys.argv[2]), database=sys.argv[3] or None)
ledger.start()
"""
DIES = """
for number in range(1, 501):
    ledger.record(charge(number))
os.kill(os.getpid(), signal.SIGKILL)
"""
DIES_BETWEEN_CHARGE_AND_TAB = """
for number in range(1, 2 * books.WAITING_SEGMENTS + 1):
    begun = charge(number, request_id=f"req_{number}")
    tab = ledger.open_tab(begun, 0.0)
    ledger.record(charge(1000 + number, at=begun.at, request_id=begun.request_id))
    ledger._journal.turn().leave()  # as when a database has refused for long
ledger.open_tab(charge(999, request_id="req_999"), 0.0)
os.kill(os.getpid(), signal.SIGKILL)
"""
HAS_A_FULL_DISK = """
limit = 200_000  # bytes a file may have: less than the charges need, in the journal and in SQLite
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
for number in range(1, 2001):
    ledger.record(charge(number))
(segment,) = (Path(sys.argv[2]) / "journal").iterdir()
assert limit - 1000 < segment.stat().st_size <= limit
assert segment.read_bytes().endswith(b"}\\n"), "half a line would spoil the next one"
took = ledger.flush()
assert took == bool(sys.argv[3]), "SQLite's disk is full, PostgreSQL's is not"
assert ledger.pending() == (not took)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
for number in range(2001, 2101):
    ledger.record(charge(number))
assert ledger.flush()
ledger.close()
"""


def run(program: str, folder: Path, database: str | None, commit_every_s: float) -> subprocess.CompletedProcess[str]:
    arguments = [str(ROOT), str(folder), database or "", str(commit_every_s)]
    return subprocess.run([sys.executable, "-c", PROLOGUE + program, *arguments], text=True, capture_output=True)


def counts(ledger: Ledger) -> tuple[int, int]:
    """How many charges are in the books, one by one and in the daily totals."""
    return sum(row.calls for row in ledger.usage("model")), ledger.total("model", "m", since=0).calls


@pytest.mark.parametrize("commit_every_s", [1000, 0.001])
def test_nothing_recorded_is_lost_when_the_process_is_killed(
    tmp_path: Path, database: str | None, commit_every_s: float
) -> None:
    died = run(DIES, tmp_path, database, commit_every_s)
    assert died.returncode == -signal.SIGKILL, died.stderr
    with Ledger(tmp_path, database=database) as ledger:
        ledger.start()
        assert counts(ledger) == (500, 500)


def test_a_call_charged_just_before_the_kill_counts_once_however_much_is_left(tmp_path: Path) -> None:
    died = run(DIES_BETWEEN_CHARGE_AND_TAB, tmp_path, None, 1000)
    assert died.returncode == -signal.SIGKILL, died.stderr
    with Ledger(tmp_path) as ledger:
        ledger.start()
        assert ledger.flush()
        assert counts(ledger) == (2 * books.WAITING_SEGMENTS + 1,) * 2, "and the one whose tab alone was left"


def test_a_full_disk_loses_nothing_while_the_process_lives(tmp_path: Path, database: str | None) -> None:
    ended = run(HAS_A_FULL_DISK, tmp_path, database, 1000)
    assert ended.returncode == 0, ended.stderr
    with Ledger(tmp_path, database=database) as ledger:
        assert counts(ledger) == (2100, 2100)


@contextmanager
def charges_coming(ledger: Ledger) -> Iterator[tuple[list[int], Callable[[int], None]]]:
    """Charges in a thread of their own; the second tells when so many are made."""
    made: list[int] = []
    ending = threading.Event()
    one_more = threading.Condition()

    def come() -> None:
        while not ending.wait(0.0002):
            with one_more:
                ledger.record(charge(len(made) + 1))
                made.append(len(made) + 1)
                one_more.notify()

    def reached(count: int) -> None:
        with one_more:
            assert one_more.wait_for(lambda: len(made) >= count, timeout=30)

    thread = threading.Thread(target=come)
    thread.start()
    try:
        yield made, reached
    finally:
        ending.set()
        thread.join()


@pytest.fixture
def locked(
    tmp_path: Path, database: str | None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Ledger, Callable[[], object]]]:
    """A ledger whose database another process has locked, until told to unlock it. Waiting for a lock is made short."""
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_S", 0.02)
    short = f"{database}&options=-c%20lock_timeout%3D20ms" if database else None
    with Ledger(tmp_path, database=short) as ledger:
        ledger.start()
        if database:
            with psycopg.connect(database) as other:
                other.execute("LOCK TABLE hanok.totals IN ACCESS EXCLUSIVE MODE")
                yield ledger, other.rollback
        else:
            with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
                other.execute("BEGIN EXCLUSIVE")
                yield ledger, lambda: other.execute("ROLLBACK")


def test_charges_wait_in_the_journal_while_another_process_locks_the_database(
    locked: tuple[Ledger, Callable[[], object]], caplog: pytest.LogCaptureFixture
) -> None:
    ledger, unlock = locked
    for number in range(1, 101):
        ledger.record(charge(number))
        if number % 20 == 0:
            assert not ledger.flush()
    assert ledger.pending() >= 1
    with pytest.raises(StoreError, match="wait in the journal"):
        ledger.total("model", "m", since=0)
    unlock()
    assert ledger.flush()
    assert counts(ledger) == (100, 100)
    told = [record.levelno for record in caplog.records if record.name == "hanok.ledger.books"]
    assert told == [logging.ERROR, logging.WARNING], "one trouble is told once, and its end"


def test_a_long_trouble_fills_the_disk_and_not_the_memory(
    tmp_path: Path, locked: tuple[Ledger, Callable[[], object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(books, "WAITING_SEGMENTS", 2)
    monkeypatch.setattr(books, "SEGMENT_CHARGES", 10)
    ledger, unlock = locked
    for number in range(1, 201):
        ledger.record(charge(number))
        if number % 10 == 0:
            assert not ledger.flush()
            assert ledger.pending() <= 2
    assert len(list((tmp_path / "journal").iterdir())) > 10
    unlock()
    assert ledger.flush()
    assert counts(ledger) == (200, 200)
    assert len(list((tmp_path / "journal").iterdir())) == 1, "the open one"


def test_charges_wait_in_the_journal_while_postgres_is_down_and_follow_by_themselves(
    tmp_path: Path, postgres: Postgres
) -> None:
    with Ledger(tmp_path, database=postgres.fresh()) as ledger:
        ledger.start()
        ledger.create_key("ann")
        with charges_coming(ledger) as (made, reached):
            reached(500)
            postgres.kill()
            try:
                assert not ledger.flush()
                reached(len(made) + 500)
                with pytest.raises(StoreError, match="cannot be used"):
                    ledger.list_keys()
            finally:
                postgres.start()
            reached(len(made) + 500)
            assert [key.name for key in ledger.list_keys()] == ["ann"], "and no restart of ours"
        assert ledger.flush()
        assert counts(ledger) == (len(made), len(made))
        assert ledger.pending() == 0


def test_what_is_missing_or_wrong_about_a_database_is_told_plainly(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wrong in ("postgresql://u:hidden@h:port/d?x=1", "postgresql://u:hid%den@/"):
        with pytest.raises(StoreError, match=r"address .* cannot be read") as caught:
            Ledger(tmp_path, database=wrong)
        assert "hid" not in str(caught.value)
    with pytest.raises(StoreError, match=r"PostgreSQL at 127\.0\.0\.1, database 'd' cannot be opened") as caught:
        Ledger(tmp_path, database="postgresql://u:hidden@127.0.0.1:1/d")
    assert "hidden" not in str(caught.value)
    assert "ledger: {database" in (caught.value.hint or "")
    with monkeypatch.context() as patch:  # an environment without the extra
        patch.setattr("importlib.util.find_spec", lambda _: None)
        with pytest.raises(StartError, match="psycopg") as missing:
            Ledger(tmp_path, database=postgres.fresh())
    assert missing.value.hint == 'pip install "hanok[postgres]"'


def test_books_of_a_newer_release_are_left_alone(tmp_path: Path, database: str | None, postgres: Postgres) -> None:
    Ledger(tmp_path, database=database).close()
    newer = "UPDATE {}marks SET number = 99 WHERE name = 'schema'"
    if database:
        postgres.run(database, newer.format("hanok."))
    else:
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection, connection:
            connection.execute(newer.format(""))
    with pytest.raises(StoreError, match="newer release"):
        Ledger(tmp_path, database=database)
