"""What the gateway does with engines: relay, retry, fall back, cancel, and tell what went wrong."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from hanok.wire.forms import read_stream_text
from tests.calls import Reply, call
from tests.conftest import ECHO, RunningHouse, free_port
from tests.engine import (
    DONE,
    STREAM_HEAD,
    USAGE_EVENT,
    Asked,
    FakeEngine,
    chunk,
    delta,
    event,
    fake_engine,
    status,
    stream,
    whole,
)

Start = Callable[..., RunningHouse]
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
OPEN_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
QUICK = {"timeouts": {"connect_s": 1, "first_byte_s": 0.3, "idle_s": 0.3}}


def model(*engines: FakeEngine, **more: Any) -> dict[str, Any]:
    return {"name": "m", "serve": [{"engine": "openai", "url": each.url, "model": "fake"} for each in engines], **more}


def chat(house: RunningHouse, **more: Any) -> Reply:
    return call(f"{house.url}/v1/chat/completions", "POST", {**CHAT, **more}, house.headers)


def charges(house: RunningHouse) -> dict[str, Any]:
    house.house.ledger.flush()
    return {row.group: row for row in house.house.ledger.usage("model")}


def test_whatever_text_says_it_is_passed_on_and_counted_as_text(house: Start) -> None:
    said = [
        "plain",
        " text",
        ' a "quote"',
        "\\",
        "data: x",
        '{"error": 1}',
        '"usage":{}',
        "[DONE]",
        " as before",
        " ü\n\n",
        "",
    ]
    events = [delta(text) for text in said]
    with fake_engine(stream(delta("one") + delta("piece"), *events, event({"choices": []}), *events, DONE)) as engine:
        started = house(model(engine))
        reply = chat(started, stream=True)
        assert "".join(read_stream_text(reply.body)) == "onepiece" + "".join(said) * 2
        assert reply.body.endswith(DONE)
        assert charges(started)["m"].completion_tokens >= 2 * len(said)


def test_the_body_passes_through_but_for_the_models_name(house: Start) -> None:
    with fake_engine() as engine:
        started = house(model(engine))
        sent = {"tools": [{"type": "function", "function": {"name": "f"}}], "logit_bias": {"5": -1.5}, "x": None}
        reply = chat(started, **sent)
        assert reply.json["choices"][0]["message"]["content"] == "hello there friend"
        asked = engine.calls()[0]
        assert asked.json == {**CHAT, **sent, "model": "fake"}
        assert asked.path == "/v1/chat/completions"
        assert asked.headers["x-request-id"] == reply.headers["x-request-id"]
        assert "authorization" not in asked.headers, "a caller's key must not reach the engine"


def test_a_streams_bytes_are_relayed_as_they_came(house: Start) -> None:
    events = [delta("héllo"), event({"choices": [], "reasoning": "안녕"}), b": keep-alive\n\n", DONE]
    with fake_engine(stream(*events)) as engine:
        assert chat(house(model(engine)), stream=True).body == b"".join(events)


def test_the_usage_event_is_always_asked_for_and_kept_from_those_who_did_not(house: Start) -> None:
    with fake_engine(stream(delta("a"), USAGE_EVENT, DONE)) as engine:
        started = house(model(engine, price={"input": 1.0, "output": 1.0}))
        assert chat(started, stream=True).body == delta("a") + DONE
        assert engine.calls()[0].json["stream_options"] == {"include_usage": True}
        wanted = chat(started, stream=True, stream_options={"include_usage": True, "x": 1})
        assert wanted.body == delta("a") + USAGE_EVENT + DONE
        assert engine.calls()[1].json["stream_options"] == {"include_usage": True, "x": 1}
        assert charges(started)["m"].prompt_tokens == 14


def test_events_cut_anywhere_by_the_network_are_put_together(house: Start) -> None:
    text = delta("one") + delta("two") + USAGE_EVENT + DONE

    async def in_pieces(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        for start in range(0, len(text), 7):
            writer.write(chunk(text[start : start + 7]))
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(b"0\r\n\r\n")

    with fake_engine(in_pieces) as engine:
        assert chat(house(model(engine)), stream=True).body == delta("one") + delta("two") + DONE


def test_connections_to_an_engine_are_kept_for_streams_too(house: Start) -> None:
    with fake_engine(stream(delta("a"), DONE)) as engine:
        started = house(model(engine))
        before = engine.connections
        for _ in range(5):
            assert chat(started, stream=True).status == 200
        assert engine.connections <= before + 1


def test_a_dead_endpoint_is_passed_over_for_one_that_lives(house: Start) -> None:
    with fake_engine() as engine:
        dead = {"engine": "openai", "url": f"http://127.0.0.1:{free_port()}/v1"}
        live = {"engine": "openai", "url": engine.url}
        started = house({"name": "m", "serve": [dead, live]})
        assert [chat(started).status for _ in range(4)] == [200] * 4
        assert chat(started).headers["x-hanok-endpoint"] == "m#2"


def test_calls_go_to_the_least_busy_endpoint(house: Start) -> None:
    release = threading.Event()

    async def slow(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.to_thread(release.wait, 5)
        await whole()(asked, writer)

    with fake_engine(slow) as first, fake_engine(slow) as second:
        started = house(model(first, second))
        threads = [threading.Thread(target=chat, args=(started,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        while len(first.calls()) + len(second.calls()) < 6:
            pass
        assert (len(first.calls()), len(second.calls())) == (3, 3)
        release.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("stream_it", [False, True])
@pytest.mark.parametrize("bad", ["500", "429", "close", "garbage", "html", "not json", "empty stream", "half event"])
def test_an_answer_that_fails_before_its_first_byte_is_asked_for_elsewhere(
    house: Start, bad: str, stream_it: bool
) -> None:
    async def close(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def garbage(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x00\x01\x02 hello\r\n\r\n")

    answers = {
        "500": status(500, b'{"error":{"message":"boom"}}'),
        "429": status(429, b'{"error":{"message":"slow down"}}'),
        "close": close,
        "garbage": garbage,
        "html": status(200, b"<html>", "content-type: text/html\r\n"),
        "not json": status(200, b"{oops"),
        "empty stream": stream(end=b""),
        "half event": stream(b"data: {", end=b"0\r\n\r\n"),
    }
    good = stream(delta("good"), DONE) if stream_it else whole("good")
    with fake_engine(answers[bad]) as broken, fake_engine(good) as sound:
        if bad == "empty stream":
            broken.answer = close
        started = house(model(broken, sound, **QUICK))
        replies = [chat(started, stream=stream_it) for _ in range(4)]
        assert [reply.status for reply in replies] == [200] * 4
        assert all(b"good" in reply.body for reply in replies)
        assert charges(started)["m"].failed == 0


def test_a_fallback_takes_over_when_a_model_has_no_endpoint_left(house: Start) -> None:
    with fake_engine(status(503, b"{}")) as broken:
        started = house(model(broken, fallbacks=["echo"], retries=0), ECHO)
        reply = chat(started)
        assert reply.json["choices"][0]["message"]["content"] == "hello"
        assert reply.headers["x-hanok-endpoint"] == "echo#1"
        assert set(charges(started)) == {"echo"}, "the model that served is charged"


def test_the_callers_own_mistake_is_not_retried_and_passes_back_as_the_engine_said_it(house: Start) -> None:
    said = b'{"error":{"message":"context too long","type":"invalid_request_error","param":"messages","code":"ctx"}}'
    with fake_engine(status(400, said)) as engine:
        started = house(model(engine, fallbacks=["echo"]), ECHO)
        reply = chat(started)
        assert (reply.status, reply.body) == (400, said)
        assert len(engine.calls()) == 1
        assert charges(started)["m"].failed == 1


def test_our_own_bad_credentials_are_not_blamed_on_the_caller(house: Start) -> None:
    with fake_engine(status(401, b'{"error":{"message":"bad key sk-123"}}')) as engine:
        reply = chat(house(model(engine, retries=0)))
        assert (reply.status, reply.error["code"]) == (502, "engine_credentials")
        assert "sk-123" not in reply.body.decode()


def test_an_overloaded_engines_retry_after_reaches_the_caller(house: Start) -> None:
    slow_down = status(429, b'{"error":{"message":"slow"}}', "content-type: application/json\r\nretry-after: 7\r\n")
    with fake_engine(slow_down) as engine:
        reply = chat(house(model(engine, retries=0)))
        assert (reply.status, reply.headers["retry-after"]) == (429, "7")


@pytest.mark.parametrize(
    ("bad", "code", "http_status"),
    [("close", "engine_broken", 502), ("silent", "engine_timeout", 504), ("dead", "engine_unreachable", 503)],
)
def test_an_engine_that_cannot_answer_is_named_in_the_error(
    house: Start, bad: str, code: str, http_status: int
) -> None:
    async def close(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def silent(_: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    with fake_engine(close if bad == "close" else silent) as engine:
        declared = model(engine, retries=0, **QUICK)
        if bad == "dead":
            declared["serve"] = [{"engine": "openai", "url": f"http://127.0.0.1:{free_port()}/v1"}]
        reply = chat(house(declared))
        assert (reply.status, reply.error["code"], reply.error["type"]) == (http_status, code, "engine_error")
        assert "127.0.0.1" in reply.error["message"]


@pytest.mark.parametrize("end", ["cut", "closed", "silent", "error event"])
def test_a_stream_that_breaks_midway_ends_with_an_error_event_and_is_charged_for_what_came(
    house: Start, end: str
) -> None:
    async def broken(_: Asked, writer: asyncio.StreamWriter) -> None:
        if end == "closed":  # the end of the connection is that of the body: was it to be its end?
            writer.write(OPEN_HEAD + delta("one") + delta("two"))
            await writer.drain()
            writer.close()
            return
        writer.write(STREAM_HEAD + chunk(delta("one")) + chunk(delta("two")))
        await writer.drain()
        if end == "error event":
            writer.write(chunk(event({"error": {"message": "out of memory"}})) + b"0\r\n\r\n")
        elif end == "cut":
            writer.close()
        else:
            await asyncio.Event().wait()

    with fake_engine(broken) as engine:
        started = house(model(engine, fallbacks=["echo"], **QUICK), ECHO)
        reply = chat(started, stream=True)
        assert reply.status == 200
        assert reply.body.startswith(delta("one") + delta("two"))
        assert "error" in reply.events[-1]
        row = charges(started)["m"]
        assert (row.calls, row.failed, row.completion_tokens) == (1, 1, 2)


def test_an_engine_that_closes_its_connection_behind_the_last_event_has_told_enough(house: Start) -> None:
    over = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})

    async def close(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(OPEN_HEAD + delta("one") + over)
        await writer.drain()
        writer.close()

    with fake_engine(close) as engine:
        reply = chat(house(model(engine)), stream=True)
        assert reply.body == delta("one") + over + DONE


@pytest.mark.parametrize("stream_it", [False, True])
def test_a_caller_who_goes_away_stops_the_engine(house: Start, stream_it: bool) -> None:
    async def endless(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if not stream_it:
            await asked.gone()
        writer.write(STREAM_HEAD)
        while True:
            writer.write(chunk(delta("x")))
            await writer.drain()
            await asyncio.sleep(0.01)

    with fake_engine(endless) as engine:
        started = house(model(engine))
        host, port = started.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=5) as plain:
            body = json.dumps({**CHAT, "stream": stream_it}).encode()
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {started.key}\r\n"
            head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            plain.sendall(head.encode() + body)
            if stream_it:
                assert plain.recv(10)
            while not engine.calls():
                pass
            engine.gone.clear()
        assert engine.gone.wait(5), "the engine was not told"
        while started.house.models.running:
            pass
        row = charges(started)["m"]
        assert (row.calls, row.failed) == (1, 0)


def test_a_stalled_reader_holds_the_engine_back_instead_of_filling_memory(house: Start) -> None:
    sent = [0]
    big = event({"choices": [{"index": 0, "delta": {"content": "x" * 60_000}}]})

    async def flood(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        while True:
            writer.write(chunk(big))
            await writer.drain()
            sent[0] += len(big)

    with fake_engine(flood) as engine:
        started = house(model(engine))
        host, port = started.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=5) as plain:
            body = json.dumps({**CHAT, "stream": True}).encode()
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {started.key}\r\n"
            head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            plain.sendall(head.encode() + body)
            assert plain.recv(10)
            before = -1
            stopped = threading.Event()
            while before != sent[0]:  # until nothing moves for half a second
                before = sent[0]
                stopped.wait(0.5)
            assert sent[0] < 64_000_000
