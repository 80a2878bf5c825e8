"""Which endpoint takes a call, seen from outside: several engines, and what each of them was asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import yaml

from tests.calls import Reply, call
from tests.conftest import RunningHouse, wait_until
from tests.engine import DONE, Answer, Asked, FakeEngine, delta, fake_engine, status, stream, whole
from tests.journeys.test_hanok_up import hanok

Start = Callable[..., RunningHouse]
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def house(house: Start) -> Start:
    """Houses whose endpoints have all been looked at: which of them takes a call is what is tested here."""

    def start(*models: dict[str, Any], **more: Any) -> RunningHouse:
        started = house(*models, **more)
        wait_until(lambda: started.house.fleet.settled)
        return started

    return start


@contextlib.contextmanager
def engines(count: int, answer: Answer | None = None) -> Iterator[list[FakeEngine]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(fake_engine(answer)) for _ in range(count)]


def model(engines: list[FakeEngine], *each: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A model on these engines; `each` says more of them, in their order."""
    terms = [*each, *({} for _ in engines[len(each) :])]
    serve = [
        {"engine": "openai", "url": engine.url, "model": "fake", **term}
        for engine, term in zip(engines, terms, strict=True)
    ]
    return {"name": "m", "serve": serve, **more}


def chat(house: RunningHouse, headers: dict[str, str] | None = None, **more: Any) -> Reply:
    return call(f"{house.url}/v1/chat/completions", "POST", {**CHAT, **more}, {**house.headers, **(headers or {})})


def counts(engines: list[FakeEngine]) -> list[int]:
    return [len(engine.calls()) for engine in engines]


def slow(seconds: float) -> Answer:
    answer_whole = whole()

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        await answer_whole(asked, writer)

    return answer


def test_weights_are_seen_in_what_engines_are_asked_and_no_weight_means_no_calls(house: Start) -> None:
    with engines(3) as three:
        started = house(model(three, {"weight": 9}, {"weight": 1}, {"weight": 0}, routing="weighted"))
        assert {chat(started).status for _ in range(100)} == {200}
        asked = counts(three)
        assert abs(asked[0] - 90) <= 2
        assert abs(asked[1] - 10) <= 2
        assert asked[2] == 0


def test_round_robin_asks_all_alike_though_one_is_slow(house: Start) -> None:
    with engines(3) as three, ThreadPoolExecutor(6) as pool:
        three[0].answer = slow(0.02)
        started = house(model(three, routing="round-robin"))
        list(pool.map(lambda _: chat(started), range(30)))
        assert counts(three) == [10, 10, 10]


def test_tags_lead_to_the_canary_by_header_and_by_rule_and_unknown_ones_are_refused(house: Start) -> None:
    rules = {"headers": [{"name": "X-Canary", "value": "1", "tags": ["canary"]}]}
    with engines(2) as two:
        started = house(model(two, {}, {"weight": 0, "tags": ["canary", "eu"]}, routing=rules))
        for _ in range(3):
            assert chat(started).headers["x-hanok-endpoint"] == "m#1"
        for headers in ({"x-hanok-tags": "canary"}, {"x-hanok-tags": "eu, canary"}, {"x-canary": "1"}):
            assert chat(started, headers).headers["x-hanok-endpoint"] == "m#2"
        assert chat(started, {"x-canary": "0"}).headers["x-hanok-endpoint"] == "m#1"
        refused = chat(started, {"x-hanok-tags": "canary,us"})
        assert (refused.status, refused.error["code"]) == (404, "no_endpoint_with_tags")
        assert "canary, us" in refused.error["message"]
        assert "its tags: canary, eu" in refused.error["message"]


def test_tags_are_refused_by_a_model_whose_endpoints_have_none(house: Start) -> None:
    with engines(1) as one:
        refused = chat(house(model(one)), {"x-hanok-tags": "eu"})
        assert (refused.status, refused.error["code"]) == (404, "no_endpoint_with_tags")
        assert counts(one) == [0]


