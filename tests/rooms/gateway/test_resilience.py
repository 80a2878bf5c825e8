"""What the gateway does when engines fail: who is asked again, who instead, who is left alone, and for how long."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.calls import Reply, call
from tests.conftest import ECHO, RunningHouse, wait_until
from tests.engine import DONE, STREAM_HEAD, Answer, Asked, FakeEngine, chunk, delta, fake_engine, status, stream, whole

Start = Callable[..., RunningHouse]
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
JSON = "content-type: application/json\r\n"
TOO_LONG = b'{"error":{"message":"too long","type":"invalid_request_error","code":"context_length_exceeded"}}'
FILTERED = b'{"error":{"message":"no","type":"invalid_request_error","code":"content_filter"}}'


def model(*engines: FakeEngine, **more: Any) -> dict[str, Any]:
    name = more.pop("name", "m")
    return {
        "name": name,
        "serve": [{"engine": "openai", "url": each.url, "model": "fake"} for each in engines],
        **more,
    }


def chat(house: RunningHouse, **more: Any) -> Reply:
    return call(f"{house.url}/v1/chat/completions", "POST", {**CHAT, **more}, house.headers)


def text(reply: Reply) -> str:
    return reply.json["choices"][0]["message"]["content"]


def charged(house: RunningHouse) -> dict[str, int]:
    house.house.ledger.flush()
    return {row.group: row.calls for row in house.house.ledger.usage("model")}


def in_turn(*answers: Answer) -> Answer:
    """Answer with the first, then the second …, and from then on with the last."""
    left = list(answers)

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(asked, writer)

    return answer


async def hang_up(_: Asked, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def say_nothing(asked: Asked, _: asyncio.StreamWriter) -> None:
    await asked.gone()


@pytest.mark.parametrize(
    "bad",
    [
        hang_up,
        status(500, b"{}"),
        status(408, b"{}"),
        status(409, b"{}"),
        status(429, b"{}", JSON + "retry-after-ms: 5\r\n"),
        status(503, b"{}", JSON + "retry-after: 0.01\r\n"),
    ],
)
def test_what_may_pass_is_asked_of_the_same_endpoint_again(house: Start, bad: Answer) -> None:
    with fake_engine(in_turn(bad, bad, whole("at last"))) as engine:
        reply = chat(house(model(engine, retries=2)))
        assert text(reply) == "at last"
        assert len(engine.calls()) == 3


def test_a_timeout_is_not_asked_of_the_same_endpoint_again_but_of_another(house: Start) -> None:
    limits = {"connect_s": 1, "first_byte_s": 0.2, "idle_s": 1}
    with fake_engine(say_nothing) as silent, fake_engine() as sound:
        started = house(model(silent, name="alone", timeouts=limits), model(silent, sound, timeouts=limits))
        assert chat(started, model="alone").error["code"] == "engine_timeout"
        assert len(silent.calls()) == 1
        assert [chat(started).status for _ in range(2)] == [200, 200]


def test_a_long_retry_after_leaves_the_endpoint_alone_and_goes_to_another_at_once(house: Start) -> None:
    busy = status(429, b'{"error":{"message":"slow down"}}', JSON + "retry-after: 60\r\n")
    with fake_engine(busy) as resting, fake_engine() as sound:
        started = house(model(resting, sound), model(resting, name="alone"))
        assert [chat(started).status for _ in range(6)] == [200] * 6
        assert len(resting.calls()) == 1, "it asked to be left alone"
        first, second = chat(started, model="alone"), chat(started, model="alone")
        assert (first.status, first.headers["retry-after"], first.error["message"]) == (429, "60", "slow down")
        assert (second.status, second.error["code"]) == (503, "no_endpoint")
        assert 50 <= int(second.headers["retry-after"]) <= 60
        assert len(resting.calls()) == 2


@pytest.mark.parametrize(("body", "kind"), [(TOO_LONG, "context_window"), (FILTERED, "content_policy")])
def test_a_refused_prompt_goes_to_the_fallbacks_for_that_refusal(house: Start, body: bytes, kind: str) -> None:
    wrong = {name: ["wrong"] for name in ("error", "context_window", "content_policy") if name != kind}
    with fake_engine(status(400, body)) as small, fake_engine(whole("big")) as big, fake_engine() as other:
        started = house(
            model(small, fallbacks={kind: ["big"], **wrong}), model(big, name="big"), model(other, name="wrong")
        )
        reply = chat(started)
        assert (text(reply), reply.headers["x-hanok-endpoint"]) == ("big", "big#1")
        assert (len(small.calls()), len(other.calls())) == (1, 0)
        assert charged(started) == {"big": 1}


def test_a_refused_prompt_without_a_fallback_passes_back_as_the_engine_said_it(house: Start) -> None:
    with fake_engine(status(400, TOO_LONG)) as engine:
        reply = chat(house(model(engine, fallbacks=["echo"]), ECHO))
        assert (reply.status, reply.body) == (400, TOO_LONG)


def test_a_fallback_has_retries_and_fallbacks_of_its_own_and_the_first_error_is_told(house: Start) -> None:
    with fake_engine(status(500, b'{"error":{"message":"first"}}')) as first, fake_engine(status(502, b"{}")) as second:
        started = house(
            model(first, retries=0, fallbacks=["n"]),
            model(second, name="n", retries=1, fallbacks=["o"]),
            model(second, name="o", retries=0),
        )
        reply = chat(started)
        assert (reply.status, reply.error["message"]) == (500, "first")
        assert (len(first.calls()), len(second.calls())) == (1, 3)


def test_an_engine_that_keeps_failing_is_left_alone_and_one_call_finds_out_that_it_works_again(house: Start) -> None:
    release = threading.Event()

    async def slow(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.to_thread(release.wait, 10)
        await whole("back")(asked, writer)

    with fake_engine(status(500, b"{}")) as engine:
        started = house(model(engine, retries=0, breaker={"failures": 2, "cooldown_s": 0.1}))
        assert [chat(started).status for _ in range(2)] == [500, 500]
        endpoint = started.house.fleet.endpoints[0]
        assert (endpoint.state, endpoint.circuit.failures) == ("up", 2)
        engine.answer = slow
        probe: list[Reply] = []
        probing = threading.Thread(target=lambda: probe.append(until_admitted(started)))
        probing.start()
        while len(engine.calls()) < 3:
            pass
        refused = [chat(started) for _ in range(3)]
        assert {(reply.status, reply.error["code"], reply.headers["retry-after"]) for reply in refused} == {
            (503, "no_endpoint", "1")
        }
        assert len(engine.calls()) == 3, "exactly one call passes"
        release.set()
        probing.join(10)
        assert text(probe[0]) == "back"
        assert chat(started).status == 200


def until_admitted(house: RunningHouse) -> Reply:
    """Call until a circuit lets it pass; those that are refused cost next to nothing."""
    while (reply := chat(house)).status == 503:
        assert reply.error["code"] == "no_endpoint"
    return reply


def test_a_probe_that_fails_keeps_the_engine_alone_for_longer(house: Start) -> None:
    with fake_engine(status(500, b"{}")) as engine:
        started = house(model(engine, retries=0, breaker={"failures": 1, "cooldown_s": 0.02}))
        assert [until_admitted(started).status for _ in range(3)] == [500] * 3
        assert started.house.fleet.endpoints[0].circuit.doublings == 2
        engine.answer = whole()
        assert until_admitted(started).status == 200
        assert started.house.fleet.endpoints[0].circuit.doublings == 0


def test_mistakes_and_refusals_do_not_count_against_an_engine(house: Start) -> None:
    answers = [status(code, b"{}") for code in (400, 429, 422, 404)]
    with fake_engine(in_turn(*answers, whole())) as engine:
        started = house(model(engine, retries=0, breaker={"failures": 1}))
        assert [chat(started).status for _ in range(5)] == [400, 429, 422, 404, 200]


def test_an_engine_that_flaps_never_costs_a_call_while_another_works(house: Start) -> None:
    flapping = in_turn(*[status(500, b"{}"), whole(), hang_up, whole()] * 5, whole())
    with fake_engine(flapping) as bad, fake_engine() as good:
        started = house(model(bad, good, breaker={"failures": 2, "cooldown_s": 0.01}))
        assert [chat(started).status for _ in range(20)] == [200] * 20


@pytest.mark.parametrize("stream_it", [False, True])
def test_a_slow_first_endpoint_is_hedged_and_the_loser_is_cut_off(house: Start, stream_it: bool) -> None:
    asked_first: list[int] = []
    sound = stream(delta("quick"), DONE) if stream_it else whole("quick")

    def answers(number: int) -> Answer:
        async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
            asked_first.append(number)
            await (say_nothing if asked_first[0] == number else sound)(asked, writer)

        return answer

    with fake_engine(answers(0)) as one, fake_engine(answers(1)) as two:
        started = house(model(one, two, hedge={"after_s": 0.02}))
        reply = chat(started, stream=stream_it)
        assert reply.status == 200
        assert b"quick" in reply.body
        loser = (one, two)[asked_first[0]]
        assert loser.gone.wait(5), "the loser's connection is closed"
        assert (len(one.calls()), len(two.calls())) == (1, 1)
        while any(each.in_flight for each in started.house.fleet.endpoints):
            pass
        assert charged(started) == {"m": 1}


def test_a_quick_first_endpoint_is_not_hedged(house: Start) -> None:
    with fake_engine() as one, fake_engine() as two:
        started = house(model(one, two, hedge={"after_s": 30}))
        assert [chat(started).status for _ in range(4)] == [200] * 4
        assert len(one.calls()) + len(two.calls()) == 4


def test_when_both_of_a_hedge_fail_the_call_goes_on_as_after_any_failure(house: Start) -> None:
    arrived = threading.Event()
    count = [0]

    async def both_fail(asked: Asked, writer: asyncio.StreamWriter) -> None:
        count[0] += 1
        if count[0] == 1:
            await asyncio.to_thread(arrived.wait, 10)
        arrived.set()
        writer.write(b"HTTP/1.1 500 X\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")

    with fake_engine(both_fail) as one, fake_engine(both_fail) as two:
        started = house(model(one, two, retries=0, hedge={"after_s": 0.02}, fallbacks=["echo"]), ECHO)
        assert text(chat(started)) == "hello"
        assert (len(one.calls()), len(two.calls())) == (1, 1)


@pytest.mark.parametrize("way", ["silent", "retries", "queue"])
def test_a_call_that_takes_too_long_in_all_ends_with_504(house: Start, way: str) -> None:
    answer = status(500, b"{}", JSON + "retry-after: 15\r\n") if way == "retries" else say_nothing
    with fake_engine(answer) as engine:
        declared = model(engine, timeouts={"total_s": 0.2}, fallbacks=["echo"])
        declared["serve"][0]["max_in_flight"] = 1
        started = house(declared, ECHO)
        if way == "queue":
            started.house.fleet.endpoints[0].in_flight = 1
        reply = chat(started)
        assert (reply.status, reply.error["code"]) == (504, "engine_timeout")
        assert "0.2 s in all" in reply.error["message"]
        assert len(engine.calls()) == (0 if way == "queue" else 1)


def test_a_stream_that_takes_too_long_in_all_ends_with_an_error_event(house: Start) -> None:
    async def endless(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        while True:
            writer.write(chunk(delta("x")))
            await writer.drain()
            await asyncio.sleep(0.005)

    with fake_engine(endless) as engine:
        started = house(model(engine, timeouts={"total_s": 0.2}))
        reply = chat(started, stream=True)
        assert reply.status == 200
        assert reply.body.startswith(delta("x"))
        assert reply.events[-1]["error"]["code"] == "engine_timeout"
        assert engine.gone.wait(5)
        wait_until(lambda: started.house.fleet.endpoints[0].in_flight == 0)


def test_a_call_that_is_over_in_time_is_not_touched_by_its_deadline(house: Start) -> None:
    with fake_engine(stream(delta("a"), DONE)) as engine:
        started = house(
            model(engine, timeouts={"total_s": 60}),
            {"name": "v", "type": "embedding", "timeouts": {"total_s": 60}, "serve": model(engine)["serve"]},
        )
        assert chat(started, stream=True).body == delta("a") + DONE
        engine.answer = status(200, b'{"object":"list","data":[{"index":0,"embedding":[1.0]}]}')
        vectors = call(f"{started.url}/v1/embeddings", "POST", {"model": "v", "input": "x"}, started.headers)
        assert vectors.json["data"][0]["embedding"] == [1.0]
