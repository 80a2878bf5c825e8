"""Whatever an engine does wrong is told as what it is, and never taken for an answer or for the end of one."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from hanok.errors import EngineBroken, EngineError, EngineUnreachable
from tests.hostile import (
    HASTY,
    chunked,
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
HEAD = b"HTTP/1.1 200 OK\r\n"
LENGTH = HEAD + b"content-length: 11\r\n\r\nhello world"
CHUNKED = chunked(b"hello", b" ", b"world", trailers=[b"x-sum: 1"])


async def ask(pool: Any, body: bytes = b"") -> bytes:
    response = await pool.request("POST", "/", body)
    return await response.whole(MIB)


def single_bytes(raw: bytes) -> list[bytes]:
    return [raw[at : at + 1] for at in range(len(raw))]


# cut short


@pytest.mark.parametrize("end", [then_close, then_half_close, then_reset])
@pytest.mark.parametrize("raw", [LENGTH, CHUNKED], ids=["length", "chunked"])
@on_both_loops
async def test_an_answer_cut_short_at_any_byte_is_never_taken_for_whole(raw: bytes, end: Any) -> None:
    async with hostile(*[end(raw[:at]) for at in range(len(raw))]) as server:
        with pool_to(server) as pool:
            for at in range(len(raw)):
                what = "in the middle of an answer" if at else "without an answer"
                with pytest.raises(EngineBroken, match=f"{server.url} closed the connection {what}"):
                    await ask(pool)
                assert pool.connections() == (0, 0)
            assert server.connections == len(raw)


@pytest.mark.parametrize("end", [then_close, then_half_close, then_reset])
@pytest.mark.parametrize("raw", [LENGTH[:-3], CHUNKED[:-12]], ids=["length", "chunked"])
@on_both_loops
async def test_what_came_before_the_cut_is_read_first(raw: bytes, end: Any) -> None:
    async with hostile(end(raw)) as server:
        with pool_to(server) as pool:
            response = await pool.request("GET", "/")
            body = b""
            with pytest.raises(EngineBroken, match="in the middle of an answer"):
                while data := await response.read():
                    body += data
            assert b"hello world".startswith(body)


@pytest.mark.parametrize("end", [then_close, then_half_close])
@pytest.mark.parametrize("raw", [LENGTH, CHUNKED], ids=["length", "chunked"])
@on_both_loops
async def test_a_whole_answer_is_good_though_the_engine_closes_after_it(raw: bytes, end: Any) -> None:
    async with hostile(end(raw)) as server:
        with pool_to(server) as pool:
            for _ in range(2):
                assert await ask(pool) == b"hello world"
                await turns()
            assert server.connections == 2


@on_both_loops
async def test_a_body_until_the_end_is_good_when_the_engine_only_closes_its_side() -> None:
    gone = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await send(writer, until_eof(b"hello "), b"world")
        writer.write_eof()
        await left(reader)
        gone.set()

    async with hostile(talk) as server:
        with pool_to(server) as pool:
            assert await ask(pool) == b"hello world"
            await gone.wait()
            assert pool.connections() == (0, 0)


@on_both_loops
async def test_a_body_until_the_end_is_cut_short_when_it_ends_with_a_reset() -> None:
    async with hostile(then_reset(until_eof(b"hello "), b"wor")) as server:
        with pool_to(server) as pool, pytest.raises(EngineBroken, match="in the middle of an answer"):
            await ask(pool)


@on_both_loops
async def test_an_engine_that_hangs_up_at_once_is_broken_not_a_crash() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pass

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reset(writer)

    async with hostile(*[hang_up, cut] * 20) as server:
        with pool_to(server) as pool:
            for _ in range(40):
                with pytest.raises((EngineBroken, EngineUnreachable)):
                    await ask(pool, b"x" * 1000)
            assert pool.connections() == (0, 0)


@pytest.mark.parametrize("cut", [True, False], ids=["reset", "close"])
@on_both_loops
async def test_an_engine_that_hangs_up_while_a_large_request_is_sent_is_broken(cut: bool) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if cut:
            reset(writer)

    async with hostile(talk) as server:
        with pool_to(server) as pool:
            with pytest.raises(EngineBroken, match="closed the connection without an answer"):
                await ask(pool, b"x" * 20 * MIB)
            assert pool.connections() == (0, 0)


@on_both_loops
async def test_an_answer_that_comes_before_a_large_request_was_read_is_an_answer() -> None:
    refused = plain(b"too large", b"connection: close", status=b"413 Content Too Large")

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await send(writer, refused)
        writer.write_eof()
        await left(reader)

    async with hostile(talk) as server:
        with pool_to(server) as pool:
            response = await pool.request("POST", "/", b"x" * 20 * MIB)
            assert (response.status, await response.whole(MIB)) == (413, b"too large")
            await server.nobody_is_left()


@on_both_loops
async def test_the_end_of_an_answer_is_seen_though_the_request_is_still_being_sent() -> None:
    async def check(raw: bytes) -> bytes:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            await send(writer, raw)
            writer.write_eof()
            await asyncio.Event().wait()

        async with hostile(talk) as server:
            with pool_to(server) as pool:
                async with asyncio.timeout(10):
                    return await ask(pool, b"x" * 20 * MIB)

    whole, *cut = await asyncio.gather(
        *(check(raw) for raw in (until_eof(b"too large"), LENGTH[:-3], HEAD, b"")), return_exceptions=True
    )
    assert whole == b"too large"
    assert [type(each) for each in cut] == [EngineBroken] * 3


# not HTTP


GARBAGE = {
    "letters": b"hello\r\n\r\n",
    "a TLS alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "an SSH greeting": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a request": b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    "the HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an HTTP/2 settings frame": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + b"\x00" * 18,
    "zero bytes": b"\x00" * 100,
    "bytes beyond ASCII": b"\xff\xfe" * 50,
    "a body without a head": b'{"choices":[]}',
    "an event without a head": b"data: {}\n\n",
    "a version without a number": b"HTTP/x.y 200 OK\r\n\r\n",
    "an unknown version": b"HTTP/3.7 200 OK\r\n\r\n",
    "a status in letters": b"HTTP/1.1 abc OK\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 99 OK\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "a negative status": b"HTTP/1.1 -20 OK\r\n\r\n",
    "no status": b"HTTP/1.1\r\n\r\n",
    "lines that end in LF only": b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok",
    "lines that end in CR only": b"HTTP/1.1 200 OK\rcontent-length: 2\r\rok",
    "a header without a name": HEAD + b": x\r\n\r\n",
    "a header without a colon": HEAD + b"x\r\n\r\n",
    "a blank before the colon": HEAD + b"x : y\r\n\r\n",
    "a blank in a name": HEAD + b"x y: z\r\n\r\n",
    "a folded header": HEAD + b"x: y\r\n z\r\n\r\n",
    "a folded first header": HEAD + b" x: y\r\n\r\n",
    "a zero byte in a value": HEAD + b"x: \x00\r\n\r\n",
    "a zero byte in a name": HEAD + b"x\x00: y\r\n\r\n",
    "a bare CR in a value": HEAD + b"x: a\rb\r\n\r\n",
    "a negative length": HEAD + b"content-length: -1\r\n\r\n",
    "a signed length": HEAD + b"content-length: +2\r\n\r\nok",
    "a length in letters": HEAD + b"content-length: two\r\n\r\nok",
    "a length in hexadecimal": HEAD + b"content-length: 0x2\r\n\r\nok",
    "a length with a blank": HEAD + b"content-length: 1 1\r\n\r\nhello world",
    "a length with a fraction": HEAD + b"content-length: 2.0\r\n\r\nok",
    "an empty length": HEAD + b"content-length:\r\n\r\nok",
    "a length beyond 64 bits": HEAD + b"content-length: 18446744073709551618\r\n\r\nok",
    "the same length twice": HEAD + b"content-length: 2\r\ncontent-length: 2\r\n\r\nok",
    "two lengths": HEAD + b"content-length: 2\r\nContent-Length: 3\r\n\r\nok!",
    "a list of lengths": HEAD + b"content-length: 2, 2\r\n\r\nok",
    "a length and chunks": HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "chunks and a length": HEAD + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "a switch of protocols": HEAD.replace(b"200 OK", b"101 Go") + b"upgrade: x\r\nconnection: upgrade\r\n\r\nbytes",
    "a switch to nothing": HEAD.replace(b"200 OK", b"101 Go") + b"\r\n",
}


@pytest.mark.parametrize("raw", GARBAGE.values(), ids=GARBAGE.keys())
@on_both_loops
async def test_what_is_not_http_is_refused_at_once_and_byte_by_byte(raw: bytes) -> None:
    async with hostile(then_wait(raw), then_wait(*single_bytes(raw))) as server:
        with pool_to(server) as pool:
            for _ in range(2):
                with pytest.raises(EngineBroken, match=r"does not answer in HTTP/1\.1|wants to switch protocols"):
                    await ask(pool)
                await server.nobody_is_left()
                assert pool.connections() == (0, 0)


@pytest.mark.parametrize("version", [b"0.9", b"2.0"])
@on_both_loops
async def test_an_answer_in_another_version_of_http_is_refused(version: bytes) -> None:
    async with hostile(then_wait(b"HTTP/" + version + b" 200 OK\r\ncontent-length: 2\r\n\r\nok")) as server:
        with pool_to(server) as pool, pytest.raises(EngineBroken):
            await ask(pool)


BAD_CHUNKS = {
    "no size": b"\r\nok\r\n0\r\n\r\n",
    "a size in other letters": b"zz\r\nok\r\n0\r\n\r\n",
    "a negative size": b"-2\r\nok\r\n0\r\n\r\n",
    "a signed size": b"+2\r\nok\r\n0\r\n\r\n",
    "a size with a prefix": b"0x2\r\nok\r\n0\r\n\r\n",
    "a size beyond 64 bits": b"FFFFFFFFFFFFFFFFF\r\nok\r\n0\r\n\r\n",
    "a blank before a size": b" 2\r\nok\r\n0\r\n\r\n",
    "a blank after a size": b"2 \r\nok\r\n0\r\n\r\n",
    "a size that ends in LF only": b"2\nok\r\n0\r\n\r\n",
    "a zero byte for a size": b"\x00\r\nok\r\n0\r\n\r\n",
    "a zero byte in an extension": b"2;a=\x00\r\nok\r\n0\r\n\r\n",
    "a size too small": b"1\r\nok\r\n0\r\n\r\n",
    "a size too large": b"3\r\nok\r\n0\r\n\r\n",
    "data without an end": b"2\r\nok0\r\n\r\n",
    "data that ends in LF only": b"2\r\nok\n0\r\n\r\n",
    "a length among the trailers": b"2\r\nok\r\n0\r\ncontent-length: 2\r\n\r\n",
    "letters among the trailers": b"2\r\nok\r\n0\r\nwhat is this\r\n\r\n",
}


@pytest.mark.parametrize("body", BAD_CHUNKS.values(), ids=BAD_CHUNKS.keys())
@on_both_loops
async def test_chunks_that_are_none_are_refused_at_once_and_byte_by_byte(body: bytes) -> None:
    head = HEAD + b"transfer-encoding: chunked\r\n\r\n"
    async with hostile(then_wait(head + body), then_wait(head, *single_bytes(body))) as server:
        with pool_to(server) as pool:
            for _ in range(2):
                with pytest.raises(EngineBroken, match=r"does not answer in HTTP/1\.1"):
                    await ask(pool)
                await server.nobody_is_left()
                assert pool.connections() == (0, 0)


@on_both_loops
async def test_an_engine_that_speaks_first_is_broken_not_a_crash() -> None:
    async def check(greeting: bytes) -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(greeting)
            await reader.read(1)

        async with hostile(talk) as server:
            with pool_to(server) as pool:
                with contextlib.suppress(EngineError):
                    assert await ask(pool) == b"hello"  # it may look like an answer that came very soon
                assert pool.connections()[0] == 0

    await asyncio.gather(*(check(greeting) for greeting in [b"220 ready\r\n", plain(b"hello"), b"\r\n"] * 10))


# without end


def endless(beginning: bytes, again: bytes, taken: list[int]) -> Any:
    """Sends `again` until the client leaves, and tells how many bytes the client's side has taken."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(beginning)
        sent = 0
        try:
            while True:
                writer.write(again)
                sent += len(again)
                await writer.drain()
        finally:
            taken.append(sent)

    return talk


