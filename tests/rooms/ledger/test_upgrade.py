"""A ledger.db of release 0.1 opens, with all that is in it."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from hanok.ledger import Key, KeyRing, Ledger, Total
from tests.charges import charge

FIRST_SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS keys (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, digest BLOB NOT NULL UNIQUE, shown TEXT NOT NULL,
  created_at REAL NOT NULL, revoked_at REAL
);
CREATE UNIQUE INDEX IF NOT EXISTS keys_by_name ON keys (name) WHERE revoked_at IS NULL;
CREATE TABLE IF NOT EXISTS charges (
  id INTEGER PRIMARY KEY, at REAL NOT NULL, key_id TEXT NOT NULL, key_name TEXT NOT NULL, model TEXT NOT NULL,
  endpoint TEXT NOT NULL, operation TEXT NOT NULL, status TEXT NOT NULL, prompt_tokens INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, estimated INTEGER NOT NULL,
  cost_nano_usd INTEGER NOT NULL, latency_ms REAL NOT NULL, first_token_ms REAL NOT NULL, request_id TEXT NOT NULL,
  user TEXT, session TEXT
);
PRAGMA user_version = 1;
"""
OLD_FIELDS = (
    "id", "at", "key_id", "key_name", "model", "endpoint", "operation", "status", "prompt_tokens", "completion_tokens",
    "cached_tokens", "estimated", "cost_nano_usd", "latency_ms", "first_token_ms", "request_id", "user", "session",
)  # fmt: skip
SECRET = "hk-" + "0" * 64
ANN = Key(id="key_1", name="ann", digest=hashlib.sha256(SECRET.encode()).digest(), shown="hk-000000…", created_at=5.5)
BOB = Key(id="key_2", name="bob", digest=b"b" * 32, shown="hk-111111…", created_at=6.0, revoked_at=7.0)
CHARGES = [
    charge((number << 12) | 9, at=1_795_000_000.0 + 40_000 * number, key_id=f"key_{1 + number % 2}", user=user)
    for number, user in enumerate(["ann", None, "bob"] * 20, 1)
]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder of the first release, with charges also in the journal."""
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as old, old:
        old.executescript(FIRST_SCHEMA)
        for key in (ANN, BOB):
            row = (key.id, key.name, key.digest, key.shown, key.created_at, key.revoked_at)
            old.execute("INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?)", row)
        row_marks = ", ".join("?" * len(OLD_FIELDS))
        rows = [[getattr(each, name) for name in OLD_FIELDS] for each in CHARGES]
        old.executemany(f"INSERT INTO charges ({', '.join(OLD_FIELDS)}) VALUES ({row_marks})", rows)
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "12-1.jsonl").write_bytes(
        b'{"id":4096,"at":1795000000.5,"key_id":"key_1","key_name":"ann","model":"m","endpoint":"m#1","operation":'
        b'"chat","status":"ok","prompt_tokens":10,"completion_tokens":5,"cached_tokens":0,"estimated":false,'
        b'"cost_nano_usd":100,"latency_ms":20.0,"first_token_ms":5.0,"request_id":"r","user":null,"session":"s"}\n'
    )
    return tmp_path


def test_charges_and_keys_of_the_first_release_are_all_there_and_added_up(state: Path) -> None:
    with Ledger(state) as ledger:
        assert ledger.charges_since(0, 9) == CHARGES
        assert ledger.list_keys() == [ANN, BOB]
        assert KeyRing(ledger.list_keys()).find(SECRET) == ANN
        ledger.start()
        assert ledger.total("model", "m", since=0) == Total(cost_nano_usd=6100, tokens=915, calls=61)
        assert ledger.totals("user", since_day=0)["bob"].calls == 20
        late = [each for each in CHARGES if each.at >= 1_796_083_200.0]
        assert ledger.total("key", "key_2", since=1_796_083_200.0).calls == sum(c.key_id == "key_2" for c in late) > 0
        assert ledger.total("session", "s", since=0).calls == 1
        assert ledger.update_key("ann", team="red").team == "red"


def test_an_upgraded_ledger_is_like_a_new_one(tmp_path: Path, state: Path) -> None:
    """Same columns and indexes, whatever their order."""
    (tmp_path / "new").mkdir()
    for folder in (state, tmp_path / "new"):
        Ledger(folder).close()

    def shape(folder: Path) -> set[tuple[str, ...]]:
        with closing(sqlite3.connect(folder / "ledger.db")) as connection:
            tables = "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'"
            indexes = "SELECT name FROM sqlite_master WHERE type = 'index'"
            return {*connection.execute(tables), *connection.execute(indexes)}

    assert shape(state) == shape(tmp_path / "new")


def test_several_processes_that_find_an_old_ledger_upgrade_it_once(state: Path) -> None:
    found: list[Total] = []

    def look() -> None:
        with Ledger(state) as ledger:
            found.append(ledger.total("model", "m", since=0))

    threads = [threading.Thread(target=look) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [Total(cost_nano_usd=6000, tokens=900, calls=60)] * 6


def test_an_upgrade_that_is_interrupted_begins_anew(state: Path) -> None:
    with closing(sqlite3.connect(state / "ledger.db")) as connection, connection:
        connection.execute("ALTER TABLE charges ADD COLUMN team TEXT")
    with Ledger(state) as ledger:
        assert ledger.total("model", "m", since=0).calls == 60
