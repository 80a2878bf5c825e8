"""Engines that fail in every way: after each, the books and the budgets are right, and the next call is fine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.calls import Reply, call
from tests.conftest import RunningHouse
from tests.engine import DONE, STREAM_HEAD, USAGE_EVENT, Asked, chunk, delta, fake_engine, status, stream, whole

Start = Callable[..., RunningHouse]
Answer = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]


async def dies_before_the_first_byte(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def dies_midway(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(STREAM_HEAD + chunk(delta("a")) + chunk(delta("b")))
    await writer.drain()
    await asyncio.sleep(0.02)
    writer.transport.abort()


async def hangs_before_the_first_byte(asked: Asked, writer: asyncio.StreamWriter) -> None:
    await asked.gone()


async def hangs_midway(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(STREAM_HEAD + chunk(delta("a")) + chunk(delta("b")))
    await writer.drain()
    await asked.gone()


async def answers_garbage(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\xff garbage \r\n\r\n" * 10)


async def streams_garbage(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(STREAM_HEAD + chunk(delta("a")) + chunk(delta("b")) + b"zzz\r\n")


async def half_closes(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(STREAM_HEAD + chunk(delta("a")) + chunk(delta("b")))
    writer.write_eof()
    await asked.gone()


async def floods(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(STREAM_HEAD + chunk(delta("a")) + chunk(delta("b")))
    while True:  # an event that does not end
        writer.write(chunk(b"data: " + b"x" * 65536))
        await writer.drain()


FAULTS: list[tuple[Answer, int]] = [
    (dies_before_the_first_byte, 0),
    (dies_midway, 2),
    (hangs_before_the_first_byte, 0),
    (hangs_midway, 2),
    (answers_garbage, 0),
    (streams_garbage, 2),
    (half_closes, 2),
    (floods, 2),
    (status(500, b'{"error": {"message": "out of memory"}}'), 0),
    (status(429, b'{"error": {"message": "slow down"}}'), 0),
    (stream(delta("a"), delta("b"), end=b""), 2),
]
NAMES = [getattr(fault, "__name__", "") + str(index) for index, (fault, _) in enumerate(FAULTS)]


def chat(house: RunningHouse, **more: Any) -> Reply:
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], **more}
    return call(f"{house.url}/v1/chat/completions", "POST", body, house.headers)


@pytest.mark.parametrize(("fault", "tokens"), FAULTS, ids=NAMES)
def test_after_a_fault_no_charge_is_lost_no_budget_wrong_and_the_next_call_is_fine(
    house: Start, fault: Answer, tokens: int
) -> None:
    with fake_engine(fault) as engine:
        model = {
            "name": "m",
            "serve": {"engine": "openai", "url": engine.url},
            "price": {"output": 1_000_000},
            "retries": 0,
            "timeouts": {"first_byte_s": 0.2, "idle_s": 0.2},
            "breaker": {"failures": 5},
        }
        started = house(model, budgets=[{"of": "key", "usd": 1000}], limits=[{"of": "key", "concurrent": 3}])
        failed = chat(started, stream=True)
        if failed.status == 200:
            assert failed.events[-1]["error"]["message"]
        else:
            assert failed.status in (429, 500, 502, 503, 504)
            assert failed.error["message"]
        (charge,) = _charges(started)
        assert charge.status == "failed"
        assert charge.completion_tokens == tokens
        budgets = _budgets(started)
        assert budgets["usd"]["used"] == charge.cost_nano_usd / 1e9 == tokens
        engine.answer = stream(delta("a"), USAGE_EVENT, DONE)
        assert chat(started, stream=True).status == 200
        assert _budgets(started)["usd"]["used"] == tokens + 3  # the engine says that it used three


def test_what_is_reserved_is_free_again_however_calls_end(house: Start) -> None:
    with fake_engine(whole()) as engine:
        model = {"name": "m", "serve": {"engine": "openai", "url": engine.url}, "retries": 0}
        started = house(model, limits=[{"of": "key", "concurrent": 1}])
        for fault in (dies_before_the_first_byte, whole(), answers_garbage, status(400, b"{}"), whole()):
            engine.answer = fault
            assert chat(started).json.get("error", {}).get("code") != "rate_limit_exceeded"
        engine.answer = whole()
        assert chat(started).status == 200
        (account,) = started.house.admission.open_accounts()
        assert account.used == 0


def _charges(house: RunningHouse) -> list[Any]:
    return house.house.ledger.charges_since(0, house.house.ledger.own_bits)


def _budgets(house: RunningHouse) -> dict[str, Any]:
    found = call(f"{house.url}/v1/budgets", headers=house.headers).json["budgets"]
    return {each["unit"]: each for each in found}
