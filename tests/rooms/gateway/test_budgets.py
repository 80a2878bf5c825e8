"""Budgets at the door: what is let in, what is refused and how, where streams are cut, and what is left after."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.calls import Reply, call
from tests.conftest import ECHO, RunningHouse, wait_until
from tests.engine import DONE, STREAM_HEAD, Asked, FakeEngine, chunk, delta, fake_engine, status, stream, whole

Start = Callable[..., RunningHouse]
PRICE = {"input": 0.0, "output": 1_000_000.0}  # a dollar a token
WORDS = " ".join(["word"] * 50)


def chat(house: RunningHouse, model: str = "echo", content: str = "hello", /, **more: Any) -> Reply:
    headers = {**house.headers, **more.pop("headers", {})}
    body = {"model": model, "messages": [{"role": "user", "content": content}], **more}
    return call(f"{house.url}/v1/chat/completions", "POST", body, headers)


def spent(house: RunningHouse) -> float:
    house.house.ledger.flush()
    return sum(row.cost_usd for row in house.house.ledger.usage("key"))


def budget(house: RunningHouse) -> dict[str, Any]:
    return call(f"{house.url}/v1/budgets", headers=house.headers).json["budgets"][0]


def test_a_call_that_the_budget_pays_for_passes_and_says_what_is_left(house: Start) -> None:
    started = house({**ECHO, "price": PRICE}, budgets=[{"of": "key", "usd": 10}])
    reply = chat(started, "echo", "one two three", max_tokens=5)
    assert reply.status == 200
    assert reply.headers["x-hanok-budget-limit-usd"] == "10.000000"
    assert reply.headers["x-hanok-budget-remaining-usd"] == "7.000000"
    assert "x-hanok-budget-reset-usd" not in reply.headers


def test_a_call_that_may_cost_more_than_is_left_is_refused_before_it_begins(house: Start) -> None:
    with fake_engine(whole()) as engine:
        model = {"name": "m", "serve": {"engine": "openai", "url": engine.url}, "price": PRICE}
        started = house(model, budgets=[{"of": "key", "usd": 10, "per": "month"}])
        reply = chat(started, "m", max_tokens=11)
        assert reply.status == 429
        assert engine.calls() == []
    error = reply.error
    assert (error["type"], error["code"]) == ("insufficient_quota", "budget_exceeded")
    assert error["budget"]["remaining"] == 10.0
    assert error["budget"]["needed"] == 11.0
    assert error["budget"]["per"] == "month"
    assert error["budget"]["resets_at"].endswith("-01T00:00:00Z")
    assert reply.headers["x-should-retry"] == "false"
    assert spent(started) == 0


def test_a_stream_is_cut_where_the_budget_ends_with_a_proper_end(house: Start) -> None:
    started = house({**ECHO, "price": PRICE}, budgets=[{"of": "key", "usd": 20}])
    reply = chat(started, "echo", WORDS, stream=True, stream_options={"include_usage": True})
    assert reply.status == 200
    *pieces, last, usage, done = reply.events
    assert done == "[DONE]"
    assert len(pieces) == 20
    assert last["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "length"}]
    assert last["id"] == pieces[0]["id"]
    assert last["hanok"]["stopped_by"] == "budget_exceeded"
    assert last["hanok"]["budget"]["remaining"] == 0.0
    assert usage["usage"]["completion_tokens"] == 20
    assert spent(started) == 20.0
    assert chat(started, "echo", WORDS, stream=True).error["code"] == "budget_exceeded"


def test_a_long_stream_goes_on_reserving_as_it_runs(house: Start) -> None:
    started = house({**ECHO, "price": PRICE}, budgets=[{"of": "key", "usd": 2000}])
    words = " ".join(["w"] * 1000)
    reply = chat(started, "echo", words, stream=True)
    assert len([each for each in reply.events if each != "[DONE]" and each["choices"][0]["delta"]]) == 1000
    assert spent(started) == 1000.0
    assert budget(started)["remaining"] == 1000.0


def test_the_engine_that_sends_many_tokens_an_event_is_cut_too(house: Start) -> None:
    async def slowly(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(delta("a")))
        for _ in range(100):
            writer.write(chunk(delta("word " * 40)))  # 50 tokens by their bytes
            await writer.drain()
            await asyncio.sleep(0.002)
        writer.write(chunk(DONE) + b"0\r\n\r\n")

    with fake_engine(slowly) as engine:
        model = {"name": "m", "serve": {"engine": "openai", "url": engine.url}, "price": PRICE}
        started = house(model, budgets=[{"of": "key", "usd": 500}])
        reply = chat(started, "m", stream=True)
        assert reply.events[-2]["hanok"]["stopped_by"] == "budget_exceeded"
        assert 500 <= spent(started) < 1000
        assert engine.gone.wait(5)


# endpoints with prices of their own: `dear` costs two dollars a token, `cheap` one

CHEAP_AND_DEAR = [{"price": PRICE}, {"price": {"input": 0.0, "output": 2_000_000.0}}]


def priced(*engines: FakeEngine, **more: Any) -> dict[str, Any]:
    serve = [
        {"engine": "openai", "url": engine.url, "tags": [tag], **terms}
        for engine, tag, terms in zip(engines, ("cheap", "dear"), CHEAP_AND_DEAR, strict=True)
    ]
    return {"name": "m", "serve": serve, "routing": "round-robin", **more}


def settled(started: RunningHouse) -> RunningHouse:
    """A house whose endpoints have all been looked at: which of them takes a call is said by its tag."""
    wait_until(lambda: started.house.fleet.settled)
    return started


def at(tag: str) -> dict[str, dict[str, str]]:
    return {"headers": {"x-hanok-tags": tag}}


def test_a_call_is_charged_by_the_price_of_the_endpoint_that_answers(house: Start) -> None:
    with fake_engine(whole()) as one, fake_engine(whole()) as two:
        started = settled(house(priced(one, two), budgets=[{"of": "key", "usd": 100}]))
        for tag, left in (("cheap", "97.000000"), ("dear", "91.000000"), ("cheap", "88.000000")):
            assert chat(started, "m", max_tokens=5, **at(tag)).status == 200
            assert budget(started)["remaining"] == float(left)
        assert spent(started) == 12.0


def test_what_is_reserved_is_reserved_at_the_dearest_price_wherever_the_call_would_go(house: Start) -> None:
    with fake_engine(whole()) as one, fake_engine(whole()) as two:
        started = settled(house(priced(one, two), budgets=[{"of": "key", "usd": 10}]))
        refused = chat(started, "m", max_tokens=6, **at("cheap"))
        assert refused.error["budget"]["needed"] == 12.0
        assert one.calls() == two.calls() == []
        assert chat(started, "m", max_tokens=5, **at("dear")).status == 200
        assert spent(started) == 6.0


@pytest.mark.parametrize("stream_it", [False, True])
def test_no_budget_is_passed_whichever_endpoints_answer_at_once(house: Start, stream_it: bool) -> None:
    sound = stream(*[delta("a")] * 3, DONE) if stream_it else whole()
    with fake_engine(sound) as one, fake_engine(sound) as two, ThreadPoolExecutor(8) as pool:
        started = settled(house(priced(one, two), budgets=[{"of": "key", "usd": 50}]))
        replies = list(pool.map(lambda _: chat(started, "m", max_tokens=3, stream=stream_it), range(40)))
        assert {reply.status for reply in replies} == {200, 429}
        while chat(started, "m", max_tokens=3, stream=stream_it).status == 200:
            pass
        assert 50 - 6 < spent(started) <= 50
        assert budget(started)["used"] == spent(started)
        assert one.calls()
        assert two.calls()


@pytest.mark.parametrize(("tag", "tokens"), [("cheap", 20), ("dear", 10)])
def test_a_stream_is_cut_where_the_budget_ends_at_the_price_of_its_endpoint(
    house: Start, tag: str, tokens: int
) -> None:
    serve = [{"engine": "echo", "tags": ["cheap"]}, {"engine": "echo", "tags": ["dear"]}]
    model = {"name": "m", "serve": [each | terms for each, terms in zip(serve, CHEAP_AND_DEAR, strict=True)]}
    started = house(model, budgets=[{"of": "key", "usd": 20}])
    reply = chat(started, "m", WORDS, stream=True, **at(tag))
    assert reply.events[-2]["hanok"]["stopped_by"] == "budget_exceeded"
    assert len(reply.events) - 2 == tokens
    assert spent(started) == 20.0


def test_a_changed_price_of_an_endpoint_holds_from_the_next_call_on_by_whatever_name_it_goes(house: Start) -> None:
    with fake_engine(whole()) as one, fake_engine(whole()) as two:
        started = settled(house(priced(one, two), budgets=[{"of": "key", "usd": 100}], gateway={"reload": False}))
        model = priced(one, two)
        model["serve"] = [{**model["serve"][1], "price": {"output": 3_000_000.0}}]
        file = started.house.loaded.file
        declared = {"name": "test", "gateway": {"reload": False}, "budgets": [{"of": "key", "usd": 100}]}
        file.write_text(json.dumps({**declared, "models": [model]}))
        started.run(started.house.config.reload())
        reply = chat(started, "m", max_tokens=5)
        assert reply.headers["x-hanok-endpoint"] == "m#2"
        assert spent(started) == 9.0


def test_an_unstreamed_call_without_max_tokens_is_given_what_the_budget_pays_for(house: Start) -> None:
    with fake_engine(whole()) as engine:
        model = {"name": "m", "serve": {"engine": "openai", "url": engine.url}, "price": PRICE}
        started = house({**model, "max_output_tokens": 100}, budgets=[{"of": "key", "usd": 150}])
        assert chat(started, "m").status == 200
        assert engine.calls()[0].json["max_tokens"] == 100
        chat(started, "m", max_tokens=100)
        assert engine.calls()[1].json["max_tokens"] == 100
        for _ in range(16):
            chat(started, "m")
        assert engine.calls()[-1].json["max_tokens"] == 150 - 3 * 17


def test_failed_and_cancelled_calls_settle_to_what_was_used(house: Start) -> None:
    with fake_engine(status(500, b"{}")) as engine:
        model = {"name": "m", "serve": {"engine": "openai", "url": engine.url}, "price": PRICE, "retries": 0}
        started = house(model, budgets=[{"of": "key", "usd": 10}])
        assert chat(started, "m", max_tokens=10).status == 500
        assert budget(started)["used"] == 0.0
        engine.answer = stream(delta("a"), delta("b"), end=b"zz")
        assert "error" in chat(started, "m", max_tokens=10, stream=True).events[-1]
        assert budget(started)["used"] == 2.0


def test_a_caller_who_leaves_pays_for_what_came(house: Start) -> None:
    sent = threading.Event()

    async def endless(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(delta("a")) + chunk(delta("b")))
        await writer.drain()
        sent.set()
        await asked.gone()

    with fake_engine(endless) as engine:
        model = {"name": "m", "serve": {"engine": "openai", "url": engine.url}, "price": PRICE}
        started = house(model, budgets=[{"of": "key", "usd": 1000}])
        import socket

        body = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {started.key}\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", int(started.url.rsplit(":", 1)[1]))) as connection:
            connection.sendall(head.encode() + body)
            received = b""
            while b'"b"' not in received:
                received += connection.recv(65536)
        assert engine.gone.wait(5)
    while budget(started)["used"] != 2.0:
        pass
    assert spent(started) == 2.0


def test_the_tokens_of_the_prompt_count(house: Start) -> None:
    with fake_engine(whole()) as engine:  # says that it used 7 + 3 tokens
        model = {"name": "m", "serve": {"engine": "openai", "url": engine.url}}
        started = house(model, budgets=[{"of": "key", "tokens": 100}])
        reply = chat(started, "m", "x" * 60, max_tokens=10)
        assert reply.headers["x-hanok-budget-remaining-tokens"] == "90"
        refused = chat(started, "m", "x" * 600, max_tokens=10)
        assert refused.error["budget"]["unit"] == "tokens"


def test_images_count_by_their_number_not_their_bytes(house: Start) -> None:
    with fake_engine(whole()) as engine:
        model = {"name": "m", "serve": {"engine": "openai", "url": engine.url}}
        started = house(model, budgets=[{"of": "key", "tokens": 5000}])
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
        assert chat(started, "m", [{"type": "text", "text": "what is this?"}, image], max_tokens=10).status == 200


def test_a_run_draws_on_the_budgets_of_the_runs_above_it(house: Start) -> None:
    started = house({**ECHO, "price": PRICE}, budgets=[{"of": "run", "usd": 10}])
    url = f"{started.url}/v1/runs"
    given = call(url, "POST", {"run": "trip/hotels", "usd": 4}, started.headers)
    assert [each["name"] for each in given.json["budgets"]] == ["trip", "trip/hotels"]
    child = {"x-hanok-run": "trip/hotels"}
    assert chat(started, "echo", "one two three", max_tokens=4, headers=child).status == 200
    refused = chat(started, "echo", "one two", max_tokens=2, headers={"x-hanok-run": "trip/hotels/rooms"})
    assert refused.error["budget"]["name"] == "trip/hotels"
    assert chat(started, "echo", "a b c d e f g", max_tokens=7, headers={"x-hanok-run": "trip"}).status == 200
    assert chat(started, "echo", "a", max_tokens=1, headers=child).error["budget"]["name"] == "trip"
    assert chat(started, "echo", "a", max_tokens=1, headers={"x-hanok-run": "other"}).status == 200
    assert chat(started, "echo", "a", headers={"x-hanok-run": "../etc"}).error["code"] == "invalid_run"


@pytest.mark.parametrize("header", ["x-session-id", "x-claude-code-session-id"])
def test_each_session_has_a_budget_of_its_own(house: Start, header: str) -> None:
    started = house({**ECHO, "price": PRICE}, budgets=[{"of": "session", "usd": 3}])
    first, second = {header: "first"}, {header: "second"}
    assert chat(started, "echo", "a b c", max_tokens=3, headers=first).status == 200
    refused = chat(started, "echo", "a", max_tokens=1, headers=first)
    assert refused.error["budget"]["of"] == "session"
    assert chat(started, "echo", "a b c", max_tokens=3, headers=second).status == 200
    assert chat(started, "echo", "a b c", max_tokens=300).status == 200


def test_beyond_the_softer_line_a_cheaper_model_answers(house: Start) -> None:
    cheap = {"name": "cheap", "serve": {"engine": "echo"}, "price": {"input": 0, "output": 1.0}}
    dear = {"name": "dear", "serve": {"engine": "echo"}, "price": PRICE}
    started = house(dear, cheap, budgets=[{"of": "key", "usd": 10, "soft": 0.5, "downgrade_to": "cheap"}])
    assert "x-hanok-model" not in chat(started, "dear", "a b c d e", max_tokens=5).headers
    after = chat(started, "dear", "a b", max_tokens=4)
    assert after.headers["x-hanok-model"] == "cheap"
    assert after.headers["x-hanok-budget-warning-usd"] == "beyond 50 %"


def test_where_the_budget_does_not_pay_for_a_model_its_fallback_is_asked(house: Start) -> None:
    cheap = {"name": "cheap", "serve": {"engine": "echo"}, "price": {"input": 0, "output": 1.0}}
    dear = {"name": "dear", "serve": {"engine": "echo"}, "price": PRICE, "fallbacks": {"budget": ["cheap"]}}
    started = house(dear, cheap, budgets=[{"of": "key", "usd": 10}])
    assert chat(started, "dear", "a b", max_tokens=20).headers["x-hanok-model"] == "cheap"


def test_a_fallback_that_is_dearer_than_the_budget_allows_is_not_used(house: Start) -> None:
    with fake_engine(status(500, b"{}")) as engine:
        broken = {
            "name": "cheap",
            "serve": {"engine": "openai", "url": engine.url},
            "retries": 0,
            "fallbacks": ["dear"],
        }
        dear = {"name": "dear", "serve": {"engine": "echo"}, "price": PRICE}
        started = house(broken, dear, budgets=[{"of": "key", "usd": 5}])
        assert chat(started, "cheap", "a b", max_tokens=6).status == 500
        assert chat(started, "cheap", "a b", max_tokens=5).headers["x-hanok-model"] == "dear"
        assert budget(started)["used"] == 2.0


def test_calls_a_minute_and_at_once_are_limited_with_the_usual_headers(house: Start) -> None:
    started = house(ECHO, limits=[{"of": "key", "requests_per_minute": 2, "tokens_per_minute": 1000}])
    first, second, third = (chat(started, max_tokens=5) for _ in range(3))
    if third.status == 200:  # a new minute began between them
        third = chat(started, max_tokens=5)
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert first.headers["ratelimit-policy"] == '"requests";q=2;w=60, "tokens";q=1000;w=60'
    assert first.headers["ratelimit"].startswith('"requests";r=1;t=')
    assert second.headers["x-ratelimit-remaining-requests"] in ("0", "1")
    assert third.status == 429
    assert third.error["code"] == "rate_limit_exceeded"
    assert 1 <= int(third.headers["retry-after"]) <= 60
    assert third.error["limit"]["unit"] == "requests"


def test_calls_at_once_are_limited(house: Start) -> None:
    release = threading.Event()

    async def slow(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.to_thread(release.wait, 5)
        await whole()(asked, writer)

    with fake_engine(slow) as engine:
        model = {"name": "m", "serve": {"engine": "openai", "url": engine.url}}
        started = house(model, limits=[{"of": "model", "name": "m", "concurrent": 1}])
        running = threading.Thread(target=chat, args=(started, "m"))
        running.start()
        while not engine.calls():
            pass
        refused = chat(started, "m")
        release.set()
        running.join()
        assert (refused.status, refused.error["limit"]["unit"]) == (429, "concurrent")
        assert chat(started, "m").status == 200


def test_what_was_spent_is_remembered_over_a_restart(write_platform: Callable[..., Any]) -> None:
    from tests.conftest import open_house

    file = write_platform({**ECHO, "price": PRICE}, budgets=[{"of": "model", "usd": 5}, {"of": "session", "usd": 4}])
    session = {"x-session-id": "s"}
    with open_house(file) as started:
        assert chat(started, "echo", "a b c", max_tokens=3, headers=session).status == 200
        key = started.key
    with open_house(file, key_name="again") as started:
        assert chat(started, "echo", "a b c", max_tokens=3).error["budget"]["used"] == 3.0
        own = {**session, "authorization": f"Bearer {key}"}
        assert chat(started, "echo", "a b", max_tokens=2, headers=own).error["budget"]["of"] == "session"
