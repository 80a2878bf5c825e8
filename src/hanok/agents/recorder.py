"""Writes what runs tell and what they finished, in the order in which it came, for all runs of a process together.

While one write is under way the next gathers, so that two hundred runs share a commit and one alone does not wait. Who
watches a run is told of an event when it is kept, never before: whatever was seen can be seen again.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from hanok.agents.store import RunStore
from hanok.agents.values import Event, EventType, Receipt

Call = Callable[..., Coroutine[Any, Any, Any]]
POLL_S = 0.2
"""How often the store is asked for events of a run that another process leads."""
LED_POLL_S = 2.0
"""And of one that is led here: its watchers are told of what is kept, and ask only to be sure."""


@dataclass
class _Batch:
    events: list[Event] = field(default_factory=list[Event])
    receipts: list[Receipt] = field(default_factory=list[Receipt])
    folds: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])
    waiting: list[asyncio.Future[None]] = field(default_factory=list[asyncio.Future[None]])


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
        self._watched: dict[str, asyncio.Event] = {}
        self._watchers: defaultdict[str, int] = defaultdict(int)
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
        if run in self._watched:
            self._watched[run].set()

    def tell(self, run: str, type_: EventType, data: dict[str, Any]) -> Event:
        """Number an event and have it kept soon."""
        event = self.number(run, type_, data)
        self._batch.events.append(event)
        self._write_soon()
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
        if first is not None:
            self._batch.folds.append((run, first, self._seqs[run]))

    def keep(self, receipt: Receipt) -> asyncio.Future[None]:
        """Have a receipt kept; done when it and all before it are on disk. Raises `StoreError` by the future."""
        self._batch.receipts.append(receipt)
        kept = self.flushed()
        if receipt.state == "done":
            kept.add_done_callback(lambda _: self.on_receipt(receipt))
        return kept

    def flushed(self) -> asyncio.Future[None]:
        """Done when everything told so far is kept."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._batch.waiting.append(future)
        self._write_soon()
        return future

    def _write_soon(self) -> None:
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(), name="agents-recorder")

    async def _write(self) -> None:
        while self._batch.events or self._batch.receipts or self._batch.waiting or self._batch.folds:
            batch, self._batch = self._batch, _Batch()
            failure: Exception | None = None
            try:
                if batch.events or batch.receipts or batch.folds:
                    self._lost(await self._append(batch))
            except Exception as error:  # noqa: BLE001 - whoever waits is told
                failure = error
            for future in batch.waiting:
                if not future.done():
                    future.set_result(None) if failure is None else future.set_exception(failure)
            for run in {event.run for event in batch.events}:
                self.published(run)

    async def _append(self, batch: _Batch) -> set[str]:
        lost: set[str] = await self._in_thread(
            self._store.append, batch.events, receipts=batch.receipts, folds=batch.folds, worker=self._worker
        )
        return lost

    async def watch(
        self, run: str, *, after: int, over: Callable[[], Coroutine[Any, Any, bool]]
    ) -> AsyncIterator[Event]:
        """Events after that one as they are kept, until `over` says so and none is left."""
        event = self._watched.setdefault(run, asyncio.Event())
        self._watchers[run] += 1
        try:
            while True:
                event.clear()
                found: list[Event] = await self._in_thread(self._store.events, run, after=after)
                for each in found:
                    after = each.seq
                    yield each
                if found:
                    continue
                if await over():
                    for each in await self._in_thread(self._store.events, run, after=after):
                        yield each
                    return
                await _wait(event, LED_POLL_S if run in self._seqs else POLL_S)
        finally:
            self._watchers[run] -= 1
            if not self._watchers[run]:
                del self._watchers[run], self._watched[run]

    async def close(self) -> None:
        """Write what is left."""
        if self._writing is not None:
            await asyncio.gather(self._writing, return_exceptions=True)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
