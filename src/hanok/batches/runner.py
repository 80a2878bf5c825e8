"""Runs batches: one process of a state folder at a time, the one that holds the lock.

The system gives the lock free when that process ends, however it ends, and another takes it up within a second. So no
batch is ever run twice, no clock decides who is alive, and the declared concurrency is that of the whole platform.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from hanok.batches.asker import Asker
from hanok.batches.entries import Batch
from hanok.batches.run import Ended, Means, Reason, Run
from hanok.batches.stores.folder import Folder
from hanok.batches.stores.tables import Tables
from hanok.batches.turns import Turns
from hanok.batches.window import is_open, next_opening
from hanok.errors import HanokError
from hanok.ledger.stores.locked import claim
from hanok.spec import Batches

TICK_S = 0.25
LOOK_EVERY_S = 1.0
SWEEP_EVERY_S = 60.0
REST_S = 5.0
MOST_RUNS = 64
"""Batches that are worked on at once; others wait for one to end. One takes some 100 bytes of memory a line."""
DAY_S = 86400.0
_log = logging.getLogger(__name__)


class Runner:
    """Runs the batches of a state folder while this process may. `change` and `drain` may be called at any time.

    `serves` says whether this process lets calls in: one that does not runs no batches. `forget` is told of a file (and
    its owner) that has expired, before it goes.
    """

    def __init__(
        self,
        state: Path,
        *,
        tables: Tables,
        folder: Folder,
        asker: Asker,
        settings: Batches,
        line_limit: int,
        serves: Callable[[], bool],
        gives_way: Callable[[str], bool],
        forget: Callable[[str, str], Awaitable[None]],
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        random_hex: Callable[[int], str],
    ) -> None:
        self.settings = settings
        self._line_limit = line_limit
        self.ended: Counter[str] = Counter()
        self._lock_file = state / "batches.lock"
        self._lock = -1
        self._tables = tables
        self._folder = folder
        self._serves = serves
        self._forget = forget
        self._wall = wall
        self._monotonic = monotonic
        self._turns = Turns(gives_way=gives_way)
        self._means = Means(
            tables=tables,
            folder=folder,
            asker=asker,
            turns=self._turns,
            lines_at_once=lambda: self.settings.concurrency,
            retries=lambda: self.settings.retries,
            line_limit=lambda: self._line_limit,
            wall=wall,
            monotonic=monotonic,
            random_hex=random_hex,
            count=self._count,
        )
        self._runs: dict[str, tuple[Run, asyncio.Task[None]]] = {}
        self._resting: dict[str, float] = {}
        self._draining = False
        self._woken = asyncio.Event()
        self._looked_at = self._swept_at = -SWEEP_EVERY_S

    def change(self, settings: Batches, *, line_limit: int) -> None:
        """Go on by other settings; lines that are being asked are not touched. `line_limit` is in bytes."""
        self.settings = settings
        self._line_limit = line_limit
        self._let()

    def wake(self) -> None:
        """Something has changed: look now."""
        self._looked_at = -SWEEP_EVERY_S
        self._woken.set()

    def starts_at(self) -> float | None:
        """When lines are asked next, in Unix seconds; None when they are now."""
        return next_opening(self.settings.window, self._wall())

    async def live(self) -> None:
        """For ever: run batches while it may."""
        while True:
            try:
                await self._look()
            except Exception:  # noqa: BLE001 - nothing that goes wrong once ends batches for good
                _log.exception("batches cannot be looked at; trying again")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._woken.wait()
            self._woken.clear()

    def drain(self) -> None:
        """Begin nothing new; what runs may end."""
        self._draining = True
        self._let()

    def busy(self) -> int:
        """How many lines are being asked now."""
        return self._turns.running

    def lines(self) -> Mapping[tuple[str, ...], float]:
        """The lines in hand, by state."""
        left = sum(run.left for run, _ in self._runs.values())
        running = self._turns.running
        return {("running",): float(running), ("waiting",): float(max(0, left - running))}

    async def close(self) -> None:
        """Give back what runs, as it is, and let another process take it up."""
        tasks = [task for _, task in self._runs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._runs.clear()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        self._tables.close()

    async def _look(self) -> None:
        if self._draining or not self._serves() or not self._tables.exist or not self._may():
            return
        self._let()
        self._reap()
        now = self._monotonic()
        if now - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = now
            self._take_up(await asyncio.to_thread(self._tables.open_batches))
        if now - self._swept_at >= SWEEP_EVERY_S:
            self._swept_at = now
            await self._sweep(self._wall())

    def _may(self) -> bool:
        """Whether this process is the one that runs batches."""
        if self._lock < 0:
            self._lock = claim(self._lock_file)
        return self._lock >= 0

    def _let(self) -> None:
        """Let lines begin as far as they may now."""
        settings = self.settings
        most = 0 if self._draining or not is_open(settings.window, self._wall()) else settings.concurrency
        self._turns.change(most=most, most_of_one=settings.per_model or settings.concurrency)

    def _reap(self) -> None:
        """See which runs have ended, and how."""
        for id_, (_, task) in list(self._runs.items()):
            if not task.done():
                continue
            del self._runs[id_]
            self._looked_at = -SWEEP_EVERY_S
            if not task.cancelled() and (error := task.exception()) is not None:
                self._resting[id_] = self._monotonic() + REST_S
                _log.error(
                    "%s is interrupted: %s", id_, error, exc_info=None if isinstance(error, HanokError) else error
                )

    def _take_up(self, batches: list[Batch]) -> None:
        """Stop what is to stop, and begin what may."""
        now, rested = self._wall(), self._monotonic()
        self._resting = {id_: until for id_, until in self._resting.items() if until > rested}
        for batch in _in_turn(batches):
            over: Reason | None = (
                "cancelled" if batch.status == "cancelling" else "expired" if batch.expires_at <= now else None
            )
            if batch.id not in self._runs and batch.id not in self._resting and (over or len(self._runs) < MOST_RUNS):
                self._begin(batch)
            if over is not None and batch.id in self._runs:
                self._runs[batch.id][0].stop(over)

    def _begin(self, batch: Batch) -> None:
        run = Run(batch, self._means)
        task = asyncio.create_task(run.run(), name=batch.id)
        task.add_done_callback(lambda _: self._woken.set())
        self._runs[batch.id] = run, task

    async def _sweep(self, now: float) -> None:
        """Forget what has been kept long enough. What cannot be forgotten now stays for the next time."""
        for file_id, owner in await asyncio.to_thread(self._tables.expired, now):
            await self._forget(file_id, owner)
        await asyncio.to_thread(self._remove, now)

    def _remove(self, now: float) -> None:
        """Remove what has expired, and what killed processes left."""
        for name in self._tables.remove_expired(now):
            self._folder.remove(name)
        self._tables.remove_batches(before=now - self.settings.keep_days * DAY_S)
        written = {id_ for batch in self._tables.open_batches() for id_ in (batch.output_file_id, batch.error_file_id)}
        self._folder.remove_unknown(written | self._tables.known_files())

    def _count(self, ended: Ended, lines: int) -> None:
        self.ended[ended] += lines


def _in_turn(batches: list[Batch]) -> list[Batch]:
    """The oldest of each owner first, then the second of each, and so on: nobody's hundred batches keep others out."""
    seen: Counter[str] = Counter()
    places: list[int] = []
    for batch in batches:
        places.append(seen[batch.owner])
        seen[batch.owner] += 1
    return [batch for _, batch in sorted(zip(places, batches, strict=True), key=lambda each: each[0])]
