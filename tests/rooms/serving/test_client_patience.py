"""An engine is given its time and no more, and a reader takes as long as it likes without the house filling up."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from hanok.errors import EngineTimeout, EngineUnreachable
from hanok.serving.client import Pool, Response
from hanok.serving.client.connection import BUFFER_HIGH_BYTES
from hanok.spec import Timeouts
from tests.hostile import (
    HASTY,
    NO_TIME,
    chunked,
    exchanges,
    forever,
    full_port,
    hostile,
    left,
    on_both_loops,
    plain,
    pool_to,
    read_request,
    send,
    then_wait,
    turns,
    until_eof,
)

MIB = 1024 * 1024
SOON_S = 3.0  # a limit of 0.3 s, a sweep every 0.1 s, and a slow machine
BEGUN = [
    b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nbegun\r\n",
    until_eof(b"begun"),
]


def drip(beginning: bytes, again: bytes) -> Any:
    """Sends `beginning`, and then a little of `again` every few milliseconds until the client leaves."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(beginning)
        for place in range(10**6):
            writer.write(again[place % len(again) :][:1])
            await writer.drain()
            await asyncio.sleep(0.02)

    return talk


# time


@on_both_loops
async def test_an_engine_that_does_not_answer_runs_out_of_time() -> None:
    async def check(said: bytes) -> None:
        async with hostile(then_wait(said)) as server:
            with pool_to(server, HASTY) as pool:
                started = time.monotonic()
                with pytest.raises(EngineTimeout, match=r"did not begin to answer for 0\.3 s"):
                    await pool.request("GET", "/")
                assert 0.3 <= time.monotonic() - started < SOON_S, said
                await server.nobody_is_left()
                assert pool.connections() == (0, 0), said

    begun = [b"", b"\r\n", b"H", b"HTTP/1.1 200 OK\r\nserver: x\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"]
    await asyncio.gather(*(check(said) for said in begun))


@on_both_loops
async def test_an_engine_that_drips_its_headers_runs_out_of_time() -> None:
    async def check(beginning: bytes) -> None:
        async with hostile(drip(beginning, b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1000)) as server:
            with pool_to(server, HASTY) as pool:
                started = time.monotonic()
                with pytest.raises(EngineTimeout):
                    await pool.request("GET", "/")
                assert 0.3 <= time.monotonic() - started < SOON_S, beginning
                await server.nobody_is_left()

    await asyncio.gather(check(b""), check(b"HTTP/1.1 200 OK\r\nx: "), check(b"HTTP/1.1 103 Hints\r\n\r\n"))


@on_both_loops
async def test_an_engine_that_falls_silent_runs_out_of_time() -> None:
    async def check(begun: bytes) -> None:
        async with hostile(then_wait(begun)) as server:
            with pool_to(server, HASTY) as pool:
                response = await pool.request("GET", "/")
                assert await response.read() == b"begun"
                started = time.monotonic()
                with pytest.raises(EngineTimeout, match=r"fell silent in the middle of an answer for 0\.3 s"):
                    await response.read()
                assert 0.3 <= time.monotonic() - started < SOON_S, begun
                await server.nobody_is_left()
                assert pool.connections() == (0, 0), begun

    await asyncio.gather(*(check(begun) for begun in BEGUN))


