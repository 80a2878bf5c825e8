"""Connections to the door, as bytes: what a correct client may do, and what a hostile one tries."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hanok.gateway.http import connection
from tests.calls import call
from tests.conftest import ECHO, RunningHouse

Start = Callable[..., RunningHouse]
BODY = json.dumps({"model": "echo", "messages": [{"role": "user", "content": "hello"}]}).encode()


@contextmanager
def connected(house: RunningHouse) -> Iterator[socket.socket]:
    host, port = house.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as plain:
        yield plain


def request(house: RunningHouse, body: bytes = BODY, *lines: str, version: str = "1.1", length: bool = True) -> bytes:
    head = [f"POST /v1/chat/completions HTTP/{version}", "host: x", f"authorization: Bearer {house.key}"]
    head += ["content-type: application/json", *([f"content-length: {len(body)}"] if length else []), *lines]
    return "\r\n".join([*head, "", ""]).encode() + body


def read_reply(plain: socket.socket) -> tuple[int, bytes, bytes]:
    """Status, head and body of one answer with a content-length."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := plain.recv(65536)):
            return 0, data, b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(
        next(line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    )
    while len(body) < length:
        body += plain.recv(65536)
    assert len(body) == length, "an answer must not be followed by anything"
    return int(head.split(b" ")[1]), head, body


def until_closed(plain: socket.socket) -> bytes:
    data = b""
    with_patience = True
    while with_patience:
        try:
            more = plain.recv(65536)
        except ConnectionResetError:
            break
        data += more
        with_patience = bool(more)
    return data


def test_a_connection_carries_one_call_after_another(house: Start) -> None:
    started = house(ECHO)
    with connected(started) as plain:
        for _ in range(3):
            plain.sendall(request(started))
            assert read_reply(plain)[0] == 200


def test_calls_sent_ahead_are_answered_in_their_order(house: Start) -> None:
    started = house({"name": "echo", "serve": {"engine": "echo", "delay_ms": 5}})
    bodies = [BODY.replace(b"hello", f"number-{number}".encode()) for number in range(40)]
    with connected(started) as plain:
        sender = threading.Thread(target=plain.sendall, args=(b"".join(request(started, body) for body in bodies),))
        sender.start()
        data = b""
        while data.count(b'"finish_reason"') < len(bodies):
            data += plain.recv(65536)
        sender.join()
    order = [data.index(f'"number-{number}"'.encode()) for number in range(len(bodies))]
    assert order == sorted(order)


def test_a_request_may_come_byte_by_byte(house: Start) -> None:
    started = house(ECHO)
    with connected(started) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request(started):
            plain.send(bytes([byte]))
        assert read_reply(plain)[0] == 200


def test_a_chunked_body_is_taken_like_any_other(house: Start) -> None:
    started = house(ECHO)
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(BODY[at : at + 9]), BODY[at : at + 9]) for at in range(0, len(BODY), 9))
    with connected(started) as plain:
        plain.sendall(request(started, b"", "transfer-encoding: chunked", length=False) + chunks + b"0\r\nx: y\r\n\r\n")
        assert read_reply(plain)[0] == 200
        plain.sendall(request(started))
        assert read_reply(plain)[0] == 200


def test_a_client_that_waits_to_be_told_to_continue_is_told(house: Start) -> None:
    started = house(ECHO)
    with connected(started) as plain:
        plain.sendall(request(started, b"", "expect: 100-continue", f"content-length: {len(BODY)}", length=False))
        assert plain.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        plain.sendall(BODY)
        assert read_reply(plain)[0] == 200


def test_a_client_that_asks_to_close_and_an_old_one_are_closed(house: Start) -> None:
    started = house(ECHO)
    for sent in (request(started, BODY, "connection: close"), request(started, version="1.0")):
        with connected(started) as plain:
            plain.sendall(sent)
            data = until_closed(plain)
            assert data.startswith(b"HTTP/1.1 200")
            assert b"connection: close" in data


def test_a_stream_to_an_old_client_ends_with_the_connection_and_has_no_chunks(house: Start) -> None:
    started = house(ECHO)
    with connected(started) as plain:
        plain.sendall(request(started, BODY.replace(b"{", b'{"stream":true,', 1), version="1.0"))
        data = until_closed(plain)
    assert b"transfer-encoding" not in data
    assert data.endswith(b"data: [DONE]\n\n")


def test_head_is_answered_without_a_body(house: Start) -> None:
    started = house(ECHO)
    with connected(started) as plain:
        plain.sendall(b"HEAD /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        head, _, body = until_closed(plain).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 405")
    assert body == b""


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nx y: z\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nabcde",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\n" + b"x: " + b"y" * 70_000 + b"\r\n\r\n",
        b"GET /" + b"y" * 70_000,
    ],
    ids=lambda sent: sent[:30].decode("latin-1") + str(len(sent)),
)
def test_what_is_not_http_is_refused_and_the_connection_closed(house: Start, sent: bytes) -> None:
    started = house(ECHO)
    with connected(started) as plain:
        plain.sendall(sent)
        data = until_closed(plain)
    assert data == b"" or data.split(b" ")[1] in (b"400", b"401", b"431"), data
    assert data.count(b"HTTP/1.1 ") <= 1
    assert call(f"{started.url}/health/live").status == 200


def test_an_answer_before_the_body_has_come_closes_so_that_the_body_is_no_request(house: Start) -> None:
    started = house(ECHO, gateway={"body_limit_mib": 0.001})
    smuggled = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n"
    with connected(started) as plain:
        plain.sendall(request(started, b"", "content-length: 5000", length=False) + smuggled)
        data = until_closed(plain)
    assert data.startswith(b"HTTP/1.1 413")
    assert data.count(b"HTTP/1.1 ") == 1


