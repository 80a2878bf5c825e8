"""The cache of answers, asked through the door: what is given again, to whom, in which form, and what is not kept."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from tests.calls import Reply, call
from tests.engine import (
    DONE,
    STREAM_HEAD,
    USAGE_EVENT,
    Asked,
    FakeEngine,
    chunk,
    delta,
    event,
    fake_engine,
    status,
    stream,
    whole,
)
from tests.rooms.caches.asking import ADMIN, CACHE, END, Start, charges, chat, found, model, post


def test_the_same_call_is_answered_from_the_cache_and_costs_nothing(house: Start, engine: FakeEngine) -> None:
    started = house(model(engine), cache=CACHE)
    told = charges(started)
    first, second = chat(started), chat(started)
    assert (found(first), found(second)) == ("miss", "hit")
    assert second.body == first.body
    assert second.headers["x-hanok-endpoint"] == "cache"
    assert second.headers["age"].isdigit()
    assert len(engine.calls()) == 1
    paid, free = told
    assert paid.cost_nano_usd == 7 * 1000 + 3 * 2000
    assert (free.cost_nano_usd, free.prompt_tokens, free.endpoint) == (0, 0, "cache")
    assert free.saved_nano_usd == paid.cost_nano_usd


def test_without_a_cache_nothing_is_kept_and_no_header_tells_of_one(house: Start, engine: FakeEngine) -> None:
    started = house(model(engine))
    assert [found(chat(started)), found(chat(started))] == [None, None]
    assert len(engine.calls()) == 2


def test_a_model_may_have_a_cache_alone_or_none_where_all_have(house: Start, engine: FakeEngine) -> None:
    started = house(model(engine, cache=True), model(engine, "n"))
    assert [found(chat(started)), found(chat(started)), found(chat(started, model="n"))] == ["miss", "hit", None]


def test_a_model_may_be_left_out(house: Start, engine: FakeEngine) -> None:
    started = house(model(engine, cache=False), model(engine, "n"), cache=CACHE)
    assert [found(chat(started)), found(chat(started, model="n"))] == [None, "miss"]


def test_what_does_not_change_the_answer_does_not_change_the_key(house: Start, engine: FakeEngine) -> None:
    started = house(model(engine), cache=CACHE)
    chat(started)
    told = {"user": "u", "metadata": {"a": "b"}, "store": True, "prompt_cache_key": "k", "service_tier": "auto"}
    assert found(chat(started, **told)) == "hit"
    body = b'{"messages":  [{"content":"hello" ,"role":"user"}],\n "model":"m"}'
    assert found(post(started, "chat/completions", body)) == "hit"


@pytest.mark.parametrize(
    "more",
    [
        {"temperature": 0.5},
        {"seed": 1},
        {"n": 1},
        {"max_tokens": 9},
        {"top_k": 1},
        {"response_format": {"type": "text"}},
    ],
)
def test_every_other_field_makes_another_call(house: Start, engine: FakeEngine, more: Any) -> None:
    started = house(model(engine), cache=CACHE)
    chat(started)
    assert [found(chat(started, **more)), found(chat(started, **more))] == ["miss", "hit"]


def test_a_stream_is_given_again_as_a_stream_and_as_a_body(house: Start, engine: FakeEngine) -> None:
    engine.answer = stream(delta("hello "), delta("there"), END, USAGE_EVENT, DONE)
    started = house(model(engine), cache=CACHE)
    first = chat(started, stream=True)
    assert [choices(each) for each in first.events] == [1, 1, 1, "[DONE]"]  # the usage event was not asked for
    assert chat(started, stream=True).body == first.body
    told = chat(started, stream=True, stream_options={"include_usage": True})
    assert told.events[-2]["usage"]["total_tokens"] == 10
    assert told.headers["content-type"].startswith("text/event-stream")
    body = chat(started)
    assert found(body) == "hit"
    assert body.json["choices"][0]["message"] == {"role": "assistant", "content": "hello there"}
    assert body.json["choices"][0]["finish_reason"] == "stop"
    assert body.json["usage"]["total_tokens"] == 10
    assert len(engine.calls()) == 1


def choices(given: Any) -> Any:
    return given if given == "[DONE]" else len(given["choices"])


def test_a_body_is_given_again_as_a_stream(house: Start, engine: FakeEngine) -> None:
    started = house(model(engine), cache=CACHE)
    chat(started)
    plain, told = chat(started, stream=True), chat(started, stream=True, stream_options={"include_usage": True})
    assert [found(plain), found(told)] == ["hit", "hit"]
    assert plain.events[0]["choices"][0]["delta"] == {"role": "assistant", "content": "hello there friend"}
    assert plain.events[1]["choices"][0]["finish_reason"] == "stop"
    assert plain.events[2:] == ["[DONE]"]
    assert told.events[2]["usage"]["total_tokens"] == 10
    assert {each["object"] for each in told.events[:-1]} == {"chat.completion.chunk"}
    assert len(engine.calls()) == 1


def test_an_sdk_reads_what_is_given_again_in_either_form(house: Start, engine: FakeEngine) -> None:
    tool = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "sky"}'}}
    message = {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [tool]}
    logprobs = {"content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}], "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls", "logprobs": logprobs}
    other = {**choice, "index": 1}
    engine.answer = whole(choices=[choice, other])
    started = house(model(engine), cache=CACHE)
    client = openai.OpenAI(base_url=f"{started.url}/v1", api_key=started.key, max_retries=0)
    asked: Any = {"model": "m", "messages": [{"role": "user", "content": "look"}], "n": 2}
    with client:
        first = client.chat.completions.create(**asked)
        again = client.chat.completions.create(**asked)
        with client.chat.completions.stream(**asked) as pieces:
            for _ in pieces:
                pass
            put_together = pieces.get_final_completion()
    assert again == first
    for given in put_together.choices:
        calls = given.message.tool_calls
        assert calls is not None
        assert (calls[0].id, calls[0].function.name, calls[0].function.arguments) == ("call_1", "look", '{"at": "sky"}')
        assert given.finish_reason == "tool_calls"
        assert given.logprobs is not None
        assert given.logprobs.content is not None
        assert given.logprobs.content[0].token == "a"
    assert len(engine.calls()) == 1


def test_tool_calls_in_pieces_are_put_together(house: Start, engine: FakeEngine) -> None:
    def piece(said: Any, reason: str | None = None) -> bytes:
        return event({"id": "c", "created": 5, "choices": [{"index": 0, "delta": said, "finish_reason": reason}]})

    def calling(index: int, **more: Any) -> Any:
        return {"tool_calls": [{"index": index, **more}]}

    engine.answer = stream(
        piece({"role": "assistant", "content": ""}),
        piece({"reasoning_content": "let me "}),
        piece({"reasoning_content": "see"}),
        piece(calling(0, id="one", type="function", function={"name": "look", "arguments": ""})),
        piece(calling(0, function={"arguments": '{"at":'})),
        piece(calling(0, function={"arguments": '"sky"}'})),
        piece(calling(1, id="two", type="function", function={"name": "go", "arguments": "{}"})),
        piece({}, "tool_calls"),
        USAGE_EVENT,
        DONE,
    )
    started = house(model(engine), cache=CACHE)
    chat(started, stream=True)
    body = chat(started).json
    assert body["choices"][0]["message"] == {
        "role": "assistant",
        "content": None,
        "reasoning_content": "let me see",
        "tool_calls": [
            {"id": "one", "type": "function", "function": {"name": "look", "arguments": '{"at":"sky"}'}},
            {"id": "two", "type": "function", "function": {"name": "go", "arguments": "{}"}},
        ],
    }
    assert (body["object"], body["created"]) == ("chat.completion", 5)


def test_what_a_stream_tells_as_null_first_may_come_later(house: Start, engine: FakeEngine) -> None:
    def piece(said: Any, reason: str | None = None, logprobs: Any = None) -> bytes:
        choice = {"index": 0, "delta": said, "logprobs": logprobs, "finish_reason": reason}
        return event({"id": "c", "choices": [choice]})

    look = {"name": "look", "arguments": "{}"}
    logprob = {"token": "a", "logprob": -0.5}
    engine.answer = stream(
        piece(
            {"role": "assistant", "content": None, "tool_calls": None, "function_call": None}, None, {"content": None}
        ),
        piece({"content": "a"}, None, {"content": [logprob]}),
        piece({"function_call": look, "tool_calls": [{"index": 0, "id": "one", "function": None}]}),
        piece({"tool_calls": [{"index": 0, "function": look}]}, "tool_calls"),
        DONE,
    )
    started = house(model(engine), cache=CACHE)
    chat(started, stream=True)
    given = chat(started)
    assert found(given) == "hit"
    choice = given.json["choices"][0]
    assert choice["message"]["content"] == "a"
    assert choice["message"]["function_call"] == look
    assert choice["message"]["tool_calls"] == [{"id": "one", "function": look}]
    assert choice["logprobs"] == {"content": [logprob]}


def test_a_stream_whose_text_becomes_a_list_is_asked_for_again_as_a_body(house: Start, engine: FakeEngine) -> None:
    def piece(content: Any, reason: str | None = None) -> bytes:
        return event({"id": "c", "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": reason}]})

    engine.answer = stream(piece("a"), piece([{"type": "text", "text": "b"}], "stop"), DONE)
    started = house(model(engine), cache=CACHE)
    chat(started, stream=True)
    engine.answer = whole("asked again")
    given = chat(started)
    assert (given.status, found(given)) == (200, "miss")


def test_text_completions_and_vectors_are_kept_too(house: Start, engine: FakeEngine) -> None:
    data = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]
    vectors = {"object": "list", "data": data, "model": "e", "usage": {"prompt_tokens": 4, "total_tokens": 4}}
    text = {
        "id": "cmpl-1",
        "object": "text_completion",
        "choices": [{"index": 0, "text": "hi", "finish_reason": "stop"}],
    }
    started = house(model(engine), model(engine, "e", type="embedding"), cache=CACHE)
    told = charges(started)
    engine.answer = status(200, json.dumps(text).encode())
    asked = {"model": "m", "prompt": "say hi"}
    assert [found(post(started, "completions", asked)) for _ in range(2)] == ["miss", "hit"]
    events = post(started, "completions", {**asked, "stream": True}).events
    assert [each["choices"][0]["text"] for each in events[:-1]] == ["hi", ""]
    engine.answer = status(200, json.dumps(vectors).encode())
    first, again = (post(started, "embeddings", {"model": "e", "input": "x"}) for _ in range(2))
    assert [found(first), found(again)] == ["miss", "hit"]
    assert again.json == vectors
    assert found(post(started, "embeddings", {"model": "e", "input": "y"})) == "miss"
    assert told[-2].saved_nano_usd == 4 * 1000


def test_tenants_do_not_see_each_others_answers_unless_the_platform_shares_them(
    house: Start, engine: FakeEngine
) -> None:
    started = house(
        model(engine),
        model(engine, "n", cache={"share": "platform"}),
        teams=[{"name": "a"}, {"name": "b"}],
        cache=CACHE,
    )
    make = started.house.ledger.create_key
    one, two, other = (make(name, team=team).secret for name, team in (("1", "a"), ("2", "a"), ("3", "b")))
    started.house.take_up_keys()
    assert [found(chat(started, secret=key)) for key in (one, two, other, started.key)] == [
        "miss",
        "hit",
        "miss",
        "miss",
    ]
    told = [found(chat(started, secret=key, model="n")) for key in (one, two, other, started.key)]
    assert told == ["miss", "hit", "hit", "hit"]


def test_a_header_that_stands_for_tags_is_given_no_answer_of_another_endpoint(house: Start) -> None:
    rules = {"headers": [{"name": "x-canary", "value": "1", "tags": ["canary"]}]}
    with fake_engine(whole("old")) as old, fake_engine(whole("new")) as new:
        serve = [{**model(old)["serve"]}, {**model(new)["serve"], "weight": 0, "tags": ["canary"]}]
        started = house({"name": "m", "serve": serve, "routing": rules}, cache=CACHE)
        ways: list[Any] = [None, {"x-canary": "1"}, {"x-canary": "0"}, {"x-hanok-tags": "canary"}]
        replies = [chat(started, headers=headers) for headers in ways]
        assert [found(reply) for reply in replies] == ["miss", "miss", "hit", "hit"]
        said = [reply.json["choices"][0]["message"]["content"] for reply in replies]
        assert said == ["old", "new", "old", "new"]


def test_what_an_endpoint_kept_for_a_team_says_is_not_shared(house: Start) -> None:
    with fake_engine(whole("everyone's")) as everyones, fake_engine(whole("red's")) as reds:
        serve = [{**model(everyones)["serve"]}, {**model(reds)["serve"], "teams": ["red"]}]
        closed = {"name": "n", "serve": {**model(reds)["serve"], "teams": ["red"]}}
        declared = {"name": "m", "serve": serve}
        teams = [{"name": "red"}, {"name": "blue"}]
        started = house(declared, closed, teams=teams, cache={**CACHE, "share": "platform"})
        red, blue = (started.house.ledger.create_key(team, team=team).secret for team in ("red", "blue"))
        started.house.take_up_keys()
        said = [
            chat(started, secret=key).json["choices"][0]["message"]["content"] for key in (red, blue, started.key, red)
        ]
        assert said == ["red's", "everyone's", "everyone's", "red's"]
        assert chat(started, secret=red, model="n").status == 200
        assert chat(started, secret=blue, model="n").error["code"] == "no_endpoint_for_team"


def test_names_that_stand_twice_are_not_shared(house: Start, engine: FakeEngine) -> None:
    started = house(model(engine), cache={**CACHE, "share": "platform"})
    body = b'{"model":"m","messages":[{"role":"user","content":"a","content":"hello"}]}'
    assert found(post(started, "chat/completions", body)) is None
    assert found(chat(started)) == "miss"


def test_a_caller_may_ask_for_a_fresh_answer_or_for_none_to_be_kept(house: Start, engine: FakeEngine) -> None:
    started = house(model(engine), cache=CACHE)
    assert found(chat(started, headers={"cache-control": "no-store"})) == "miss"
    assert found(chat(started, headers={"x-hanok-cache-ttl": "0"})) == "miss"
    assert found(chat(started)) == "miss"
    engine.answer = whole("fresh")
    fresh = chat(started, headers={"cache-control": "no-cache"})
    assert found(fresh) == "miss"
    assert chat(started).body == fresh.body


def test_an_answer_is_forgotten_when_its_time_is_over(house: Start, engine: FakeEngine, monkeypatch: Any) -> None:
    started = house(model(engine, cache={"ttl_s": 60}))
    store: Any = started.house.caches.store
    now = time.time()
    chat(started)
    chat(started, "short", headers={"x-hanok-cache-ttl": "5"})
    monkeypatch.setattr(store, "_wall", lambda: now + 10)
    assert [found(chat(started)), found(chat(started, "short"))] == ["hit", "miss"]
    monkeypatch.setattr(store, "_wall", lambda: now + 61)
    assert found(chat(started)) == "miss"


@pytest.mark.parametrize(
    "answer",
    [
        status(500, b'{"error": {"message": "no"}}'),
        whole(choices=[{"index": 0, "message": {"content": "no"}, "finish_reason": "content_filter"}]),
        whole(choices=[{"index": 0, "message": {"content": "no"}}]),
        whole("x" * 2000),
    ],
    ids=["failed", "filtered", "unfinished", "too large"],
)
def test_what_is_no_whole_answer_is_not_kept(house: Start, engine: FakeEngine, answer: Any) -> None:
    engine.answer = answer
    started = house(model(engine, retries=0), cache={**CACHE, "max_answer_kib": 1})
    chat(started)
    engine.answer = whole()
    assert found(chat(started)) == "miss"


@pytest.mark.parametrize(
    "events",
    [
        (delta("half"), DONE),
        (delta("half"),),
        (delta("x" * 2000), END, DONE),
        (delta("half"), event({"error": {"message": "broke"}})),
    ],
    ids=["without an end", "without done", "too large", "failed midway"],
)
def test_what_is_no_whole_stream_is_not_kept(house: Start, engine: FakeEngine, events: Any) -> None:
    engine.answer = stream(*events)
    started = house(model(engine), cache={**CACHE, "max_answer_kib": 1})
    assert chat(started, stream=True).status == 200
    engine.answer = stream(delta("all"), END, DONE)
    assert found(chat(started, stream=True)) == "miss"
    assert found(chat(started, stream=True)) == "hit"


def test_a_stream_whose_caller_went_away_is_not_kept(house: Start, engine: FakeEngine) -> None:
    async def forever(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(delta("hello")))
        await writer.drain()
        await asked.gone()

    engine.answer = forever
    started = house(model(engine), cache=CACHE)
    body = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]}).encode()
    address = urlsplit(started.url)
    with socket.create_connection((address.hostname, address.port)) as line:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {started.key}\r\n"
        line.sendall(f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        assert b"200" in line.recv(1000)
    assert engine.gone.wait(5)
    engine.answer = stream(delta("all"), END, DONE)
    assert found(chat(started, stream=True)) == "miss"


def test_an_answer_of_a_fallback_model_is_not_kept(house: Start, engine: FakeEngine) -> None:
    with fake_engine(status(500, b"{}")) as broken:
        started = house(model(broken, fallbacks=["n"], retries=0), model(engine, "n", cache=False), cache=CACHE)
        for streaming in (False, True):
            engine.answer = stream(delta("all"), END, USAGE_EVENT, DONE) if streaming else whole()
            given = [chat(started, stream=streaming) for _ in range(2)]
            assert [found(each) for each in given] == ["miss", "miss"]
            assert {each.headers["x-hanok-model"] for each in given} == {"n"}
        assert [choices(each) for each in given[-1].events] == [1, 1, "[DONE]"]


def test_an_answer_that_a_budget_shortened_is_not_kept(house: Start, engine: FakeEngine) -> None:
    engine.answer = whole(choices=[{"index": 0, "message": {"content": "cut"}, "finish_reason": "length"}])
    started = house(model(engine), cache=CACHE, budgets=[{"of": "key", "tokens": 200}])
    assert found(chat(started)) == "miss"
    assert engine.calls()[-1].json["max_tokens"] < 200
    assert found(chat(started)) == "miss"


def test_memory_is_bounded(house: Start, engine: FakeEngine) -> None:
    engine.answer = whole("x" * 10_000)
    started = house(model(engine), cache={**CACHE, "max_mib": 0.1})
    for number in range(30):
        chat(started, f"question {number}")
    (counts,) = started.house.caches.in_memory().values()
    assert counts.bytes <= 0.1 * 2**20
    assert 5 <= counts.entries < 30
    assert [found(chat(started, "question 29")), found(chat(started, "question 0"))] == ["hit", "miss"]


def test_metrics_tell_what_was_found(house: Start, engine: FakeEngine) -> None:
    started = house(model(engine), cache=CACHE)
    for _ in range(3):
        chat(started)
    told = call(f"{started.url}/metrics").body.decode()
    assert 'hanok_cache_lookups_total{model="m",result="hit"} 2.0' in told
    assert 'hanok_cache_lookups_total{model="m",result="miss"} 1.0' in told
    assert 'hanok_cache_kept_total{model="m"} 1.0' in told
    assert 'hanok_cache_bytes{model="m"}' in told


def test_an_operator_sees_and_clears_the_cache(house: Start, engine: FakeEngine) -> None:
    started = house(model(engine), model(engine, "n"), cache=CACHE, gateway={"admin_key": ADMIN})

    def admin(method: str, path: str) -> Reply:
        return call(f"{started.url}/admin/{path}", method, None, {"authorization": f"Bearer {ADMIN}"})

    for name in ("m", "m", "n"):
        chat(started, model=name)
    shown = admin("GET", "cache").json
    assert shown["store"] == "memory"
    assert [(each["model"], each["entries"], each["hits"], each["misses"]) for each in shown["models"]] == [
        ("m", 1, 1, 1),
        ("n", 1, 0, 1),
    ]
    assert admin("DELETE", "cache?model=x").status == 404
    assert admin("DELETE", "cache?model=m").json == {"model": "m", "cleared": 1}
    assert [found(chat(started)), found(chat(started, model="n"))] == ["miss", "hit"]
    assert admin("DELETE", "cache").json == {"model": None, "cleared": 2}
    assert found(chat(started, model="n")) == "miss"
    assert admin("GET", "audit").json["entries"][0]["action"] == "cache.clear"
    assert call(f"{started.url}/admin/cache", "DELETE").status == 401