@on_both_loops
async def test_an_engine_that_drips_everything_but_the_body_runs_out_of_time() -> None:
    async def check(beginning: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        async with hostile(drip(head + beginning, b"y")) as server:
            with pool_to(server, HASTY) as pool:
                response = await pool.request("GET", "/")
                started = time.monotonic()
                with pytest.raises(EngineTimeout):
                    await response.whole(MIB)
                assert time.monotonic() - started < SOON_S, beginning
                await server.nobody_is_left()

    await asyncio.gather(check(b"5;x="), check(b"5\r\nhello\r\n0\r\nx: "))


@on_both_loops
async def test_a_slow_engine_that_keeps_sending_has_time_without_end() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
        for _ in range(5):
            await asyncio.sleep(0.1)
            writer.write(b"x")

    async with hostile(talk) as server:
        with pool_to(server, HASTY) as pool:
            started = time.monotonic()
            assert await (await pool.request("GET", "/")).whole(MIB) == b"x" * 5
            assert time.monotonic() - started > 1.4 * HASTY.idle_s


@on_both_loops
async def test_the_first_byte_and_every_byte_after_it_have_their_own_limits() -> None:
    async with hostile(then_wait(BEGUN[0])) as server:
        with (
            pool_to(server, Timeouts(connect_s=5, first_byte_s=30, idle_s=0.1)) as hasty,
            pool_to(server, Timeouts(connect_s=5, first_byte_s=0.1, idle_s=30)) as patient,
        ):
            first, second = await hasty.request("GET", "/"), await patient.request("GET", "/")
            waiting = asyncio.create_task(second.whole(MIB))
            with pytest.raises(EngineTimeout, match=r"fell silent in the middle of an answer for 0\.1 s"):
                await first.whole(MIB)
            await asyncio.sleep(0.1)
            assert not waiting.done()
            waiting.cancel()


@on_both_loops
async def test_a_slow_reader_is_not_held_against_the_engine() -> None:
    async def check(begun: bytes, more: bytes, pause_after: int) -> None:
        speak = asyncio.Event()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            await send(writer, begun)
            await speak.wait()
            await send(writer, more)
            await left(reader)

        async with hostile(talk) as server:
            with pool_to(server, HASTY) as pool:
                response = await pool.request("GET", "/")
                for reads, expected in enumerate((b"begun", more and b"more")):
                    if reads == pause_after:
                        await asyncio.sleep(0.42)
                    assert await response.read() == expected
                    speak.set()

    length, chunks, until = BEGUN
    pieces = [(length, b"more"), (chunks, b"4\r\nmore\r\n"), (until, b"more"), (plain(b"begun"), b"")]
    await asyncio.gather(*(check(*each, pause_after) for each in pieces for pause_after in (0, 1)))


@on_both_loops
async def test_one_that_is_out_of_time_takes_no_other_with_it() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = (await read_request(reader)).body
        if body == b"answer":
            await asyncio.sleep(0.2)
            await send(writer, b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfi")
            await asyncio.sleep(0.2)
            await send(writer, b"ne")
        await asyncio.Event().wait()

    async def ask(pool: Pool, body: bytes) -> bytes:
        return await (await pool.request("POST", "/", body)).whole(MIB)

    async with hostile(talk) as server:
        with pool_to(server, HASTY) as pool:
            bodies = [b"answer", b"do not"] * 10
            results = await asyncio.gather(*(ask(pool, body) for body in bodies), return_exceptions=True)
            assert results[::2] == [b"fine"] * 10
            assert all(isinstance(result, EngineTimeout) for result in results[1::2])
            assert pool.connections() == (0, 10)


@on_both_loops
async def test_an_engine_is_not_blamed_for_an_event_loop_that_was_busy() -> None:
    asked, answered = threading.Event(), threading.Event()

    def answer() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            asked.set()
            connection.sendall(plain(b"ok"))
            answered.set()
            connection.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer)
        thread.start()
        pool = Pool(f"http://127.0.0.1:{listening.getsockname()[1]}", timeouts=HASTY)
        task = asyncio.create_task(pool.request("GET", "/"))
        while not asked.is_set():
            await asyncio.sleep(0)
        answered.wait(5)
        time.sleep(0.42)  # noqa: ASYNC251 - the busy loop is what this is about
        assert await (await task).whole(MIB) == b"ok"
        pool.close()
        await turns()
        thread.join(5)


@on_both_loops
async def test_a_port_that_accepts_nobody_runs_out_of_time() -> None:
    with full_port() as port:
        pool = Pool(f"http://127.0.0.1:{port}", timeouts=NO_TIME)
        started = time.monotonic()
        with pytest.raises(EngineUnreachable, match=r"did not accept a connection for 0\.1 s"):
            await pool.request("GET", "/")
        assert 0.09 <= time.monotonic() - started < SOON_S
        assert pool.connections() == (0, 0)
        pool.close()


@on_both_loops
async def test_connecting_can_be_cancelled() -> None:
    with full_port() as port:
        pool = Pool(f"http://127.0.0.1:{port}", timeouts=Timeouts())
        task = asyncio.create_task(pool.request("GET", "/"))
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pool.connections() == (0, 0)
        pool.close()


# room


class Push:
    """An engine that sends `size` bytes as fast as they are taken."""

    def __init__(self, size: int, chunk: int = 0) -> None:
        self.size = size
        self.sent = 0
        self.gone = asyncio.Event()
        piece = bytes(range(256)) * 256
        self._head, self._piece, self._tail = f"HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n".encode(), piece, b""
        if chunk:
            self._head, self._tail = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"0\r\n\r\n"
            self._piece = b"".join(b"%x\r\n%s\r\n" % (chunk, piece[at : at + chunk]) for at in range(0, 65536, chunk))

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        try:
            writer.write(self._head)
            while self.sent < self.size:
                writer.write(self._piece)
                await writer.drain()
                self.sent += 65536
            await send(writer, self._tail)
        finally:
            self.gone.set()

    async def stuck(self) -> int:
        """Wait until nothing is taken any more, and tell how much was."""
        before = -1
        while before != self.sent:
            before = self.sent
            await turns(50)
        return before


def held(response: Response) -> int:
    """How many bytes of body the client holds for a reader."""
    connection = response._connection
    assert connection is not None
    assert sum(len(part) for part in connection._parts) == connection._buffered
    return connection._buffered


@pytest.mark.parametrize("chunk", [0, 4096, 16], ids=["length", "chunks", "tiny chunks"])
@on_both_loops
async def test_an_engine_that_is_faster_than_the_reader_has_to_wait(chunk: int) -> None:
    push = Push((8 if chunk == 16 else 50) * MIB, chunk)
    async with hostile(push) as server:
        with pool_to(server) as pool:
            response = await pool.request("GET", "/")
            assert await push.stuck() < push.size
            assert BUFFER_HIGH_BYTES < held(response) <= BUFFER_HIGH_BYTES + 256 * 1024
            assert not response._connection._transport.is_reading()
            size = 0
            while data := await response.read():
                assert data[:256] == bytes((size + number) % 256 for number in range(min(256, len(data))))
                size += len(data)
                assert len(data) <= BUFFER_HIGH_BYTES + 256 * 1024
            assert size == push.size
            assert pool.connections() == (0, 1)


@on_both_loops
async def test_an_engine_may_wait_for_the_reader_longer_than_it_may_be_silent() -> None:
    push = Push(20 * MIB)
    async with hostile(push) as server:
        with pool_to(server, HASTY) as pool:
            response = await pool.request("GET", "/")
            await push.stuck()
            await asyncio.sleep(0.42)
            assert await response.read()
            assert len(await response.whole(20 * MIB)) > 19 * MIB


async def _close(response: Response, pool: Pool) -> None:
    response.close()


async def _close_pool(response: Response, pool: Pool) -> None:
    pool.close()
    with pytest.raises(Exception, match="closed the connection"):
        await response.whole(100 * MIB)


async def _cancel(response: Response, pool: Pool) -> None:
    while held(response):
        await response.read()
    task = asyncio.create_task(response.whole(100 * MIB))
    await turns(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("give_up", [_close, _close_pool, _cancel])
@on_both_loops
async def test_an_engine_that_waits_for_the_reader_is_told_when_it_gives_up(
    give_up: Callable[[Response, Pool], Any],
) -> None:
    push = Push(50 * MIB)
    async with hostile(push) as server:
        with pool_to(server) as pool:
            response = await pool.request("GET", "/")
            assert await push.stuck() < push.size
            await give_up(response, pool)
            await push.gone.wait()
            assert push.sent < push.size
            assert pool.connections() == (0, 0)


@on_both_loops
async def test_a_body_that_was_held_back_ends_where_the_engine_broke_off() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n" + b"x" * 2 * MIB)
        await writer.drain()

    async with hostile(talk) as server:
        with pool_to(server) as pool:
            response = await pool.request("GET", "/")
            await turns(50)
            size = 0
            with pytest.raises(Exception, match="closed the connection in the middle of an answer"):
                while data := await response.read():
                    size += len(data)
            assert size == 2 * MIB


@on_both_loops
async def test_a_body_until_the_end_of_the_connection_is_held_back_and_read_whole() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await send(writer, until_eof(b"x" * 10 * MIB))

    async with hostile(talk) as server:
        with pool_to(server) as pool:
            response = await pool.request("GET", "/")
            await turns(50)
            assert held(response) <= BUFFER_HIGH_BYTES + 256 * 1024
            assert await response.whole(10 * MIB) == b"x" * 10 * MIB


@on_both_loops
async def test_a_connection_that_was_held_back_is_used_again() -> None:
    raw = chunked(*[b"y" * 65536] * 16)
    async with hostile(exchanges(raw, raw, raw), forever(plain(b"never"))) as server:
        with pool_to(server) as pool:
            for _ in range(3):
                response = await pool.request("GET", "/")
                await turns(50)
                assert await response.whole(MIB) == b"y" * MIB
            assert server.connections == 1
