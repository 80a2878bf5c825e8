"""Prefill/decode pairs: two engines that speak of transfers as vLLM's do, and what each of them is asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.calls import Reply, call
from tests.conftest import RunningHouse, wait_until
from tests.engine import DONE, Answer, Asked, FakeEngine, delta, fake_engine, status, stream, whole

Start = Callable[..., RunningHouse]
LONG = "a long story " * 300
ASKED = {
    "do_remote_decode": True,
    "do_remote_prefill": False,
    "remote_engine_id": None,
    "remote_block_ids": None,
    "remote_host": None,
    "remote_port": None,
}


@pytest.fixture
def house(house: Start) -> Start:
    """Houses whose endpoints have all been looked at: which of them takes a call is what is tested here."""

    def start(*models: dict[str, Any], **more: Any) -> RunningHouse:
        started = house(*models, **more)
        wait_until(lambda: started.house.fleet.settled)
        return started

    return start


def prefilled(number: int) -> dict[str, Any]:
    """What vLLM's NIXL connector says of a prompt that it keeps for another."""
    return {
        "do_remote_prefill": True,
        "do_remote_decode": False,
        "remote_block_ids": [number, number + 1],
        "remote_engine_id": "prefill-1",
        "remote_host": "10.0.0.7",
        "remote_port": 5600,
        "tp_size": 1,
    }


async def prefill_server(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """vLLM as a prefill server: takes one token's worth of a call, unstreamed, and tells where the cache is."""
    body = asked.json
    sound = body["max_tokens"] == 1 and body["kv_transfer_params"] == ASKED
    sound = sound and not {"stream", "stream_options", "min_tokens"} & body.keys()
    if not sound:
        await status(400, b'{"error":{"message":"not a prefill"}}')(asked, writer)
        return
    await whole("x", kv_transfer_params=prefilled(len(body["messages"][0]["content"])))(asked, writer)


def decode_server(then: Answer) -> Answer:
    """vLLM as a decode server: refuses transfers that nobody prefilled."""

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        told = asked.json.get("kv_transfer_params")
        sound = told is None or (told["do_remote_prefill"] and told["remote_block_ids"])
        await (then if sound else status(400, b'{"error":{"message":"no blocks"}}'))(asked, writer)

    return answer


def model(prefill: FakeEngine, decode: FakeEngine, **more: Any) -> dict[str, Any]:
    serve = [
        {"engine": "openai", "url": prefill.url, "model": "fake", "role": "prefill"},
        {"engine": "openai", "url": decode.url, "model": "fake", "role": "decode"},
    ]
    return {"name": "m", "serve": serve, "retries": 0, **more}


def chat(house: RunningHouse, text: str = LONG, **more: Any) -> Reply:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], **more}
    return call(f"{house.url}/v1/chat/completions", "POST", body, house.headers)


@pytest.mark.parametrize("stream_it", [False, True])
def test_a_long_prompt_is_prefilled_by_one_engine_and_answered_by_the_other(house: Start, stream_it: bool) -> None:
    then = stream(delta("hello"), DONE) if stream_it else whole("hello")
    with fake_engine(prefill_server) as prefill, fake_engine(decode_server(then)) as decode:
        started = house(model(prefill, decode))
        options = {"stream": stream_it, "max_tokens": 50, "max_completion_tokens": 50, "min_tokens": 2}
        if stream_it:
            options["stream_options"] = {"include_usage": True}
        reply = chat(started, **options)
        assert reply.status == 200
        assert reply.headers["x-hanok-endpoint"] == "m#2"
        assert b"hello" in reply.body
        (asked,) = prefill.calls()
        assert asked.json["max_completion_tokens"] == 1
        (told,) = decode.calls()
        assert told.json["kv_transfer_params"] == prefilled(len(LONG))
        assert told.json["max_tokens"] == 50
        assert told.json["min_tokens"] == 2
        assert asked.headers["x-request-id"] == told.headers["x-request-id"]
        wait_until(lambda: not any(each.in_flight for each in started.house.fleet.endpoints))


