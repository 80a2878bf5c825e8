"""`RunStore` on a Redis or Valkey server: each method is one script, but for those that list and prune.

Those look at some after the other, so that no step holds the server up for long. What survives a power cut is the
server's to say (`appendfsync`): there is nothing for `sync` to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from hanok.agents.stores.redis import event_scripts as writing
from hanok.agents.stores.redis import run_scripts as scripts
from hanok.agents.stores.redis import thread_scripts as threads
from hanok.agents.stores.redis.run_rows import (
    added_fields,
    each_alone,
    event_fields,
    read_event_text,
    read_receipts,
    read_run_row,
    read_thread_row,
    receipt_fields,
    saved_fields,
    several,
    text_of,
    thread_fields,
)
from hanok.agents.stores.redis.server import Script, Server
from hanok.agents.stores.rows import answered, full_queue, has_fields, last_of, metadata_text, no_such_run, standing_of
from hanok.agents.values import Event, EventType, Receipt, Run, RunState, Thread, Wish
from hanok.errors import Unknown

VERSION = 1
LOOKED_AT_ONCE = 500
"""Of a list, in one step."""
PRUNED_AT_ONCE = 100
STRANGERS_AT_ONCE = 200


class RedisRuns:
    """`RunStore` of a platform on a server, which is asked when something is first needed."""

    def __init__(self, url: str, *, platform: str = "") -> None:
        """Raises `StoreError` when `url` cannot be read."""
        self._server = Server(url, platform=platform, subject="runs", version=VERSION)
        self._prefix = self._server.prefix()

    # threads

    def add_thread(self, thread: Thread) -> Thread:
        found = read_thread_row(self._run(threads.ADD_THREAD, *thread_fields(thread)))
        if found.tenant != thread.tenant:
            raise Unknown(f"there is no thread {thread.id!r}", code="thread_not_found")
        return found

    def thread(self, id_: str, *, tenant: str | None) -> Thread | None:
        row = self._run(threads.ONE_THREAD, id_)
        found = None if row[1] is None else read_thread_row(row)
        return found if found and tenant in (None, found.tenant) else None

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
        fields = metadata_text(metadata) if metadata else None
        found: dict[str, Thread] = {}
        for is_below, thread in self._all_threads("threads" if tenant is None else f"threads-of:{tenant}"):
            fits = (below or not is_below) and agent in (None, thread.agent)
            if fits and (fields is None or has_fields(metadata_text(thread.metadata), fields)):
                found[thread.id] = thread  # once, also when it was used anew meanwhile
            if len(found) == offset + limit:
                break
        return list(found.values())[offset:]

    def change_thread(self, id_: str, *, metadata: dict[str, Any] | None = None, used_at: float | None = None) -> None:
        text = "" if metadata is None else metadata_text(metadata)
        self._run(threads.CHANGE_THREAD, id_, text, text_of(used_at))

    def remove_thread(self, id_: str) -> None:
        self._run(threads.REMOVE_THREAD, id_)

    # runs

    def add_run(self, run: Run, *, thread: Thread | None = None, queue: int | None = None) -> Run:
        given = [] if thread is None else [thread_fields(thread)]
        row = self._run(scripts.ADD_RUN, text_of(queue), *added_fields(run), *several(given))
        if row == b"full":
            raise full_queue(queue)
        found = read_run_row(row)
        if found.tenant != run.tenant:
            raise no_such_run(run.id)
        return found

    def run(self, id_: str, *, tenant: str | None) -> Run | None:
        row = self._run(scripts.ONE_RUN, id_)
        found = None if row[1] is None else read_run_row(row)
        return found if found and tenant in (None, found.tenant) else None

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
        wanted = None if states is None else list(states)
        number = b"+inf" if before is None else self._run(scripts.NUMBER, before)
        if number is None or (wanted is not None and not wanted):
            return []
        start = number if before is None else b"(" + number
        below = text_of(last_of(parent))
        where = [*map(text_of, (tenant, agent, thread)), below, *each_alone(wanted or ())]
        list_, found = _list_of(tenant, thread, below), list[Run]()
        while len(found) < limit:
            last, rows = self._run(scripts.SOME_RUNS, list_, start, LOOKED_AT_ONCE, limit - len(found), *where)
            if last is None:
                break
            found += map(read_run_row, rows)
            start = b"(" + last
        return found

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
        which = [int(ids is not None), *each_alone(ids or ()), int(agents is not None)]
        which += each_alone(agents) if agents is not None else []
        rows = self._run(scripts.CLAIM, worker, now, now + lease_s, most, *which)
        return [replace(read_run_row(row), taken_from=had and had.decode()) for had, *row in rows]

    def strangers(self, agents: Sequence[str], *, now: float) -> list[str]:
        found = self._run(scripts.STRANGERS, now, STRANGERS_AT_ONCE, *each_alone(agents))
        return [id_.decode() for id_ in found]

    def renew(self, worker: str, ids: Sequence[str], *, until: float) -> dict[str, Wish | None]:
        if not ids:
            return {}
        rows = self._run(scripts.RENEW, worker, until, *each_alone(ids))
        return {id_.decode(): wish and wish.decode() for id_, wish in rows}

    def release(self, is_dead: Callable[[str], bool]) -> int:
        dead = [worker for worker in self._run(scripts.LEASED) if is_dead(worker.decode())]
        return self._run(scripts.RELEASE, *each_alone(dead)) if dead else 0

    def save(self, run: Run, *, worker: str | None = None, events: Sequence[Event] = ()) -> bool:
        told = several(map(event_fields, events))
        return bool(self._run(writing.SAVE, text_of(worker), *saved_fields(run), *told))

    def wish(self, id_: str, wish: Wish | None) -> None:
        self._run(writing.WISH, id_, text_of(wish))

    def answer(self, id_: str, answers: dict[str, dict[str, Any]], *, events: Sequence[Event] = ()) -> Run | None:
        told = several(map(event_fields, events))
        while run := self.run(id_, tenant=None):
            changed = answered(run, answers)
            if changed is None:
                return None
            if self._run(writing.ANSWER, standing_of(run), *saved_fields(changed), *told):
                return changed
        return None

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
        lost = self._run(
            writing.APPEND,
            text_of(worker),
            *several(map(saved_fields, runs)),
            *several(folds),
            *several(map(event_fields, events)),
            *several(map(receipt_fields, receipts)),
        )
        return {id_.decode() for id_ in lost}

    def sync(self) -> None:
        pass

    def events(
        self, run: str, *, after: int = 0, limit: int = 1000, types: Sequence[EventType] | None = None
    ) -> list[Event]:
        if types is not None and not types:
            return []
        found = self._run(writing.EVENTS, run, after, limit, *each_alone(types or ()))
        return [read_event_text(run, text) for text in found]

    def last_seq(self, run: str) -> int:
        return self._run(writing.LAST_SEQ, run)

    def past(self, run: str) -> tuple[int, dict[str, Receipt]]:
        last, pairs = self._run(writing.PAST, run)
        return int(last), read_receipts(run, pairs)

    def receipts(self, run: str) -> dict[str, Receipt]:
        return self.past(run)[1]

    # the end

    def prune(self, *, ended_before: float, threads_before: float, agent: str | None = None) -> list[str]:
        while self._prune_runs(ended_before, text_of(agent)):
            pass  # those below one that went were passed over, or shifted others out of sight
        gone: list[str] = []
        offset = 0
        while True:
            looked_at, some = self._run(threads.PRUNE_THREADS, threads_before, text_of(agent), offset, LOOKED_AT_ONCE)
            if not looked_at:
                return gone
            gone += (id_.decode() for id_ in some)
            offset += looked_at - len(some)

    def close(self) -> None:
        self._server.close()

    def _run(self, script: Script, *fields: Any) -> Any:
        return self._server.run(script, self._prefix, *fields)

    def _all_threads(self, list_: str) -> Iterator[tuple[bool, Thread]]:
        """Those of a list, the latest used first, and whether a run below another is on them."""
        start = 0
        while rows := self._run(threads.SOME_THREADS, list_, start, start + LOOKED_AT_ONCE - 1):
            yield from ((bool(is_below), read_thread_row(row)) for is_below, *row in rows if row[1] is not None)
            start += LOOKED_AT_ONCE

    def _prune_runs(self, before: float, agent: str) -> bool:
        """Look at all that ended before, a few at a time; whether any went."""
        offset, went = 0, False
        while True:
            looked_at, kept = self._run(threads.PRUNE_RUNS, before, agent, offset, PRUNED_AT_ONCE)
            if not looked_at:
                return went
            offset, went = offset + kept, went or kept < looked_at


def _list_of(tenant: str | None, thread: str | None, parent: str) -> str:
    """The shortest list that has all that are asked for."""
    if parent not in ("", "*"):
        return f"below:{parent}"
    if thread is not None:
        return f"on:{thread}"
    return "runs" if tenant is None else f"runs-of:{tenant}"