def test_a_switch_of_protocols_is_not_made(house: Start) -> None:
    started = house(ECHO)
    with connected(started) as plain:
        plain.sendall(request(started, BODY, "connection: upgrade", "upgrade: h2c"))
        assert not until_closed(plain).startswith(b"HTTP/1.1 101")
    assert call(f"{started.url}/health/live").status == 200


def test_those_who_open_and_say_nothing_are_cut_in_time(house: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_LIMIT_S", 0.1)
    monkeypatch.setattr(connection, "BODY_LIMIT_S", 0.1)
    monkeypatch.setattr(connection, "SWEEP_EVERY_S", 0.05)
    started = house(ECHO)
    begun = time.monotonic()
    for sent in (b"", b"GET / HT", request(started, b"", "content-length: 50", length=False) + b"{"):
        with connected(started) as plain:
            plain.sendall(sent)
            assert until_closed(plain) == b""
    assert time.monotonic() - begun < 5
    assert started.house.models.running == 0


def test_hundreds_of_connections_are_served_at_once(house: Start) -> None:
    started = house(ECHO)
    host, port = started.url.removeprefix("http://").split(":")
    sockets = [socket.create_connection((host, int(port)), timeout=10) for _ in range(400)]
    try:
        for plain in sockets:
            plain.sendall(request(started))
        assert [read_reply(plain)[0] for plain in sockets] == [200] * len(sockets)
    finally:
        for plain in sockets:
            plain.close()


def test_a_call_sent_while_the_answer_before_is_still_being_closed_is_answered_once(house: Start) -> None:
    """The engine lingers after `[DONE]`; the caller, who has the whole answer, does not wait for it."""
    from tests.engine import DONE, STREAM_HEAD, Asked, chunk, delta, fake_engine

    async def lingering(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(delta("one")) + chunk(DONE))
        await writer.drain()
        await asyncio.sleep(0.03)
        writer.write(b"0\r\n\r\n")

    with fake_engine(lingering) as engine:
        started = house({"name": "echo", "serve": {"engine": "openai", "url": engine.url}})
        with connected(started) as plain:
            for number in range(4):
                plain.sendall(request(started, BODY.replace(b"{", b'{"stream":true,', 1)))
                data = b""
                while not data.endswith(b"0\r\n\r\n"):
                    data += plain.recv(65536)
                assert data.count(b"HTTP/1.1 ") == 1
                assert len(engine.calls()) == number + 1


@pytest.mark.parametrize("code", [499, 520, 529])
def test_an_engines_unregistered_status_is_passed_on_whole_and_asked_for_once(house: Start, code: int) -> None:
    from tests.engine import fake_engine, status

    with fake_engine(status(code, b'{"error":{"message":"overloaded"}}')) as engine:
        started = house({"name": "echo", "retries": 0, "serve": {"engine": "openai", "url": engine.url}})
        reply = call(f"{started.url}/v1/chat/completions", "POST", BODY, started.headers)
        assert (reply.status, reply.error["message"]) == (code, "overloaded")
        assert len(engine.calls()) == 1


def test_an_early_refusal_reaches_a_client_that_is_still_sending(house: Start) -> None:
    started = house(ECHO)
    for _ in range(3):
        reply = call(f"{started.url}/v1/chat/completions", "POST", b"x" * 8_000_000, {"content-type": "text/plain"})
        assert reply.status == 401


def read_one(plain: socket.socket) -> Any:
    """The JSON of the next answer; what follows it stays unread."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += plain.recv(1)
    length = next(int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"content-length: "))
    body = b""
    while len(body) < length:
        body += plain.recv(length - len(body))
    return json.loads(body)


def test_one_head_after_another_on_a_connection_goes_with_its_own_body(house: Start) -> None:
    started = house(ECHO)
    bodies = [json.dumps({"model": "echo", "messages": [{"role": "user", "content": "x" * size}]}).encode() for size in
              (1, 50, 50_000, 3)]  # fmt: skip
    with connected(started) as plain:
        for body in bodies:
            plain.sendall(request(started, body))
            assert (
                json.loads(read_reply(plain)[2])["choices"][0]["message"]["content"]
                == json.loads(body)["messages"][0]["content"]
            )


def test_calls_sent_ahead_in_any_cutting_give_the_same_answers(house: Start) -> None:
    started = house(ECHO)
    sent = b"".join(
        request(started, json.dumps({"model": "echo", "messages": [{"role": "user", "content": f"n{n}"}]}).encode())
        for n in range(12)
    )
    for size in (1, 7, 100, 333, len(sent)):
        with connected(started) as plain:
            cutting = threading.Thread(
                target=lambda plain=plain, size=size: [
                    plain.sendall(sent[start : start + size]) for start in range(0, len(sent), size)
                ]
            )
            cutting.start()
            said = [read_one(plain)["choices"][0]["message"]["content"] for _ in range(12)]
            cutting.join()
            assert said == [f"n{n}" for n in range(12)]


def test_a_larger_body_is_not_let_in_after_smaller_ones(house: Start) -> None:
    started = house(ECHO, gateway={"body_limit_mib": 0.01})
    body = json.dumps({"model": "echo", "messages": [{"role": "user", "content": "x"}]}).encode()
    with connected(started) as plain:
        for _ in range(2):
            plain.sendall(request(started, body))
            assert read_reply(plain)[0] == 200
        plain.sendall(request(started, body + b" " * 20_000))
        assert read_reply(plain)[0] == 413