def test_a_fallback_without_the_tags_is_passed_over(house: Start) -> None:
    with engines(3) as three:
        three[0].answer = status(500, b"{}")
        first = model(three[:1], {"tags": ["eu"]}, fallbacks=["n", "o"], retries=0)
        started = house(first, {**model(three[1:2]), "name": "n"}, {**model(three[2:], {"tags": ["eu"]}), "name": "o"})
        assert chat(started, {"x-hanok-tags": "eu"}).headers["x-hanok-endpoint"] == "o#1"
        assert chat(started).headers["x-hanok-endpoint"] == "n#1"


def test_a_teams_own_endpoint_takes_its_calls_first_and_nobody_elses(house: Start) -> None:
    release = threading.Event()
    teams = [{"name": "red"}, {"name": "blue"}]
    with engines(2) as two, ThreadPoolExecutor(1) as pool:
        started = house(model(two, {}, {"teams": ["red"], "max_in_flight": 1}), teams=teams)
        red = {"authorization": f"Bearer {started.house.ledger.create_key('red', team='red').secret}"}
        blue = {"authorization": f"Bearer {started.house.ledger.create_key('blue', team='blue').secret}"}
        started.house.take_up_keys()
        assert {chat(started, red).headers["x-hanok-endpoint"] for _ in range(4)} == {"m#2"}
        assert {chat(started, blue).headers["x-hanok-endpoint"] for _ in range(4)} == {"m#1"}
        assert {chat(started).headers["x-hanok-endpoint"] for _ in range(4)} == {"m#1"}

        answer_whole = whole()

        async def held(asked: Asked, writer: asyncio.StreamWriter) -> None:
            await asyncio.to_thread(release.wait, 10)
            await answer_whole(asked, writer)

        two[1].answer = held
        first = pool.submit(chat, started, red)
        wait_until(lambda: started.house.fleet.of("m")[1].in_flight)
        assert chat(started, red).headers["x-hanok-endpoint"] == "m#1"
        release.set()
        assert first.result().headers["x-hanok-endpoint"] == "m#2"


def test_a_model_that_is_another_teams_altogether_is_forbidden(house: Start) -> None:
    with engines(1) as one:
        refused = chat(house(model(one, {"teams": ["red"]}), teams=[{"name": "red"}]))
        assert (refused.status, refused.error["code"]) == (403, "no_endpoint_for_team")


def homes(house: RunningHouse, sessions: int = 12) -> dict[str, str]:
    return {
        name: chat(house, {"x-session-id": name}).headers["x-hanok-endpoint"]
        for name in (f"s-{number}" for number in range(sessions))
    }


def test_sessions_stay_leave_an_engine_that_dies_and_come_back_to_it(house: Start) -> None:
    with engines(2) as two:
        with fake_engine() as third:
            started = house(model([*two, third], routing="session"), gateway={"health_every_s": 60})
            before = homes(started)
            assert set(before.values()) == {"m#1", "m#2", "m#3"}
            assert homes(started) == before
            port = third.port
        away = homes(started)
        assert set(away.values()) == {"m#1", "m#2"}
        assert {name: place for name, place in before.items() if place != "m#3"}.items() <= away.items()
        assert homes(started) == away
        endpoint = started.house.fleet.of("m")[2]
        assert endpoint.state == "down"
        with fake_engine(port=port):
            started.loop.call_soon_threadsafe(started.house.fleet.mark, endpoint, "up")
            assert homes(started) == before


def test_a_session_leaves_an_engine_that_has_much_more_to_do_than_the_others(house: Start) -> None:
    with engines(2) as two:
        started = house(model(two, routing={"policy": "session", "overload": 4}))
        home = chat(started, {"x-session-id": "s"}).headers["x-hanok-endpoint"]
        endpoint = next(each for each in started.house.fleet.of("m") if each.name == home)
        endpoint.in_flight += 4
        assert chat(started, {"x-session-id": "s"}).headers["x-hanok-endpoint"] != home
        endpoint.in_flight -= 4
        assert chat(started, {"x-session-id": "s"}).headers["x-hanok-endpoint"] == home


