"""Has runs led, of those that wait. Several processes may: each leads what it has leased (`leading.py`).

A run's parent leads it; the worker's loop takes those that have none.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from typing import Any

from hanok.agents.keeping import Stopped
from hanok.agents.leading import Leader, Prepare, Terms
from hanok.agents.recorder import Recorder
from hanok.agents.store import RunStore
from hanok.agents.together import live_together
from hanok.agents.tool import ToolResult
from hanok.agents.trouble import Trouble
from hanok.agents.using import Delegated, Waits
from hanok.agents.values import ENDED, Run, RunState
from hanok.agents.watching import NOBODY, Watcher
from hanok.agents.work import Work
from hanok.errors import StoreError

LOOK_EVERY_S = 0.5
LOOK_FOR_STRANGERS_EVERY_S = 5.0
OPEN: frozenset[RunState] = frozenset({"queued", "running"})
_log = logging.getLogger(__name__)


class Worker:
    """One for each process; `name` is nobody else's."""

    def __init__(
        self,
        *,
        name: str,
        store: RunStore,
        recorder: Recorder,
        in_thread: Callable[..., Coroutine[Any, Any, Any]],
        prepare: Prepare,
        reached: Callable[[Run], Coroutine[Any, Any, str]],
        terms: Callable[[], Terms],
        ended: Callable[[Run], Coroutine[Any, Any, None]],
        takes_all: Callable[[], bool],
        is_dead: Callable[[str], bool] = lambda _: False,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        watcher: Watcher = NOBODY,
    ) -> None:
        self.name = name
        self._store = store
        self._recorder = recorder
        self._in_thread = in_thread
        self._terms = terms
        self._takes_all = takes_all
        self._is_dead = is_dead
        self._monotonic = monotonic
        self._look_for_dead_at = 0.0
        self._look_for_strangers_at = 0.0
        self._strangers: dict[str, float] = {}
        self._asked: set[str] = set()
        self._clock = clock
        self._poke = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[Run]] = {}
        self._works: dict[str, Work] = {}
        self._closing = False
        self._trouble = Trouble(
            _log,
            begun="runs of agents are not led while what they are kept in is away: %s",
            over="runs of agents are led again",
        )
        self._leader = Leader(
            store=store,
            recorder=recorder,
            in_thread=in_thread,
            prepare=prepare,
            reached=reached,
            terms=terms,
            working=self._know,
            ended=ended,
            clock=clock,
            watcher=watcher,
        )

    def _know(self, work: Work) -> None:
        self._works[work.run.id] = work

    def poke(self, run: str | None) -> None:
        """There is something to do; that run, where this process takes only what it is told."""
        if run is not None:
            self._asked.add(run)
        self._poke.set()

    async def rested(self, run: str) -> None:
        """When this process does not lead it any more."""
        if (task := self._tasks.get(run)) is not None:
            await asyncio.wait([task])

    def led(self) -> Counter[str]:
        """How many runs of each agent this process leads now."""
        return Counter(work.run.agent for work in self._works.values())

    def leads(self, run: str) -> bool:
        """Whether that one is led here now."""
        return run in self._tasks

    @property
    def is_leading(self) -> bool:
        """Whether any run is led here now."""
        return bool(self._tasks)

    async def live(self) -> None:
        """For ever: take what waits, and keep the leases of what runs."""
        await live_together(self._take_for_ever(), self._keep_leases())

    async def close(self) -> None:
        """Let go of all runs: they go on in another process, or at the next start."""
        self._closing = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def lead_child(self, run: Run) -> Delegated | Waits:
        """Lead a run that another has started, within its lead. Raises `Stopped` where the parent is to stop."""
        run = await self._led(run)
        if run.state == "waiting":
            return Waits(
                requests={f"{id_}": {**each, "run": each.get("run") or run.id} for id_, each in run.wanted.items()}
            )
        if run.state not in ENDED:
            raise Stopped("pause")
        return Delegated(result=_result_of(run), used=run.used, began=run.created_at)

    async def _led(self, run: Run) -> Run:
        """That run when it rests. Where a process that is no more has it, it is waited until its lease is over."""
        while run.state in OPEN:
            taken: list[Run] = await self._in_thread(
                self._store.claim, self.name, now=self._clock(), lease_s=self._terms().lease_s, most=1, ids=[run.id]
            )
            if taken and run.id not in self._tasks:
                run = await self._lead_below(taken[0])
            else:
                await asyncio.sleep(LOOK_EVERY_S)
                run = await self._in_thread(self._store.run, run.id, tenant=None) or run
        return run

    async def _lead_below(self, run: Run) -> Run:
        """As it is when its lead is over. One that was broken off is as it was: who leads it next takes it up there."""
        with suppress(asyncio.CancelledError):
            run = await self._start(run)
        _heed_cancelling()
        return run

    def lose(self, runs: Iterable[str]) -> None:
        """Let go of runs that another process has taken, since this one was not heard of in time, or that are gone."""
        for run in runs:
            if (task := self._tasks.get(run)) is not None:
                if not task.cancelling():
                    _log.warning("run %s is led here no more: another process has taken it, or it was forgotten", run)
                task.cancel("lost")

    def let_go(self, runs: Iterable[str]) -> None:
        """Let go of runs of which what they tell cannot be kept: they are tried again."""
        for run in runs:
            if (task := self._tasks.get(run)) is not None:
                task.cancel("unkept")

    # taking and leasing

    async def _take_for_ever(self) -> None:
        while not self._closing:
            self._poke.clear()
            with self._trouble.told():
                await self._take()
            await _wait(self._poke, LOOK_EVERY_S)

    async def _take(self) -> None:
        terms = self._terms()
        most = terms.concurrent - sum(1 for run in self._works.values() if run.run.parent is None)
        only = None if self._takes_all() else sorted(self._asked)
        if most <= 0 or only == []:
            return
        await self._release()
        taken: list[Run] = await self._in_thread(
            self._store.claim,
            self.name,
            now=self._clock(),
            lease_s=terms.lease_s,
            most=most,
            ids=only,
            agents=terms.agents,
        )
        if only is None:
            taken += await self._take_strangers(terms, most - len(taken))
        for run in taken:
            if run.id not in self._tasks:  # it is led here, and the clock has jumped over the end of its lease
                self._start(run)

    async def _take_strangers(self, terms: Terms, most: int) -> list[Run]:
        """Runs for whose agents nobody came: taken to be failed. An older process among newer ones knows not all."""
        if most <= 0 or (now := self._monotonic()) < self._look_for_strangers_at:
            return []
        self._look_for_strangers_at = now + min(LOOK_FOR_STRANGERS_EVERY_S, terms.unknown_agent_s / 4)
        found: list[str] = await self._in_thread(self._store.strangers, terms.agents, now=self._clock())
        self._strangers = {id_: self._strangers.get(id_, now) for id_ in found}
        over = [id_ for id_, since in self._strangers.items() if now - since >= terms.unknown_agent_s]
        taken: list[Run] = await self._in_thread(
            self._store.claim, self.name, now=self._clock(), lease_s=terms.lease_s, most=most, ids=over
        )
        return taken

    async def _release(self) -> None:
        """Have what dead workers had, without waiting for the end of their leases."""
        if (now := time.monotonic()) >= self._look_for_dead_at:
            self._look_for_dead_at = now + LOOK_EVERY_S
            await self._in_thread(self._store.release, self._is_dead)

    def _start(self, run: Run) -> asyncio.Task[Run]:
        task = asyncio.create_task(self._leader.lead(run), name=f"run-{run.id}")
        self._tasks[run.id] = task
        task.add_done_callback(lambda task, id_=run.id: self._forget(id_, task))
        return task

    def _forget(self, id_: str, task: asyncio.Task[Run]) -> None:
        if not task.cancelled() and isinstance(error := task.exception(), StoreError):
            _log.warning("run %s is taken up again when its lease is over: %s", id_, error.message)
        self._tasks.pop(id_, None)
        self._works.pop(id_, None)
        self._recorder.end(id_)
        self.poke(None)

    async def _keep_leases(self) -> None:
        while True:
            terms = self._terms()
            await asyncio.sleep(min(1.0, terms.lease_s / 3))
            if not self._tasks:
                continue
            led = dict(self._tasks)
            until = self._clock() + terms.lease_s
            with self._trouble.told():
                kept = await self._in_thread(self._store.renew, self.name, list(led), until=until)
                for id_, task in led.items():
                    if self._tasks.get(id_) is task:  # else it came to rest meanwhile, and may be led anew
                        self._heed(id_, kept)

    def _heed(self, id_: str, kept: Mapping[str, Any]) -> None:
        work = self._works.get(id_)
        if id_ not in kept:
            if not self._recorder.rests(id_):
                self.lose([id_])
        elif kept[id_] is not None and work is not None:
            self.tell_wish(id_, kept[id_])

    def tell_wish(self, id_: str, wish: Any) -> None:
        """Have a run of this process pause or end."""
        work, task = self._works.get(id_), self._tasks.get(id_)
        if work is not None:
            work.wish = wish
        if wish == "cancel" and task is not None:
            task.cancel("cancel")


def _heed_cancelling() -> None:
    """Raise what this task was to be told while it awaited another, which took it for itself."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _result_of(run: Run) -> ToolResult:
    """What a parent is told of a run below it."""
    data = {"run": run.id, "agent": run.agent, "state": run.state}
    if run.state == "done":
        return ToolResult(content=run.answer or "(it gave no answer)", data=data)
    said = f" What it had by then: {run.answer}" if run.answer else ""
    why = run.error or run.reason or ""
    return ToolResult(content=f"{run.agent} did not finish ({run.state}: {why}).{said}", failed=True, data=data)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
