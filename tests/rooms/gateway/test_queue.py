"""Full endpoints: calls wait for a slot, teams take turns, and what does not fit is refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanok.errors import NoEndpoint, Overloaded
from hanok.gateway.slots import Slot, Slots
from hanok.routing.breaker import failed
from hanok.serving import Endpoint, Fleet
from hanok.serving.engines.echo import EchoEngine
from hanok.spec import EchoEndpoint, Queue
from tests.calls import Reply, call
from tests.conftest import ECHO, RunningHouse
from tests.engine import Answer, Asked, FakeEngine, delta, fake_engine, stream, whole
from tests.rooms.telemetry.collector import until

Start = Callable[..., RunningHouse]
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def model(*engines: FakeEngine, at_once: int = 1, **more: Any) -> dict[str, Any]:
    serve = [{"engine": "openai", "url": each.url, "model": "fake", "max_in_flight": at_once} for each in engines]
    return {"name": "m", "serve": serve, **more}


def chat(house: RunningHouse, **more: Any) -> Reply:
    return call(f"{house.url}/v1/chat/completions", "POST", {**CHAT, **more}, house.headers)


def held(release: threading.Event, then: Answer) -> Answer:
    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.to_thread(release.wait, 10)
        await then(asked, writer)

    return answer


@pytest.mark.parametrize("stream_it", [False, True])
def test_no_more_calls_run_on_an_endpoint_than_may_and_all_are_answered(house: Start, stream_it: bool) -> None:
    running, most, lock = [0], [0], threading.Lock()
    sound = stream(delta("a"), b"data: [DONE]\n\n") if stream_it else whole("a")

    async def counted(asked: Asked, writer: asyncio.StreamWriter) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        await asyncio.sleep(0.002)
        with lock:
            running[0] -= 1
        await sound(asked, writer)

    with fake_engine(counted) as one, fake_engine(counted) as two, ThreadPoolExecutor(16) as pool:
        started = house(model(one, two, at_once=2))
        replies = list(pool.map(lambda _: chat(started, stream=stream_it), range(48)))
        assert {reply.status for reply in replies} == {200}
        assert most[0] <= 4
        fleet = started.house.fleet  # a slot is given back once the answer is over, a moment after its last byte
        until(lambda: not any(each.in_flight for each in fleet.endpoints), "slots to come back")


def test_a_call_beyond_the_queue_is_refused_with_429_and_told_when_to_come_back(house: Start) -> None:
    release = threading.Event()
    with fake_engine(held(release, whole())) as engine, ThreadPoolExecutor(1) as pool:
        started = house(model(engine, queue={"length": 0}))
        first = pool.submit(chat, started)
        while not engine.calls():
            pass
        reply = chat(started)
        release.set()
        assert (reply.status, reply.error["code"]) == (429, "queue_full")
        assert int(reply.headers["retry-after"]) >= 1
        assert first.result().status == 200
        assert len(engine.calls()) == 1


def test_a_call_that_has_waited_too_long_is_refused_or_goes_to_a_fallback(house: Start) -> None:
    release = threading.Event()
    with fake_engine(held(release, whole())) as engine, ThreadPoolExecutor(1) as pool:
        other = {**model(engine, queue={"wait_s": 0.05}, fallbacks=["echo"]), "name": "n"}
        started = house(model(engine, queue={"wait_s": 0.05}), other, ECHO)
        first = pool.submit(chat, started)
        while not engine.calls():
            pass
        reply = chat(started)
        assert (reply.status, reply.error["code"]) == (429, "queue_timeout")
        started.house.fleet.of("n")[0].in_flight = 1
        assert chat(started, model="n").headers["x-hanok-endpoint"] == "echo#1"
        release.set()
        assert first.result().status == 200


# the slots themselves


def fleet(*limits: int | None) -> Fleet:
    engine = EchoEngine(EchoEndpoint(engine="echo"), model="m", endpoint="m#1")
    return Fleet(
        Endpoint(f"m#{number}", "m", "echo", engine, state="up", max_in_flight=limit)
        for number, limit in enumerate(limits, 1)
    )


def slots(of: Fleet, length: int = 1000, **weights: float) -> Slots:
    return Slots(of, "m", queue=Queue(length=length), weights=weights, monotonic=lambda: 1.0)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


async def settle() -> None:
    """Let every task run as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_teams_take_turns_by_weight_and_calls_of_a_team_keep_their_order() -> None:
    async def work() -> None:
        endpoints = fleet(1)
        room = slots(endpoints, gold=3.0)
        held_slot = room.take()
        assert held_slot
        served: list[tuple[str | None, int]] = []

        async def one(team: str | None, number: int) -> None:
            slot = await room.wait((), team)
            served.append((team, number))
            room.give_back(slot.endpoint)

        tasks = [asyncio.create_task(one(None, number)) for number in range(8)]
        tasks += [asyncio.create_task(one("gold", number)) for number in range(12)]
        await settle()
        room.give_back(held_slot.endpoint)
        await asyncio.gather(*tasks)
        assert sum(team == "gold" for team, _ in served[:8]) == 6
        assert [number for team, number in served if team is None] == list(range(8))
        assert [number for team, number in served if team == "gold"] == list(range(12))

    run(work())


