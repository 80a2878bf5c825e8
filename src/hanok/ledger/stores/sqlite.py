"""The ledger in SQLite: WAL mode, one writing thread, many charges a commit.

`record` is a `write` to the journal and returns; the thread moves what has gathered into the database a few times a
second. Charges carry unique ids and are inserted once, so taking a segment twice does no harm.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Literal

from hanok.errors import StoreError
from hanok.ledger.keys import Key, NewKey, make_key
from hanok.ledger.stores.journal import Journal, Segment
from hanok.ledger.stores.tabs import Tabs
from hanok.ledger.usage import UsageRow
from hanok.wire.charge import Charge

Grouping = Literal["key", "model", "session", "day"]
COMMIT_EVERY_S = 0.2
ROWS_A_STATEMENT = 500
WAITING_SEGMENTS = 16

_log = logging.getLogger(__name__)
_COLUMNS = Charge.__struct_fields__
_row = attrgetter(*_COLUMNS)
_GROUPS: dict[Grouping, str] = {
    "key": "key_name",
    "model": "model",
    "session": "coalesce(session, '')",
    "day": "date(at, 'unixepoch')",
}
_SCHEMA = """
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
  team TEXT, user TEXT, session TEXT, run TEXT, error TEXT NOT NULL
);
PRAGMA user_version = 1;
"""


class Ledger:
    """Keys and charges of one state folder. Safe to use from several threads and several processes."""

    def __init__(
        self,
        folder: Path,
        *,
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Open, or make, the ledger in `folder`. Raises `StoreError` when that cannot be done."""
        self._clock = clock
        self._random_bytes = random_bytes
        self._file = folder / "ledger.db"
        self._folder = folder
        self._guard = threading.Lock()  # the open segment
        self._taking = threading.Lock()  # the segments that wait
        self._wake = threading.Event()
        self._closing = False
        self._last_id = 0
        self._own_bits = int.from_bytes(random_bytes(2)) & 0xFFF
        self._journal: Journal | None = None
        self._writer: threading.Thread | None = None
        self._waiting: list[Segment] = []
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._reader = self._connect()
            with self._reader:
                self._reader.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"the ledger {self._file} cannot be opened: {error}",
                hint="check the folder's permissions, or name another one as `state:` in platform.yaml",
            ) from error

    # charges

    def start(self) -> None:
        """Take what a crash left behind, then begin to write in the background."""
        self._journal = Journal(self._folder / "journal", os.getpid())
        self._tabs = Tabs(self._folder / "journal" / f"{os.getpid()}.tabs")
        self._waiting = list(self._journal.left_behind())
        self._take_waiting()
        self._writer = threading.Thread(target=self._write_forever, name="ledger-writer", daemon=True)
        self._writer.start()

    def next_id(self) -> int:
        """A new charge id: microseconds since 1970 in the high bits, this process' own 12 bits below.

        Never twice in this process, and not in two that share the folder.
        """
        self._last_id = max(self._last_id + 4096, (int(self._clock() * 1e6) << 12) | self._own_bits)
        return self._last_id

    def record(self, charge: Charge) -> None:
        """Write a charge down. When this returns, killing the process does not lose it."""
        assert self._journal is not None, "start() first"
        with self._guard:
            self._journal.open.add(charge)

    def flush(self) -> bool:
        """Move everything recorded so far into the database; False when it did not take it."""
        with self._guard:
            # While the database refuses, the open segment grows rather than their number: each holds a file open.
            if self._journal is not None and self._journal.open.charges and len(self._waiting) < WAITING_SEGMENTS:
                try:
                    self._waiting.append(self._journal.turn())
                except StoreError as error:
                    _log.error("%s", error)
        return self._take_waiting()

    def pending(self) -> int:
        """Segments that the database has not taken: above a few, it is in trouble."""
        return len(self._waiting)

    def close(self) -> None:
        """Write what is left and close. Safe to call twice."""
        if self._closing:
            return
        self._closing = True
        self._wake.set()
        if self._writer is not None:
            self._writer.join()
            self.flush()
            if self._journal is not None and not self._journal.open.charges:
                self._journal.open.drop()
        self._reader.close()

    def usage(self, by: Grouping, *, since: float = 0.0) -> list[UsageRow]:
        """Charges from `since` (Unix seconds) on, added up; the dearest group first, days in order."""
        order = "1" if by == "day" else "cost_nano_usd DESC, calls DESC"
        query = f"""
            SELECT {_GROUPS[by]} AS grouping, count(*) AS calls, sum(status = 'failed'), sum(prompt_tokens),
                   sum(completion_tokens), sum(cost_nano_usd) AS cost_nano_usd, avg(latency_ms),
                   coalesce(avg(nullif(first_token_ms, 0)), 0)
            FROM charges WHERE at >= ? GROUP BY grouping ORDER BY {order}
        """  # noqa: S608
        with _plain_errors(), closing(self._connect()) as reader:
            return [
                UsageRow(
                    group=row[0],
                    calls=row[1],
                    failed=row[2],
                    prompt_tokens=row[3],
                    completion_tokens=row[4],
                    cost_nano_usd=row[5],
                    mean_latency_ms=row[6],
                    mean_first_token_ms=row[7],
                )
                for row in reader.execute(query, (since,))
            ]

    def spent(self, of: str, subject: str, *, since: float, tenant: str | None) -> tuple[int, int]:
        column = {"key": "key_id"}.get(of, of)
        self.flush()
        query = f"SELECT coalesce(sum(cost_nano_usd), 0), coalesce(sum(prompt_tokens + completion_tokens), 0) FROM charges WHERE at >= ? AND {column} = ? AND (? IS NULL OR coalesce(team, key_id) = ?)"
        with _plain_errors(), closing(self._connect()) as reader:
            return reader.execute(query, (since, subject, tenant, tenant)).fetchone()

    def open_tab(self, charge: Charge, nano_usd_a_token: float) -> int:
        return self._tabs.open(charge, nano_usd_a_token)

    def note_tab(self, tab: int, tokens: int) -> None:
        self._tabs.note(tab, tokens)

    def close_tab(self, tab: int) -> None:
        self._tabs.close(tab)

    # keys

    def create_key(self, name: str) -> NewKey:
        """Make a key. Raises `StoreError` when a key of that name is in use."""
        new = make_key(name, now=self._clock(), random_bytes=self._random_bytes)
        key = new.key
        try:
            with _plain_errors(), closing(self._connect()) as connection, connection:
                connection.execute(
                    "INSERT INTO keys (id, name, digest, shown, created_at) VALUES (?, ?, ?, ?, ?)",
                    (key.id, key.name, key.digest, key.shown, key.created_at),
                )
        except sqlite3.IntegrityError:
            raise StoreError(
                f"a key named {name!r} is in use",
                hint=f"take another name, or revoke it first: hanok keys revoke {name}",
            ) from None
        return new

    def list_keys(self) -> list[Key]:
        """All keys, the oldest first, revoked ones too."""
        with _plain_errors(), closing(self._connect()) as reader:
            rows = reader.execute(
                "SELECT id, name, digest, shown, created_at, revoked_at FROM keys ORDER BY created_at"
            )
            return [
                Key(id=row[0], name=row[1], digest=row[2], shown=row[3], created_at=row[4], revoked_at=row[5])
                for row in rows
            ]

    def revoke_key(self, name_or_id: str) -> Key:
        """Revoke a key in use. Raises `StoreError` when there is none of that name or id."""
        found = next((key for key in self.list_keys() if not key.revoked_at and name_or_id in (key.name, key.id)), None)
        if found is None:
            raise StoreError(f"no key in use is called {name_or_id!r}", hint="see `hanok keys list`")
        with _plain_errors(), closing(self._connect()) as connection, connection:
            connection.execute("UPDATE keys SET revoked_at = ? WHERE id = ?", (self._clock(), found.id))
        return found

    def version(self) -> int:
        """A number that changes when another connection has changed the database."""
        with _plain_errors():
            return self._reader.execute("PRAGMA data_version").fetchone()[0]

    # the writer

    def _write_forever(self) -> None:
        while not self._closing:
            self._wake.wait(COMMIT_EVERY_S)
            try:
                self.flush()
            except Exception:  # noqa: BLE001 - this thread must not end while the house stands
                _log.exception("the ledger's writer failed; it goes on")

    def _take_waiting(self) -> bool:
        with self._taking:
            return self._take_each()

    def _take_each(self) -> bool:
        for segment in list(self._waiting):
            try:
                self._insert(segment.read())
            except (sqlite3.Error, OSError, OverflowError) as error:
                segment.forget()
                _log.error("the ledger's database does not take charges (kept in the journal): %s", error)
                return False
            segment.drop()
            self._waiting.remove(segment)
        return True

    def _insert(self, charges: Sequence[Charge]) -> None:
        """Insert many rows a statement: SQLite gives up Python's lock for each, and getting it back stalls calls."""
        with closing(self._connect()) as connection, connection:
            for start in range(0, len(charges), ROWS_A_STATEMENT):
                part = charges[start : start + ROWS_A_STATEMENT]
                connection.execute(_insert_statement(len(part)), list(chain.from_iterable(map(_row, part))))

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._file, timeout=10.0, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return connection


@lru_cache(maxsize=8)
def _insert_statement(rows: int) -> str:
    row = f"({', '.join('?' * len(_COLUMNS))})"
    return f"INSERT OR IGNORE INTO charges ({', '.join(_COLUMNS)}) VALUES {', '.join([row] * rows)}"  # noqa: S608


@contextmanager
def _plain_errors() -> Generator[None]:
    """SQLite's errors as ours; a broken rule of the schema stays what it is."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except sqlite3.Error as error:
        raise StoreError(f"the ledger cannot be used: {error}") from error
