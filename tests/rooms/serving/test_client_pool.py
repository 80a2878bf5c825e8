"""Connections are kept, replaced, given up and cut as they should be."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hanok.errors import EngineBroken, EngineError, EngineTimeout, EngineUnreachable
from tests.hostile import (
    HASTY,
    Request,
    chunked,
    exchanges,
    forever,
    hostile,
    left,
    on_both_loops,
    plain,
    pool_to,
    read_request,
    reset,
    send,
    then_close,
    then_half_close,
    then_reset,
    then_wait,
    turns,
    until_eof,
)

MIB = 1024 * 1024
OK = plain(b"ok")
BEGUN = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun"


async def ask(pool: Any, body: bytes = b"") -> bytes:
    response = await pool.request("POST", "/", body)
    return await response.whole(MIB)


# kept


@pytest.mark.parametrize("raw", [OK, chunked(b"o", b"k")], ids=["length", "chunked"])
@on_both_loops
async def test_a_connection_is_used_again(raw: bytes) -> None:
    async with hostile(forever(raw)) as server:
        with pool_to(server) as pool:
            for _ in range(5):
                assert await ask(pool) == b"ok"
                assert pool.connections() == (0, 1)
            assert server.connections == 1


@on_both_loops
async def test_a_connection_in_use_is_not_shared() -> None:
    async with hostile(forever(OK)) as server:
        with pool_to(server) as pool:
            first = await pool.request("GET", "/")
            second = await pool.request("GET", "/")
            assert pool.connections() == (2, 0)
            assert await first.whole(MIB) == await second.whole(MIB) == b"ok"
            assert pool.connections() == (0, 2)
            assert await ask(pool) == b"ok"
            assert server.connections == 2


@on_both_loops
async def test_a_hundred_requests_at_once_each_get_their_own_answer() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            body = (await read_request(reader)).body
            half = len(body) // 2
            await send(writer, *chunked(body[:half], body[half:]).partition(b"\r\n\r\n"))

    async with hostile(talk) as server:
        with pool_to(server) as pool:
            for wave in range(3):
                asked = [b"%d/%d " % (wave, number) * (number + 1) for number in range(100)]
                assert await asyncio.gather(*(ask(pool, body) for body in asked)) == asked
                assert pool.connections() == (0, 100)
            assert server.connections == 100


@pytest.mark.parametrize(
    "raw",
    [
        plain(b"ok", b"connection: close"),
        plain(b"ok", b"Connection: Close"),
        plain(b"ok", b"connection: x-thing, close"),
        chunked(b"ok", headers=[b"connection: close"]),
        plain(b"ok").replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
@on_both_loops
async def test_a_connection_that_the_engine_will_close_is_not_used_again(raw: bytes) -> None:
    gone = asyncio.Event()
    async with hostile(then_wait(raw, gone=gone)) as server:
        with pool_to(server) as pool:
            assert await ask(pool) == b"ok"
            assert pool.connections() == (0, 0)
            await gone.wait()
            assert await ask(pool) == b"ok"
            assert server.connections == 2


@on_both_loops
async def test_an_old_engine_may_ask_to_keep_the_connection() -> None:
    raw = plain(b"ok", b"connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0")
    async with hostile(forever(raw)) as server:
        with pool_to(server) as pool:
            assert await ask(pool) == await ask(pool) == b"ok"
            assert server.connections == 1


@pytest.mark.parametrize("hint", [b"timeout=0", b"timeout=1", b"max=9, timeout=1", b"Timeout = 1"])
@on_both_loops
async def test_a_connection_is_given_up_a_second_before_the_engine_would_close_it(hint: bytes) -> None:
    gone = asyncio.Event()
    async with hostile(then_wait(plain(b"ok", b"keep-alive: " + hint), gone=gone), forever(OK)) as server:
        with pool_to(server) as pool:
            assert await ask(pool) == b"ok"
            assert await ask(pool) == b"ok"
            assert server.connections == 2
            await gone.wait()


@on_both_loops
async def test_a_connection_whose_time_is_over_is_closed_without_being_asked() -> None:
    gone = asyncio.Event()
    async with hostile(then_wait(plain(b"ok", b"keep-alive: timeout=1"), gone=gone)) as server:
        with pool_to(server) as pool:
            assert await ask(pool) == b"ok"
            await gone.wait()
            assert pool.connections() == (0, 0)


@pytest.mark.parametrize(
    "hint", [b"timeout=60", b"timeout=2", b"max=100", b"timeout", b"timeout=", b"timeout=-1", b"timeout=x", b",,=", b""]
)
@on_both_loops
async def test_other_keep_alive_hints_do_no_harm(hint: bytes) -> None:
    async with hostile(forever(plain(b"ok", b"keep-alive: " + hint))) as server:
        with pool_to(server) as pool:
            assert await ask(pool) == await ask(pool) == b"ok"
            assert server.connections == 1


@on_both_loops
async def test_an_absurdly_long_keep_alive_hint_does_no_harm() -> None:
    async with hostile(forever(plain(b"ok", b"keep-alive: timeout=" + b"9" * 5000))) as server:
        with pool_to(server) as pool:
            assert await ask(pool) == b"ok"


@on_both_loops
async def test_answers_before_the_answer_do_not_set_how_long_a_connection_is_kept() -> None:
    async with hostile(forever(b"HTTP/1.1 103 Early Hints\r\nkeep-alive: timeout=0\r\n\r\n" + OK)) as server:
        with pool_to(server) as pool:
            assert await ask(pool) == await ask(pool) == b"ok"
            assert server.connections == 1


# replaced


async def _take_second_request_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    await send(writer, OK)
    await read_request(reader)


async def _take_second_request_and_reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    await send(writer, OK)
    await reader.readexactly(1)
    reset(writer)


@pytest.mark.parametrize("close", [_take_second_request_and_close, _take_second_request_and_reset])
@on_both_loops
async def test_a_kept_connection_that_the_engine_closed_as_it_was_used_is_replaced_once(close: Any) -> None:
    requests: list[Request] = []
    async with hostile(close, exchanges(OK, requests=requests)) as server:
        with pool_to(server) as pool:
            assert await ask(pool) == b"ok"
            assert await ask(pool, b'{"a":1}') == b"ok"
            assert server.connections == 2
            assert [request.body for request in requests] == [b'{"a":1}']
            assert pool.connections() == (0, 1)


@on_both_loops
async def test_a_kept_connection_that_the_engine_closed_just_before_is_replaced() -> None:
    closing: list[asyncio.StreamWriter] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        closing.append(writer)
        await read_request(reader)
        await send(writer, OK)
        await left(reader)

    async with hostile(talk, forever(OK)) as server:
        with pool_to(server) as pool:
            assert await ask(pool) == b"ok"
            closing[0].write_eof()  # the pool has had no time to see it
            assert await ask(pool) == b"ok"
            assert server.connections == 2


@on_both_loops
async def test_a_kept_connection_is_not_replaced_twice() -> None:
    async with hostile(_take_second_request_and_close, then_close(), forever(OK)) as server:
        with pool_to(server) as pool:
            assert await ask(pool) == b"ok"
            with pytest.raises(EngineBroken, match="closed the connection without an answer"):
                await ask(pool)
            assert server.connections == 2


@on_both_loops
async def test_other_kept_connections_are_not_tried_when_one_was_closed() -> None:
    async with hostile(
        _take_second_request_and_close, _take_second_request_and_close, exchanges(OK), then_close()
    ) as server:
        with pool_to(server) as pool:
            both = [await pool.request("GET", "/"), await pool.request("GET", "/")]
            for response in both:
                await response.whole(MIB)
            assert pool.connections() == (0, 2)
            assert await ask(pool) == b"ok"
            assert server.connections == 3


@on_both_loops
async def test_a_fresh_connection_that_the_engine_closes_is_not_replaced() -> None:
    async with hostile(then_close(), forever(OK)) as server:
        with pool_to(server) as pool:
            with pytest.raises(EngineBroken, match="closed the connection without an answer"):
                await ask(pool)
            assert server.connections == 1
            assert pool.connections() == (0, 0)


@pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"\r\n"])
@on_both_loops
async def test_a_request_is_not_sent_again_once_any_byte_of_an_answer_came(begun: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await send(writer, OK)
        await read_request(reader)
        await send(writer, begun)

    async with hostile(talk, forever(OK)) as server:
        with pool_to(server) as pool:
            assert await ask(pool) == b"ok"
            with pytest.raises(EngineBroken, match="closed the connection in the middle of an answer"):
                await ask(pool)
            assert server.connections == 1


@on_both_loops
async def test_a_request_is_not_sent_again_when_the_body_is_cut_short() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await send(writer, OK)
        await read_request(reader)
        await send(writer, BEGUN)

    async with hostile(talk, forever(OK)) as server:
        with pool_to(server) as pool:
            assert await ask(pool) == b"ok"
            with pytest.raises(EngineBroken):
                await ask(pool)
            assert server.connections == 1


@on_both_loops
async def test_a_request_is_not_sent_again_when_its_time_is_up() -> None:
    async with hostile(exchanges(OK, b""), forever(OK)) as server:
        with pool_to(server, HASTY) as pool:
            assert await ask(pool) == b"ok"
            with pytest.raises(EngineTimeout):
                await ask(pool)
            assert server.connections == 1


@on_both_loops
async def test_an_engine_that_went_away_is_told_when_a_kept_connection_is_replaced() -> None:
    async with hostile(_take_second_request_and_close) as server:
        with pool_to(server) as pool:
            assert await ask(pool) == b"ok"
            await server.refuse()
            with pytest.raises(EngineUnreachable):
                await ask(pool)
            assert pool.connections() == (0, 0)


@on_both_loops
async def test_an_idle_connection_that_the_engine_closes_is_forgotten() -> None:
    async with hostile(then_half_close(OK), forever(OK)) as server:
        with pool_to(server) as pool:
            assert await ask(pool) == b"ok"
            await turns()
            assert await ask(pool) == b"ok"
            assert server.connections == 2


# out of step


@pytest.mark.parametrize("unasked", [b"?", b"\r\n", plain(b"not asked for"), b"HTTP/1.1 408 Request Timeout\r\n\r\n"])
@on_both_loops
async def test_an_engine_that_speaks_while_the_connection_is_idle_loses_it(unasked: bytes) -> None:
    speak, gone = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await send(writer, OK)
        await speak.wait()
        await send(writer, unasked)
        await left(reader)
        gone.set()

    async with hostile(talk, forever(plain(b"mine"))) as server:
        with pool_to(server) as pool:
            assert await ask(pool) == b"ok"
            speak.set()
            await gone.wait()
            assert await ask(pool) == b"mine"
            assert server.connections == 2


MORE = {
    "an answer with a body": plain(b"not asked for"),
    "an answer without a body": plain(b""),
    "an early answer": b"HTTP/1.1 100 Continue\r\n\r\n",
    "the beginning of an answer": b"HTTP/1.",
    "bytes beyond the length": b"more",
    "zero bytes": b"\x00\x00",
}


@pytest.mark.parametrize("more", MORE.values(), ids=MORE.keys())
@pytest.mark.parametrize("raw", [OK, chunked(b"ok")], ids=["length", "chunked"])
@on_both_loops
async def test_an_engine_that_answers_more_than_it_was_asked_loses_the_connection(raw: bytes, more: bytes) -> None:
    for pieces in ([raw + more], [raw, more]):
        sent = asyncio.Event()

        async def talk(
            reader: asyncio.StreamReader,
            writer: asyncio.StreamWriter,
            pieces: list[bytes] = pieces,
            sent: asyncio.Event = sent,
        ) -> None:
            await read_request(reader)
            await send(writer, *pieces)
            sent.set()
            await left(reader)

        async with hostile(talk, forever(plain(b"mine"))) as server:
            with pool_to(server) as pool:
                response = await pool.request("GET", "/")
                await sent.wait()
                assert (response.status, await response.whole(MIB)) == (200, b"ok")
                assert pool.connections() == (0, 0)
                assert await ask(pool) == b"mine"
                assert server.connections == 2


@on_both_loops
async def test_what_comes_after_an_answer_that_ends_the_connection_is_dropped() -> None:
    async with hostile(then_wait(plain(b"ok", b"connection: close") + plain(b"more")), forever(OK)) as server:
        with pool_to(server) as pool:
            assert await ask(pool) == await ask(pool) == b"ok"
            assert server.connections == 2


@on_both_loops
async def test_an_answer_nobody_asked_for_does_not_change_the_headers_of_the_one_before() -> None:
    first = plain(b"ok", b"content-type: application/json")
    second = plain(b"no", b"content-type: text/html", b"retry-after: 9")
    async with hostile(then_wait(first + second)) as server:
        with pool_to(server) as pool:
            response = await pool.request("GET", "/")
            assert await response.whole(MIB) == b"ok"
            assert response.header("content-type") == "application/json"
            assert response.header("retry-after") is None


@on_both_loops
async def test_an_empty_line_between_answers_does_no_harm() -> None:
    async with hostile(forever(OK + b"\r\n")) as server:
        with pool_to(server) as pool:
            for _ in range(3):
                assert await ask(pool) == b"ok"


@pytest.mark.parametrize("raw", [b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello", until_eof(b"ok")])
@on_both_loops
async def test_an_answer_whose_end_is_in_doubt_costs_the_connection(raw: bytes) -> None:
    async with hostile(then_half_close(raw), forever(OK)) as server:
        with pool_to(server) as pool:
            await (await pool.request("GET", "/")).whole(MIB)
            assert pool.connections() == (0, 0)
            assert await ask(pool) == b"ok"


@on_both_loops
async def test_a_connection_on_which_the_request_is_still_being_sent_is_not_used_again() -> None:
    async def answer_unread(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await send(writer, plain(b"too large", status=b"413 Content Too Large"))
        await asyncio.Event().wait()

    async with hostile(answer_unread, forever(OK)) as server:
        with pool_to(server) as pool:
            assert await ask(pool, b"x" * 30 * MIB) == b"too large"
            assert await ask(pool) == b"ok"
            assert server.connections == 2


# given up


@on_both_loops
async def test_a_cancelled_request_closes_its_connection() -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        asked.set()
        await left(reader)
        gone.set()

    async with hostile(talk) as server:
        with pool_to(server) as pool:
            task = asyncio.create_task(pool.request("GET", "/"))
            await asked.wait()
            assert pool.connections() == (1, 0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await gone.wait()
            assert pool.connections() == (0, 0)


@on_both_loops
async def test_a_cancelled_request_on_a_kept_connection_closes_it_and_is_not_sent_again() -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await send(writer, OK)
        await read_request(reader)
        asked.set()
        await left(reader)
        gone.set()

    async with hostile(talk) as server:
        with pool_to(server) as pool:
            assert await ask(pool) == b"ok"
            task = asyncio.create_task(pool.request("GET", "/"))
            await asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await gone.wait()
            assert pool.connections() == (0, 0)
            assert server.connections == 1


@pytest.mark.parametrize("begun", [BEGUN, chunked(b"begun").removesuffix(b"0\r\n\r\n"), until_eof(b"begun")])
@on_both_loops
async def test_a_cancelled_reader_closes_its_connection(begun: bytes) -> None:
    gone = asyncio.Event()
    async with hostile(then_wait(begun, gone=gone)) as server:
        with pool_to(server) as pool:
            response = await pool.request("GET", "/")
            assert await response.read() == b"begun"
            task = asyncio.create_task(response.read())
            await turns()
            assert not task.done()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await gone.wait()
            assert pool.connections() == (0, 0)


@on_both_loops
async def test_a_reader_cancelled_before_it_ran_leaves_a_response_that_can_be_closed() -> None:
    gone = asyncio.Event()
    async with hostile(then_wait(BEGUN, gone=gone)) as server:
        with pool_to(server) as pool:
            response = await pool.request("GET", "/")
            task = asyncio.create_task(response.read())
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            response.close()
            await gone.wait()
            assert pool.connections() == (0, 0)


@on_both_loops
async def test_a_hundred_cancelled_requests_leave_nothing_behind() -> None:
    async with hostile(then_wait(b"HTTP/1.1 200 OK\r\n")) as server:
        with pool_to(server) as pool:
            tasks = [asyncio.create_task(pool.request("GET", "/")) for _ in range(100)]
            for count, task in enumerate(tasks):  # some before, some while, some after they connect
                await turns(count % 7)
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(result, asyncio.CancelledError) for result in results)
            assert pool.connections() == (0, 0)
            await server.nobody_is_left()


@on_both_loops
async def test_closing_a_response_in_mid_body_closes_the_connection() -> None:
    gone = asyncio.Event()
    async with hostile(then_wait(BEGUN, gone=gone)) as server:
        with pool_to(server) as pool:
            response = await pool.request("GET", "/")
            assert await response.read() == b"begun"
            response.close()
            response.close()
            assert await response.read() == b""
            await gone.wait()
            assert pool.connections() == (0, 0)


@on_both_loops
async def test_closing_a_response_that_was_not_read_closes_the_connection() -> None:
    gone = asyncio.Event()
    async with hostile(then_wait(OK, gone=gone)) as server:
        with pool_to(server) as pool:
            (await pool.request("GET", "/")).close()
            await gone.wait()
            assert pool.connections() == (0, 0)


@on_both_loops
async def test_closing_a_response_whose_every_byte_was_read_keeps_the_connection() -> None:
    async with hostile(forever(OK)) as server:
        with pool_to(server) as pool:
            for _ in range(3):
                response = await pool.request("GET", "/")
                assert await response.read() == b"ok"
                response.close()
                assert pool.connections() == (0, 1)
            assert server.connections == 1


@on_both_loops
async def test_finishing_reads_on_to_an_end_that_is_near() -> None:
    async with hostile(exchanges([chunked(b"ok")[:-5], b"0\r\n\r\n"], OK)) as server:
        with pool_to(server) as pool:
            response = await pool.request("GET", "/")
            assert await response.read() == b"ok"
            await response.finish()
            await response.finish()
            assert pool.connections() == (0, 1)
            assert await ask(pool) == b"ok"
            assert server.connections == 1


@on_both_loops
async def test_finishing_does_not_wait_for_an_end_that_is_far() -> None:
    gone = asyncio.Event()
    async with hostile(then_wait(BEGUN, gone=gone)) as server:
        with pool_to(server) as pool:
            response = await pool.request("GET", "/")
            async with asyncio.timeout(1):
                await response.finish()
                await gone.wait()
            assert pool.connections() == (0, 0)


@on_both_loops
async def test_finishing_does_not_read_an_endless_body() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(until_eof(b""))
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with hostile(talk) as server:
        with pool_to(server) as pool:
            response = await pool.request("GET", "/")
            async with asyncio.timeout(2):
                await response.finish()
            assert pool.connections() == (0, 0)


@on_both_loops
async def test_finishing_is_quiet_about_an_engine_that_breaks() -> None:
    async with hostile(then_reset(BEGUN)) as server:
        with pool_to(server) as pool:
            response = await pool.request("GET", "/")
            await response.finish()
            assert pool.connections() == (0, 0)


# closed


@on_both_loops
async def test_closing_the_pool_cuts_every_connection() -> None:
    async with hostile(exchanges(OK, BEGUN), exchanges(b"HTTP/1.1 200 OK\r\n"), exchanges(OK)) as server:
        with pool_to(server) as pool:
            assert await ask(pool) == b"ok"
            reading = await pool.request("GET", "/")
            assert await reading.read() == b"begun"
            reader = asyncio.create_task(reading.read())
            asking = asyncio.create_task(pool.request("GET", "/"))
            while server.connections < 2:
                await turns()
            assert await ask(pool) == b"ok"
            await turns()
            assert pool.connections() == (2, 1)
            pool.close()
            for task in (reader, asking):
                with pytest.raises(EngineBroken):
                    await task
            await server.nobody_is_left()
            assert pool.connections() == (0, 0)


@on_both_loops
async def test_a_pool_may_be_closed_twice_and_unused() -> None:
    async with hostile(forever(OK)) as server:
        with pool_to(server) as pool:
            pool.close()
            pool.close()


@on_both_loops
async def test_a_request_that_was_cut_by_closing_the_pool_is_not_sent_again() -> None:
    asked = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await send(writer, OK)
        await read_request(reader)
        asked.set()
        await left(reader)

    async with hostile(talk, forever(OK)) as server:
        with pool_to(server) as pool:
            assert await ask(pool) == b"ok"
            task = asyncio.create_task(ask(pool))
            await asked.wait()
            pool.close()
            with pytest.raises(EngineError):
                await task
            assert server.connections == 1


@on_both_loops
async def test_a_request_to_a_closed_pool_fails_in_time() -> None:
    async with hostile(then_wait()) as server:
        with pool_to(server, HASTY) as pool:
            pool.close()
            with pytest.raises(EngineError):
                async with asyncio.timeout(10):
                    await pool.request("GET", "/")


@on_both_loops
async def test_a_request_that_connects_while_the_pool_is_closed_is_not_sent() -> None:
    requests: list[Request] = []
    async with hostile(exchanges(OK, requests=requests)) as server:
        with pool_to(server) as pool:
            task = asyncio.create_task(pool.request("GET", "/"))
            await asyncio.sleep(0)
            assert pool.connections() == (0, 0)
            pool.close()
            with pytest.raises(EngineError):
                await task
            assert not requests
