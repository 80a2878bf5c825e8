"""Whether an endpoint is up: what its health page says, and what its answers say when that is slow."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest

from hanok.serving import watch
from hanok.serving.client import Pool
from hanok.serving.engines.openai import OpenAIEngine
from hanok.serving.fleet import Endpoint, Fleet, State
from hanok.spec import Timeouts
from hanok.wire import Answer, ChatRequest
from tests.conftest import free_port
from tests.engine import Asked, chunk, delta, fake_engine, status


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A health page is slow after a fifth of a second."""
    monkeypatch.setattr(watch, "CHECK_LIMIT_S", 0.2)


async def busy(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Says a word every hundredth of a second, without end."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        while not writer.is_closing():
            writer.write(chunk(delta("word ")))
            await writer.drain()
            await asyncio.sleep(0.01)


async def silent(asked: Asked, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def looked_at(url: str, *, state: State = "up", calls: int = 0, timeouts: Timeouts | None = None) -> Endpoint:
    """An endpoint after a look at it, while so many calls of ours run there."""
    engine = OpenAIEngine(Pool(url, timeouts=timeouts or Timeouts()), model="m", endpoint="m#1", served_name="m")
    endpoint = Endpoint("m#1", "m", "openai", engine, state=state)
    answers: list[Answer] = [
        await engine.open(ChatRequest.ask("m", [{"role": "user", "content": "hi"}], stream=True)) for _ in range(calls)
    ]
    reading = [asyncio.ensure_future(read(answer)) for answer in answers]
    await watch.look(Fleet([endpoint]), endpoint)
    for each in reading:
        each.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
    for answer in answers:
        await answer.aclose()
    await engine.aclose()
    return endpoint


async def read(answer: Answer) -> None:
    async for _ in answer:
        pass


@pytest.mark.parametrize("state", ["up", "down"])
@pytest.mark.parametrize("whose", ["our limit", "the engine's limit"])
def test_an_engine_whose_answers_flow_is_up_however_slow_its_health_page_is(
    state: State, whose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if whose != "our limit":
        monkeypatch.setattr(watch, "CHECK_LIMIT_S", 30.0)
    with fake_engine(busy) as engine:
        engine.get = silent
        timeouts = Timeouts() if whose == "our limit" else Timeouts(first_byte_s=0.2)
        assert asyncio.run(looked_at(engine.url, state=state, calls=1, timeouts=timeouts)).state == "up"


def test_a_silent_engine_is_down(caplog: pytest.LogCaptureFixture) -> None:
    with fake_engine() as engine:
        engine.get = silent
        endpoint = asyncio.run(looked_at(engine.url))
    assert (endpoint.state, endpoint.reason) == ("down", "no health answer in 0.2 s")
    assert "m#1 is down" in caplog.text


def test_an_engine_that_refuses_connections_is_down() -> None:
    endpoint = asyncio.run(looked_at(f"http://127.0.0.1:{free_port()}/v1"))
    assert (endpoint.state, "cannot be reached" in endpoint.reason) == ("down", True)


def test_an_endpoint_that_comes_back_is_logged_as_loudly_as_its_going(caplog: pytest.LogCaptureFixture) -> None:
    with fake_engine(status(200, b'{"data": []}')) as engine:
        assert asyncio.run(looked_at(engine.url, state="down")).state == "up"
    (told,) = (each for each in caplog.records if each.name == watch.__name__)
    assert (told.levelno, told.getMessage()) == (logging.WARNING, "m#1 is up again")
