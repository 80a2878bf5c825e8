"""Writes what runs tell and what they finished, in the order in which it came, for all runs of a process together.

While one write is under way the next gathers, so that two hundred runs share a commit. A receipt that somebody waits
for is written at once; events alone wait a moment for one. One that is gathered goes with the checkpoint that follows
it, in one trip to a thread: first the receipt, then, once that is kept, the checkpoint. Who watches a run is told of an
event when it is kept, never before: whatever was seen can be seen again, but for pieces of a message that is there. An
event gets its number when it is written: what cannot be kept leaves no gap. Whoever waits for a write is told that it
failed, and does its step again; what nobody waits for is written again, and where that does not help its run is let go
(`unkept`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from hanok.agents.batch import Batch, Following, Told, tell_all
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
GATHER_S = 0.01
"""How long events wait for others, when nobody waits for them."""
RETRY_S = 0.05
"""How long what could not be written waits for the next try, twice as long each time."""
LONGEST_RETRY_S = 1.0
LAST = 1 << 60
"""After every event: who watches from there sees none, only that its run rests."""
MOST_TRIES = 10
"""Writes of an event that fail before its run is let go."""


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

    Where `worker` has a run's lease no more, nothing of it is written, and `lost` is told. `unkept` is told of runs
    whose events cannot be kept, for whatever reason.
    """

    def __init__(
        self,
        store: RunStore,
        in_thread: Call,
        *,
        worker: str | None = None,
        lost: Callable[[Iterable[str]], None] = lambda _: None,
        unkept: Callable[[Iterable[str]], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._worker = worker
        self._lost = lost
        self._unkept = unkept
        self._in_thread = in_thread
        self._clock = clock
        self._seqs: dict[str, int] = {}
        self._resting: set[str] = set()
        self._gone: set[str] = set()
        """Runs that were lost, of which something may still come."""
        self._batch = Batch()
        self._under_way = Batch()
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
        self._resting.discard(run)
        self._gone.discard(run)

    def end(self, run: str) -> None:
        """Nothing more comes of it from here. What was told of it and not kept is told by who does its step again."""
        self._seqs.pop(run, None)
        self._resting.discard(run)
        self._token.pop(run, None)
        if run not in self._batch.awaited:
            self._batch.events = [told for told in self._batch.events if told.run != run]
            self._batch.folds = [fold for fold in self._batch.folds if fold[0] != run]
            self._batch.gathered.pop(run, None)

    def published(self, run: str) -> None:
        """Something of this run was kept by somebody else."""
        for watcher in self._watchers.get(run, ()):
            watcher.look()

    def tell(self, run: str, type_: EventType, data: dict[str, Any]) -> None:
        """Have an event kept soon."""
        self._add(run, type_, data)
        if not self._busy:
            self._write_soon()

    def _add(self, run: str, type_: EventType, data: dict[str, Any]) -> None:
        self._batch.events.append(Told(run, type_, data, self._clock()))

    def tell_token(self, run: str, step: int, text: str, reasoning: bool) -> None:
        """A piece of text; joined to the one before while that is not written yet."""
        last = self._batch.events[-1] if self._batch.events else None
        if (
            last is not None
            and last.run == run
            and last.type == "token"
            and bool(last.data.get("reasoning")) == reasoning
            and not last.passes
        ):
            last.data = {**last.data, "text": last.data["text"] + text}
            return
        data: dict[str, Any] = {"step": step, "text": text}
        self.tell(run, "token", {**data, "reasoning": True} if reasoning else data)

    def fold(self, run: str) -> None:
        """The tokens told so far are in a message now: they need not be kept."""
        for told in self._batch.events:
            told.passes = told.passes or (told.run == run and told.type == "token")
        first = self._token.pop(run, None)
        if first is not None:  # some are written, or are being written
            self._batch.folds.append((run, first, self._seqs[run]))

    def keep(self, receipt: Receipt) -> asyncio.Future[None]:
        """Have a receipt kept; done when it and all before it are on disk. Raises `StoreError` by the future."""
        self._batch.receipts.append(receipt)
        return self.flushed()

    def gather(self, receipt: Receipt) -> None:
        """Have a receipt kept soon, and before whatever follows. Where that fails it is tried again, as events are."""
        self._batch.gathered[receipt.run].append(receipt)
        if not self._busy:
            self._write_soon()

    def owes(self, run: str) -> bool:
        """Whether any that was gathered of this run is not kept yet."""
        return run in self._batch.gathered or run in self._under_way.gathered

    def rests(self, run: str) -> bool:
        """Whether its lease was given back by who leads it: that is kept."""
        return run in self._resting

    def follow(self, following: Following) -> None:
        """Have something of runs written elsewhere, in the same trip, once everything told so far is kept."""
        self._batch.following.append(following)
        self._write_now()

    def save(self, run: Run, type_: EventType, told: dict[str, Any] | None) -> asyncio.Future[None]:
        """Have a run's row kept with what is told of it; done when it and all before it are on disk. Raises
        `StoreError` by the future."""
        if told is not None:
            self._add(run.id, type_, told)
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

    def _write_soon(self) -> None:
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(GATHER_S, self._write_now)

    def _write_now(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        if not self._busy:
            self._writing = asyncio.create_task(self._write(), name="agents-recorder")
            self._writing.add_done_callback(self._leave_nobody_waiting)

    def _leave_nobody_waiting(self, writing: asyncio.Task[None]) -> None:
        """Where the loop ends, maybe before the write has begun, what follows it is not written either."""
        error = None if writing.cancelled() else writing.exception()
        if error is not None:
            _log.error("what runs tell could not be written", exc_info=error)
        elif not writing.cancelled():
            return
        for each in (*self._under_way.following, *self._batch.following):
            each.leave()

    async def _write(self) -> None:
        while self._batch.is_due:
            batch, self._batch = self._batch, Batch()
            self._under_way = batch
            self._number(batch)
            failure: Exception | None = None
            failures: Sequence[Exception | None] = ()
            try:
                if batch.holds or batch.following:
                    lost, failures = await self._in_thread(self._commit, batch)
                    self._acknowledge(batch, lost)
            except Exception as error:  # noqa: BLE001 - whoever waits is told
                failure = error
                failures = [error] * len(batch.following)
                self._take_back(batch)
            self._under_way = Batch()
            outcomes = [each.outcomes(why) for each, why in zip(batch.following, failures, strict=True)]
            await tell_all([*chain.from_iterable(outcomes), *((each, failure) for each in batch.waiting)])
            if not (self._batch.waiting or self._batch.following):
                self._end_writing(failure)
                return

    def _end_writing(self, failure: Exception | None) -> None:
        """What was told meanwhile waits for a receipt, as ever: it needs no commit of its own."""
        self._gone &= self._seqs.keys()
        if failure is not None:
            self._try_later()
        elif self._batch.holds:
            self._write_soon()

    def _number(self, batch: Batch) -> None:
        """Give its events their numbers. Those of runs that are not led here get them in the store."""
        for told in batch.events:
            run = told.run
            if (before := self._seqs.get(run)) is None:
                continue
            batch.began.setdefault(run, before)
            seq = told.seq = self._seqs[run] = batch.ended[run] = before + 1
            if told.type == "token" and not told.passes and run not in self._token:
                self._token[run] = batch.tokens[run] = seq

    def _take_back(self, batch: Batch) -> None:
        """Numbers are given anew, and what nobody waits for is written with the next."""
        for run, number in batch.began.items():
            if self._seqs.get(run) == batch.ended[run]:
                self._seqs[run] = number
        for run, token in batch.tokens.items():
            if self._token.get(run) == token:
                del self._token[run]
        awaited = batch.awaited
        again = [told for told in batch.events if told.run not in awaited and told.run in self._seqs]
        folding = {run for run, _, _ in self._batch.folds}
        for told in again:
            told.passes = told.passes or (told.type == "token" and told.run in folding)
            told.tries += 1
        self._batch.events[:0] = again
        for run, receipts in batch.gathered.items():
            if run not in awaited and run in self._seqs:
                self._batch.gathered[run][:0] = receipts
        self._batch.folds[:0] = [fold for fold in batch.folds if fold[0] not in awaited and fold[0] in self._seqs]

    def _try_later(self) -> None:
        """Write what is left after a rest, and let go of runs of which that was tried too often."""
        tries = max((told.tries for told in self._batch.events), default=0)
        if tries >= MOST_TRIES:
            given_up = {told.run for told in self._batch.events if told.tries >= MOST_TRIES}
            self._batch.events = [told for told in self._batch.events if told.run not in given_up]
            for run in given_up:
                self._batch.gathered.pop(run, None)
            self._batch.folds = [fold for fold in self._batch.folds if fold[0] not in given_up]
            self._unkept(given_up)
        if self._batch.holds and self._soon is None:
            rest_s = min(LONGEST_RETRY_S, RETRY_S * 2 ** min(tries, 10))
            self._soon = asyncio.get_running_loop().call_later(rest_s, self._write_now)

    def _commit(self, batch: Batch) -> tuple[set[str], list[Exception | None]]:
        """In a thread: keep it, and write what follows. The runs that were lost, and what failed of what follows."""
        lost = set[str]()
        if batch.holds:
            lost = self._store.append(
                batch.kept, receipts=batch.finished, folds=batch.folds, runs=batch.runs, worker=self._worker
            )
            self._resting |= {run.id for run in batch.runs if run.lease_by is None} - lost
        return lost, [_failure_of(each, lost | self._gone) for each in batch.following]

    def _acknowledge(self, batch: Batch, lost: set[str]) -> None:
        if not batch.holds:
            return
        self._sync_soon()
        self._gone |= lost
        self._tell_lost(lost, {run.id for run in batch.runs})
        self._publish(batch, lost)
        for receipt in batch.finished:
            if receipt.state == "done":
                self.on_receipt(receipt)

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
            _log.warning("run %s ended here in vain: another process has taken it, or it was forgotten", run)
        self._lost(lost - resting)

    def _publish(self, batch: Batch, lost: set[str]) -> None:
        if not self._watchers:
            return
        for told in batch.events:
            event = told.event
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
                    while after < LAST and (found := await self._in_thread(self._store.events, run, after=after)):
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


def _failure_of(following: Following, lost: set[str]) -> Exception | None:
    try:
        following.write(lost)
    except Exception as error:  # noqa: BLE001 - whoever waits is told
        return error
    return None


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
