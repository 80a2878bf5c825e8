"""Signs of life in streams that are silent."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.calls import Reply, call
from tests.conftest import RunningHouse
from tests.engine import DONE, STREAM_HEAD, Asked, FakeEngine, chunk, delta, fake_engine, status, stream, whole

Start = Callable[..., RunningHouse]
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
COMMENT = b": keep-alive\n\n"
QUICK = {"gateway": {"keep_alive_s": 0.03}}


def model(engine: FakeEngine, **more: Any) -> dict[str, Any]:
    return {"name": "m", "serve": {"engine": "openai", "url": engine.url, "model": "fake"}, "retries": 0, **more}


def chat(house: RunningHouse, **more: Any) -> Reply:
    return call(f"{house.url}/v1/chat/completions", "POST", {**CHAT, **more}, house.headers)


@contextmanager
def asking(house: RunningHouse, version: str = "1.1") -> Iterator[socket.socket]:
    """A connection over which a stream has been asked for."""
    host, port = house.url.removeprefix("http://").split(":")
    body = json.dumps({**CHAT, "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/{version}\r\nhost: x\r\nauthorization: Bearer {house.key}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as plain:
        plain.sendall(head.encode() + body)
        yield plain


def read_until(plain: socket.socket, wanted: bytes, times: int = 1) -> bytes:
    data = b""
    while data.count(wanted) < times:
        more = plain.recv(65536)
        assert more, f"closed after {data!r}"
        data += more
    return data


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_stream_that_has_not_begun_is_kept_open_with_comments_and_then_goes_on(house: Start, version: str) -> None:
    release = threading.Event()

    async def slow(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.to_thread(release.wait, 10)
        await stream(delta("at last"), DONE)(asked, writer)

    with fake_engine(slow) as engine:
        started = house(model(engine), **QUICK)
        with asking(started, version) as plain:
            early = read_until(plain, COMMENT, 3)
            assert early.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"content-type: text/event-stream" in early
            assert b"data:" not in early
            release.set()
            rest = read_until(plain, DONE)
            assert delta("at last") in rest
            assert b"HTTP/1.1" not in rest


def test_a_stream_that_falls_silent_is_kept_open_with_comments_between_events(house: Start) -> None:
    release = threading.Event()

    async def pausing(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(delta("one")[:9]) + chunk(delta("one")[9:]))
        await writer.drain()
        await asyncio.to_thread(release.wait, 10)
        writer.write(chunk(delta("two")) + chunk(DONE) + b"0\r\n\r\n")

    with fake_engine(pausing) as engine:
        started = house(model(engine), **QUICK)
        with asking(started) as plain:
            data = read_until(plain, COMMENT, 2)
            release.set()
            data += read_until(plain, b"0\r\n\r\n")
        assert data.index(delta("one")) < data.index(COMMENT) < data.index(delta("two"))
        assert chat(started, stream=True).body.replace(COMMENT, b"") == delta("one") + delta("two") + DONE


def test_what_fails_after_the_first_comment_is_told_in_an_event(house: Start) -> None:
    release = threading.Event()

    async def fails(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.to_thread(release.wait, 10)
        await status(400, b'{"error":{"message":"no such thing","code":"odd"}}')(asked, writer)

    with fake_engine(fails) as engine:
        started = house(model(engine), **QUICK)
        with asking(started) as plain:
            read_until(plain, COMMENT)
            release.set()
            rest = read_until(plain, b"0\r\n\r\n")
        assert b'data: {"error":{"message":"no such thing","code":"odd"}}\n\n' in rest
        assert b"[DONE]" not in rest


def test_a_caller_who_goes_away_while_only_comments_came_stops_the_engine(house: Start) -> None:
    async def never(asked: Asked, _: asyncio.StreamWriter) -> None:
        await asked.gone()

    with fake_engine(never) as engine:
        started = house(model(engine), **QUICK)
        with asking(started) as plain:
            read_until(plain, COMMENT)
            engine.gone.clear()
        assert engine.gone.wait(5)
        while started.house.fleet.endpoints[0].in_flight:
            pass


def test_quick_streams_and_unstreamed_answers_have_no_comments(house: Start) -> None:
    release = threading.Event()

    async def slow(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.to_thread(release.wait, 0.15)
        await whole("hello")(asked, writer)

    with fake_engine(stream(delta("a"), DONE)) as engine:
        started = house(model(engine), **QUICK)
        assert chat(started, stream=True).body == delta("a") + DONE
        engine.answer = slow
        reply = chat(started)
        assert reply.json["choices"][0]["message"]["content"] == "hello"
