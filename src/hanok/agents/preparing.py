"""Gets runs ready: an agent's graph, its tools, what it is told and what it may spend."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from hanok.agents.checking import Checker
from hanok.agents.counting import paid_to_tools
from hanok.agents.keeping import Keeping
from hanok.agents.leading import Terms
from hanok.agents.limits import KeyEnded
from hanok.agents.patterns.table import graph_of
from hanok.agents.recorder import Recorder
from hanok.agents.snapshots import config_of
from hanok.agents.store import RunStore
from hanok.agents.stores.checkpoints import Checkpoints
from hanok.agents.tool import Tool
from hanok.agents.tools.boxes import Boxes
from hanok.agents.tools.surroundings import Surroundings
from hanok.agents.using import Delegated, Waits
from hanok.agents.values import Receipt, Run
from hanok.agents.watching import NOBODY, Watcher
from hanok.agents.work import Work
from hanok.errors import AgentError, Unknown
from hanok.spec import Agent, Loaded, Platform
from hanok.wire import Caller


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


class Preparing(ABC):
    """What is declared, and made of it."""

    _recorder: Recorder
    _followed: bool
    """Whether checkpoints are written after what is kept before them, by the recorder."""

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

    async def _tools_at_hand(self, name: str) -> Sequence[Tool]:
        """Those of them that can be had now; none of an agent that is not declared here."""
        if (agent := self._platform.agent(name)) is None:
            return ()
        try:
            had = await self._boxes.had(agent, self._platform)
        except AgentError:
            return ()
        return [*had.tools, *self._outside.extra_tools(agent)]

    def change(self, loaded: Loaded) -> None:
        """Go on with what this platform declares; runs that are led go on as they began."""
        self._loaded = loaded
        gone = [name for name, kept in self._kept.items() if loaded.platform.agent(name) != kept.agent]
        for name in gone:
            self._kept.pop(name)
        self._boxes.change(loaded.platform)

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
            gathers=self._followed and agent.graph is None,
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

    def _limit(self, run: Run, paid: int) -> None:
        bounds = run.bounds
        if bounds.cost_nano_usd is None and bounds.tokens is None:
            return
        cost = None if bounds.cost_nano_usd is None else max(0, bounds.cost_nano_usd - paid)
        self._outside.allot(run.caller, run.path, (cost, bounds.tokens))

    async def _allot(self, run: Run, paid: int) -> None:
        self._limit(run, paid)

    async def _pinned(self, agent: Agent) -> str | None:
        """The version of its prompt that is meant now; None without one. Raises `AgentError` where it is not there: a
        run that is not pinned would be told one thing now and another when it goes on."""
        if agent.prompt is None:
            return None
        pinned: str = await self._in_thread(self._outside.pinned, agent)
        return pinned

    @abstractmethod
    async def _delegate(
        self, work: Keeping, agent: str, task: str, run_id: str, *, caller: Caller
    ) -> Delegated | Waits:
        """`using.Delegate`."""

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