def test_a_short_prompt_is_answered_where_it_is_prefilled(house: Start) -> None:
    with fake_engine(prefill_server) as prefill, fake_engine(decode_server(whole())) as decode:
        always = {**model(prefill, decode, routing={"prefill_tokens": 0}), "name": "always"}
        started = house(model(prefill, decode), always)
        assert chat(started, "hello").status == 200
        assert prefill.calls() == []
        assert "kv_transfer_params" not in decode.calls()[0].json
        assert chat(started, "hello", model="always").status == 200
        assert len(prefill.calls()) == 1


async def hang_up(_: Asked, writer: asyncio.StreamWriter) -> None:
    writer.close()


@pytest.mark.parametrize(
    "bad",
    [
        hang_up,
        status(500, b"{}"),
        status(200, b"[]"),
        status(200, b'{"kv_transfer_params":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        whole("x"),
        whole("x", kv_transfer_params=None),
    ],
    ids=["hangs up", "fails", "no object", "goes too deep", "says nothing", "says null"],
)
def test_when_prefilling_fails_the_answer_is_made_without_it(house: Start, bad: Answer) -> None:
    with fake_engine(bad) as prefill, fake_engine(decode_server(whole())) as decode:
        started = house(model(prefill, decode))
        assert chat(started).status == 200
        assert len(prefill.calls()) >= 1
        assert "kv_transfer_params" not in decode.calls()[0].json
        wait_until(lambda: not any(each.in_flight for each in started.house.fleet.endpoints))


def test_a_prefill_engine_that_keeps_failing_is_left_alone(house: Start) -> None:
    with fake_engine(status(500, b"{}")) as prefill, fake_engine(decode_server(whole())) as decode:
        started = house(model(prefill, decode, breaker={"failures": 2, "cooldown_s": 60}))
        assert {chat(started).status for _ in range(5)} == {200}
        assert len(prefill.calls()) == 2


def test_when_the_answer_fails_a_new_attempt_prefills_again(house: Start) -> None:
    answers = [status(503, b"{}"), whole("at last")]

    async def second_time(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await (answers.pop(0) if answers else whole())(asked, writer)

    with fake_engine(prefill_server) as prefill, fake_engine(decode_server(second_time)) as decode:
        started = house({**model(prefill, decode), "retries": 1})
        assert chat(started).status == 200
        assert (len(prefill.calls()), len(decode.calls())) == (2, 2)


def test_callers_cannot_send_an_engine_to_fetch_blocks_from_elsewhere(house: Start) -> None:
    with fake_engine(prefill_server) as prefill, fake_engine(decode_server(whole())) as decode:
        started = house(model(prefill, decode))
        theirs = {**prefilled(1), "remote_host": "evil.example"}
        assert chat(started, "short", kv_transfer_params=theirs).status == 200
        assert chat(started, kv_transfer_params=theirs).status == 200
        assert "kv_transfer_params" not in decode.calls()[0].json
        assert decode.calls()[1].json["kv_transfer_params"] == prefilled(len(LONG))


def test_a_caller_who_goes_away_while_the_prompt_is_prefilled_leaves_no_slot_taken(house: Start) -> None:
    import http.client

    async def silent(asked: Asked, _: asyncio.StreamWriter) -> None:
        await asked.gone()

    with fake_engine(silent) as prefill, fake_engine(decode_server(whole())) as decode:
        started = house(model(prefill, decode))
        host = started.url.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=10)
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": LONG}]})
        connection.request("POST", "/v1/chat/completions", body, started.headers)
        wait_until(prefill.calls)
        connection.close()
        assert prefill.gone.wait(5)
        wait_until(lambda: not any(each.in_flight for each in started.house.fleet.endpoints))
        assert decode.calls() == []


def test_a_prompt_that_the_decode_engine_has_cached_is_not_prefilled_again(house: Start) -> None:
    with fake_engine(prefill_server) as prefill, fake_engine(decode_server(whole())) as decode:
        started = house(model(prefill, decode, routing="prefix"))
        assert [chat(started).status for _ in range(3)] == [200, 200, 200]
        assert len(prefill.calls()) == 1
        assert len(decode.calls()) == 3