def test_a_caller_who_goes_away_leaves_the_queue_even_in_the_moment_his_turn_comes() -> None:
    async def work() -> None:
        endpoints = fleet(1)
        room = slots(endpoints)
        first = room.take()
        assert first
        gone = asyncio.create_task(room.wait((), None))
        called = asyncio.create_task(room.wait((), None))
        last = asyncio.create_task(room.wait((), None))
        await settle()
        gone.cancel()
        room.give_back(first.endpoint)  # `gone` still stands in the queue: the slot is for `called`
        called.cancel()  # which has it, and does not know yet
        assert (await last).endpoint is first.endpoint
        assert (endpoints.endpoints[0].in_flight, room.waiting()) == (1, 0)

    run(work())


def test_those_who_wait_are_told_when_nothing_is_left_to_wait_for() -> None:
    async def work() -> None:
        endpoints = fleet(1)
        room = slots(endpoints)
        slot = room.take()
        assert slot
        waiting = asyncio.create_task(room.wait((), None))
        await settle()
        slot.endpoint.circuit = failed(slot.endpoint.circuit, probe=False, now=1.0, failures=1, cooldown_s=9.0)
        room.give_back(slot.endpoint)
        with pytest.raises(NoEndpoint) as caught:
            await waiting
        assert caught.value.retry_after_s == 9.0

    run(work())


def test_a_guess_at_the_waiting_time_follows_how_fast_calls_end() -> None:
    async def work() -> None:
        now = [1.0]
        endpoints = fleet(1)
        room = Slots(endpoints, "m", queue=Queue(length=3), weights={}, monotonic=lambda: now[0])
        slot = room.take()
        assert slot
        tasks = [asyncio.create_task(room.wait((), None)) for _ in range(3)]
        await settle()
        for _ in range(30):  # a call ends every five seconds, and another one comes
            now[0] += 5.0
            room.give_back(slot.endpoint)
            await settle()
            tasks.append(asyncio.create_task(room.wait((), None)))
            await settle()
        with pytest.raises(Overloaded) as caught:
            await room.wait((), None)
        assert caught.value.retry_after_s == pytest.approx(20.0, rel=0.1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(work())


steps = st.lists(
    st.tuples(
        st.sampled_from(["come", "come", "end", "leave"]),
        st.integers(0, 1000),
        st.sampled_from([None, "a", "b"]),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(steps, st.lists(st.sampled_from([1, 2, 3, None]), min_size=1, max_size=3))
def test_no_slot_is_lost_none_is_given_twice_and_nobody_waits_beside_a_free_one(
    moves: list[tuple[str, int, str | None]], limits: list[int | None]
) -> None:
    async def work() -> None:
        endpoints = fleet(*limits)
        room = slots(endpoints, length=5, a=2.0)
        running: list[Slot] = []
        waiting: list[asyncio.Task[None]] = []

        async def come(refused: list[Endpoint], team: str | None) -> None:
            if (slot := room.take(refused)) is not None:
                running.append(slot)
            elif room.will_have_room(refused):
                running.append(await room.wait(refused, team))

        for move, number, team in moves:
            if move == "come":
                refused = [each for index, each in enumerate(endpoints.endpoints) if number >> index & 1 and number % 3]
                waiting.append(asyncio.create_task(come(refused, team)))
            elif move == "end" and running:
                room.give_back(running.pop(number % len(running)).endpoint)
            elif move == "leave" and waiting:
                waiting[number % len(waiting)].cancel()
            if number % 2:
                await settle()
                check(endpoints, running)
        await settle()
        check(endpoints, running)
        while running:
            room.give_back(running.pop().endpoint)
            await settle()
            check(endpoints, running)
        outcomes = [task.exception() for task in waiting if task.done() and not task.cancelled()]
        assert all(isinstance(each, Overloaded | NoEndpoint | None) for each in outcomes)
        assert all(task.done() for task in waiting)
        assert room.waiting() == 0

    run(work())


def check(endpoints: Fleet, running: list[Slot]) -> None:
    for each in endpoints.endpoints:
        assert each.in_flight == sum(slot.endpoint is each for slot in running)
        assert each.max_in_flight is None or each.in_flight <= each.max_in_flight
