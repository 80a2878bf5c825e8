"""An agency on real stores with a scripted model, which can be killed between any two writes and begun again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from hanok.agents.running import HouseAgency, Outside
from hanok.agents.stores.checkpoints import open_checkpoints
from hanok.agents.stores.redis.runs import RedisRuns
from hanok.agents.stores.sqlite import SqliteRuns
from hanok.agents.tool import Tool, ToolCall, ToolResult, ToolSpec
from hanok.agents.tools.surroundings import Surroundings
from hanok.agents.values import Event, Order, Run
from hanok.agents.watching import NOBODY, Watcher
from hanok.ledger import KeyRing
from hanok.serving.engines.script import ScriptEngine
from hanok.spec import Loaded, Platform, ScriptEndpoint
from hanok.wire import Answer, Caller, ChatRequest

ANN = Caller(key_id="ann", key_name="ann", team="red", user="ann")
BOB = Caller(key_id="bob", key_name="bob", team="blue", user="bob")
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"], "additionalProperties": False}


class Killed(BaseException):
    """The process is no more."""


class Deadline:
    """Counts writes, and kills before or after one of them; nothing is written any more then."""

    def __init__(self, at: int | None = None, *, after: bool = False) -> None:
        self.count = 0
        self.dead = False
        self._at = at
        self._after = after

    def before(self) -> int:
        if self.dead:
            raise Killed
        self.count += 1
        if self.count == self._at and not self._after:
            self.dead = True
            raise Killed
        return self.count

    def after(self, write: int) -> None:
        if write == self._at and self._after:
            self.dead = True
            raise Killed


class Mortal:
    """A store that a kill may come to."""

    deadline = Deadline()

    def _mortal(self, write: Callable[..., Any], *given: Any, **named: Any) -> Any:
        number = self.deadline.before()
        done = write(*given, **named)
        self.deadline.after(number)
        return done

    def append(self, *given: Any, **named: Any) -> Any:
        return self._mortal(cast("Any", super()).append, *given, **named)

    def save(self, *given: Any, **named: Any) -> Any:
        return self._mortal(cast("Any", super()).save, *given, **named)


class MortalRuns(Mortal, SqliteRuns):
    """One in a file."""


class MortalRedis(Mortal, RedisRuns):
    """One on a server."""


class Count:
    """A tool that counts its effects. `safe` ones may be repeated."""

    def __init__(self, name: str, *, safe: bool = True, usd: int = 0, says: Callable[[int], str] = str) -> None:
        self.effects: list[int] = []
        self.keys: list[str] = []
        self._says = says
        self.spec = ToolSpec(name=name, description=name, parameters=SCHEMA, safe=safe, cost_nano_usd=usd)

    async def use(self, call: ToolCall) -> ToolResult:
        self.effects.append(call.arguments["x"])
        self.keys.append(call.idempotency_key)
        return ToolResult(content=self._says(call.arguments["x"] * 2))


class Script:
    """A model path of one scripted engine that remembers what it was asked."""

    def __init__(self, turns: Sequence[Mapping[str, Any]], *, ordered: bool = True) -> None:
        spec = ScriptEndpoint.model_validate({"engine": "script", "ordered": ordered, "turns": list(turns)})
        self._engine = ScriptEngine(spec, model="m", endpoint="m#1")
        self.asked: list[ChatRequest] = []

    async def open(self, request: ChatRequest) -> Answer:
        self.asked.append(request)
        return await self._engine.open(request)

    async def perform(self, request: Any) -> Any:
        raise NotImplementedError


class Stage:
    """What lasts from one life of the process to the next."""

    def __init__(self, folder: Path, model: Script, *tools: Tool, **platform: Any) -> None:
        declared = [{"name": tool.spec.name, "type": "python", "code": "def f(): pass"} for tool in tools]
        models = [{"name": "m", "serve": {"engine": "echo"}}]
        read = Platform.model_validate({"models": models, "tools": declared, **platform})
        self.loaded = Loaded(platform=read, file=folder / "platform.yaml", folder=folder, state=folder)
        self.model = model
        self.tools = {tool.spec.name: tool for tool in tools}
        self.watcher: Watcher = NOBODY
        self.keys = KeyRing()
        self.store = MortalRuns
        self.redis: str | None = None
        self.later_s = 0.0
        self.worked_s = 0.0

    def now(self) -> float:
        return time.time() + self.later_s

    def monotonic(self) -> float:
        return time.monotonic() + self.worked_s

    @contextlib.asynccontextmanager
    async def alive(self, deadline: Deadline | None = None) -> AsyncIterator[HouseAgency]:
        """One life. Leases of the one before are over."""
        self.later_s += 1000.0
        deadline = deadline or Deadline()
        store = MortalRedis(self.redis) if self.redis else self.store(self.loaded.state / "agents.db")
        store.deadline = deadline
        async with open_checkpoints(self.loaded.state / "checkpoints.db", database=self.redis) as checkpoints:
            _make_mortal(checkpoints.saver, deadline)
            around = Surroundings(
                folder=self.loaded.folder,
                state=self.loaded.state,
                models=self.model,
                library=None,  # pyright: ignore[reportArgumentType] - no knowledge here
                replaced=self.tools,
            )
            outside = Outside(
                around=around,
                allot=lambda *_: None,
                key_ended=lambda caller: self.keys.ended(caller.key_id),
                watcher=self.watcher,
            )
            agency = HouseAgency(
                loaded=self.loaded,
                store=store,
                checkpoints=checkpoints,
                outside=outside,
                clock=self.now,
                monotonic=self.monotonic,
            )
            living = asyncio.create_task(agency.live())
            try:
                yield agency
            finally:
                living.cancel()
                with contextlib.suppress(asyncio.CancelledError, Killed):
                    await living
                await (_bury(agency) if deadline.dead else asyncio.wait_for(agency.close(), 10))
                store.close()


async def _bury(agency: HouseAgency) -> None:
    """End what the dead would wait for for ever: their last write."""
    closing = asyncio.create_task(agency.close())
    await asyncio.wait([closing], timeout=0.1)
    while left := [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=0.02)


def _make_mortal(saver: Any, deadline: Deadline) -> None:
    for name in ("aput", "aput_writes"):
        write = getattr(saver, name)

        async def mortal(*given: Any, write: Any = write, **named: Any) -> Any:
            number = deadline.before()
            done = await write(*given, **named)
            deadline.after(number)
            return done

        setattr(saver, name, mortal)


def order(text: str, agent: str = "worker", caller: Caller = ANN, **more: Any) -> Order:
    return Order(agent=agent, input=({"role": "user", "content": text},), caller=caller, **more)


async def finished(agency: HouseAgency, run: Run) -> Run:
    """The run, when it has ended or waits."""
    async with asyncio.timeout(20):
        return await agency.ended(run.id, tenant=None)


async def told(agency: HouseAgency, run: Run) -> list[Event]:
    return [event async for event in agency.events(run.id, tenant=None, wait=False)]


def call(tool: str, x: int) -> dict[str, Any]:
    return {"call": {"name": tool, "arguments": {"x": x}}}
