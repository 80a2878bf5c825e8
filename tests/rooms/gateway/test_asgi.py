"""An ASGI application behind the door: what it sees of a call, and what becomes of what it sends."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from hanok.gateway.asgi import AsgiDesk, with_key
from tests.conftest import ECHO, RunningHouse, open_house, wait_until

LIMIT = 1024 * 1024


class Seen:
    """What the application has noted."""

    def __init__(self) -> None:
        self.started = self.stopped = 0
        self.left = threading.Event()
        self.go_on = threading.Event()
        self.sent = 0


async def echo(request: Request) -> Response:
    body = await request.body()
    scope = request.scope
    return JSONResponse(
        {
            "method": request.method,
            "path": scope["path"],
            "raw_path": scope["raw_path"].decode(),
            "query": scope["query_string"].decode(),
            "length": len(body),
            "body": body[:100].decode("latin-1"),
            "key": scope["state"]["key"].name,
            "caller": scope["state"]["caller"].request_id,
            "from_start": scope["state"]["from_start"],
            "client": scope["client"][0],
        },
        headers={"x-given": "1"},
    )


async def events(request: Request) -> Response:
    seen: Seen = request.app.state.seen

    async def tell() -> AsyncIterator[str]:
        yield "data: one\n\n"
        yield ""  # which must not end the stream
        while not seen.go_on.is_set():
            await asyncio.sleep(0)
        yield "data: two\n\n"

    return StreamingResponse(tell(), media_type="text/event-stream")


async def endless(request: Request) -> Response:
    seen: Seen = request.app.state.seen

    async def tell() -> AsyncIterator[str]:
        try:
            yield "data: one\n\n"
            await asyncio.Event().wait()
        finally:
            seen.left.set()

    return StreamingResponse(tell(), media_type="text/event-stream")


async def flood(request: Request) -> Response:
    seen: Seen = request.app.state.seen

    async def tell() -> AsyncIterator[bytes]:
        for _ in range(1000):
            seen.sent += 1
            yield b"x" * 100_000

    return StreamingResponse(tell(), media_type="application/octet-stream")


async def broken(_: Request) -> Response:
    raise ValueError("a secret of the application")


async def broken_stream(request: Request) -> Response:
    async def tell() -> AsyncIterator[str]:
        yield "data: one\n\n"
        raise ValueError("a secret of the application")

    return StreamingResponse(tell(), media_type=request.query_params["type"])


async def own_500(_: Request) -> Response:
    return PlainTextResponse("mine", 500)


async def nothing(_: Request) -> Response:
    return Response(status_code=204)


async def later(request: Request) -> Response:
    seen: Seen = request.app.state.seen

    async def note() -> None:
        while not seen.go_on.is_set():
            await asyncio.sleep(0)
        seen.left.set()

    return PlainTextResponse("soon", background=BackgroundTask(note))


def make_app(seen: Seen) -> Starlette:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[dict[str, Any]]:
        seen.started += 1
        yield {"from_start": "yes"}
        seen.stopped += 1

    ways: list[tuple[str, Any]] = [
        ("/app/echo/{rest:path}", echo),
        ("/app/events", events),
        ("/app/endless", endless),
        ("/app/flood", flood),
        ("/app/broken", broken),
        ("/app/broken-stream", broken_stream),
        ("/app/own-500", own_500),
        ("/app/nothing", nothing),
        ("/app/later", later),
    ]
    routes = [Route(path, answer, methods=["GET", "POST", "OPTIONS"]) for path, answer in ways]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.state.seen = seen
    return app


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHouse]:
    file = tmp_path_factory.mktemp("asgi") / "platform.yaml"
    file.write_text(json.dumps({"name": "test", "gateway": {"body_limit_mib": 1}, "models": [ECHO]}))
    with open_house(file) as house:
        yield house


@pytest.fixture
def behind(running: RunningHouse) -> Iterator[Callable[[Any], AsgiDesk]]:
    """Put applications behind the door, below `/app`."""
    made: list[AsgiDesk] = []

    def put(app: Any) -> AsgiDesk:
        made.append(AsgiDesk(app, paths=("/app",), admit=with_key(running.house.reception)))
        running.house.door.change(made[-1:])
        return made[-1]

    yield put
    for desk in made:
        running.run(desk.aclose())


@pytest.fixture
def seen(behind: Callable[[Any], AsgiDesk]) -> Seen:
    seen = Seen()
    behind(make_app(seen))
    return seen


@pytest.fixture
def client(running: RunningHouse, seen: Seen) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url, headers=running.headers, timeout=10) as client:
        yield client


def test_an_application_sees_the_call_who_makes_it_and_its_own_state(client: httpx.Client) -> None:
    answer = client.post("/app/echo/a%20b/%C3%A9?x=1&y=%20", content=b"hello", headers={"x-request-id": "mine"})
    assert answer.json() == {
        "method": "POST",
        "path": "/app/echo/a b/é",
        "raw_path": "/app/echo/a%20b/%C3%A9",
        "query": "x=1&y=%20",
        "length": 5,
        "body": "hello",
        "key": "test",
        "caller": "mine",
        "from_start": "yes",
        "client": "127.0.0.1",
    }
    assert answer.headers["x-given"] == "1"
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.headers.get_list("x-request-id") == ["mine"]


def test_nobody_reaches_an_application_without_a_key(client: httpx.Client, seen: Seen) -> None:
    answer = client.post("/app/echo/", content=b"x", headers={"authorization": "Bearer hk-wrong"})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert seen.started == 0


def test_a_body_that_comes_in_chunks_is_whole(client: httpx.Client) -> None:
    answer = client.post("/app/echo/", content=iter([b"x" * 300_000, b"y" * 300_000]))
    assert answer.json()["length"] == 600_000


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_beyond_the_limit_is_refused_before_the_application_hears_of_it(
    client: httpx.Client, seen: Seen, chunked: bool
) -> None:
    body = b"x" * (LIMIT + 1)
    answer = client.post("/app/echo/", content=iter([body]) if chunked else body)
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "body_too_large"
    assert seen.started == 0


def test_a_stream_is_passed_on_as_it_comes(client: httpx.Client, seen: Seen) -> None:
    with client.stream("GET", "/app/events") as answer:
        lines = answer.iter_lines()
        assert next(lines) == "data: one"
        seen.go_on.set()
        assert list(lines) == ["", "data: two", ""]
        assert "content-length" not in answer.headers


def test_connections_are_kept_after_answers_and_streams(running: RunningHouse, seen: Seen) -> None:
    seen.go_on.set()
    host, port = running.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as plain:
        paths = ("/app/echo/", "/app/nothing", "/app/events", "/app/own-500", "/app/echo/")
        for path in paths:  # sent ahead, all at once
            plain.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {running.key}\r\n\r\n".encode())
        plain.sendall(b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        data = b"".join(iter(lambda: plain.recv(65536), b""))
    found = [part[:3].decode() for part in data.split(b"HTTP/1.1 ") if part]
    assert found == ["200", "204", "200", "500", "200", "200"]


def test_the_caller_of_http_1_0_gets_a_stream_without_chunks(running: RunningHouse, seen: Seen) -> None:
    seen.go_on.set()
    host, port = running.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as plain:
        plain.sendall(f"GET /app/events HTTP/1.0\r\nauthorization: Bearer {running.key}\r\n\r\n".encode())
        data = b"".join(iter(lambda: plain.recv(65536), b""))
    assert data.endswith(b"\r\n\r\ndata: one\n\ndata: two\n\n")


def test_an_application_notices_that_its_caller_has_gone(client: httpx.Client, seen: Seen) -> None:
    with client.stream("GET", "/app/endless") as answer:
        lines = answer.iter_lines()
        assert next(lines) == "data: one"
        assert not seen.left.is_set()
    assert seen.left.wait(10)


def test_an_application_that_does_not_listen_is_stopped_at_its_next_word(
    running: RunningHouse, behind: Callable[[Any], AsgiDesk], caplog: pytest.LogCaptureFixture
) -> None:
    stopped = threading.Event()

    async def talker(scope: dict[str, Any], receive: Any, send: Any) -> None:
        del receive
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
                await asyncio.sleep(0)
        except OSError:
            stopped.set()
            raise

    behind(talker)
    with httpx.stream("GET", running.url + "/app", headers=running.headers) as answer:
        assert next(answer.iter_raw())[:1] == b"x"
    assert stopped.wait(10)
    assert "failed" not in caplog.text


def test_a_caller_who_reads_slowly_holds_the_application_back(client: httpx.Client, seen: Seen) -> None:
    with client.stream("GET", "/app/flood") as answer:
        pieces = answer.iter_raw(1)
        next(pieces)
        before = -1
        while before != seen.sent:  # until it is held
            before = seen.sent
            threading.Event().wait(0.05)
        assert seen.sent < 500


def test_what_an_application_raises_is_an_error_of_ours_without_its_words(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.get("/app/broken")
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal"
    assert "secret" not in answer.text
    assert "a secret of the application" in caplog.text


def test_a_500_that_the_application_means_is_its_own(client: httpx.Client) -> None:
    answer = client.get("/app/own-500")
    assert (answer.status_code, answer.text) == (500, "mine")


def test_a_stream_of_events_that_fails_ends_with_an_error(client: httpx.Client) -> None:
    answer = client.get("/app/broken-stream", params={"type": "text/event-stream"})
    first, second = answer.text.strip().split("\n\n")
    assert first == "data: one"
    assert json.loads(second.removeprefix("data: "))["error"]["code"] == "internal"


def test_any_other_stream_that_fails_is_cut_so_that_it_is_not_taken_for_whole(client: httpx.Client) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/app/broken-stream", params={"type": "text/plain"})
    assert client.get("/app/echo/").status_code == 200


def test_head_is_answered_without_a_body_and_the_connection_goes_on(client: httpx.Client, seen: Seen) -> None:
    answer = client.head("/app/echo/")
    assert int(answer.headers["content-length"]) > 0
    assert client.head("/app/endless").status_code == 200
    assert seen.left.wait(10)
    assert client.get("/app/echo/").status_code == 200


def test_options_and_no_content_pass(client: httpx.Client) -> None:
    assert client.options("/app/echo/").json()["method"] == "OPTIONS"
    answer = client.get("/app/nothing")
    assert answer.status_code == 204
    assert "content-length" not in answer.headers
    assert client.delete("/app/echo/").status_code == 405
    assert client.get("/app/nowhere").status_code == 404
    assert client.get("/application").json()["error"]["code"] == "not_found"


def test_what_runs_after_an_answer_does_not_hold_the_next_call(client: httpx.Client, seen: Seen) -> None:
    assert client.get("/app/later").text == "soon"
    assert client.get("/app/echo/").status_code == 200
    assert not seen.left.is_set()
    seen.go_on.set()
    assert seen.left.wait(10)


def test_an_application_starts_with_its_first_call_and_stops_with_the_desk(
    running: RunningHouse, behind: Callable[[Any], AsgiDesk]
) -> None:
    seen = Seen()
    desk = behind(make_app(seen))
    assert seen.started == 0
    for _ in range(2):
        httpx.get(running.url + "/app/echo/", headers=running.headers)
    assert (seen.started, seen.stopped) == (1, 0)
    running.run(desk.aclose())
    assert (seen.started, seen.stopped) == (1, 1)


def test_an_application_that_could_not_start_is_tried_again(
    running: RunningHouse, behind: Callable[[Any], AsgiDesk], caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[int] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[dict[str, str]]:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("no database")
        yield {"from_start": "at last"}

    behind(Starlette(routes=[Route("/app/echo/", echo)], lifespan=lifespan))
    first = httpx.get(running.url + "/app/echo/", headers=running.headers)
    assert first.status_code == 500
    assert "no database" in caplog.text
    assert httpx.get(running.url + "/app/echo/", headers=running.headers).json()["from_start"] == "at last"


def test_an_application_that_says_nothing_is_an_error(
    running: RunningHouse, behind: Callable[[Any], AsgiDesk], caplog: pytest.LogCaptureFixture
) -> None:
    async def silent(scope: dict[str, Any], receive: Any, send: Any) -> None:
        del scope, receive, send

    behind(silent)
    answer = httpx.get(running.url + "/app", headers=running.headers)
    assert answer.status_code == 500
    assert "gave no answer" in caplog.text


def test_those_that_run_when_the_desk_closes_are_ended(
    running: RunningHouse, behind: Callable[[Any], AsgiDesk], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    seen = Seen()
    desk = behind(make_app(seen))
    assert httpx.get(running.url + "/app/later", headers=running.headers).text == "soon"
    running.run(desk.aclose())
    wait_until(lambda: seen.stopped)
    assert not seen.left.is_set()
    assert caplog.text == ""
