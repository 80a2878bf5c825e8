"""Threads, runs, events and receipts in tables: `RunStore`, wherever the tables are.

A run belongs to one worker while its row is `running` with that worker's lease; whoever writes on it as a worker is
asked first whether it still is its own. Whatever nobody has may be changed by whoever may see it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hanok.agents.stores.place import Place
from hanok.agents.stores.rows import (
    EVENT,
    RECEIPT,
    RUN,
    THREAD,
    event_row,
    form_of,
    metadata_text,
    read_event,
    read_receipt,
    read_run,
    read_thread,
    receipt_row,
    standing_of,
    thread_row,
)
from hanok.agents.values import ENDED, Event, EventType, Receipt, Run, RunState, Thread, Wish
from hanok.errors import Overloaded, Unknown
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
_OPEN = "r.state IN ('queued', 'running') AND (r.state = 'queued' OR r.lease_until <= ?)"
_UNHINDERED = (
    "NOT EXISTS (SELECT 1 FROM runs o WHERE o.thread = r.thread AND o.number <> r.number"
    " AND o.state IN ('queued', 'running') AND substr(r.path, 1, length(o.path) + 1) <> o.path || '/'"
    " AND CASE WHEN o.state = 'running' THEN r.state = 'queued' OR o.lease_until > ? OR o.number < r.number"
    " ELSE r.state = 'queued' AND o.number < r.number END)"
)
"""No other of its thread (but those above it) runs, or is to run before it: what was begun comes first, then the
oldest."""
_BELOW = (
    "WITH RECURSIVE gone(id) AS (SELECT id FROM runs WHERE id IN ({})"
    " UNION SELECT runs.id FROM runs JOIN gone ON runs.parent = gone.id) SELECT id FROM gone"
)
ROWS_AT_ONCE = 64
"""Of one INSERT."""
STRANGERS_AT_ONCE = 200
PRUNED_AT_ONCE = 200
"""Runs forgotten in one transaction, so that others can write in between."""
RETRY_AFTER_S = 5.0


class Runs:
    """`RunStore` in the tables of a place."""

    def __init__(self, place: Place) -> None:
        self._place = place

    # threads

    def add_thread(self, thread: Thread) -> Thread:
        with self._place.writing() as connection:
            _insert(connection, "threads", THREAD, [thread_row(thread)], "(id) DO NOTHING")
            found = read_thread(
                connection.execute(f"SELECT {THREAD} FROM threads WHERE id = ?", (thread.id,)).fetchone()  # noqa: S608
            )
        if found.tenant != thread.tenant:
            raise Unknown(f"there is no thread {thread.id!r}", code="thread_not_found")
        return found

    def thread(self, id_: str, *, tenant: str | None) -> Thread | None:
        found = self._ask(*_select("threads", THREAD, {"id = ?": id_, "tenant = ?": tenant}))
        return read_thread(found[0]) if found else None

    def threads(
        self,
        *,
        tenant: str | None,
        agent: str | None = None,
        metadata: dict[str, Any] | None = None,
        below: bool = False,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Thread]:
        statement, values = _select("threads", THREAD, {"tenant = ?": tenant, "agent = ?": agent})
        if not below:
            statement += " AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.thread = threads.id AND r.parent IS NOT NULL)"
        if metadata:
            having, more = self._place.having(metadata)
            statement, values = f"{statement} AND {having}", [*values, *more]
        rows = self._ask(f"{statement} ORDER BY used_at DESC, id LIMIT ? OFFSET ?", [*values, limit, offset])
        return [read_thread(row) for row in rows]

    def change_thread(self, id_: str, *, metadata: dict[str, Any] | None = None, used_at: float | None = None) -> None:
        changes: dict[str, Any] = {}
        if metadata is not None:
            changes["metadata = ?"] = metadata_text(metadata)
        if used_at is not None:
            changes["used_at = ?"] = used_at
        if changes:
            with self._place.writing() as connection:
                connection.execute(
                    f"UPDATE threads SET {', '.join(changes)} WHERE id = ?",  # noqa: S608
                    [*changes.values(), id_],
                )

    def remove_thread(self, id_: str) -> None:
        with self._place.writing() as connection:
            ids = [row[0] for row in connection.execute("SELECT id FROM runs WHERE thread = ?", (id_,)).fetchall()]
            _forget(connection, ids)
            connection.execute("DELETE FROM threads WHERE id = ?", (id_,))

    # runs

    def add_run(self, run: Run, *, thread: Thread | None = None, queue: int | None = None) -> Run:
        with self._place.writing() as connection:
            found = _find_run(connection, run.id)
            if found is None:
                _check_queue(connection, queue)
                if thread is not None:
                    _insert(connection, "threads", THREAD, [thread_row(thread)], "(id) DO NOTHING")
                _insert_run(connection, run)
                found = _find_run(connection, run.id) or run
        if found.tenant != run.tenant:
            raise Unknown(f"there is no run {run.id!r}", code="run_not_found")
        return found

    def run(self, id_: str, *, tenant: str | None) -> Run | None:
        found = self._ask(*_select("runs", RUN, {"id = ?": id_, "tenant = ?": tenant}))
        return read_run(found[0]) if found else None

    def runs(
        self,
        *,
        tenant: str | None,
        agent: str | None = None,
        thread: str | None = None,
        states: Iterable[RunState] | None = None,
        parent: str | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> list[Run]:
        statement, values = _select(
            "runs",
            RUN,
            {
                "tenant = ?": tenant,
                "agent = ?": agent,
                "thread = ?": thread,
                "parent = ?": None if parent == "*" else _last(parent),
                "number < (SELECT number FROM runs WHERE id = ?)": before,
            },
        )
        if parent is None:
            statement += " AND parent IS NULL"
        wanted = None if states is None else list(states)
        if wanted is not None:
            if not wanted:
                return []
            statement, values = f"{statement} AND state IN ({_marks(wanted)})", [*values, *wanted]
        rows = self._ask(f"{statement} ORDER BY number DESC LIMIT ?", [*values, limit])
        return [read_run(row) for row in rows]

    def claim(
        self,
        worker: str,
        *,
        now: float,
        lease_s: float,
        most: int,
        ids: Sequence[str] | None = None,
        agents: Sequence[str] | None = None,
    ) -> list[Run]:
        if most < 1 or (ids is not None and not ids) or (agents is not None and not agents):
            return []
        which = "r.parent IS NULL" if ids is None else f"r.id IN ({_marks(ids)})"
        if agents is not None:
            which += f" AND r.agent IN ({_marks(agents)})"
        statement = (
            f"SELECT r.id, r.lease_by FROM runs r WHERE {_OPEN} AND {which} AND {_UNHINDERED} ORDER BY r.number LIMIT ?"  # noqa: S608
        )
        values = [now, *(ids or ()), *(agents or ()), now, most]
        if not self._ask(statement, values):
            return []  # as most often: nobody was kept from writing
        with self._place.writing(synced=False) as connection:
            for each in self._place.alone:
                connection.execute(each)
            found = connection.execute(statement + self._place.unlocked, values).fetchall()
            return _take(connection, {row[0]: row[1] for row in found}, worker, now + lease_s)

    def strangers(self, agents: Sequence[str], *, now: float) -> list[str]:
        led = "SELECT 1 FROM runs o WHERE o.agent = r.agent AND o.state = 'running' AND o.lease_until > ?"
        others = f"r.agent NOT IN ({_marks(agents)})" if agents else "1 = 1"
        where = f"{_OPEN} AND r.parent IS NULL AND {others} AND NOT EXISTS ({led})"
        rows = self._ask(
            f"SELECT r.id FROM runs r WHERE {where} ORDER BY r.number LIMIT ?",  # noqa: S608
            [now, *agents, now, STRANGERS_AT_ONCE],
        )
        return [row[0] for row in rows]

    def renew(self, worker: str, ids: Sequence[str], *, until: float) -> dict[str, Wish | None]:
        if not ids:
            return {}
        with self._place.writing(synced=False) as connection:
            rows = connection.execute(
                "UPDATE runs SET lease_until = ? WHERE state = 'running' AND lease_by = ?"  # noqa: S608
                f" AND id IN ({_marks(ids)}) RETURNING id, wish",
                [until, worker, *ids],
            ).fetchall()
        return {row[0]: row[1] for row in rows}

    def release(self, is_dead: Callable[[str], bool]) -> int:
        asked = "SELECT DISTINCT lease_by FROM runs WHERE state = 'running' AND lease_until > 0"
        dead = [row[0] for row in self._ask(asked, ()) if is_dead(row[0])]
        if not dead:
            return 0
        with self._place.writing(synced=False) as connection:
            done = connection.execute(
                f"UPDATE runs SET lease_until = 0 WHERE state = 'running' AND lease_by IN ({_marks(dead)})",  # noqa: S608
                dead,
            )
            return done.rowcount

    def save(self, run: Run, *, worker: str | None = None, events: Sequence[Event] = ()) -> bool:
        with self._place.writing() as connection:
            if not _write_run(connection, run, worker):
                return False
            _insert_events(connection, events)
            return True

    def wish(self, id_: str, wish: Wish | None) -> None:
        unless = " AND (wish IS NULL OR wish <> 'cancel')" if wish == "pause" else ""
        with self._place.writing() as connection:
            connection.execute(
                f"UPDATE runs SET wish = ? WHERE id = ? AND ended_at IS NULL{unless}",  # noqa: S608
                (wish, id_),
            )

    def answer(self, id_: str, answers: dict[str, dict[str, Any]], *, events: Sequence[Event] = ()) -> Run | None:
        with self._place.writing() as connection:
            run = _find_run(connection, id_, self._place.locked)
            if run is None or run.state != "waiting":
                return None
            fresh = {key: answers[key] for key in run.wanted if key in answers and key not in run.answers}
            if not fresh:
                return None
            run = replace(run, answers={**run.answers, **fresh})
            if run.wanted.keys() <= run.answers.keys():
                run = replace(run, state="queued")
            _write_run(connection, run, None)
            _insert_events(connection, events)
            return run

    # events and receipts

    def append(
        self,
        events: Sequence[Event],
        *,
        receipts: Sequence[Receipt] = (),
        folds: Sequence[tuple[str, int, int]] = (),
        runs: Sequence[Run] = (),
        worker: str | None = None,
    ) -> set[str]:
        begins = any(receipt.state == "begun" for receipt in receipts)
        with self._place.writing(synced=begins or bool(runs)) as connection:
            lost = set[str]() if worker is None else self._lost(connection, worker, [*events, *receipts])
            lost |= {run.id for run in runs if run.id not in lost and not _write_run(connection, run, worker)}
            for run, first, last in folds:
                if run not in lost:
                    asked = "DELETE FROM events WHERE run = ? AND seq BETWEEN ? AND ? AND type = 'token'"
                    connection.execute(asked, (run, first, last))
            _insert_events(connection, [event for event in events if event.run not in lost])
            _insert_receipts(connection, [receipt for receipt in receipts if receipt.run not in lost])
            return lost

    def sync(self) -> None:
        self._place.sync()

    def events(
        self, run: str, *, after: int = 0, limit: int = 1000, types: Sequence[EventType] | None = None
    ) -> list[Event]:
        only = "" if types is None else f" AND type IN ({_marks(types)})"
        rows = self._ask(
            f"SELECT {EVENT} FROM events WHERE run = ? AND seq > ?{only} ORDER BY seq LIMIT ?",  # noqa: S608
            (run, after, *(types or ()), limit),
        )
        return [read_event(row) for row in rows]

    def last_seq(self, run: str) -> int:
        return self._ask("SELECT coalesce(max(seq), 0) FROM events WHERE run = ?", (run,))[0][0]

    def past(self, run: str) -> tuple[int, dict[str, Receipt]]:
        return self.last_seq(run), self.receipts(run)

    def receipts(self, run: str) -> dict[str, Receipt]:
        rows = self._ask(f"SELECT {RECEIPT} FROM receipts WHERE run = ?", (run,))  # noqa: S608
        found = [read_receipt(row) for row in rows]
        return {receipt.key: receipt for receipt in found}

    # the end

    def prune(self, *, ended_before: float, threads_before: float, agent: str | None = None) -> list[str]:
        while self._prune_some(ended_before, agent):
            pass
        also = "" if agent is None else " AND agent = ?"
        with self._place.writing() as connection:
            rows = connection.execute(
                "DELETE FROM threads WHERE used_at < ? AND NOT EXISTS"  # noqa: S608
                f" (SELECT 1 FROM runs WHERE runs.thread = threads.id){also} RETURNING id",
                [threads_before, *([agent] if agent is not None else [])],
            ).fetchall()
        return [row[0] for row in rows]

    def close(self) -> None:
        self._place.close()

    def _ask(self, statement: str, values: Sequence[Any]) -> list[Any]:
        with self._place.reading() as connection:
            return connection.execute(statement, values).fetchall()

    def _lost(self, connection: Connection, worker: str, kept: Sequence[Event | Receipt]) -> set[str]:
        """Which of these runs are not the worker's; the others stay so until the transaction's end."""
        ids = list({each.run for each in kept})
        if not ids:
            return set()
        rows = connection.execute(
            f"SELECT id FROM runs WHERE id IN ({_marks(ids)}) AND state = 'running' AND lease_by = ?"  # noqa: S608
            f"{self._place.locked}",
            [*ids, worker],
        ).fetchall()
        return set(ids) - {row[0] for row in rows}

    def _prune_some(self, ended_before: float, agent: str | None) -> bool:
        """Forget a few runs with those below them; whether there were any. One below another goes when that does."""
        also = "" if agent is None else " AND r.agent = ?"
        with self._place.writing() as connection:
            rows = connection.execute(
                "SELECT r.id FROM runs r WHERE r.ended_at < ? AND (r.parent IS NULL OR NOT EXISTS"  # noqa: S608
                f" (SELECT 1 FROM runs p WHERE p.id = r.parent)){also} LIMIT ?",
                [ended_before, *([agent] if agent is not None else []), PRUNED_AT_ONCE],
            ).fetchall()
            ids = [row[0] for row in rows]
            if ids:
                below = connection.execute(_BELOW.format(_marks(ids)), ids).fetchall()
                _forget(connection, [row[0] for row in below])
            return bool(ids)


def _find_run(connection: Connection, id_: str, locked: str = "") -> Run | None:
    found = connection.execute(f"SELECT {RUN} FROM runs WHERE id = ?{locked}", (id_,)).fetchone()  # noqa: S608
    return read_run(found) if found else None


def _check_queue(connection: Connection, queue: int | None) -> None:
    """Raises `Overloaded`. Servers that add at once may pass the limit by a few: they do not wait for one another."""
    if queue is None:
        return
    asked = "SELECT count(*) FROM (SELECT 1 FROM runs WHERE state = 'queued' AND parent IS NULL LIMIT ?) AS waiting"
    if connection.execute(asked, (queue,)).fetchone()[0] >= queue:
        raise Overloaded(f"{queue} runs wait already", code="queue_full", retry_after_s=RETRY_AFTER_S)


def _insert_run(connection: Connection, run: Run) -> None:
    columns = "id, path, tenant, agent, thread, parent, state, attempt, lease_until, form, standing"
    row = (
        run.id, run.path, run.tenant, run.agent, run.thread, _last(run.parent), "queued", 0, 0.0,
        form_of(run), standing_of(run),
    )  # fmt: skip
    _insert(connection, "runs", columns, [row], "(id) DO NOTHING")
    connection.execute(
        "UPDATE threads SET used_at = ? WHERE id = ? AND used_at < ?", (run.created_at, run.thread, run.created_at)
    )


def _take(connection: Connection, had: Mapping[str, str | None], worker: str, until: float) -> list[Run]:
    """`had` are the runs, and who has them so far."""
    ids = list(had)
    if not ids:
        return []
    connection.execute(
        "UPDATE runs SET state = 'running', lease_by = ?, lease_until = ?, attempt = attempt + 1"  # noqa: S608
        f" WHERE id IN ({_marks(ids)})",
        [worker, until, *ids],
    )
    rows = connection.execute(
        f"SELECT {RUN} FROM runs WHERE id IN ({_marks(ids)}) ORDER BY number",  # noqa: S608
        ids,
    ).fetchall()
    return [replace(run, taken_from=had[run.id]) for run in map(read_run, rows)]


def _write_run(connection: Connection, run: Run, worker: str | None) -> bool:
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
    return f"state NOT IN ({_marks(taken)})", [*taken]


def _kept_wish(run: Run) -> str:
    """What is left of a wish: a worker has not seen those made since it looked, and takes away what it fulfilled."""
    if run.ended:
        return "NULL"
    return "CASE WHEN wish = 'pause' THEN NULL ELSE wish END" if run.state == "paused" else "wish"


def _insert_events(connection: Connection, events: Sequence[Event]) -> None:
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
    _insert(connection, "events", EVENT, rows, again)


def _insert_receipts(connection: Connection, receipts: Sequence[Receipt]) -> None:
    latest = {(receipt.run, receipt.key): receipt for receipt in receipts}
    again = "(run, key) DO UPDATE SET kind = excluded.kind, state = excluded.state, result = excluded.result"
    rows = [receipt_row(receipt) for receipt in latest.values()]
    _insert(connection, "receipts", RECEIPT, rows, f"{again}, at = excluded.at")


def _insert(connection: Connection, table: str, columns: str, rows: Sequence[tuple[Any, ...]], conflict: str) -> None:
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE]
        row = f"({_marks(part[0])})"
        connection.execute(
            f"INSERT INTO {table} ({columns}) VALUES {', '.join([row] * len(part))} ON CONFLICT {conflict}",  # noqa: S608
            [value for each in part for value in each],
        )


def _forget(connection: Connection, ids: Sequence[str]) -> None:
    """Runs with their events and receipts."""
    for start in range(0, len(ids), PRUNED_AT_ONCE):
        part = list(ids[start : start + PRUNED_AT_ONCE])
        for table, column in (("events", "run"), ("receipts", "run"), ("runs", "id")):
            connection.execute(f"DELETE FROM {table} WHERE {column} IN ({_marks(part)})", part)  # noqa: S608


def _select(table: str, columns: str, conditions: dict[str, Any]) -> tuple[str, list[Any]]:
    """A SELECT of what fits all conditions but those of None."""
    given = {condition: value for condition, value in conditions.items() if value is not None}
    return f"SELECT {columns} FROM {table} WHERE {' AND '.join(given or ['1 = 1'])}", list(given.values())  # noqa: S608


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _last(path: str | None) -> str | None:
    """The id of the run at a path's end."""
    return None if path is None else path.rpartition("/")[2]
