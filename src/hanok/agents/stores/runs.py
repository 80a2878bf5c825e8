"""Threads, runs, events and receipts in tables: `RunStore`, wherever the tables are.

A run belongs to one worker while its row is `running` with that worker's lease; whoever writes on it as a worker is
asked first whether it still is its own. Whatever nobody has may be changed by whoever may see it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hanok.agents.stores.place import Place
from hanok.agents.stores.rows import (
    EVENT,
    RECEIPT,
    RUN,
    THREAD,
    answered,
    last_of,
    metadata_text,
    no_such_run,
    read_event,
    read_receipt,
    read_run,
    read_thread,
    thread_row,
)
from hanok.agents.stores.run_tables import (
    check_queue,
    find_lost,
    find_run,
    forget,
    insert,
    insert_events,
    insert_receipts,
    insert_run,
    marks,
    prune_some,
    select,
    take_runs,
    write_run,
)
from hanok.agents.values import Event, EventType, Receipt, Run, RunState, Thread, Wish
from hanok.errors import Unknown

_OPEN = "r.state IN ('queued', 'running') AND (r.state = 'queued' OR r.lease_until <= ?)"
_UNHINDERED = (
    "NOT EXISTS (SELECT 1 FROM runs o WHERE o.thread = r.thread AND o.number <> r.number"
    " AND o.state IN ('queued', 'running') AND substr(r.path, 1, length(o.path) + 1) <> o.path || '/'"
    " AND CASE WHEN o.state = 'running' THEN r.state = 'queued' OR o.lease_until > ? OR o.number < r.number"
    " ELSE r.state = 'queued' AND o.number < r.number END)"
)
"""No other of its thread (but those above it) runs, or is to run before it: what was begun comes first, then the
oldest."""
STRANGERS_AT_ONCE = 200


class Runs:
    """`RunStore` in the tables of a place."""

    def __init__(self, place: Place) -> None:
        self._place = place

    # threads

    def add_thread(self, thread: Thread) -> Thread:
        with self._place.writing() as connection:
            insert(connection, "threads", THREAD, [thread_row(thread)], "(id) DO NOTHING")
            found = read_thread(
                connection.execute(f"SELECT {THREAD} FROM threads WHERE id = ?", (thread.id,)).fetchone()  # noqa: S608
            )
        if found.tenant != thread.tenant:
            raise Unknown(f"there is no thread {thread.id!r}", code="thread_not_found")
        return found

    def thread(self, id_: str, *, tenant: str | None) -> Thread | None:
        found = self._ask(*select("threads", THREAD, {"id = ?": id_, "tenant = ?": tenant}))
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
        statement, values = select("threads", THREAD, {"tenant = ?": tenant, "agent = ?": agent})
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
            forget(connection, ids)
            connection.execute("DELETE FROM threads WHERE id = ?", (id_,))

    # runs

    def add_run(self, run: Run, *, thread: Thread | None = None, queue: int | None = None) -> Run:
        with self._place.writing() as connection:
            found = find_run(connection, run.id)
            if found is None:
                check_queue(connection, queue)
                if thread is not None:
                    insert(connection, "threads", THREAD, [thread_row(thread)], "(id) DO NOTHING")
                insert_run(connection, run)
                found = find_run(connection, run.id) or run
        if found.tenant != run.tenant:
            raise no_such_run(run.id)
        return found

    def run(self, id_: str, *, tenant: str | None) -> Run | None:
        found = self._ask(*select("runs", RUN, {"id = ?": id_, "tenant = ?": tenant}))
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
        statement, values = select(
            "runs",
            RUN,
            {
                "tenant = ?": tenant,
                "agent = ?": agent,
                "thread = ?": thread,
                "parent = ?": None if parent == "*" else last_of(parent),
                "number < (SELECT number FROM runs WHERE id = ?)": before,
            },
        )
        if parent is None:
            statement += " AND parent IS NULL"
        wanted = None if states is None else list(states)
        if wanted is not None:
            if not wanted:
                return []
            statement, values = f"{statement} AND state IN ({marks(wanted)})", [*values, *wanted]
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
        which = "r.parent IS NULL" if ids is None else f"r.id IN ({marks(ids)})"
        if agents is not None:
            which += f" AND r.agent IN ({marks(agents)})"
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
            return take_runs(connection, {row[0]: row[1] for row in found}, worker, now + lease_s)

    def strangers(self, agents: Sequence[str], *, now: float) -> list[str]:
        led = "SELECT 1 FROM runs o WHERE o.agent = r.agent AND o.state = 'running' AND o.lease_until > ?"
        others = f"r.agent NOT IN ({marks(agents)})" if agents else "1 = 1"
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
                f" AND id IN ({marks(ids)}) RETURNING id, wish",
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
                "UPDATE runs SET lease_until = 0 WHERE state = 'running' AND lease_until > 0"  # noqa: S608
                f" AND lease_by IN ({marks(dead)})",
                dead,
            )
            return done.rowcount

    def save(self, run: Run, *, worker: str | None = None, events: Sequence[Event] = ()) -> bool:
        with self._place.writing() as connection:
            if not write_run(connection, run, worker):
                return False
            insert_events(connection, events)
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
            run = find_run(connection, id_, self._place.locked)
            run = None if run is None else answered(run, answers)
            if run is None:
                return None
            write_run(connection, run, None)
            insert_events(connection, events)
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
            kept = {each.run for each in (*events, *receipts)}
            lost = set[str]() if worker is None else find_lost(connection, worker, kept, self._place.locked)
            lost |= {run.id for run in runs if run.id not in lost and not write_run(connection, run, worker)}
            for run, first, last in folds:
                if run not in lost:
                    asked = "DELETE FROM events WHERE run = ? AND seq BETWEEN ? AND ? AND type = 'token'"
                    connection.execute(asked, (run, first, last))
            insert_events(connection, [event for event in events if event.run not in lost])
            insert_receipts(connection, [receipt for receipt in receipts if receipt.run not in lost])
            return lost

    def sync(self) -> None:
        self._place.sync()

    def events(
        self, run: str, *, after: int = 0, limit: int = 1000, types: Sequence[EventType] | None = None
    ) -> list[Event]:
        only = "" if types is None else f" AND type IN ({marks(types)})"
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

    def _prune_some(self, ended_before: float, agent: str | None) -> bool:
        with self._place.writing() as connection:
            return prune_some(connection, ended_before, agent)
