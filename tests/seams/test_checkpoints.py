"""One text for all places of checkpoints: what is pruned can still be read whole, and nothing read is run."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, TypedDict

import ormsgpack
import psycopg
import pytest
from langgraph.channels.delta import DeltaChannel
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from hanok.agents.state import extend
from hanok.agents.stores.checkpoints import Checkpoints, PlainSerializer, open_checkpoints
from hanok.agents.stores.retention import Stored, kept
from hanok.errors import StoreError
from tests.postgres import Postgres
from tests.seams.conftest import fresh_url, raw_redis
from tests.seams.shared_places import restartable

OPEN = Callable[[], Any]


class State(TypedDict, total=False):
    messages: Annotated[list[dict[str, Any]], DeltaChannel(extend, snapshot_frequency=4)]
    unused: Annotated[list[dict[str, Any]], DeltaChannel(extend, snapshot_frequency=4)]
    note: str
    count: int
    until: int


class Inner(TypedDict, total=False):
    note: str


def step(state: State) -> State:
    count = state.get("count", 0)
    return {"messages": ({"id": f"m{count}", "content": "x"},), "count": count + 1, "note": f"n{count}"}  # type: ignore[typeddict-item]


def graph(checkpoints: Checkpoints, **nodes: Any) -> Any:
    """Adds a message a step, until there are as many as `until` says; `nodes` come after that."""
    builder: Any = StateGraph(State)
    builder.add_node("step", step)
    builder.add_edge(START, "step")
    after = next(iter(nodes), END)

    def follow(state: State) -> str:
        return "step" if state.get("count", 0) < state.get("until", 0) else after

    builder.add_conditional_edges("step", follow)
    for name, node in nodes.items():
        builder.add_node(name, node)
        builder.add_edge(name, END)
    return builder.compile(checkpointer=checkpoints.saver)


def at(thread: str, checkpoint: str | None = None) -> dict[str, Any]:
    where = {"thread_id": thread} | ({"checkpoint_id": checkpoint} if checkpoint else {})
    return {"configurable": where, "recursion_limit": 1000}


async def run(compiled: Any, thread: str, until: int) -> None:
    await compiled.ainvoke({"messages": (), "until": until}, at(thread), durability="sync")


async def messages(compiled: Any, thread: str, checkpoint: str | None = None) -> list[str]:
    state = await compiled.aget_state(at(thread, checkpoint))
    return [each["id"] for each in state.values.get("messages", [])]


async def history(compiled: Any, thread: str) -> list[Any]:
    return [each async for each in compiled.aget_state_history(at(thread))]


def numbered(count: int) -> list[str]:
    return [f"m{number}" for number in range(count)]


@pytest.fixture(params=["sqlite", "postgres", "redis"])
def database(request: pytest.FixtureRequest) -> str | None:
    return None if request.param == "sqlite" else fresh_url(request, request.param)


@pytest.fixture
def opened(database: str | None, tmp_path: Path) -> OPEN:
    return lambda: open_checkpoints(tmp_path / "state" / "checkpoints.db", database=database)


def test_a_pruned_thread_is_still_there_whole_and_goes_on(opened: OPEN) -> None:
    async def work() -> None:
        async with opened() as checkpoints:
            compiled = graph(checkpoints)
            for until in range(3, 60, 7):
                await run(compiled, "t", until)
                await run(compiled, "other", until)
                await checkpoints.prune("t", keep=5)
                assert await messages(compiled, "t") == numbered(until)
                left = await history(compiled, "t")
                assert 5 <= len(left) <= 5 + 2 * 4, "the latest, and what they are made of"
                for each in left[:5]:
                    count = each.values.get("count", 0)
                    found = await messages(compiled, "t", each.config["configurable"]["checkpoint_id"])
                    assert found[: count + 1] == numbered(len(found))
                    assert len(found) == count
                assert left[-1].parent_config is None
            assert len(await history(compiled, "other")) > 60
            assert await checkpoints.prune("t", keep=5) == 0
            assert await checkpoints.prune("none", keep=5) == 0

    asyncio.run(work())


def test_a_thread_that_waits_is_pruned_and_resumed(opened: OPEN) -> None:
    def ask(state: State) -> State:
        return {"note": interrupt({"question": "go on?"})}

    async def work() -> None:
        async with opened() as checkpoints:
            compiled = graph(checkpoints, ask=ask)
            await run(compiled, "t", 10)
            assert await checkpoints.prune("t", keep=1) > 0
            state = await compiled.aget_state(at("t"))
            assert state.next == ("ask",)
            assert state.interrupts[0].value == {"question": "go on?"}
        async with opened() as checkpoints:
            compiled = graph(checkpoints, ask=ask)
            ended = await compiled.ainvoke(Command(resume="yes"), at("t"), durability="sync")
            assert ended["note"] == "yes"
            assert await messages(compiled, "t") == numbered(10)

    asyncio.run(work())


def test_calls_of_subgraphs_go_with_the_checkpoints_that_they_began_from(opened: OPEN) -> None:
    async def work() -> None:
        async with opened() as checkpoints:
            inner: Any = StateGraph(Inner)
            inner.add_node("inside", lambda _: {"note": "inside"})
            inner.add_edge(START, "inside")
            compiled = graph(checkpoints, inner=inner.compile())
            for until in range(1, 5):
                await run(compiled, "t", until)
            before = await calls(checkpoints)
            await checkpoints.prune("t", keep=4)
            after = await calls(checkpoints)
            left = {each.config["configurable"]["checkpoint_id"] for each in await history(compiled, "t")}
            assert len(before) == 4
            assert 0 < len(after) < 4
            assert set(after.values()) == set(before.values()) & left
            assert await messages(compiled, "t") == numbered(4)

    asyncio.run(work())


async def calls(checkpoints: Checkpoints) -> dict[str, str]:
    """The namespaces of calls of subgraphs, and the checkpoints that they began from."""
    found: list[Any] = [each async for each in checkpoints.saver.alist({"configurable": {"thread_id": "t"}})]
    named = [(each.config["configurable"]["checkpoint_ns"], each.metadata["parents"].get("")) for each in found]
    return {namespace: root for namespace, root in named if namespace}


def test_a_thread_is_copied_as_it_was_at_a_checkpoint(opened: OPEN) -> None:
    async def work() -> None:
        async with opened() as checkpoints:
            compiled = graph(checkpoints)
            await run(compiled, "t", 11)
            middle = next(each for each in await history(compiled, "t") if each.values.get("count") == 6)
            id_ = middle.config["configurable"]["checkpoint_id"]
            assert await checkpoints.copy("t", "fork", checkpoint=id_) == id_
            copied = await compiled.aget_state(at("fork"))
            assert (copied.values, copied.next) == (middle.values, middle.next)
            ended = await compiled.ainvoke({"until": 8, "messages": ({"id": "new"},)}, at("fork"), durability="sync")
            assert [each["id"] for each in ended["messages"]] == [*numbered(6), "new", "m6", "m7"]
            assert await messages(compiled, "t") == numbered(11), "the other is as it was"
            latest = await checkpoints.copy("t", "twin")
            assert latest is not None
            assert await messages(compiled, "twin") == numbered(11)
            await checkpoints.remove("t")
            assert await messages(compiled, "t") == []
            assert await messages(compiled, "twin") == numbered(11)
            await run(compiled, "twin", 13)
            await checkpoints.prune("twin", keep=1)
            assert await messages(compiled, "twin") == numbered(13)
            assert await checkpoints.copy("none", "x") is None
            assert await checkpoints.copy("twin", "x", checkpoint="zzz") is None

    asyncio.run(work())


def test_what_a_checkpoint_says_is_never_run(opened: OPEN, tmp_path: Path, database: str | None) -> None:
    """A message that was stored is changed to call `os.system`."""
    mark = tmp_path / "mark"
    call = ormsgpack.Ext(0, ormsgpack.packb(("os", "system", f"touch {mark}")))

    async def work() -> None:
        async with opened() as checkpoints:
            compiled = graph(checkpoints)
            await run(compiled, "t", 1)
            spoil(tmp_path, database, ormsgpack.packb([{"id": call}]))
            assert await messages(compiled, "t") == [f"touch {mark}"], "it was read as data"

    asyncio.run(work())
    assert not mark.exists()


def spoil(folder: Path, database: str | None, value: bytes) -> None:
    """Put it in the place of all messages."""
    if database and database.startswith("redis:"):
        with raw_redis(database) as server:
            spoil_redis(server, value)
        return
    if database:
        with psycopg.connect(database) as server:
            server.execute("UPDATE hanok_agents.checkpoint_writes SET blob = %s WHERE channel = 'messages'", (value,))
        return
    with closing(sqlite3.connect(folder / "state" / "checkpoints.db")) as file, file:
        file.execute("UPDATE writes SET value = ? WHERE channel = 'messages'", (value,))


def spoil_redis(server: Any, value: bytes) -> None:
    for key in server.scan_iter("*:writes:*"):
        for field, write in server.hgetall(key).items():
            path, channel, type_, _ = ormsgpack.unpackb(write)
            if channel == "messages":
                server.hset(key, field, ormsgpack.packb((path, channel, type_, value)))


def test_older_forms_that_may_name_code_are_not_read() -> None:
    lists_a_class = (
        b'{"lc": 1, "type": "constructor", "id": ["langchain_core", "prompts", "PromptTemplate"], "kwargs": {}}'
    )
    for kind, data in (("pickle", b"cos\nsystem\n(Vfalse\ntR."), ("json", lists_a_class)):
        with pytest.raises(NotImplementedError, match="may name code"):
            PlainSerializer().loads_typed((kind, data))


def test_who_is_cancelled_while_writing_keeps_nobody_from_writing(tmp_path: Path) -> None:
    """Between the statement and its commit: the connection is one for all."""
    file = tmp_path / "checkpoints.db"

    async def work() -> None:
        async with open_checkpoints(file) as checkpoints:
            compiled = graph(checkpoints)
            for wait in range(40):
                task = asyncio.create_task(run(compiled, f"t{wait}", 5))
                for _ in range(wait):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
                other = sqlite3.connect(file, timeout=0)
                other.execute("BEGIN IMMEDIATE")
                other.close()

    asyncio.run(work())


def test_a_server_that_was_away_is_found_again_by_itself(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.fresh()

    async def work() -> None:
        async with open_checkpoints(tmp_path / "none", database=url) as checkpoints:
            compiled = graph(checkpoints)
            await run(compiled, "t", 3)
            await asyncio.to_thread(postgres.kill)
            await asyncio.to_thread(postgres.start)
            assert await messages(compiled, "t") == numbered(3)
            assert await checkpoints.prune("t", keep=1) > 0

    asyncio.run(work())


def test_a_redis_that_was_away_is_found_again_by_itself(tmp_path: Path) -> None:
    async def work(server: Any) -> None:
        async with open_checkpoints(tmp_path / "none", database=server.url) as checkpoints:
            compiled = graph(checkpoints)
            await run(compiled, "t", 3)
            server.kill()
            with pytest.raises(StoreError, match="cannot be used"):
                await messages(compiled, "t")
            server.come_back()
            assert await messages(compiled, "t") == numbered(3)
            assert await checkpoints.prune("t", keep=1) > 0

    with restartable(tmp_path / "server") as server:
        asyncio.run(work(server))


def test_nothing_is_left_in_redis_of_a_thread_that_is_removed(request: pytest.FixtureRequest) -> None:
    url = fresh_url(request, "redis")

    async def work() -> None:
        async with open_checkpoints(Path("none"), database=url, platform="p") as checkpoints:
            await run(graph(checkpoints), "t: {}/", 3)
            await checkpoints.saver.aput_writes(
                {"configurable": {"thread_id": "t: {}/", "checkpoint_ns": "", "checkpoint_id": "x"}}, [("a", 1)], "task"
            )
            await checkpoints.remove("t: {}/")

    asyncio.run(work())
    with raw_redis(url) as server:
        assert server.keys() == [b"hanok:{p}:agents:checkpoints-version"]


def test_several_begin_at_once(opened: OPEN) -> None:
    async def begin(number: int) -> None:
        async with opened() as checkpoints:
            await run(graph(checkpoints), f"t{number}", 2)

    async def work() -> None:
        await asyncio.gather(*(begin(number) for number in range(4)))

    asyncio.run(work())


def test_processes_that_start_together_make_one_file(tmp_path: Path) -> None:
    async def begin(file: Path) -> None:
        async with open_checkpoints(file):
            pass

    async def work() -> None:
        for number in range(40):
            await asyncio.gather(*(begin(tmp_path / f"{number}.db") for _ in range(8)))

    asyncio.run(work())


def test_a_server_that_does_not_answer_is_told(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_checkpoints(tmp_path, database="postgresql://u:hidden@127.0.0.1:1/d"):
            pass

    with pytest.raises(StoreError, match="cannot be used") as caught:
        asyncio.run(work())
    assert "hidden" not in str(caught.value)


def test_what_stays_is_the_latest_and_their_ancestors_back_to_a_whole_value() -> None:
    parents = {f"{number:02}": f"{number - 1:02}" if number else None for number in range(20)}
    parents["15b"] = "15"

    def read(id_: str) -> Stored:
        whole = frozenset({"messages"}) if int(id_[:2]) % 5 == 0 else frozenset[str]()
        return Stored(counted=frozenset({"messages"}), whole=whole, parts=frozenset({"messages"}) - whole)

    assert kept(parents, 2, read) == {"19", "18", "17", "16", "15"}
    assert kept(parents, 5, read) == {"19", "18", "17", "16", "15b", "15"}
    assert kept(
        {"2": "1", "1": "2"}, 1, lambda _: Stored(counted=frozenset({"m"}), whole=frozenset(), parts=frozenset({"m"}))
    ) == {"1", "2"}, "a loop ends"
