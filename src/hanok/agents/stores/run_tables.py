"""The tables of runs, and the statements on them that several methods of a store share. Each is of one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

from hanok.agents.stores.rows import (
    EVENT,
    RECEIPT,
    RUN,
    event_row,
    form_of,
    full_queue,
    last_of,
    read_run,
    receipt_row,
    standing_of,
)
from hanok.agents.values import ENDED, Event, Receipt, Run
from hanok.ledger.stores.dialect import Connection

VERSION = 1
SCHEMA = (
    "CREATE TABLE threads (id TEXT PRIMARY KEY, tenant TEXT NOT NULL, user_name TEXT, agent TEXT,"
    " metadata TEXT NOT NULL, created_at REAL NOT NULL, used_at REAL NOT NULL)",
    "CREATE INDEX threads_of ON threads (tenant, used_at)",
    "CREATE INDEX threads_used ON threads (used_at)",
    "CREATE TABLE runs (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, path TEXT NOT NULL,"
    " tenant TEXT NOT NULL, agent TEXT NOT NULL, thread TEXT NOT NULL, parent TEXT, state TEXT NOT NULL, wish TEXT,"
    " attempt INTEGER NOT NULL, lease_by TEXT, lease_until REAL NOT NULL, ended_at REAL, form TEXT NOT NULL,"
    " standing TEXT NOT NULL)",
    "CREATE INDEX runs_of ON runs (tenant, number)",
    "CREATE INDEX runs_on ON runs (thread, number)",
    "CREATE INDEX runs_below ON runs (parent) WHERE parent IS NOT NULL",
    "CREATE INDEX runs_open ON runs (number) WHERE state IN ('queued', 'running')",
    "CREATE INDEX runs_open_on ON runs (thread, number) WHERE state IN ('queued', 'running')",
    "CREATE INDEX runs_ended ON runs (ended_at) WHERE ended_at IS NOT NULL",
    "CREATE TABLE events (run TEXT NOT NULL, seq INTEGER NOT NULL, type TEXT NOT NULL, data TEXT NOT NULL,"
    " at REAL NOT NULL, PRIMARY KEY (run, seq))",
    "CREATE TABLE receipts (run TEXT NOT NULL, key TEXT NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL,"
    " result TEXT, at REAL NOT NULL, PRIMARY KEY (run, key))",
)
ROWS_AT_ONCE = 64
"""Of one INSERT."""
FORGOTTEN_AT_ONCE = 200
"""Of one DELETE."""
PRUNED_AT_ONCE = 200
"""Runs forgotten in one transaction, so that others can write in between."""
_BELOW = (
    "WITH RECURSIVE gone(id) AS (SELECT id FROM runs WHERE id IN ({})"
    " UNION SELECT runs.id FROM runs JOIN gone ON runs.parent = gone.id) SELECT id FROM gone"
)


def find_run(connection: Connection, id_: str, locked: str = "") -> Run | None:
    found = connection.execute(f"SELECT {RUN} FROM runs WHERE id = ?{locked}", (id_,)).fetchone()  # noqa: S608
    return read_run(found) if found else None


def check_queue(connection: Connection, queue: int | None) -> None:
    """Raises `Overloaded`. Servers that add at once may pass the limit by a few: they do not wait for one another."""
    if queue is None:
        return
    asked = "SELECT count(*) FROM (SELECT 1 FROM runs WHERE state = 'queued' AND parent IS NULL LIMIT ?) AS waiting"
    if connection.execute(asked, (queue,)).fetchone()[0] >= queue:
        raise full_queue(queue)


def insert_run(connection: Connection, run: Run) -> None:
    columns = "id, path, tenant, agent, thread, parent, state, attempt, lease_until, form, standing"
    row = (
        run.id, run.path, run.tenant, run.agent, run.thread, last_of(run.parent), "queued", 0, 0.0,
        form_of(run), standing_of(run),
    )  # fmt: skip
    insert(connection, "runs", columns, [row], "(id) DO NOTHING")
    connection.execute(
        "UPDATE threads SET used_at = ? WHERE id = ? AND used_at < ?", (run.created_at, run.thread, run.created_at)
    )


def take_runs(connection: Connection, had: Mapping[str, str | None], worker: str, until: float) -> list[Run]:
    """`had` are the runs, and who has them so far."""
    ids = list(had)
    if not ids:
        return []
    connection.execute(
        "UPDATE runs SET state = 'running', lease_by = ?, lease_until = ?, attempt = attempt + 1"  # noqa: S608
        f" WHERE id IN ({marks(ids)})",
        [worker, until, *ids],
    )
    rows = connection.execute(
        f"SELECT {RUN} FROM runs WHERE id IN ({marks(ids)}) ORDER BY number",  # noqa: S608
        ids,
    ).fetchall()
    return [replace(run, taken_from=had[run.id]) for run in map(read_run, rows)]


def write_run(connection: Connection, run: Run, worker: str | None) -> bool:
    """Write what changes of a run; whether it could be."""
    ours, whose = _ours(run, worker)
    lease = "" if run.state == "running" else ", lease_by = NULL, lease_until = 0"  # it was renewed meanwhile
    wish, wishes = ("?", [run.wish]) if worker is None else (_kept_wish(run), [])
    done = connection.execute(
        f"UPDATE runs SET state = ?, standing = ?, ended_at = ?, wish = {wish}{lease} WHERE id = ? AND {ours}",  # noqa: S608
        [run.state, standing_of(run), run.ended_at if run.ended else None, *wishes, run.id, *whose],
    )
    return done.rowcount > 0


def _ours(run: Run, worker: str | None) -> tuple[str, list[Any]]:
    """Whether it may be written: by the worker that has it, else when nobody has. What has ended does not end anew;
    it is queued again where it was not done or called off."""
    if worker is not None:
        return "state = 'running' AND lease_by = ?", [worker]
    taken = ["running", "done", "cancelled"] if run.state == "queued" else ["running", *sorted(ENDED)]
    return f"state NOT IN ({marks(taken)})", [*taken]


def _kept_wish(run: Run) -> str:
    """What is left of a wish: a worker has not seen those made since it looked, and takes away what it fulfilled."""
    if run.ended:
        return "NULL"
    return "CASE WHEN wish = 'pause' THEN NULL ELSE wish END" if run.state == "paused" else "wish"


def find_lost(connection: Connection, worker: str, runs: Set[str], locked: str) -> set[str]:
    """Which of these runs are not the worker's; the others stay so until the transaction's end."""
    if not runs:
        return set()
    rows = connection.execute(
        f"SELECT id FROM runs WHERE id IN ({marks([*runs])}) AND state = 'running' AND lease_by = ?{locked}",  # noqa: S608
        [*runs, worker],
    ).fetchall()
    return set(runs) - {row[0] for row in rows}


def insert_events(connection: Connection, events: Sequence[Event]) -> None:
    """Events that have no number yet (0) get the next."""
    rows: list[tuple[Any, ...]] = []
    last: dict[str, int] = {}
    for event in events:
        if event.seq == 0:
            if event.run not in last:
                asked = "SELECT coalesce(max(seq), 0) FROM events WHERE run = ?"
                last[event.run] = connection.execute(asked, (event.run,)).fetchone()[0]
            event = replace(event, seq=last[event.run] + 1)
        last[event.run] = event.seq
        rows.append(event_row(event))
    again = "(run, seq) DO UPDATE SET type = excluded.type, data = excluded.data, at = excluded.at"
    insert(connection, "events", EVENT, rows, again)


def insert_receipts(connection: Connection, receipts: Sequence[Receipt]) -> None:
    latest = {(receipt.run, receipt.key): receipt for receipt in receipts}
    again = "(run, key) DO UPDATE SET kind = excluded.kind, state = excluded.state, result = excluded.result"
    rows = [receipt_row(receipt) for receipt in latest.values()]
    insert(connection, "receipts", RECEIPT, rows, f"{again}, at = excluded.at")


def insert(connection: Connection, table: str, columns: str, rows: Sequence[tuple[Any, ...]], conflict: str) -> None:
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE]
        row = f"({marks(part[0])})"
        connection.execute(
            f"INSERT INTO {table} ({columns}) VALUES {', '.join([row] * len(part))} ON CONFLICT {conflict}",  # noqa: S608
            [value for each in part for value in each],
        )


def prune_some(connection: Connection, ended_before: float, agent: str | None) -> bool:
    """Forget a few runs with those below them; whether there were any. One below another goes when that does."""
    also = "" if agent is None else " AND r.agent = ?"
    rows = connection.execute(
        "SELECT r.id FROM runs r WHERE r.ended_at < ? AND (r.parent IS NULL OR NOT EXISTS"  # noqa: S608
        f" (SELECT 1 FROM runs p WHERE p.id = r.parent)){also} LIMIT ?",
        [ended_before, *([agent] if agent is not None else []), PRUNED_AT_ONCE],
    ).fetchall()
    ids = [row[0] for row in rows]
    if ids:
        below = connection.execute(_BELOW.format(marks(ids)), ids).fetchall()
        forget(connection, [row[0] for row in below])
    return bool(ids)


def forget(connection: Connection, ids: Sequence[str]) -> None:
    """Runs with their events and receipts."""
    for start in range(0, len(ids), FORGOTTEN_AT_ONCE):
        part = list(ids[start : start + FORGOTTEN_AT_ONCE])
        for table, column in (("events", "run"), ("receipts", "run"), ("runs", "id")):
            connection.execute(f"DELETE FROM {table} WHERE {column} IN ({marks(part)})", part)  # noqa: S608


def select(table: str, columns: str, conditions: dict[str, Any]) -> tuple[str, list[Any]]:
    """A SELECT of what fits all conditions but those of None."""
    given = {condition: value for condition, value in conditions.items() if value is not None}
    return f"SELECT {columns} FROM {table} WHERE {' AND '.join(given or ['1 = 1'])}", list(given.values())  # noqa: S608


def marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
