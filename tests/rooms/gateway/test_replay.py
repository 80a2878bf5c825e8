"""Repeated calls: answered with the first one's answer, and not charged again."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hanok.assemble import build as assemble
from hanok.gateway import Replays
from tests.calls import Reply, call
from tests.conftest import RunningHouse
from tests.engine import DONE, Asked, FakeEngine, delta, fake_engine, status, stream, whole

Start = Callable[..., RunningHouse]
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def model(engine: FakeEngine) -> dict[str, Any]:
    return {"name": "m", "serve": {"engine": "openai", "url": engine.url, "model": "fake"}, "retries": 0}


def chat(house: RunningHouse, body: dict[str, Any] | None = None, /, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return call(f"{house.url}/v1/chat/completions", "POST", {**CHAT, **(body or {})}, {**house.headers, **named})


def replayed(reply: Reply) -> bool:
    return reply.headers.get("idempotency-replayed") == "true"


def charges(house: RunningHouse) -> int:
    house.house.ledger.flush()
    return sum(row.calls for row in house.house.ledger.usage("model"))


@pytest.mark.parametrize("stream_it", [False, True])
def test_a_repeated_call_gets_the_first_answer_and_is_charged_once(house: Start, stream_it: bool) -> None:
    with fake_engine(stream(delta("a"), delta("b"), DONE) if stream_it else whole("a")) as engine:
        started = house(model(engine))
        first, second = (chat(started, {"stream": stream_it}, idempotency_key="k-1") for _ in range(2))
        assert (first.status, first.body) == (second.status, second.body)
        assert (replayed(first), replayed(second)) == (False, True)
        assert second.headers["content-type"] == first.headers["content-type"]
        assert second.headers["x-hanok-endpoint"] == "m#1"
        assert second.headers["x-request-id"] != first.headers["x-request-id"]
        assert (len(engine.calls()), charges(started)) == (1, 1)
        assert not replayed(chat(started, {"stream": stream_it}, idempotency_key="k-2"))


def test_calls_repeated_while_the_first_runs_wait_for_its_answer(house: Start) -> None:
    release = threading.Event()

    async def slow(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.to_thread(release.wait, 10)
        await whole("once")(asked, writer)

    with fake_engine(slow) as engine, ThreadPoolExecutor(4) as pool:
        started = house(model(engine))
        calls = [pool.submit(chat, started, idempotency_key="k") for _ in range(4)]
        while not engine.calls():
            pass
        assert chat(started, {"temperature": 0.5}, idempotency_key="k").status == 422
        release.set()
        replies = [each.result() for each in calls]
        assert len({reply.body for reply in replies}) == 1
        assert sorted(replayed(reply) for reply in replies) == [False, True, True, True]
        assert len(engine.calls()) == 1


def test_when_the_first_caller_goes_away_one_of_those_who_wait_is_answered_anew(house: Start) -> None:
    async def never(asked: Asked, _: asyncio.StreamWriter) -> None:
        await asked.gone()

    with fake_engine(never) as engine, ThreadPoolExecutor(2) as pool:
        started = house(model(engine))
        host, port = started.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=5) as plain:
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {started.key}\r\n"
            body = b'{"model": "m", "messages": [{"role": "user", "content": "hello"}]}'
            head += f"idempotency-key: k\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            plain.sendall(head.encode() + body)
            while not engine.calls():
                pass
            engine.answer = whole("anew")
            others = [pool.submit(chat, started, idempotency_key="k") for _ in range(2)]
        replies = [each.result() for each in others]
        assert {reply.status for reply in replies} == {200}
        assert sorted(replayed(reply) for reply in replies) == [False, True]
        assert len(engine.calls()) == 2


class Gone:
    """A call whose caller hangs up: after the whole answer, or in its middle."""

    path, headers, tape, begun = "/v1/chat/completions", {b"idempotency-key": b"k"}, None, False

    async def body(self) -> bytes:
        return b"{}"


@pytest.mark.parametrize("whole_answer", [True, False])
def test_what_was_sent_whole_is_kept_though_the_caller_hangs_up_at_once(whole_answer: bool) -> None:
    asked: list[int] = []

    async def handle(call: Any) -> None:
        asked.append(1)
        call.tape.begin(200, (), streamed=True)
        call.tape.take(b"answer")
        if whole_answer:
            call.tape.end()
        raise asyncio.CancelledError

    async def fail(*_: Any) -> None:
        raise AssertionError

    async def ask() -> Any:
        replays = Replays(retries=False, monotonic=lambda: 0.0)
        for _ in range(2):
            call: Any = Gone()
            with contextlib.suppress(asyncio.CancelledError, AttributeError):  # it has no line to be played on
                await replays.answer(call, "key", handle=handle, fail=fail)

    asyncio.run(ask())
    assert len(asked) == (1 if whole_answer else 2)


def test_another_body_or_path_under_the_same_key_is_refused_with_422(house: Start) -> None:
    with fake_engine() as engine:
        started = house(model(engine))
        chat(started, idempotency_key="k")
        other = chat(started, {"temperature": 0.5}, idempotency_key="k")
        assert (other.status, other.error["code"]) == (422, "idempotency_key_reused")
        assert len(engine.calls()) == 1


def test_what_one_key_asked_is_not_told_to_another_nor_to_nobody(house: Start) -> None:
    with fake_engine() as engine:
        started = house(model(engine))
        chat(started, idempotency_key="k")
        other = started.house.ledger.create_key("other").secret
        started.house.keys.replace(started.house.ledger.list_keys())
        assert not replayed(chat(started, idempotency_key="k", authorization=f"Bearer {other}"))
        assert chat(started, idempotency_key="k", authorization="Bearer hk-no").status == 401


@pytest.mark.parametrize(("code", "kept"), [(500, False), (429, False), (402, False), (400, True)])
def test_answers_that_a_retry_may_better_are_not_kept_and_mistakes_are(house: Start, code: int, kept: bool) -> None:
    with fake_engine(status(code, b'{"error":{"message":"no"}}')) as engine:
        started = house(model(engine))
        assert chat(started, idempotency_key="k").status == code
        engine.answer = whole()
        again = chat(started, idempotency_key="k")
        assert (again.status, replayed(again)) == ((400, True) if kept else (200, False))


def test_a_stream_that_broke_is_not_kept(house: Start) -> None:
    with fake_engine(stream(delta("half"), b"data: {")) as engine:
        started = house(model(engine))
        assert "error" in chat(started, {"stream": True}, idempotency_key="k").events[-1]
        engine.answer = stream(delta("whole"), DONE)
        assert chat(started, {"stream": True}, idempotency_key="k").body == delta("whole") + DONE


def test_an_sdks_retry_is_answered_with_its_first_attempt_where_that_is_turned_on(house: Start) -> None:
    with fake_engine() as engine:
        started = house(model(engine), gateway={"replay_retries": True})
        assert not replayed(chat(started, x_stainless_retry_count="1")), "there was no earlier attempt"
        assert not replayed(chat(started, x_stainless_retry_count="0")), "the same question asked again is a new call"
        assert replayed(chat(started, x_stainless_retry_count="1"))
        assert not replayed(chat(started, {"temperature": 0.1}, x_stainless_retry_count="1"))
        assert not replayed(chat(started)), "no SDK, no header: nothing is kept or replayed"
        assert charges(started) == 4


def test_an_sdks_retry_is_a_new_call_otherwise(house: Start) -> None:
    with fake_engine() as engine:
        started = house(model(engine))
        chat(started, x_stainless_retry_count="0")
        assert not replayed(chat(started, x_stainless_retry_count="1"))
        assert len(engine.calls()) == 2


def test_what_is_kept_is_bounded_and_the_oldest_goes_first(house: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    # The bounds are megabytes and no setting: smaller ones are put in where the house is assembled.
    small = functools.partial(Replays, most_bytes=9_000, most_bytes_each=3_000)
    monkeypatch.setattr(assemble, "Replays", small)
    with fake_engine(whole("x" * 2_000)) as engine:
        started = house(model(engine))
        for key in ("a", "b", "c"):
            chat(started, idempotency_key=key)
        assert [replayed(chat(started, idempotency_key=key)) for key in ("c", "b", "a")] == [True, True, False]
        engine.answer = whole("x" * 4_000)
        assert not any(replayed(chat(started, idempotency_key="big")) for _ in range(2))


def test_a_kept_answer_is_forgotten_after_its_time(house: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]  # a day is long: the clock is put in where the house is assembled

    def clocked(*, retries: bool, **_: Any) -> Replays:
        return Replays(retries=retries, monotonic=lambda: now[0])

    monkeypatch.setattr(assemble, "Replays", clocked)
    with fake_engine() as engine:
        started = house(model(engine))
        chat(started, idempotency_key="k")
        now[0] = 23 * 3600.0
        assert replayed(chat(started, idempotency_key="k"))
        now[0] = 25 * 3600.0
        assert not replayed(chat(started, idempotency_key="k"))
