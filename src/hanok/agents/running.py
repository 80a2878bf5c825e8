"""The agency of a house: orders become rows, rows become led runs, and threads are what their checkpoints say."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import msgspec

from hanok.agents.checking import Checker
from hanok.agents.counting import paid_to_tools
from hanok.agents.limits import KeyEnded, bounds_of
from hanok.agents.patterns.table import graph_of
from hanok.agents.process_watch import is_dead, name_worker
from hanok.agents.recorder import Recorder
from hanok.agents.snapshots import Checkpoint, config_of, no_checkpoint, read_history, read_state, write_state
from hanok.agents.state import message_id
from hanok.agents.store import RunStore
from hanok.agents.stores.checkpoints import Checkpoints
from hanok.agents.together import live_together
from hanok.agents.tool import Tool, ToolResult
from hanok.agents.tools.boxes import Boxes
from hanok.agents.tools.surroundings import Surroundings
from hanok.agents.values import ENDED, Event, Message, Order, Receipt, Run, RunState, Thread, Used
from hanok.agents.watching import NOBODY, TOLD, Watcher
from hanok.agents.work import Delegated, Waits, Work, run_of_call
from hanok.agents.worker import Terms, Worker
from hanok.errors import AgentError, RequestError, StoreError, Unknown
from hanok.spec import Agent, Loaded, Platform
from hanok.wire import Caller

REST: frozenset[RunState] = frozenset({*ENDED, "waiting", "paused"})
FORGET_EVERY_S = 600.0
MOST_BELOW = 100_000
"""Runs that one has started, all of them: a run uses no more tools than this."""
CALLED_OFF_WITHIN_S = 10.0
"""How long a thread that is removed waits for what runs on it to hear of that."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What a run is led with."""

    graph: Any
    work: Work


@dataclass(frozen=True, kw_only=True)
class Outside:
    """What the agency needs of the rest of the house.

    `allot` limits what a run led here may spend (nano dollars, tokens; None for both when it has ended). `in_span`
    gives a caller for a call that a run makes. `told` are an agent's instructions, where it has a declared
    prompt in the version that was `pinned` when its run was ordered; `recalled` what it remembers of
    whom it works for. `key_ended` says why a caller's key opens nothing any more (`revoked`, `expired`), None where it
    does.
    """

    around: Surroundings
    allot: Callable[[Caller, str, tuple[int | None, int | None] | None], None]
    in_span: Callable[[Caller], Caller] = lambda caller: caller
    told: Callable[[Agent, str | None], str] = lambda agent, _: agent.system_prompt or ""
    pinned: Callable[[Agent], str] = lambda agent: agent.prompt or ""
    recalled: Callable[[Agent, Run], Coroutine[Any, Any, str]] | None = None
    extra_tools: Callable[[Agent], Sequence[Tool]] = lambda _: ()
    key_ended: Callable[[Caller], str | None] = lambda _: None
    watcher: Watcher = NOBODY


@dataclass
class _Kept:
    """What was made of one agent's declaration."""

    agent: Agent
    graph: Any


class NobodyKnows(AgentError):
    """No process came that knows a run's agent."""

    reason = "agent_not_found"

    def __init__(self, agent: str, waited_s: float) -> None:
        message = f"no process has known the agent {agent!r} for {waited_s:g} s"
        super().__init__(message, hint="declare it again, and resume the run")


