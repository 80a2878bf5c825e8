"""Starts the house of a platform for a test: in this process, in a folder of its own, on an event loop of its own.

A crash is that loop standing still: nothing of the process happens any more, not even its cleaning up, while what was
written stays. The run then goes on in a second house, as it does when a machine comes back.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import tempfile
import threading
from collections.abc import Callable, Collection, Coroutine, Generator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml

from hanok.agents.agency import Agency
from hanok.agents.values import Event, Order, Receipt, Run
from hanok.assemble import House, models_of, only, running
from hanok.errors import AgentError
from hanok.spec import (
    Agent,
    Books,
    Cache,
    Fallbacks,
    Loaded,
    Milvus,
    Model,
    Routing,
    Runs,
    ScriptEndpoint,
    Telemetry,
    load,
)
from hanok.spec.load import parse
from hanok.testing.fakes import Fake, FakeTool, declared_tool
from hanok.testing.finished import FinishedRun, Wanted, read_wanted
from hanok.wire import Caller

PATIENCE_S = 60.0
"""How long a test waits for a run."""
LEASE_S = 1.0
"""How long a run that was crashed is left alone, as nobody knows yet."""
T = TypeVar("T")
Platform = str | Path | Mapping[str, Any]
"""A platform: its file, or what stands in it."""
Approve = Callable[[Wanted], bool | str | dict[str, Any]]
"""Plays the person who approves: True, False, a text (no, and why), or a dict (yes, with these arguments)."""
Reply = Callable[[Wanted], Any]
"""Plays the person who is asked: the answer to a question, or the value for an interrupt."""


def run_agent(
    platform: Platform,
    agent: str,
    input_: str,
    *,
    model: ScriptEndpoint | None = None,
    models: Mapping[str, ScriptEndpoint] | None = None,
    tools: Mapping[str, Fake] | None = None,
    approve: Approve | None = None,
    reply: Reply | None = None,
    limits: Mapping[str, float] | None = None,
    crash_after: int | None = None,
) -> FinishedRun:
    """Have an agent of the platform do something, until it rests.

    `model` stands for every chat model of the platform, `models` for those that it names; `tools` are functions that
    stand for declared tools. Without `approve` and `reply` a run that asks a person is given back `waiting`. With
    `crash_after` the process dies after so many finished calls (of models and tools, of all agents together), and the
    run goes on in another. For several runs, as in a conversation, see `agents_of`. Raises `HanokError`, and
    `TimeoutError` where it takes longer than a minute.
    """
    with agents_of(platform, model=model, models=models, tools=tools) as agents:
        return agents.run(agent, input_, approve=approve, reply=reply, limits=limits, crash_after=crash_after)


@contextlib.contextmanager
def agents_of(
    platform: Platform,
    *,
    model: ScriptEndpoint | None = None,
    models: Mapping[str, ScriptEndpoint] | None = None,
    tools: Mapping[str, Fake] | None = None,
) -> Generator[Agents]:
    """The agents of a platform, for several runs; what they keep goes at the end. See `run_agent`."""
    loaded = _loaded(platform)
    fakes = {name: FakeTool(name, fake, declared_tool(loaded.platform, name)) for name, fake in (tools or {}).items()}
    scripts = _Scripts(every=model, by_name=models or {})
    with tempfile.TemporaryDirectory(prefix="hanok-test-") as folder:
        agents = Agents(_by_itself(loaded, Path(folder), scripts, fakes), fakes)
        try:
            yield agents
        finally:
            agents.close()


class Agents:
    """Agents that a test may ask."""

    def __init__(self, loaded: Loaded, tools: Mapping[str, FakeTool]) -> None:
        self._loaded = loaded
        self._tools = tools
        self._houses = [_LivingHouse(loaded, tools)]

    def run(
        self,
        agent: str,
        input_: str,
        *,
        thread: str | None = None,
        approve: Approve | None = None,
        reply: Reply | None = None,
        limits: Mapping[str, float] | None = None,
        crash_after: int | None = None,
    ) -> FinishedRun:
        """As `run_agent`; with the `thread` of a run before, the conversation goes on."""
        order = Order(
            agent=agent,
            input=({"role": "user", "content": input_},),
            caller=self._house.caller,
            thread=thread,
            run_id=f"run_{secrets.token_hex(12)}",
            limits=dict(limits or {}),
        )
        if crash_after is not None:
            self._house.crash_when(_counted(crash_after))
        return self._to_rest(order, approve, reply)

    def answer(self, run: FinishedRun, answers: Mapping[str, Mapping[str, Any]]) -> FinishedRun:
        """Answer what a run waits for, by the ids in `run.wanted`: `{"approve": True}`, `{"text": …}`."""
        given = {id_: dict(answer) for id_, answer in answers.items()}
        return self._house.do(lambda agency: _answered(agency, run.id, given))

    def close(self) -> None:
        """Stop everything."""
        for house in reversed(self._houses):
            house.close()

    def _to_rest(self, order: Order, approve: Approve | None, reply: Reply | None) -> FinishedRun:
        try:
            return self._house.do(lambda agency: _run_to_rest(agency, order, approve, reply))
        except _Crashed:
            self._houses.append(_LivingHouse(self._loaded, self._tools))
            return self._house.do(lambda agency: _run_to_rest(agency, order, approve, reply))

    @property
    def _house(self) -> _LivingHouse:
        return self._houses[-1]


class _Crashed(Exception):
    """The process of a house stands still."""


class _LivingHouse:
    """A house on a loop in a thread of its own."""

    def __init__(self, loaded: Loaded, tools: Mapping[str, FakeTool]) -> None:
        self._loaded = loaded
        self._tools = tools
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._begun: Future[House] = Future()
        self._main = self._loop.create_task(self._live())
        self._thread = threading.Thread(target=self._turn, name="hanok-test")
        self._thread.start()
        self._house = self._begun.result(PATIENCE_S)
        self.caller = Caller(key_id="test", key_name="test")

    def do(self, do: Callable[[Agency], Coroutine[Any, Any, T]]) -> T:
        """Do this in the house. Raises `_Crashed` where it stands still, and what it raises."""
        agency = self._house.wing.agency
        if agency is None:
            raise AgentError("the platform declares no agents")
        doing = asyncio.run_coroutine_threadsafe(asyncio.wait_for(do(agency), PATIENCE_S), self._loop)
        ended = threading.Event()
        doing.add_done_callback(lambda _: ended.set())
        while not ended.wait(0.02):
            if not self._thread.is_alive():
                raise _Crashed
        return doing.result()

    def crash_when(self, over: Callable[[Receipt], bool]) -> None:
        """Stand still after the call for which this is true."""
        assert self._house.wing.agency is not None
        self._house.wing.agency.watch_receipts(lambda receipt: self._loop.stop() if over(receipt) else None)

    def close(self) -> None:
        """Stop the house as it is stopped. One that stands still is woken for it: its runs are others' by now."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(PATIENCE_S)
        else:
            self._end_runs()
            self._stopping.set()
            self._turn()
        self._end_rest()
        self._loop.close()

    def _end_runs(self) -> None:
        """What the crash broke off in the midst of a step does not take the next one: others have taken it."""
        for task in asyncio.all_tasks(self._loop):
            if task is not self._main:
                task.cancel()

    def _end_rest(self) -> None:
        """End what is left on the loop, as `asyncio.run` does: else the collector finds it amid another test."""
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True) if left else asyncio.sleep(0))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())

    def _turn(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was stopped before the end: a crash
            self._loop.run_until_complete(self._main)

    async def _live(self) -> None:
        try:
            async with running(self._loaded) as house:
                house.wing.replaced.update(self._tools)
                await house.fleet.wait_started([model.name for model in self._loaded.platform.models])
                self._begun.set_result(house)
                await self._stopping.wait()
        except BaseException as error:
            if self._begun.done():
                raise
            self._begun.set_exception(error)


async def _run_to_rest(agency: Agency, order: Order, approve: Approve | None, reply: Reply | None) -> FinishedRun:
    """Begin the run, or go on with it, and answer what it asks."""
    run = await agency.start(order)
    while True:
        run = await agency.ended(run.id, tenant=None)
        answers = {each.id: said for each in read_wanted(run) if (said := _said(each, approve, reply)) is not None}
        if run.state != "waiting" or not answers:
            return await _finished(agency, run)
        await agency.answer(run.id, answers, tenant=None, by="test")


async def _answered(agency: Agency, id_: str, answers: dict[str, dict[str, Any]]) -> FinishedRun:
    await agency.answer(id_, answers, tenant=None, by="test")
    return await _finished(agency, await agency.ended(id_, tenant=None))


async def _finished(agency: Agency, run: Run) -> FinishedRun:
    events: list[Event] = [event async for event in agency.events(run.id, tenant=None, wait=False)]
    below = dict.fromkeys(event.data["run"] for event in events if event.type == "child")
    runs = [await _finished(agency, await agency.run(id_, tenant=None)) for id_ in below]
    return FinishedRun(run=run, events=tuple(events), below=tuple(runs))


def _said(wanted: Wanted, approve: Approve | None, reply: Reply | None) -> dict[str, Any] | None:
    """The answer to a request; None where nobody plays the person."""
    if wanted.kind == "approval":
        return None if approve is None else _approved(approve(wanted))
    if reply is None:
        return None
    said = reply(wanted)
    return {"text": str(said)} if wanted.kind == "question" else {"value": said}


def _approved(said: bool | str | dict[str, Any]) -> dict[str, Any]:
    if isinstance(said, dict):
        return {"approve": True, "arguments": said}
    return {"approve": False, "reason": said} if isinstance(said, str) else {"approve": said}


def _counted(calls: int) -> Callable[[Receipt], bool]:
    left = calls

    def over(receipt: Receipt) -> bool:
        nonlocal left
        left -= receipt.kind in ("model", "tool")
        return left <= 0

    return over


def _loaded(platform: Platform) -> Loaded:
    """The platform, read leniently: variables for what a test replaces need not be set. Raises `SpecError`."""
    if isinstance(platform, str | Path):
        return load(Path(platform), lenient=True)
    text = yaml.safe_dump(dict(platform), allow_unicode=True)
    return parse(text, Path("platform.yaml"), lenient=True)


def _by_itself(loaded: Loaded, state: Path, scripts: _Scripts, faked: Collection[str]) -> Loaded:
    """The platform with its models replaced and nothing outside its own folder."""
    needed = models_of(loaded, [_without(agent, faked) for agent in loaded.platform.agents])
    for place, each in enumerate(loaded.platform.models):
        if each.name in needed and scripts.of(each) is None:
            loaded.require(f"models[{place}]")
    alone = only(loaded, *needed)
    update = {
        "models": [_spoken(each, scripts.of(each)) for each in alone.platform.models],
        "ledger": Books(),
        "telemetry": Telemetry(),
        "cache": Cache(),
        "milvus": Milvus(),
        "runs": Runs(lease_s=LEASE_S, concurrent=loaded.platform.runs.concurrent),
    }
    return replace(alone, platform=alone.platform.model_copy(update=update), state=state)


def _without(agent: Agent, faked: Collection[str]) -> Agent:
    """The agent without the tools that functions stand for: what these would have asked is not needed."""
    knowledge = [base for base in agent.knowledge if f"search_{base}" not in faked]
    tools = [tool for tool in agent.tools if (tool if isinstance(tool, str) else tool.name) not in faked]
    return agent.model_copy(update={"knowledge": knowledge, "tools": tools})


@dataclass(frozen=True, kw_only=True)
class _Scripts:
    """What models say: one script for all chat models, or one for each by name."""

    every: ScriptEndpoint | None
    by_name: Mapping[str, ScriptEndpoint]

    def of(self, model: Model) -> ScriptEndpoint | None:
        return self.by_name.get(model.name) or (self.every if model.type == "chat" else None)


def _spoken(model: Model, script: ScriptEndpoint | None) -> Model:
    if script is None:
        return model
    alone = {"fallbacks": Fallbacks(), "routing": Routing(), "cache": None, "hedge": None}
    return model.model_copy(update={"serve": [script], **alone})
