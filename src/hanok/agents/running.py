"""The agency of a house: orders become rows, rows become led runs, and threads are what their checkpoints say.

`preparing.py` gets runs ready, `conversing.py` has threads, `ending.py` ends what nobody leads; here runs are ordered
and steered.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from hanok.agents.answering import check_answer, edited, not_fitting
from hanok.agents.ending import MOST_BELOW, REST, Ending, cannot_go_on
from hanok.agents.keeping import Keeping
from hanok.agents.limits import bounds_of
from hanok.agents.preparing import Outside
from hanok.agents.process_watch import is_dead, name_worker
from hanok.agents.recorder import LAST, Recorder
from hanok.agents.snapshots import no_checkpoint
from hanok.agents.state import message_id
from hanok.agents.together import live_together
from hanok.agents.tool import ToolResult
from hanok.agents.trouble import Trouble
from hanok.agents.using import Delegated, Waits
from hanok.agents.values import Event, Message, Order, Receipt, Run, Thread, Used
from hanok.agents.worker import Worker
from hanok.errors import RequestError, StoreError
from hanok.wire import Caller

__all__ = ["HouseAgency", "Outside"]
FORGET_EVERY_S = 600.0
REST_ORPHANS_EVERY_S = 5.0
CALLED_OFF_WITHIN_S = 10.0
"""How long a thread that is removed waits for what runs on it to hear of that."""
_log = logging.getLogger(__name__)


class HouseAgency(Ending):
    """`agency.Agency` over a store and checkpoints. `serves` says whether this process takes whatever waits."""

    def __init__(self, **given: Any) -> None:
        """As `Preparing`."""
        super().__init__(**given)
        name = name_worker()
        self._recorder = Recorder(
            self._store, self._in_thread, worker=name, lost=self._lose, unkept=self._let_go, clock=self._clock
        )
        self._followed = self._checkpoints.follow(self._recorder.follow)
        self._worker = Worker(
            name=name,
            store=self._store,
            recorder=self._recorder,
            in_thread=self._in_thread,
            prepare=self._prepare,
            reached=self._reached,
            terms=self._terms,
            ended=self._on_end,
            takes_all=self._serves,
            is_dead=is_dead,
            clock=self._clock,
            monotonic=self._monotonic,
            watcher=self._outside.watcher,
        )

    # what runs beside calls

    async def live(self) -> None:
        """For ever: lead what waits, and forget what is old."""
        await live_together(self._worker.live(), self._forget_old(), self._rest_orphans())

    async def close(self) -> None:
        """Let go of all runs, and of what tools hold open."""
        await self._worker.close()
        await self._recorder.close()
        if self._followed:
            self._checkpoints.follow(None)
        await self._boxes.aclose()
        self._threads.shutdown(wait=False)

    def led(self) -> Mapping[str, int]:
        """How many runs of each agent this process leads now."""
        return self._worker.led()

    def watch_receipts(self, on_receipt: Callable[[Receipt], None]) -> None:
        """Tell of each call of a run that is finished and kept."""
        self._recorder.on_receipt = on_receipt

    async def _forget_old(self) -> None:
        while True:
            await asyncio.sleep(FORGET_EVERY_S)
            if not self._worker.is_leading:
                await self._boxes.tidy()
            try:
                await self.forget_old()
            except StoreError as error:
                _log.warning("what is old is not forgotten yet: %s", error.message)

    async def _rest_orphans(self) -> None:
        trouble = Trouble(
            _log,
            begun="what is left below runs that have ended is not ended yet: %s",
            over="what is left below runs that have ended is ended again",
        )
        while True:
            with trouble.told():
                await self.rest_orphans()
            await asyncio.sleep(REST_ORPHANS_EVERY_S)

    # runs

    async def start(self, order: Order) -> Run:
        agent = self.agent(order.agent)
        if not order.input and order.checkpoint is None:
            raise RequestError("a run needs something to do: give it a message", param="input", code="invalid_value")
        thread, is_new = await self._thread_for(order, agent)
        await self._refuse_below_itself(order)
        if (begin := order.checkpoint) is not None and not await self.state(thread.id, tenant=None, checkpoint=begin):
            raise no_checkpoint(thread.id, begin)
        id_ = order.run_id or f"run_{secrets.token_hex(12)}"
        run = Run(
            id=id_,
            path=f"{above}/{id_}" if (above := order.parent or order.caller.run) else id_,
            agent=agent.name,
            thread=thread.id,
            caller=self._outside.watcher.begun(order.caller, id_),
            state="queued",
            input=tuple(_numbered(message, id_, place) for place, message in enumerate(order.input)),
            bounds=bounds_of(agent.limits, order.limits),
            checkpoint=order.checkpoint,
            metadata=order.metadata,
            prompt=await self._pinned(agent),
            created_at=self._clock(),
        )
        return await self._begin(run, thread if is_new else None)

    async def events(self, id_: str, *, tenant: str | None, after: int = 0, wait: bool = True) -> AsyncIterator[Event]:
        await self.run(id_, tenant=tenant)
        if not wait:
            for event in await self._in_thread(self._store.events, id_, after=after, limit=100_000):
                yield event
            return
        async for event in self._recorder.watch(id_, after=after, over=partial(self._rests, id_)):
            yield event

    async def ended(self, id_: str, *, tenant: str | None) -> Run:
        found: list[Run] = []

        async def rests() -> bool:
            found[:] = [await self.run(id_, tenant=tenant)]
            return found[0].state in REST

        async for _ in self._recorder.watch(id_, after=LAST, over=rests):
            pass
        return found[0]

    async def answer(self, id_: str, answers: dict[str, dict[str, Any]], *, tenant: str | None, by: str) -> Run:
        run = await self.run(id_, tenant=tenant)
        if unknown := [each for each in answers if each not in run.wanted]:
            wanted = ", ".join(run.wanted) or "nothing"
            message = f"run {id_!r} does not wait for {unknown[0]!r}; it waits for: {wanted}"
            raise RequestError(message, param="answers", code="not_wanted")
        for each, answer in answers.items():
            check_answer(run.wanted[each], answer, each)
            await self._check_edit(run, each, answer)
        await self._end_without_key(run)
        for owner in {str(run.wanted[each].get("run") or id_) for each in answers}:
            own = {each: answer for each, answer in answers.items() if str(run.wanted[each].get("run") or id_) == owner}
            await self._answer_up(owner, own, by)
        self._poke()
        return await self.run(id_, tenant=tenant)

    async def _check_edit(self, run: Run, id_: str, answer: Mapping[str, Any]) -> None:
        """Hold a person's arguments against the tool's schema, as a model's are. Raises `RequestError`. A tool that
        cannot be had now checks them when it is used."""
        wanted = run.wanted[id_]
        arguments = edited(wanted, answer, id_)
        if arguments is None:
            return
        owner = await self.run(str(wanted.get("run") or run.id), tenant=None)
        for tool in await self._tools_at_hand(owner.agent):
            if tool.spec.name == wanted.get("tool") and (problem := self._check(tool.spec.parameters, arguments)):
                raise not_fitting(wanted, id_, problem)

    async def cancel(self, id_: str, *, tenant: str | None) -> Run:
        run = await self.run(id_, tenant=tenant)
        if run.ended:
            return run
        await self._cancel(run)
        if run.parent is not None and run.wanted:  # those above wait for answers that nobody can give any more
            off = {each: {"approve": False, "text": "", "reason": "cancelled"} for each in run.wanted}
            await self._answer_up(run.parent, off, run.id)
        return await self.run(id_, tenant=tenant)

    async def pause(self, id_: str, *, tenant: str | None) -> Run:
        run = await self.run(id_, tenant=tenant)
        if run.ended or run.state in ("paused", "waiting"):
            return run
        if run.state == "queued" and await self._in_thread(self._store.save, replace(run, state="paused")):
            return await self.run(id_, tenant=tenant)
        await self._in_thread(self._store.wish, id_, "pause")
        self._worker.tell_wish(id_, "pause")
        for child in await self.runs(tenant=None, parent=id_, states=["running"], limit=MOST_BELOW):
            await self.pause(child.id, tenant=None)
        return await self.run(id_, tenant=tenant)

    async def resume(self, id_: str, *, tenant: str | None) -> Run:
        run = await self.run(id_, tenant=tenant)
        if run.state == "waiting":
            raise RequestError(f"run {id_!r} waits for an answer: give it one", param="run", code="run_waits")
        if run.state not in ("paused", "failed", "limited"):
            raise RequestError(f"run {id_!r} is {run.state}: there is nothing to resume", param="run", code="run_state")
        if run.parent is not None:
            raise RequestError(f"run {id_!r} is part of {run.parent!r}: resume that", param="run", code="run_state")
        if (why := self._outside.key_ended(run.caller)) is not None:
            raise cannot_go_on(run, why)
        if not self._serves():
            self.agent(run.agent)  # nobody else may be there to take it
        await self._queue_below(id_)
        queued = replace(run, state="queued", ended_at=None, reason=None, error=None, wish=None, takeovers=0, let_go=0)
        await self._in_thread(self._store.save, queued)
        self._take(run.id)
        return await self.run(id_, tenant=tenant)

    async def remove_thread(self, id_: str, *, tenant: str | None) -> None:
        await self.thread(id_, tenant=tenant)
        await self._remove(id_)

    async def _remove(self, thread: str) -> None:
        """With the threads of all that was begun below its runs. What still runs has ended before: it writes, too."""
        for run in await self.runs(tenant=None, thread=thread, parent="*", limit=MOST_BELOW):
            await self._cancel(run)
            with suppress(TimeoutError):
                async with asyncio.timeout(CALLED_OFF_WITHIN_S):
                    await self.ended(run.id, tenant=None)
            for child in await self.runs(tenant=None, parent=run.id, limit=MOST_BELOW):
                await self._remove(child.thread)
        await self._checkpoints.remove(thread)
        await self._in_thread(self._store.remove_thread, thread)

    # beginning

    async def _refuse_below_itself(self, order: Order) -> None:
        """Raises `RequestError` where a run above works on the same thread: each would wait for the other."""
        above = order.parent or order.caller.run
        for id_ in above.split("/") if above and order.thread else ():
            run: Run | None = await self._in_thread(self._store.run, id_, tenant=order.caller.tenant)
            if run is not None and run.thread == order.thread and not run.ended:
                message = f"run {id_!r} works on thread {order.thread!r}: what it starts needs another"
                raise RequestError(message, param="thread", code="thread_in_use")

    async def _begin(self, run: Run, thread: Thread | None) -> Run:
        kept: Run = await self._in_thread(self._store.add_run, run, thread=thread, queue=self._platform.runs.queue)
        self._take(kept.id)
        return kept

    def _take(self, id_: str) -> None:
        self._worker.poke(None if self._serves() else id_)

    def _poke(self) -> None:
        self._worker.poke(None)

    # leading

    def _lose(self, runs: Iterable[str]) -> None:
        self._worker.lose(runs)

    def _let_go(self, runs: Iterable[str]) -> None:
        self._worker.let_go(runs)

    async def _delegate(
        self, work: Keeping, agent: str, task: str, run_id: str, *, caller: Caller
    ) -> Delegated | Waits:
        declared, parent = self.agent(agent), work.run
        if parent.bounds.depth <= 0:
            refused = f"{agent} was not asked: this run is as deep below others as its limits allow."
            return Delegated(result=ToolResult(content=refused, failed=True), used=Used())
        thread = self._new_thread(f"thread_{run_id.removeprefix('run_')}", agent, parent.caller)
        child = Run(
            id=run_id,
            path=f"{parent.path}/{run_id}",
            agent=agent,
            thread=thread.id,
            caller=msgspec.structs.replace(
                self._outside.watcher.below(caller, run_id), session=parent.caller.session or parent.thread
            ),
            state="queued",
            input=(_numbered({"role": "user", "content": task}, run_id, 0),),
            bounds=bounds_of(declared.limits, {}, (parent.bounds, work.clocked())),
            parent=parent.id,
            prompt=await self._pinned(declared),
            created_at=self._clock(),
        )
        kept: Run = await self._in_thread(self._store.add_run, child, thread=thread)
        work.tell("child", {"run": run_id, "agent": agent, "task": task})
        return await self._worker.lead_child(kept)


def _numbered(message: Message, run: str, place: int) -> Message:
    return {**message, "id": message.get("id") or message_id(run, place)}
