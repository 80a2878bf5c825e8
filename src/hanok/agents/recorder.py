"""Writes what runs tell and what they finished, in the order in which it came, for all runs of a process together.

While one write is under way the next gathers, so that two hundred runs share a commit. A receipt is written at once;
events alone wait a moment for one. Who watches a run is told of an event when it is kept, never before: whatever was
seen can be seen again, but for pieces of a message that is there.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from hanok.agents.store import RunStore
from hanok.agents.values import Event, EventType, Receipt, Run
from hanok.errors import StoreError

Call = Callable[..., Coroutine[Any, Any, Any]]
_log = logging.getLogger(__name__)
POLL_S = 0.2
"""How often the store is asked for events of a run that another process leads."""
LOOK_ANYWAY_S = 2.0
"""How often for events of one that is led here, and told of."""
SYNC_AFTER_S = 0.05
"""The most that a power cut takes of what nobody asked to outlive one."""
WOKEN_AT_ONCE = 4
"""Of those that waited for one write, so that calls beside runs need not wait for them all."""
GATHER_S = 0.01
"""How long events wait for others, when nobody waits for them."""


@dataclass
class _Batch:
    events: list[Event] = field(default_factory=list[Event])
    receipts: list[Receipt] = field(default_factory=list[Receipt])
    folds: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])
    runs: list[Run] = field(default_factory=list[Run])
    """Rows that changed."""
    passing: list[Event] = field(default_factory=list[Event])
    """Tokens that are in a message before they were written: told, and not kept."""
    waiting: list[asyncio.Future[None]] = field(default_factory=list[asyncio.Future[None]])

    @property
    def holds(self) -> bool:
        return bool(self.events or self.receipts or self.folds or self.runs)


@dataclass(eq=False)
class _Watcher:
    """Who watches a run: what came since it looked, and whether the store knows more."""

    woken: asyncio.Event = field(default_factory=asyncio.Event)
    came: deque[Event] = field(default_factory=deque[Event])
    looks: bool = True
    after: int = 0

    def look(self) -> None:
        self.looks = True
        self.woken.set()


class Recorder:
    """One for each process. `in_thread` runs a blocking call beside the event loop.

    Where `worker` has a run's lease no more, nothing of it is written, and `lost` is told.
    """

    def __init__(
        self,
        store: RunStore,
        in_thread: Call,
        *,
        worker: str | None = None,
        lost: Callable[[Iterable[str]], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._worker = worker
        self._lost = lost
        self._in_thread = in_thread
        self._clock = clock
        self._seqs: dict[str, int] = {}
        self._batch = _Batch()
        self._writing: asyncio.Task[None] | None = None
        self._unsynced = False
        self._syncing: asyncio.Task[None] | None = None
        self._soon: asyncio.TimerHandle | None = None
        self._watchers: defaultdict[str, list[_Watcher]] = defaultdict(list)
        self._token: dict[str, int] = {}
        self.on_receipt: Callable[[Receipt], None] = lambda _: None
        """Told of each finished call as soon as it is kept: tests end a process there."""

    def begin(self, run: str, seq: int) -> None:
        """Events of this run are numbered on from there."""
        self._seqs[run] = seq

    def end(self, run: str) -> None:
        """Nothing more comes of it from here."""
        self._seqs.pop(run, None)
        self._token.pop(run, None)

    def number(self, run: str, type_: EventType, data: dict[str, Any]) -> Event:
        """An event with its number, for somebody else to keep."""
        seq = self._seqs[run] = self._seqs.get(run, 0) + 1
        return Event(run=run, seq=seq, type=type_, data=data, at=self._clock())

    def published(self, run: str) -> None:
        """Something of this run was kept by somebody else."""
        for watcher in self._watchers.get(run, ()):
            watcher.look()

    def tell(self, run: str, type_: EventType, data: dict[str, Any]) -> Event:
        """Number an event and have it kept soon."""
        event = self.number(run, type_, data)
        self._batch.events.append(event)
        if self._soon is None and not self._busy:
            self._soon = asyncio.get_running_loop().call_later(GATHER_S, self._write_now)
        return event

    def tell_token(self, run: str, step: int, text: str, reasoning: bool) -> None:
        """A piece of text; joined to the one before while that is not written yet."""
        events = self._batch.events
        last = events[-1] if events else None
        if (
            last is not None
            and last.run == run
            and last.type == "token"
            and bool(last.data.get("reasoning")) == reasoning
        ):
            events[-1] = replace(last, data={**last.data, "text": last.data["text"] + text})
            return
        data: dict[str, Any] = {"step": step, "text": text}
        event = self.tell(run, "token", {**data, "reasoning": True} if reasoning else data)
        self._token.setdefault(run, event.seq)

    def fold(self, run: str) -> None:
        """The tokens told so far are in a message now: they need not be kept."""
        first = self._token.pop(run, None)
        if first is None:
            return
        events, self._batch.events = self._batch.events, []
        for event in events:
            passes = event.run == run and event.type == "token" and event.seq >= first
            (self._batch.passing if passes else self._batch.events).append(event)
        if not any(event.run == run and event.seq == first for event in self._batch.passing):
            self._batch.folds.append((run, first, self._seqs[run]))

    def keep(self, receipt: Receipt) -> asyncio.Future[None]:
        """Have a receipt kept; done when it and all before it are on disk. Raises `StoreError` by the future."""
        self._batch.receipts.append(receipt)
        kept = self.flushed()
        if receipt.state == "done":
            kept.add_done_callback(lambda _: self.on_receipt(receipt))
        return kept

    def save(self, run: Run, type_: EventType, told: dict[str, Any] | None) -> asyncio.Future[None]:
        """Have a run's row kept with what is told of it; done when it and all before it are on disk. Raises
        `StoreError` by the future."""
        if told is not None:
            self._batch.events.append(self.number(run.id, type_, told))
        self._batch.runs.append(run)
        return self.flushed()

    def flushed(self) -> asyncio.Future[None]:
        """Done when everything told so far is kept."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._batch.waiting.append(future)
        self._write_now()
        return future

    @property
    def _busy(self) -> bool:
        return self._writing is not None and not self._writing.done()

    def _write_now(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        if not self._busy:
            self._writing = asyncio.create_task(self._write(), name="agents-recorder")

    async def _write(self) -> None:
        while self._batch.holds or self._batch.waiting:
            batch, self._batch = self._batch, _Batch()
            failure: Exception | None = None
            lost = set[str]()
            try:
                if batch.holds:
                    lost = await self._append(batch)
                    self._sync_soon()
                    self._tell_lost(lost, {run.id for run in batch.runs})
            except Exception as error:  # noqa: BLE001 - whoever waits is told
                failure = error
            if failure is None:
                self._publish(batch, lost)
            for number, future in enumerate(batch.waiting, 1):
                if not future.done():
                    future.set_result(None) if failure is None else future.set_exception(failure)
                if number % WOKEN_AT_ONCE == 0:
                    await asyncio.sleep(0)

    async def _append(self, batch: _Batch) -> set[str]:
        lost: set[str] = await self._in_thread(
            self._store.append,
            batch.events,
            receipts=batch.receipts,
            folds=batch.folds,
            runs=batch.runs,
            worker=self._worker,
        )
        return lost

    def _sync_soon(self) -> None:
        self._unsynced = True
        if self._syncing is None or self._syncing.done():
            self._syncing = asyncio.create_task(self._sync(), name="agents-sync")

    async def _sync(self) -> None:
        while self._unsynced:
            await asyncio.sleep(SYNC_AFTER_S)
            self._unsynced = False
            try:
                await self._in_thread(self._store.sync)
            except StoreError as error:
                _log.warning("what runs have finished is not synced: %s", error.message)

    def _tell_lost(self, lost: set[str], resting: set[str]) -> None:
        for run in lost & resting:
            _log.warning("run %s was taken over by another process", run)
        self._lost(lost - resting)

    def _publish(self, batch: _Batch, lost: set[str]) -> None:
        if not self._watchers:
            return
        for event in sorted((*batch.passing, *batch.events), key=lambda event: event.seq):
            for watcher in self._watchers.get(event.run, ()) if event.run not in lost else ():
                if event.seq > watcher.after or _rests(event):
                    watcher.came.append(event)
                    watcher.woken.set()

    async def watch(
        self, run: str, *, after: int, over: Callable[[], Coroutine[Any, Any, bool]]
    ) -> AsyncIterator[Event]:
        """Events after that one as they are kept, until `over` says so and none is left."""
        watcher = _Watcher(after=after)
        self._watchers[run].append(watcher)
        try:
            while True:
                while watcher.came:
                    event = watcher.came.popleft()
                    watcher.looks = watcher.looks or _rests(event)
                    if event.seq > after:
                        after = event.seq
                        yield event
                if watcher.looks:
                    watcher.looks = False
                    resting = await over()  # before its events are read: all are there then
                    while found := await self._in_thread(self._store.events, run, after=after):
                        for event in found:
                            after = event.seq
                            yield event
                    if resting:
                        return
                    continue
                await self._come(run, watcher)
        finally:
            self._watchers[run].remove(watcher)
            if not self._watchers[run]:
                del self._watchers[run]

    async def _come(self, run: str, watcher: _Watcher) -> None:
        """Wait until something comes, or it is time to look."""
        watcher.woken.clear()
        if not await _wait(watcher.woken, LOOK_ANYWAY_S if run in self._seqs else POLL_S):
            watcher.looks = True

    async def close(self) -> None:
        """Write what is left."""
        if self._batch.holds or self._busy:
            await asyncio.gather(self.flushed(), return_exceptions=True)
        if self._syncing is not None:
            await asyncio.gather(self._syncing, return_exceptions=True)


def _rests(event: Event) -> bool:
    """Whether its run does not go on by itself after this."""
    return event.type == "done" or (event.type == "run" and event.data.get("state") != "running")


async def _wait(event: asyncio.Event, seconds: float) -> bool:
    """Whether it came in time."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
