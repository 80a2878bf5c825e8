"""A body that is poured is handed over as it comes, with breaks where they are wanted, and ends as one that is read."""

from __future__ import annotations

import asyncio
import time

import pytest

from hanok.errors import EngineBroken, EngineTimeout
from tests.hostile import (
    HASTY,
    exchanges,
    hostile,
    on_both_loops,
    plain,
    pool_to,
    read_request,
    send,
    then_close,
    then_wait,
)
from tests.rooms.serving.test_client_bodies import HELLO_CHUNKED, MIB
from tests.rooms.serving.test_client_patience import BEGUN, SOON_S, drip


@on_both_loops
async def test_a_body_is_poured_as_it_comes_and_the_connection_is_kept() -> None:
    pieces = [HELLO_CHUNKED[at : at + 1] for at in range(len(HELLO_CHUNKED))]
    async with hostile(exchanges(pieces, plain(b"next"))) as server:
        with pool_to(server) as pool:
            found: list[bytes] = []
            response = await pool.request("GET", "/")
            assert await response.pour(lambda data: found.append(data) is None)
            assert b"".join(found) == b"hello world"
            assert await response.pour(lambda data: found.append(data) is None), "what is over stays over"
            assert await (await pool.request("GET", "/")).whole(MIB) == b"next"
            assert server.connections == 1


@on_both_loops
async def test_whoever_pours_may_take_breaks_of_any_length() -> None:
    wanted = asyncio.Queue[bytes]()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await send(writer, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(3):
            await send(writer, b"3\r\n" + await wanted.get() + b"\r\n")
        await send(writer, b"0\r\n\r\n")

    async with hostile(talk) as server:
        with pool_to(server, HASTY) as pool:
            response = await pool.request("GET", "/")
            found: list[bytes] = []
            for word in (b"one", b"two", b"six"):
                wanted.put_nowait(word)
                await asyncio.sleep(HASTY.idle_s / 2)
                assert not await response.pour(lambda data: found.append(data) is not None)
            assert found == [b"one", b"two", b"six"]
            assert await response.pour(lambda _: False)


@on_both_loops
async def test_what_was_poured_before_the_connection_breaks_is_handed_over() -> None:
    async def check(begun: bytes) -> None:
        async with hostile(then_close(begun)) as server:
            with pool_to(server) as pool:
                found: list[bytes] = []
                response = await pool.request("GET", "/")
                with pytest.raises(EngineBroken, match="in the middle of an answer"):
                    await response.pour(lambda data: found.append(data) is None)
                with pytest.raises(EngineBroken, match="in the middle of an answer"):
                    await response.pour(lambda data: found.append(data) is None)
                assert b"".join(found) == b"begun"
                assert pool.connections() == (0, 0)

    await asyncio.gather(*(check(begun) for begun in BEGUN[:2]))


@on_both_loops
async def test_an_engine_that_falls_silent_while_it_is_poured_runs_out_of_time() -> None:
    async def check(begun: bytes) -> None:
        async with hostile(then_wait(begun)) as server:
            with pool_to(server, HASTY) as pool:
                response = await pool.request("GET", "/")
                started = time.monotonic()
                with pytest.raises(EngineTimeout, match=r"fell silent in the middle of an answer for 0\.3 s"):
                    await response.pour(lambda _: True)
                assert 0.3 <= time.monotonic() - started < SOON_S, begun
                await server.nobody_is_left()

    await asyncio.gather(*(check(begun) for begun in BEGUN))


@on_both_loops
async def test_dripping_everything_but_the_body_wins_no_time_while_it_is_poured() -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    async with hostile(drip(head + b"5;x=", b"y")) as server:
        with pool_to(server, HASTY) as pool:
            response = await pool.request("GET", "/")
            started = time.monotonic()
            with pytest.raises(EngineTimeout):
                await response.pour(lambda _: True)
            assert time.monotonic() - started < SOON_S


@on_both_loops
async def test_what_the_taker_raises_is_raised_and_cuts_the_connection() -> None:
    def refuse(data: bytes) -> bool:
        raise ValueError(data.decode())

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await send(writer, b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n")
        await asyncio.sleep(0.05)
        await send(writer, b"begun")
        await reader.read()

    async with hostile(talk) as server:
        with pool_to(server) as pool:
            response = await pool.request("GET", "/")
            with pytest.raises(ValueError, match="begun"):
                await response.pour(refuse)
            await server.nobody_is_left()
            assert pool.connections() == (0, 0)
