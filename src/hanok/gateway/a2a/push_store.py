"""Where it is kept who is to be told of which run: a file in the state folder, shared by the processes of a machine.

One process at a time has a push, as long as it renews its lease; another goes on from the event that was told last.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hanok.ledger.stores.kept import KeptFile

MOST_OF_RUN = 10
_COLUMNS = "run, id, tenant, agent, url, token, scheme, credentials, version, seq"
_SCHEMA = (
    "CREATE TABLE pushes (run TEXT NOT NULL, id TEXT NOT NULL, tenant TEXT NOT NULL, agent TEXT NOT NULL,"
    " url TEXT NOT NULL, token TEXT NOT NULL, scheme TEXT NOT NULL, credentials TEXT NOT NULL, version TEXT NOT NULL,"
    " seq INTEGER NOT NULL, over_at REAL, lease_by TEXT, lease_until REAL NOT NULL DEFAULT 0,"
    " PRIMARY KEY (run, id)) STRICT",
    "CREATE INDEX pushes_due ON pushes (lease_until) WHERE over_at IS NULL",
)


@dataclass(frozen=True, kw_only=True)
class Push:
    """Who is told of a run, how he knows that it is us, and the last event (`seq`) that he was told of.

    `version` is the protocol's in which he asked for it.
    """

    run: str
    id: str
    tenant: str
    agent: str
    url: str
    token: str = ""
    scheme: str = ""
    credentials: str = ""
    version: str = "1.0"
    seq: int = 0


class PushStore(KeptFile):
    """Pushes. Methods block, for milliseconds. All raise `StoreError`."""

    def __init__(self, file: Path) -> None:
        super().__init__(file, schema=_SCHEMA, version=1)

    def add(self, push: Push) -> bool:
        """Keep it, instead of one of the same id; False when its run has as many as it may."""
        values = (push.run, push.id, push.tenant, push.agent, push.url, push.token)
        values += (push.scheme, push.credentials, push.version, push.seq)
        with self._writing() as connection:
            count = "SELECT count(*) FROM pushes WHERE run = ? AND id != ?"
            if connection.execute(count, (push.run, push.id)).fetchone()[0] >= MOST_OF_RUN:
                return False
            marks = ", ".join("?" * len(values))
            connection.execute(f"INSERT OR REPLACE INTO pushes ({_COLUMNS}) VALUES ({marks})", values)  # noqa: S608
            return True

    def of_run(self, run: str, *, tenant: str) -> list[Push]:
        """In the order of their ids."""
        if not self.exist:
            return []
        return _read(
            self._ask(f"SELECT {_COLUMNS} FROM pushes WHERE run = ? AND tenant = ? ORDER BY id", (run, tenant))  # noqa: S608
        )

    def remove(self, run: str, id_: str, *, tenant: str) -> None:
        """Forget it, if it is there."""
        with self._writing() as connection:
            connection.execute("DELETE FROM pushes WHERE run = ? AND id = ? AND tenant = ?", (run, id_, tenant))

    def claim(self, worker: str, *, now: float, until: float, most: int) -> list[Push]:
        """Take up to `most` that nobody has, until then (Unix seconds)."""
        free = f"SELECT {_COLUMNS} FROM pushes WHERE over_at IS NULL AND lease_until < ? LIMIT ?"  # noqa: S608
        if not self.exist or not self._ask(free, (now, 1)):
            return []
        with self._writing() as connection:
            found = _read(connection.execute(free, (now, most)).fetchall())
            lease = "UPDATE pushes SET lease_by = ?, lease_until = ? WHERE run = ? AND id = ?"
            connection.executemany(lease, [(worker, until, push.run, push.id) for push in found])
        return found

    def renew(self, worker: str, *, until: float) -> None:
        """Keep all that this worker has until then."""
        with self._writing() as connection:
            held = "UPDATE pushes SET lease_until = ? WHERE lease_by = ? AND over_at IS NULL"
            connection.execute(held, (until, worker))

    def told(self, push: Push, *, seq: int) -> bool:
        """He was told of everything up to that event; False when it was removed."""
        with self._writing() as connection:
            update = "UPDATE pushes SET seq = max(seq, ?) WHERE run = ? AND id = ?"
            return connection.execute(update, (seq, push.run, push.id)).rowcount > 0

    def release(self, push: Push, *, until: float) -> None:
        """Leave it to whoever looks after that time."""
        with self._writing() as connection:
            leave = "UPDATE pushes SET lease_by = NULL, lease_until = ? WHERE run = ? AND id = ?"
            connection.execute(leave, (until, push.run, push.id))

    def finish(self, push: Push, *, at: float, forget_before: float) -> None:
        """There is nothing more to tell; what was over before that time is forgotten."""
        with self._writing() as connection:
            connection.execute("UPDATE pushes SET over_at = ? WHERE run = ? AND id = ?", (at, push.run, push.id))
            connection.execute("DELETE FROM pushes WHERE over_at < ?", (forget_before,))


def _read(rows: Iterable[Any]) -> list[Push]:
    names = _COLUMNS.split(", ")
    return [Push(**dict(zip(names, row, strict=True))) for row in rows]