class HouseAgency:
    """`agency.Agency` over a store and checkpoints. `serves` says whether this process takes whatever waits."""

    def __init__(
        self,
        *,
        loaded: Loaded,
        store: RunStore,
        checkpoints: Checkpoints,
        outside: Outside,
        serves: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="agents")
        self._loaded = loaded
        self._store = store
        self._checkpoints = checkpoints
        self._outside = outside
        self._clock = clock
        self._serves = serves
        self._kept: dict[str, _Kept] = {}
        self._check = Checker()
        self._boxes = Boxes(outside.around)
        name = name_worker()
        self._recorder = Recorder(
            store, self._in_thread, worker=name, lost=self._lose, unkept=self._let_go, clock=clock
        )
        self._worker = Worker(
            name=name,
            store=store,
            recorder=self._recorder,
            in_thread=self._in_thread,
            prepare=self._prepare,
            reached=self._reached,
            terms=self._terms,
            ended=self._on_end,
            takes_all=serves,
            is_dead=is_dead,
            clock=clock,
            monotonic=monotonic,
            watcher=outside.watcher,
        )

    # what runs beside calls

    async def live(self) -> None:
        """For ever: lead what waits, and forget what is old."""
        await live_together(self._worker.live(), self._forget_old())

    async def close(self) -> None:
        """Let go of all runs, and of what tools hold open."""
        await self._worker.close()
        await self._recorder.close()
        await self._boxes.aclose()
        self._threads.shutdown(wait=False)

    def change(self, loaded: Loaded) -> None:
        """Go on with what this platform declares; runs that are led go on as they began."""
        self._loaded = loaded
        gone = [name for name, kept in self._kept.items() if loaded.platform.agent(name) != kept.agent]
        for name in gone:
            self._kept.pop(name)
        self._boxes.change(loaded.platform)

    def led(self) -> Mapping[str, int]:
        """How many runs of each agent this process leads now."""
        return self._worker.led()

    def watch_receipts(self, on_receipt: Callable[[Receipt], None]) -> None:
        """Tell of each call of a run that is finished and kept."""
        self._recorder.on_receipt = on_receipt

    # agents

    def agents(self) -> tuple[Agent, ...]:
        return tuple(self._platform.agents)

    def agent(self, name: str) -> Agent:
        found = self._platform.agent(name)
        if found is None:
            known = ", ".join(each.name for each in self._platform.agents) or "none"
            raise Unknown(f"there is no agent {name!r}; there are: {known}", param="agent", code="agent_not_found")
        return found

    async def graph(self, name: str) -> str:
        graph = graph_of(self.agent(name), self._loaded.folder).compile()
        return str(graph.get_graph().draw_mermaid())

    async def tools(self, name: str) -> Sequence[Tool]:
        """The tools that a run of this agent has. Raises `Unknown`, `AgentError`."""
        return await self._boxes.tools(self.agent(name), self._platform)

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

    async def run(self, id_: str, *, tenant: str | None) -> Run:
        found: Run | None = await self._in_thread(self._store.run, id_, tenant=tenant)
        if found is None:
            raise Unknown(f"there is no run {id_!r}", param="run", code="run_not_found")
        return found

    async def runs(
        self,
        *,
        tenant: str | None,
        agent: str | None = None,
        thread: str | None = None,
        states: Sequence[RunState] | None = None,
        parent: str | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> list[Run]:
        listed: list[Run] = await self._in_thread(
            self._store.runs,
            tenant=tenant,
            agent=agent,
            thread=thread,
            states=states,
            parent=parent,
            limit=limit,
            before=before,
        )
        return listed

    async def events(self, id_: str, *, tenant: str | None, after: int = 0, wait: bool = True) -> AsyncIterator[Event]:
        await self.run(id_, tenant=tenant)
        if not wait:
            for event in await self._in_thread(self._store.events, id_, after=after, limit=100_000):
                yield event
            return
        async for event in self._recorder.watch(id_, after=after, over=partial(self._rests, id_)):
            yield event

    async def ended(self, id_: str, *, tenant: str | None) -> Run:
        async for _ in self.events(id_, tenant=tenant, after=1 << 60):
            pass
        return await self.run(id_, tenant=tenant)

    async def answer(self, id_: str, answers: dict[str, dict[str, Any]], *, tenant: str | None, by: str) -> Run:
        run = await self.run(id_, tenant=tenant)
        if unknown := [each for each in answers if each not in run.wanted]:
            wanted = ", ".join(run.wanted) or "nothing"
            message = f"run {id_!r} does not wait for {unknown[0]!r}; it waits for: {wanted}"
            raise RequestError(message, param="answers", code="not_wanted")
        for each, answer in answers.items():
            _check_answer(run.wanted[each], answer, each)
        await self._end_without_key(run)
        for owner in {str(run.wanted[each].get("run") or id_) for each in answers}:
            own = {each: answer for each, answer in answers.items() if str(run.wanted[each].get("run") or id_) == owner}
            await self._answer_up(owner, own, by)
        self._poke()
        return await self.run(id_, tenant=tenant)

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
            raise _cannot_go_on(run, why)
        if not self._serves():
            self.agent(run.agent)  # nobody else may be there to take it
        await self._queue_below(id_)
        queued = replace(run, state="queued", ended_at=None, reason=None, error=None, wish=None, takeovers=0)
        await self._in_thread(self._store.save, queued)
        self._take(run.id)
        return await self.run(id_, tenant=tenant)

    # threads

    async def thread(self, id_: str, *, tenant: str | None) -> Thread:
        found: Thread | None = await self._in_thread(self._store.thread, id_, tenant=tenant)
        if found is None:
            raise Unknown(f"there is no thread {id_!r}", param="thread", code="thread_not_found")
        return found

    async def add_thread(self, thread: Thread) -> Thread:
        now = self._clock()
        made: Thread = await self._in_thread(
            self._store.add_thread, replace(thread, created_at=thread.created_at or now, used_at=now)
        )
        return made

    async def threads(
        self,
        *,
        tenant: str | None,
        agent: str | None = None,
        metadata: dict[str, Any] | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Thread]:
        listed: list[Thread] = await self._in_thread(
            self._store.threads, tenant=tenant, agent=agent, metadata=metadata, limit=limit, offset=offset
        )
        return listed

    async def change_thread(self, id_: str, *, tenant: str | None, metadata: dict[str, Any]) -> Thread:
        await self.thread(id_, tenant=tenant)
        await self._in_thread(self._store.change_thread, id_, metadata=metadata)
        return await self.thread(id_, tenant=tenant)

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

    async def state(self, thread: str, *, tenant: str | None, checkpoint: str | None = None) -> Checkpoint | None:
        graph = await self._graph_of_thread(await self.thread(thread, tenant=tenant))
        if graph is None:
            return None
        return await read_state(graph, thread, checkpoint)

    async def history(
        self, thread: str, *, tenant: str | None, limit: int = 20, before: str | None = None
    ) -> list[Checkpoint]:
        graph = await self._graph_of_thread(await self.thread(thread, tenant=tenant))
        if graph is None:
            return []
        return await read_history(graph, thread, limit=limit, before=before)

    async def copy_thread(self, thread: str, *, tenant: str | None, checkpoint: str | None = None) -> Thread:
        source = await self.thread(thread, tenant=tenant)
        id_, now = f"thread_{secrets.token_hex(12)}", self._clock()
        copy = replace(source, id=id_, agent=await self._agent_of_thread(source), created_at=now, used_at=now)
        made: Thread = await self._in_thread(self._store.add_thread, copy)
        copied = await self._checkpoints.copy(thread, made.id, checkpoint=checkpoint)
        if copied is None and checkpoint is not None:
            await self._in_thread(self._store.remove_thread, made.id)
            raise no_checkpoint(thread, checkpoint)
        return made

    async def set_state(
        self,
        thread: str,
        values: dict[str, Any],
        *,
        tenant: str | None,
        node: str | None = None,
        checkpoint: str | None = None,
    ) -> str:
        graph = await self._graph_of_thread(await self.thread(thread, tenant=tenant))
        if graph is None:
            raise RequestError(f"thread {thread!r} has no agent yet: run one on it first", param="thread")
        return await write_state(graph, thread, values, node=node, checkpoint=checkpoint)

    # beginning

    async def _thread_for(self, order: Order, agent: Agent) -> tuple[Thread, bool]:
        """Its thread, and whether that is a new one, which is not kept yet."""
        tenant = order.caller.tenant
        if order.thread is None:
            return self._new_thread(f"thread_{secrets.token_hex(12)}", agent.name, order.caller), True
        found: Thread | None = await self._in_thread(self._store.thread, order.thread, tenant=tenant)
        if found is None:
            raise Unknown(f"there is no thread {order.thread!r}", param="thread", code="thread_not_found")
        if found.agent not in (None, agent.name):
            message = f"thread {found.id!r} is one of agent {found.agent!r}"
            raise RequestError(message, param="thread", code="thread_of_another_agent")
        return found, False

    async def _refuse_below_itself(self, order: Order) -> None:
        """Raises `RequestError` where a run above works on the same thread: each would wait for the other."""
        above = order.parent or order.caller.run
        for id_ in above.split("/") if above and order.thread else ():
            run: Run | None = await self._in_thread(self._store.run, id_, tenant=order.caller.tenant)
            if run is not None and run.thread == order.thread and not run.ended:
                message = f"run {id_!r} works on thread {order.thread!r}: what it starts needs another"
                raise RequestError(message, param="thread", code="thread_in_use")

    async def _pinned(self, agent: Agent) -> str | None:
        """The version of its prompt that is meant now; None without one, or where it is not there: the run tells."""
        if agent.prompt is None:
            return None
        with suppress(AgentError):
            return await self._in_thread(self._outside.pinned, agent)
        return None

    def _new_thread(self, id_: str, agent: str, caller: Caller) -> Thread:
        now = self._clock()
        return Thread(id=id_, tenant=caller.tenant, user=caller.user, agent=agent, created_at=now, used_at=now)

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

    async def _prepare(self, run: Run, receipts: Mapping[str, Receipt]) -> Prepared:
        if (why := self._outside.key_ended(run.caller)) is not None:
            raise KeyEnded(run.caller, why)
        if (agent := self._platform.agent(run.agent)) is None:
            raise NobodyKnows(run.agent, self._platform.runs.unknown_agent_s)
        kept = self._keep(agent)
        told = [self._outside.told(agent, run.prompt)]
        if self._outside.recalled is not None and agent.memory.long_term is not None:
            told.append(await self._outside.recalled(agent, run))
        self._limit(run, paid_to_tools(receipts.values()))
        had = await self._boxes.had(agent, self._platform)
        work = Work(
            run=run,
            agent=agent,
            model=agent.model or self._first_model(),
            instructions="\n\n".join(each for each in told if each),
            tools=[*had.tools, *self._outside.extra_tools(agent)],
            missing=had.missing,
            models=self._outside.around.models,
            recorder=self._recorder,
            receipts=receipts,
            caller_of_call=self._outside.in_span,
            delegate=self._delegate,
            check=self._check,
            allot=self._allot,
            key_ended=self._outside.key_ended,
            clock=self._clock,
            monotonic=self._monotonic,
            watcher=self._outside.watcher,
        )
        work.tell_missing()
        return Prepared(graph=kept.graph, work=work)

    async def _reached(self, run: Run) -> str:
        """The latest checkpoint of its thread; empty before the first."""
        found = await self._checkpoints.saver.aget_tuple(cast("Any", config_of(run.thread)))
        return "" if found is None else str(found.checkpoint["id"])

    def _keep(self, agent: Agent) -> _Kept:
        kept = self._kept.get(agent.name)
        if kept is None or kept.agent != agent:
            graph = graph_of(agent, self._loaded.folder).compile(checkpointer=self._checkpoints.saver)
            kept = self._kept[agent.name] = _Kept(agent, graph)
        return kept

    async def _delegate(self, work: Work, agent: str, task: str, run_id: str, *, caller: Caller) -> Delegated | Waits:
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

    def _limit(self, run: Run, paid: int) -> None:
        bounds = run.bounds
        if bounds.cost_nano_usd is None and bounds.tokens is None:
            return
        cost = None if bounds.cost_nano_usd is None else max(0, bounds.cost_nano_usd - paid)
        self._outside.allot(run.caller, run.path, (cost, bounds.tokens))

    async def _allot(self, run: Run, paid: int) -> None:
        self._limit(run, paid)

    async def _on_end(self, run: Run) -> None:
        self._outside.allot(run.caller, run.path, None)
        if run.state != "done":
            await self._rest_below(run)
        try:
            await self._checkpoints.prune(run.thread, keep=self._platform.runs.checkpoints)
        except Exception:  # noqa: BLE001 - the run has ended, whatever is wrong with what it leaves
            _log.exception("the old checkpoints of thread %s are not forgotten", run.thread)

    async def _rest_below(self, run: Run) -> None:
        """What goes on below a run that has ended before it ends with it, or rests until that is resumed."""
        for child in await self.runs(tenant=None, parent=run.id, states=["queued", "running"], limit=MOST_BELOW):
            if run.state == "cancelled":
                await self._cancel(child)
                continue
            await self._worker.rested(child.id)
            child = await self.run(child.id, tenant=None)
            if child.state == "queued":
                told = Event(run=child.id, seq=0, type="run", data={"state": "paused"}, at=self._clock())
                await self._in_thread(self._store.save, replace(child, state="paused"), events=[told])
                self._recorder.published(child.id)
                await self._rest_below(child)

    async def _answer_up(self, run_id: str, answers: dict[str, dict[str, Any]], by: str) -> None:
        """Tell the run that wants it, and those above that wait for it."""
        while True:
            told = Event(run=run_id, seq=0, type="answered", data={"answers": answers, "by": by}, at=self._clock())
            run: Run | None = await self._in_thread(self._store.answer, run_id, answers, events=[told])
            self._recorder.published(run_id)
            if run is None or run.parent is None:
                self._take(run_id)
                return
            run_id = run.parent

    async def _cancel(self, run: Run) -> None:
        """Cancel it and those below, whoever takes it up or lets it go meanwhile."""
        for child in await self.runs(tenant=None, parent=run.id, limit=MOST_BELOW):
            await self._cancel(child)
        while not run.ended:
            if run.state != "running" and await self._end_idle(run):
                return
            await self._in_thread(self._store.wish, run.id, "cancel")
            self._worker.tell_wish(run.id, "cancel")
            run = await self.run(run.id, tenant=None)
            if run.state == "running":
                return

    async def _end_without_key(self, run: Run) -> None:
        """End what cannot go on, since the key that ordered it opens nothing any more, from its root on. Raises
        `RequestError` then."""
        if (why := self._outside.key_ended(run.caller)) is None:
            return
        root = run
        while root.parent is not None:
            root = await self.run(root.parent, tenant=None)
        await self._fail_waiting(root, KeyEnded(run.caller, why).message)
        raise _cannot_go_on(run, why)

    async def _fail_waiting(self, run: Run, error: str) -> None:
        for child in await self.runs(tenant=None, parent=run.id, limit=MOST_BELOW):
            await self._fail_waiting(child, error)
        if run.state == "waiting":
            await self._end_idle(run, "failed", KeyEnded.reason, error)

    async def _end_idle(
        self, run: Run, state: RunState = "cancelled", reason: str = "cancelled", error: str | None = None
    ) -> bool:
        """End a run that nobody leads; False where somebody does by now."""
        ended = replace(run, state=state, reason=reason, error=error, wanted={}, ended_at=self._clock(), wish=None)
        told = {"state": state, "reason": reason, "answer": run.answer, "error": error}
        event = Event(run=run.id, seq=0, type="done", data=told, at=self._clock())
        done: bool = await self._in_thread(self._store.save, ended, events=[event])
        self._recorder.published(run.id)
        if done:
            past = await self._in_thread(self._store.events, run.id, types=TOLD)
            self._outside.watcher.ended(self._outside.watcher.led(ended, past[:-1]), past)
        return done

    async def _queue_below(self, id_: str) -> None:
        """What stopped with a run goes on with it, but for what it was told the end of."""
        receipts: dict[str, Receipt] = await self._in_thread(self._store.receipts, id_)
        told = {run_of_call(f"{id_}:{key}") for key, receipt in receipts.items() if receipt.state == "done"}
        for child in await self.runs(tenant=None, parent=id_, states=["paused", "failed"], limit=MOST_BELOW):
            if child.id in told:
                continue
            await self._queue_below(child.id)
            queued = replace(child, state="queued", ended_at=None, error=None, wish=None, takeovers=0)
            await self._in_thread(self._store.save, queued)

    async def _rests(self, id_: str) -> bool:
        run: Run | None = await self._in_thread(self._store.run, id_, tenant=None)
        return run is None or run.state in REST

    # threads' graphs

    async def _agent_of_thread(self, thread: Thread) -> str | None:
        """Whose it is: that of its latest run, where it was made for none."""
        if thread.agent is not None:
            return thread.agent
        latest = await self.runs(tenant=None, thread=thread.id, limit=1)
        return latest[0].agent if latest else None

    async def _graph_of_thread(self, thread: Thread) -> Any:
        name = await self._agent_of_thread(thread)
        declared = self._platform.agent(name) if name else None
        return None if declared is None else self._keep(declared).graph

    # surroundings

    @property
    def _platform(self) -> Platform:
        return self._loaded.platform

    def _terms(self) -> Terms:
        runs = self._platform.runs
        return Terms(
            concurrent=runs.concurrent,
            lease_s=runs.lease_s,
            takeovers=runs.takeovers,
            agents=[agent.name for agent in self._platform.agents],
            unknown_agent_s=runs.unknown_agent_s,
        )

    def _first_model(self) -> str:
        first = self._platform.first("chat")
        if first is None:
            raise AgentError("no chat model is declared", hint="declare one below `models`")
        return first.name

    async def _in_thread(self, do: Callable[..., Any], *given: Any, **named: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(do, *given, **named))

    async def _forget_old(self) -> None:
        while True:
            await asyncio.sleep(FORGET_EVERY_S)
            if not self._worker.is_leading:
                await self._boxes.tidy()
            try:
                await self.forget_old()
            except StoreError as error:
                _log.warning("what is old is not forgotten yet: %s", error.message)

    async def forget_old(self) -> None:
        """Forget runs and threads that are kept no longer, as `runs` and each agent's `memory` say, with all that
        threads hold. Raises `StoreError`."""
        await self._forget(self._platform.runs.retention_days * 86_400, None)
        for agent in self._platform.agents:
            if agent.memory.ttl_s is not None:
                await self._forget(agent.memory.ttl_s, agent.name)

    async def _forget(self, kept_s: float, agent: str | None) -> None:
        before = self._clock() - kept_s
        gone: list[str] = await self._in_thread(
            self._store.prune, ended_before=before, threads_before=before, agent=agent
        )
        for thread in gone:
            await self._checkpoints.remove(thread)


def _numbered(message: Message, run: str, place: int) -> Message:
    return {**message, "id": message.get("id") or message_id(run, place)}


def _cannot_go_on(run: Run, why: str) -> RequestError:
    ended = KeyEnded(run.caller, why)
    message = f"run {run.id!r} cannot go on: {ended.message}; order it anew with another"
    return RequestError(message, param="run", code=ended.reason)


def _check_answer(wanted: Mapping[str, Any], answer: Mapping[str, Any], id_: str) -> None:
    """Raises `RequestError` where an answer does not fit what is wanted."""
    kind = wanted.get("kind")
    if kind == "approval" and not isinstance(answer.get("approve"), bool):
        raise RequestError(f'{id_!r} wants {{"approve": true}} or false', param=f"answers.{id_}", code="invalid_answer")
    if kind == "question" and not isinstance(answer.get("text"), str):
        raise RequestError(f'{id_!r} wants {{"text": …}}', param=f"answers.{id_}", code="invalid_answer")
    if kind == "interrupt" and "value" not in answer:
        raise RequestError(f'{id_!r} wants {{"value": …}}', param=f"answers.{id_}", code="invalid_answer")