@pytest.mark.parametrize("stream_it", [False, True])
def test_latency_prefers_the_engine_that_answers_soonest_and_asks_the_other_now_and_then(
    house: Start, stream_it: bool
) -> None:
    sound = stream(delta("a"), DONE) if stream_it else whole()

    async def late(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        await sound(asked, writer)

    with engines(2, sound) as two:
        two[0].answer = late
        started = house(model(two, routing={"policy": "latency", "explore_every": 10}))
        for _ in range(40):
            assert chat(started, stream=stream_it).status == 200
        asked = counts(two)
        assert 3 <= asked[0] <= 6
        two[0].answer, two[1].answer = sound, late
        for _ in range(60):
            chat(started, stream=stream_it)
        assert counts(two)[0] - asked[0] > counts(two)[1] - asked[1]


def test_an_engine_that_refuses_at_once_is_not_taken_for_a_fast_one(house: Start) -> None:
    with engines(2) as two:
        two[0].answer = status(429, b"{}")
        two[1].answer = slow(0.01)
        started = house(model(two, routing={"policy": "latency", "explore_every": 0}))
        assert {chat(started).status for _ in range(10)} == {200}
        assert counts(two)[0] == 1


def test_cost_asks_the_cheapest_and_the_next_when_it_is_full(house: Start) -> None:
    prices = [{"price": {"input": 2, "output": 4}}, {"price": {"input": 1, "output": 2}, "max_in_flight": 1}]
    with engines(2) as two:
        started = house(model(two, *prices, routing="cost"))
        assert {chat(started).headers["x-hanok-endpoint"] for _ in range(5)} == {"m#2"}
        started.house.fleet.of("m")[1].in_flight += 1
        assert chat(started).headers["x-hanok-endpoint"] == "m#1"


def test_what_fails_is_asked_of_the_next_by_every_policy(house: Start) -> None:
    policies = ["weighted", "round-robin", "latency", "session"]
    with engines(2) as two:
        two[0].answer = status(500, b"{}")
        started = house(*({**model(two, routing=policy, retries=1), "name": policy} for policy in policies))
        for policy in policies:
            assert {chat(started, model=policy).status for _ in range(10)} == {200}, policy


# what engines tell of themselves


def page(**values: float) -> bytes:
    lines = [f'vllm:{name}{{model_name="m"}} {value}' for name, value in values.items()]
    config = 'vllm:cache_config_info{block_size="16",num_gpu_blocks="100"} 1.0'
    return "\n".join([*lines, config, ""]).encode()


def showing(pages: dict[str, bytes]) -> Answer:
    """Answer GETs with the page of the path, where there is one."""
    answer_whole = whole()

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        found = pages.get(asked.path)
        await (answer_whole if found is None else status(200, found, "content-type: text/plain\r\n"))(asked, writer)

    return answer


def test_what_engines_tell_of_their_load_is_known_shown_and_forgotten_when_they_stop_telling(house: Start) -> None:
    pages = {"/metrics": page(num_requests_running=3, num_requests_waiting=2, kv_cache_usage_perc=0.5)}
    with engines(2) as two:
        two[0].get = showing(pages)
        prices = [{"price": {"input": 1}}, {"price": {"input": 2}}]
        routing = {"policy": "cost", "load_every_s": 0.01}
        started = house(model(two, *prices, routing=routing), gateway={"admin_key": "an-admin-key-of-length"})
        first, second = started.house.fleet.of("m")
        wait_until(lambda: first.load)
        assert second.load is None
        assert second.state == "up"
        assert chat(started).headers["x-hanok-endpoint"] == "m#2"
        shown = call(f"{started.url}/metrics").body.decode()
        assert 'hanok_endpoint_engine_waiting{endpoint="m#1",model="m"} 2.0' in shown
        assert 'hanok_endpoint_engine_waiting{endpoint="m#2"' not in shown
        admin = {"authorization": "Bearer an-admin-key-of-length"}
        told = call(f"{started.url}/admin/fleet", headers=admin).json["endpoints"]
        assert (told[0]["policy"], told[0]["load"]["waiting"], told[0]["load"]["cache_tokens"]) == ("cost", 2, 1600)
        assert (told[1]["load"], told[1]["circuit"]) == (None, "closed")
        pages.clear()
        wait_until(lambda: first.load is None)
        assert chat(started).headers["x-hanok-endpoint"] == "m#1"


def test_engines_of_other_policies_are_not_asked_for_their_metrics(house: Start) -> None:
    with engines(2) as two:
        house(model(two))
        assert not [asked for engine in two for asked in engine.asked if asked.path == "/metrics"]


def test_a_changed_policy_holds_from_the_next_call_on_and_leaves_running_ones_alone(house: Start) -> None:
    release = threading.Event()
    answer_whole = whole()

    async def held(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.to_thread(release.wait, 10)
        await answer_whole(asked, writer)

    with engines(2) as two, ThreadPoolExecutor(1) as pool:
        started = house(model(two, {"max_in_flight": 1}), gateway={"reload": False})
        before = list(started.house.fleet.of("m"))
        two[0].answer = two[1].answer = held
        running = pool.submit(chat, started)
        wait_until(lambda: any(each.in_flight for each in before))
        two[0].answer = two[1].answer = None
        terms = [{"weight": 0, "tags": ["old"], "max_in_flight": 1}, {"weight": 5}]
        file = started.house.loaded.file
        changed = {"name": "test", "gateway": {"reload": False}, "models": [model(two, *terms, routing="weighted")]}
        file.write_text(yaml.safe_dump(changed))
        assert started.run(started.house.config.reload()) == ["model m changed (serve, routing)"]
        assert started.house.fleet.of("m") == before
        assert {chat(started).headers["x-hanok-endpoint"] for _ in range(4)} == {"m#2"}
        release.set()
        assert running.result().status == 200
        assert chat(started, {"x-hanok-tags": "old"}).headers["x-hanok-endpoint"] == "m#1"
        wait_until(lambda: not any(each.in_flight for each in before))


# prompt caches


def talk(name: str, turns: int) -> list[dict[str, str]]:
    """A conversation that grows by 2 KB a turn; its beginning is its own."""
    return [{"role": "user", "content": f"{name} {number} " + "and so on " * 200} for number in range(turns)]


@pytest.mark.parametrize("stream_it", [False, True])
def test_a_conversation_goes_where_its_beginning_is_and_others_spread(house: Start, stream_it: bool) -> None:
    sound = stream(delta("a"), DONE) if stream_it else whole()
    with engines(3, sound) as three:
        started = house(model(three, routing="prefix"))
        places: dict[str, set[str]] = {}
        for turns in range(1, 6):
            for name in ("ann", "bob", "eve", "joe", "kim", "lee"):
                reply = chat(started, messages=talk(name, turns), stream=stream_it)
                places.setdefault(name, set()).add(reply.headers["x-hanok-endpoint"])
        assert all(len(each) == 1 for each in places.values()), places
        assert len(set.union(*places.values())) == 3


def test_an_engine_that_begins_anew_is_known_to_have_forgotten(house: Start) -> None:
    with engines(2) as two:
        started = house(model(two, routing="prefix"), gateway={"health_every_s": 60})
        home = chat(started, messages=talk("ann", 3)).headers["x-hanok-endpoint"]
        assert {chat(started, messages=talk("ann", 3)).headers["x-hanok-endpoint"] for _ in range(4)} == {home}
        endpoint = next(each for each in started.house.fleet.of("m") if each.name == home)
        for state in ("down", "up"):
            started.loop.call_soon_threadsafe(started.house.fleet.mark, endpoint, state)
        places = [chat(started, messages=talk("ann", number)).headers["x-hanok-endpoint"] for number in (3, 3, 4, 5)]
        assert len(set(places)) == 1, "it is computed anew once, wherever that is, and found there again"


def test_prompts_that_share_nothing_by_their_salt_are_not_taken_for_the_same(house: Start) -> None:
    with engines(2) as two:
        started = house(model(two, routing="prefix"))
        places = [chat(started, messages=talk("x", 3), cache_salt=str(n)).headers["x-hanok-endpoint"] for n in range(4)]
        assert set(places) == {"m#1", "m#2"}


def test_prompts_too_short_to_tell_go_by_their_session_or_by_load(house: Start) -> None:
    with engines(3) as three:
        started = house(model(three, routing="prefix"))
        before = homes(started)
        assert homes(started) == before
        assert len(set(before.values())) == 3
        assert len({chat(started).headers["x-hanok-endpoint"] for _ in range(3)}) == 3


def test_a_waiting_engine_is_passed_over_though_it_knows_the_prompt(house: Start) -> None:
    pages = {"/metrics": page(num_requests_running=1, num_requests_waiting=0, kv_cache_usage_perc=0.1)}
    with engines(2) as two:
        for engine in two:
            engine.get = showing(pages)
        started = house(model(two, routing={"policy": "prefix", "load_every_s": 0.01}))
        wait_until(lambda: all(each.load for each in started.house.fleet.of("m")))
        home = chat(started, messages=talk("ann", 3)).headers["x-hanok-endpoint"]
        assert chat(started, messages=talk("ann", 3)).headers["x-hanok-endpoint"] == home
        index = int(home[-1]) - 1
        two[index].get = showing({"/metrics": page(num_requests_running=8, num_requests_waiting=50)})
        wait_until(lambda: getattr(started.house.fleet.of("m")[index].load, "waiting", 0) == 50)
        assert chat(started, messages=talk("ann", 4)).headers["x-hanok-endpoint"] != home


@pytest.mark.parametrize("policy", ["prefix", "session", "latency"])
def test_tickets_and_slots_are_given_back_however_calls_end(house: Start, policy: str) -> None:
    async def cut(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.close()

    long = {"messages": talk("ann", 2)}
    with engines(2) as two:
        started = house(model(two, routing=policy, retries=0))
        for answer in (status(400, b'{"error":{"message":"no"}}'), status(500, b"{}"), cut, whole()):
            two[0].answer = two[1].answer = answer
            for stream_it in (False, True):
                chat(started, stream=stream_it, **long)
        wait_until(lambda: not any(each.in_flight for each in started.house.fleet.of("m")))
        assert chat(started, **long).status == 200


def test_the_command_shows_the_fleet_of_a_running_server_and_says_what_it_needs(house: Start) -> None:
    from hanok.cli.state import RunningServer, write_server

    secret = "an-admin-key-of-length"
    with engines(1) as one:
        started = house(
            model(one, {"tags": ["eu"], "max_in_flight": 3}), gateway={"admin_key": secret, "reload": False}
        )
        loaded = started.house.loaded
        port = int(started.url.rpartition(":")[2])
        write_server(loaded.state, RunningServer(process_id=os.getpid(), host="127.0.0.1", port=port))
        shown = hanok(loaded.folder, "fleet")
        assert shown.returncode == 0, shown.stderr
        assert "m#1 (eu)" in shown.stdout
        assert "0 of 3" in shown.stdout
        told = json.loads(hanok(loaded.folder, "fleet", "--json").stdout)["endpoints"][0]
        assert (told["endpoint"], told["state"], told["policy"]) == ("m#1", "up", "least-busy")
        text = loaded.file.read_text()
        loaded.file.write_text(text.replace(secret, "another-admin-key"))
        assert "status 401" in hanok(loaded.folder, "fleet").stderr
        loaded.file.write_text(text.replace(f"admin_key: {secret}", "port: 4243"))
        assert "admin_key" in hanok(loaded.folder, "fleet").stderr


def test_the_gpu_monitor_shows_the_engines_that_the_fleet_has_read(house: Start) -> None:
    from hanok.cli.state import RunningServer, write_server

    secret = "an-admin-key-of-length"
    with engines(2) as two:
        two[0].get = showing({"/metrics": page(num_requests_running=3, num_requests_waiting=1)})
        routing = {"policy": "prefix", "load_every_s": 0.01}
        started = house(model(two, routing=routing), gateway={"admin_key": secret, "reload": False})
        loaded = started.house.loaded
        port = int(started.url.rpartition(":")[2])
        write_server(loaded.state, RunningServer(process_id=os.getpid(), host="127.0.0.1", port=port))
        wait_until(lambda: started.house.fleet.of("m")[0].load)
        told = json.loads(hanok(loaded.folder, "gpu", "top", "--json").stdout)["engines"]
        assert [(each["place"], each["model"], each["running"], each["waiting"]) for each in told] == [
            ("m#1", "m", 3, 1)
        ]