FLOODS = {
    "headers": (HEAD, b"".join(b"x-%d: y\r\n" % number for number in range(500))),
    "one header's name": (HEAD, b"x" * 4096),
    "one header's value": (HEAD + b"x: ", b"y" * 4096),
    "the reason": (b"HTTP/1.1 200 ", b"OK" * 2048),
    "early answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "early answers with headers": (b"", b"HTTP/1.1 103 Hints\r\nlink: </a>\r\n\r\n" * 100),
    "empty lines": (b"", b"\r\n" * 2048),
}


@pytest.mark.parametrize(("beginning", "again"), FLOODS.values(), ids=FLOODS.keys())
@on_both_loops
async def test_a_flood_of_headers_is_cut(beginning: bytes, again: bytes) -> None:
    taken: list[int] = []
    async with hostile(endless(beginning, again, taken)) as server:
        with pool_to(server) as pool:
            with pytest.raises(EngineBroken, match="answers with more than 65536 bytes of headers"):
                await ask(pool)
            await server.nobody_is_left()
            assert pool.connections() == (0, 0)
            assert taken[0] < 16 * MIB  # what the kernel took for itself


@on_both_loops
async def test_a_flood_after_a_status_that_is_none_is_cut() -> None:
    taken: list[int] = []
    async with hostile(endless(b"HTTP/1.1 000 Nothing\r\n\r\n", b"body" * 1024, taken)) as server:
        with pool_to(server) as pool:
            with pytest.raises(EngineBroken):
                await ask(pool)
            await server.nobody_is_left()
            assert taken[0] < 16 * MIB


