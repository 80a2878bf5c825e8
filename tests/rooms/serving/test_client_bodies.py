"""What an engine answers is what is read, however it is framed and however the network cuts it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanok.errors import EngineBroken
from tests.hostile import (
    BOTH_LOOPS,
    chunked,
    exchanges,
    forever,
    hostile,
    on_both_loops,
    plain,
    pool_to,
    read_request,
    send,
    then_close,
    then_wait,
    until_eof,
    within_limits,
)

MIB = 1024 * 1024
HELLO = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 11\r\n\r\nhello world"
HELLO_CHUNKED = (
    b"HTTP/1.1 200 OK\r\nServer: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'5;name=value;quoted="a b"\r\nhello\r\n001\r\n \r\n5\r\nworld\r\n0;last\r\nX-Sum: 1\r\n\r\n'
)


@on_both_loops
async def test_a_body_with_a_length_is_read_whole() -> None:
    async with hostile([HELLO]) as server:
        with pool_to(server) as pool:
            response = await pool.request("GET", "/")
            assert response.status == 200
            assert await response.whole(MIB) == b"hello world"


@on_both_loops
async def test_an_empty_body_ends_at_once_and_stays_ended() -> None:
    async with hostile([plain(b"")]) as server:
        with pool_to(server) as pool:
            response = await pool.request("GET", "/")
            assert [await response.read() for _ in range(3)] == [b"", b"", b""]


@pytest.mark.parametrize("raw", [HELLO, HELLO_CHUNKED], ids=["length", "chunked"])
@on_both_loops
async def test_a_body_cut_at_any_byte_is_read_whole_and_the_connection_is_kept(raw: bytes) -> None:
    cuts = [[raw[:at], raw[at:]] for at in range(1, len(raw))]
    async with hostile(exchanges(*cuts)) as server:
        with pool_to(server) as pool:
            for pieces in cuts:
                response = await pool.request("GET", "/")
                assert response.status == 200, pieces
                assert response.header("server") == "x", pieces
                assert await response.whole(MIB) == b"hello world", pieces
            assert server.connections == 1


@on_both_loops
async def test_a_body_until_the_end_of_the_connection_cut_at_any_byte_is_read_whole() -> None:
    raw = until_eof(b"hello world", b"server: x")
    cuts = [(raw[:at], raw[at:]) for at in range(1, len(raw) + 1)]
    async with hostile(*[then_close(*pieces) for pieces in cuts]) as server:
        with pool_to(server) as pool:
            for pieces in cuts:
                response = await pool.request("GET", "/")
                assert await response.whole(MIB) == b"hello world", pieces
            assert server.connections == len(cuts)


@pytest.mark.parametrize("raw", [HELLO, HELLO_CHUNKED], ids=["length", "chunked"])
@on_both_loops
async def test_an_answer_that_comes_byte_by_byte_is_read_whole(raw: bytes) -> None:
    async with hostile([raw[at : at + 1] for at in range(len(raw))]) as server:
        with pool_to(server) as pool:
            assert await (await pool.request("GET", "/")).whole(MIB) == b"hello world"


@on_both_loops
async def test_bytes_are_handed_on_as_they_come() -> None:
    wanted = asyncio.Queue[bytes]()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await send(writer, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(3):
            await send(writer, await wanted.get())
        await send(writer, b"0\r\n\r\n")

    async with hostile(talk) as server:
        with pool_to(server) as pool:
            response = await pool.request("GET", "/")
            for word in (b"one", b"two", b"six"):
                wanted.put_nowait(b"3\r\n" + word + b"\r\n")
                assert await response.read() == word
            assert await response.read() == b""


@on_both_loops
async def test_a_body_can_be_iterated() -> None:
    async with hostile([HELLO_CHUNKED]) as server:
        with pool_to(server) as pool:
            assert b"".join([part async for part in await pool.request("GET", "/")]) == b"hello world"


@on_both_loops
async def test_chunk_extensions_and_trailers_are_not_part_of_the_body() -> None:
    raw = chunked(b"abc", b"def", trailers=[b"x-checksum: 1", b"x-more: 2"]).replace(b"3\r\n", b'3;a=b;c="d;e"\r\n')
    async with hostile(forever(raw)) as server:
        with pool_to(server) as pool:
            for _ in range(3):
                assert await (await pool.request("GET", "/")).whole(MIB) == b"abcdef"
            assert server.connections == 1


@on_both_loops
async def test_chunk_sizes_may_be_in_either_case_and_padded() -> None:
    raw = b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n0000A\r\n0123456789\r\na\r\n0123456789\r\n000\r\n\r\n"
    async with hostile([raw]) as server:
        with pool_to(server) as pool:
            assert await (await pool.request("GET", "/")).whole(MIB) == b"0123456789" * 2


@on_both_loops
async def test_trailers_do_not_change_the_headers_that_were_already_handed_out() -> None:
    raw = chunked(b"abc", headers=[b"content-type: text/plain"], trailers=[b"content-type: text/html", b"x-late: 1"])
    async with hostile([raw]) as server:
        with pool_to(server) as pool:
            response = await pool.request("GET", "/")
            assert await response.whole(MIB) == b"abc"
            assert response.header("content-type") == "text/plain"
            assert response.header("x-late") is None


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@on_both_loops
async def test_a_body_without_length_ends_with_the_connection(version: bytes) -> None:
    async with hostile(then_close(b"HTTP/" + version + b" 200 OK\r\n\r\n", b"hello ", b"world")) as server:
        with pool_to(server) as pool:
            for _ in range(2):
                assert await (await pool.request("GET", "/")).whole(MIB) == b"hello world"
            assert server.connections == 2


@on_both_loops
async def test_a_body_without_length_may_be_empty() -> None:
    async with hostile(then_close(b"HTTP/1.1 200 OK\r\n\r\n")) as server:
        with pool_to(server) as pool:
            assert await (await pool.request("GET", "/")).whole(MIB) == b""


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\ncontent-length: 11\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n\r\n",
    ],
)
@on_both_loops
async def test_answers_that_have_no_body_end_with_their_head(raw: bytes) -> None:
    async with hostile(forever(raw)) as server:
        with pool_to(server) as pool:
            for _ in range(2):
                assert await (await pool.request("GET", "/")).whole(MIB) == b""
            assert server.connections == 1


@on_both_loops
async def test_answers_before_the_answer_are_passed_over() -> None:
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\ncontent-type: text/early\r\n\r\n"
    raw = early + HELLO
    cuts = [[raw[:at], raw[at:]] for at in range(1, len(raw))]
    async with hostile(exchanges(*cuts)) as server:
        with pool_to(server) as pool:
            for pieces in cuts:
                response = await pool.request("GET", "/")
                assert response.status == 200, pieces
                assert set(response.headers) == {b"server", b"content-length"}, pieces
                assert await response.whole(MIB) == b"hello world", pieces
            assert server.connections == 1


@on_both_loops
async def test_header_names_are_found_in_any_case_and_the_last_of_a_name_counts() -> None:
    raw = plain(b"", b"X-One: 1", b"x-ONE:   2", b"X-Empty:", "X-Latin: caf\u00e9".encode("latin-1"))
    async with hostile([raw]) as server:
        with pool_to(server) as pool:
            response = await pool.request("GET", "/")
            assert response.header("x-one") == "2"
            assert response.header("x-empty") == ""
            assert response.header("x-latin") == "caf\u00e9"
            assert response.header("x-none") is None


@on_both_loops
async def test_blanks_around_a_header_value_are_not_part_of_it() -> None:
    async with hostile([plain(b"", b"content-encoding: \t identity \t ")]) as server:
        with pool_to(server) as pool:
            assert (await pool.request("GET", "/")).header("content-encoding") == "identity"


@pytest.mark.parametrize("status", [200, 201, 301, 400, 404, 426, 429, 500, 503, 599])
@on_both_loops
async def test_every_status_is_told_with_its_body(status: int) -> None:
    async with hostile([plain(b"why", status=b"%d Because" % status)]) as server:
        with pool_to(server) as pool:
            response = await pool.request("GET", "/")
            assert (response.status, await response.whole(MIB)) == (status, b"why")


@on_both_loops
async def test_an_offer_to_upgrade_is_not_taken() -> None:
    async with hostile(forever(plain(b"ok", b"upgrade: h2c", b"connection: upgrade"))) as server:
        with pool_to(server) as pool:
            for _ in range(2):
                assert await (await pool.request("GET", "/")).whole(MIB) == b"ok"


@pytest.mark.parametrize("raw", [plain(b"x" * 1000), chunked(*[b"x" * 100] * 10)], ids=["length", "chunked"])
@on_both_loops
async def test_a_body_of_just_the_limit_is_taken(raw: bytes) -> None:
    async with hostile(forever(raw)) as server:
        with pool_to(server) as pool:
            for _ in range(2):
                assert await (await pool.request("GET", "/")).whole(1000) == b"x" * 1000
            assert server.connections == 1


@pytest.mark.parametrize("raw", [plain(b"x" * 1000), chunked(*[b"x" * 100] * 10)], ids=["length", "chunked"])
@on_both_loops
async def test_a_body_over_the_limit_is_refused_and_what_comes_after_is_not_confused_by_it(raw: bytes) -> None:
    async with hostile(exchanges(raw, plain(b"next")), [plain(b"next")]) as server:
        with pool_to(server) as pool:
            response = await pool.request("GET", "/")
            with pytest.raises(EngineBroken, match="more than 999 bytes"):
                await response.whole(999)
            assert await (await pool.request("GET", "/")).whole(999) == b"next"


@on_both_loops
async def test_an_endless_body_is_cut_at_the_limit() -> None:
    gone = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        except ConnectionError:
            gone.set()

    async with hostile(talk) as server:
        with pool_to(server) as pool:
            response = await pool.request("GET", "/")
            with pytest.raises(EngineBroken, match="more than 1048576 bytes"):
                await response.whole(MIB)
            await gone.wait()
            assert pool.connections() == (0, 0)


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"chunked, gzip"])
@on_both_loops
async def test_a_transfer_coding_nobody_asked_for_is_refused(coding: bytes) -> None:
    raw = chunked(b"\x1f\x8b\x08 not to be read").replace(b"chunked", coding)
    async with hostile(then_wait(raw)) as server:
        with pool_to(server) as pool, pytest.raises(EngineBroken):
            response = await pool.request("GET", "/")
            await response.read()


@on_both_loops
async def test_a_transfer_coding_nobody_asked_for_is_refused_on_a_line_of_its_own() -> None:
    line = b"transfer-encoding: chunked"
    raw = chunked(b"\x1f\x8b\x08 not to be read").replace(line, b"transfer-encoding: gzip\r\n" + line)
    async with hostile(then_wait(raw)) as server:
        with pool_to(server) as pool, pytest.raises(EngineBroken):
            await (await pool.request("GET", "/")).whole(MIB)


cuts = st.lists(st.integers(min_value=0, max_value=4000), max_size=6)


@BOTH_LOOPS
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bodies=st.lists(st.tuples(st.binary(max_size=3000), cuts, cuts), min_size=1, max_size=4))
def test_any_body_in_any_chunks_and_any_segments_comes_out_byte_for_byte(
    run: Callable[[Any], None], bodies: list[tuple[bytes, list[int], list[int]]]
) -> None:
    answers: list[bytes | list[bytes]] = []
    for body, chunk_cuts, segment_cuts in bodies:
        chunks = _cut(body, chunk_cuts)
        raw = chunked(*chunks) if chunk_cuts else plain(body)
        answers.append(_cut(raw, segment_cuts))

    async def read_all() -> None:
        async with hostile(exchanges(*answers)) as server:
            with pool_to(server) as pool:
                for body, _, _ in bodies:
                    assert await (await pool.request("POST", "/", b"{}")).whole(MIB) == body
                assert server.connections == 1

    run(within_limits(read_all()))


def _cut(data: bytes, places: list[int]) -> list[bytes]:
    """The data in non-empty pieces, cut at these places (as far as they lie inside)."""
    edges = sorted({0, len(data), *(place for place in places if place < len(data))})
    return [data[start:end] for start, end in pairwise(edges)]
