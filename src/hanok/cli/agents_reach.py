"""Agents within reach of a command: those of the running server, or of a house started for as long as it takes.

Both are asked alike and answer in the forms of the HTTP API, so that what a command shows does not depend on which.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, Protocol

from hanok.cli.state import local_caller, read_server
from hanok.cli.terminal import talk
from hanok.errors import StartError

if TYPE_CHECKING:
    from hanok.spec import Agent, Loaded

Form = dict[str, Any]
ENDED = frozenset({"done", "failed", "limited", "cancelled"})
RESTS = ENDED | {"waiting", "paused"}
"""States in which nothing happens until somebody wants it."""


class Agents(Protocol):
    """What commands ask. All raise what goes wrong as the house does, or `StartError` with what a server says."""

    async def graph(self, name: str) -> str:
        """An agent's steps as a Mermaid flowchart."""
        ...

    async def start(self, name: str, order: Form) -> Form:
        """Begin a run: `{input, thread?, limits?}`."""
        ...

    async def run(self, id_: str) -> Form: ...

    async def runs(self, **wanted: Any) -> list[Form]:
        """The newest first: `agent`, `thread`, `state`, `limit`."""
        ...

    def events(self, id_: str, *, after: int = 0, wait: bool = True) -> AsyncGenerator[Form]:
        """Events after that one as they come, until the run rests; without `wait` those that are there."""
        ...

    async def answer(self, id_: str, answers: dict[str, Form]) -> Form: ...

    async def wish(self, id_: str, wish: str) -> Form:
        """`cancel`, `pause` or `resume` a run."""
        ...

    async def fork(self, id_: str, order: Form) -> Form:
        """Go on from a checkpoint of a run's thread: `{checkpoint, input?}`."""
        ...

    async def checkpoints(self, id_: str, *, limit: int) -> list[Form]:
        """Of a run's thread, the latest first."""
        ...

    async def threads(self, *, agent: str | None, limit: int, below: bool = False) -> list[Form]:
        """The latest used first: `{id, agent, metadata, created_at, used_at}`; sub-agents' where `below`."""
        ...

    async def memories(self, agent: str, *, user: str | None) -> list[Form]:
        """What an agent remembers of a user (by default of this machine's key), the latest first."""
        ...

    async def forget(self, agent: str, *, user: str | None, memory: str | None) -> int:
        """Forget one, or all; how many there were."""
        ...


@contextlib.asynccontextmanager
async def reached(loaded: Loaded, *, agent: str | None = None, works: bool = True) -> AsyncGenerator[Agents]:
    """Agents at the running server, else in this process, with the models of `agent` if it `works`."""
    if not loaded.platform.agents:
        raise StartError("platform.yaml declares no agents", hint="declare one under `agents`; see docs/agents.md")
    server = read_server(loaded.state)
    if server is not None:
        from hanok.cli.agents_client import served

        async with served(loaded, server.url) as agents:
            yield agents
        return
    async with _in_this_process(loaded, agent, works=works) as agents:
        yield agents


@contextlib.asynccontextmanager
async def _in_this_process(loaded: Loaded, agent: str | None, *, works: bool) -> AsyncGenerator[Agents]:
    from hanok.assemble import models_of, only, running
    from hanok.cli.agents_here import Here

    loaded.require()
    named = [each for each in loaded.platform.agents if agent in (None, each.name)]
    needed = sorted(models_of(loaded, named)) if works else []
    async with running(only(loaded, *needed)) as house:
        if needed:
            with talk.status(f"No server runs here; loading {', '.join(needed)} …"):
                await house.fleet.wait_started([model.name for model in house.loaded.platform.models])
        assert house.wing.agency is not None, "agents are declared"
        yield Here(house.wing.agency, local_caller(house.ledger), house.wing.remembering)


def chosen(loaded: Loaded, name: str) -> Agent:
    """The declared agent of this name. Raises `StartError`."""
    declared = {agent.name: agent for agent in loaded.platform.agents}
    if name not in declared:
        here = f"agents here: {', '.join(declared)}" if declared else "declare one under `agents`; see docs/agents.md"
        raise StartError(f"no agent is called {name!r}", hint=here)
    return declared[name]