@on_both_loops
async def test_headers_of_just_under_the_limit_are_taken() -> None:
    raw = plain(b"ok" * MIB, *[b"x-%04d: %s" % (number, b"y" * 990) for number in range(64)])
    async with hostile(forever(raw)) as server:
        with pool_to(server) as pool:
            for _ in range(2):
                response = await pool.request("GET", "/")
                assert len(response.headers) == 65
                assert len(await response.whole(4 * MIB)) == 2 * MIB
            assert server.connections == 1


@on_both_loops
async def test_headers_over_the_limit_are_refused_however_they_are_cut() -> None:
    raw = plain(b"ok", *[b"x-%04d: %s" % (number, b"y" * 990) for number in range(70)])
    first, rest = raw[:60_000], raw[60_000:]
    async with hostile(then_wait(first, rest)) as server:
        with pool_to(server) as pool, pytest.raises(EngineBroken, match="bytes of headers"):
            await ask(pool)


@on_both_loops
async def test_a_flood_of_trailers_is_cut() -> None:
    async def check(again: bytes) -> None:
        taken: list[int] = []
        async with hostile(endless(chunked(b"ok").removesuffix(b"\r\n"), again, taken)) as server:
            with pool_to(server, HASTY) as pool:
                with pytest.raises(EngineBroken, match="more than"):
                    await ask(pool)
                await server.nobody_is_left()
                assert taken[0] < 16 * MIB

    await asyncio.gather(check(b"".join(b"x-%d: y\r\n" % number for number in range(500))), check(b"x" * 4096))
