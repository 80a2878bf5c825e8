"""Tricks that callers may try on their budgets, and mistakes that must not break anything."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.calls import Reply, call
from tests.conftest import ECHO, RunningHouse
from tests.engine import Asked, fake_engine, status, whole

Start = Callable[..., RunningHouse]
DOLLAR = {"output": 1_000_000.0}
BUDGET = [{"of": "key", "usd": 100}]
SECRET = "an-admin-key-of-some-length"


def ask(house: RunningHouse, path: str, body: dict[str, Any], **headers: str) -> Reply:
    return call(f"{house.url}/v1/{path}", "POST", body, {**house.headers, **headers})


def chat(house: RunningHouse, content: Any = "hello", **more: Any) -> Reply:
    return ask(house, "chat/completions", {"model": "m", "messages": [{"role": "user", "content": content}], **more})


def model(engine: Any, name: str = "m", **more: Any) -> dict[str, Any]:
    return {"name": name, "serve": {"engine": "openai", "url": engine.url}, "price": DOLLAR, **more}


def admin(house: RunningHouse, method: str, path: str, body: Any = None) -> Reply:
    return call(f"{house.url}/admin/{path}", method, body, {"authorization": f"Bearer {SECRET}"})


@pytest.mark.parametrize(
    "more",
    [
        {"prompt": ["a"] * 50, "max_tokens": 10},
        {"prompt": [[1, 2]] * 50, "max_tokens": 10},
        {"prompt": "a", "max_tokens": 10, "best_of": 20},
        {"prompt": "a", "max_tokens": 10, "n": 20},
    ],
)
def test_every_text_that_a_call_asks_for_is_reserved(house: Start, more: dict[str, Any]) -> None:
    with fake_engine() as engine:
        started = house(model(engine), budgets=BUDGET)
        assert ask(started, "completions", {"model": "m", **more}).error["code"] == "budget_exceeded"
        assert ask(started, "completions", {"model": "m", "prompt": [1, 2, 3], "max_tokens": 10}).status == 200


def test_of_two_limits_in_a_body_the_larger_is_reserved_and_other_names_do_not_reach_the_engine(house: Start) -> None:
    with fake_engine(whole()) as engine:
        started = house(model(engine), budgets=BUDGET)
        assert chat(started, max_completion_tokens=1, max_tokens=5000).error["code"] == "budget_exceeded"
        assert chat(started, max_tokens=3, n_predict=5000).status == 200
        assert "n_predict" not in engine.calls()[0].json
        assert chat(started, max_completion_tokens=3).status == 200
        assert engine.calls()[1].json["max_tokens"] == 3


@pytest.mark.parametrize("text", ["data:" + "word " * 2000, "data:image/png;base64," + "A" * 10_000])
def test_text_does_not_pass_for_an_image(house: Start, text: str) -> None:
    with fake_engine() as engine:
        started = house(model(engine), budgets=[{"of": "key", "tokens": 2000}])
        assert chat(started, text, max_tokens=1).error["code"] == "budget_exceeded"
        assert chat(started, "hi", max_tokens=1, documents=["word " * 2000]).error["code"] == "budget_exceeded"


def test_an_image_counts_wherever_it_is(house: Start) -> None:
    with fake_engine() as engine:
        started = house(model(engine), budgets=[{"of": "key", "tokens": 3000}])
        image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
        assert chat(started, [image], max_tokens=1).status == 200
        assert chat(started, [image] * 3, max_tokens=1).error["code"] == "budget_exceeded"


def test_a_name_that_a_caller_chose_does_not_end_a_header(house: Start) -> None:
    started = house(ECHO, budgets=[{"of": "user", "usd": 10}, {"of": "session", "tokens": 10_000}])
    body = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
    evil = ask(started, "chat/completions", {**body, "user": "x\r\nset-cookie: a=b"})
    assert (evil.status, evil.error["param"]) == (400, "user")
    named = ask(started, "chat/completions", {**body, "user": "한옥"}, **{"x-session-id": "s\xe9"})
    assert named.headers["x-hanok-budget-usd"] == "user/??"
    assert named.headers["x-hanok-budget-tokens"] == "session/s?"


def test_a_fallback_answers_within_limits_that_the_call_itself_has_used(house: Start) -> None:
    with fake_engine(status(500, b"{}")) as broken, fake_engine(whole()) as engine:
        first = model(broken, retries=0, fallbacks=["other"])
        started = house(
            first, model(engine, "other"), limits=[{"of": "key", "concurrent": 1, "requests_per_minute": 1}]
        )
        reply = chat(started)
        assert (reply.status, reply.headers["x-hanok-model"]) == (200, "other")


def test_a_fallback_that_the_budget_does_not_pay_for_is_not_asked(house: Start) -> None:
    with fake_engine(status(500, b"{}")) as broken, fake_engine(whole()) as engine:
        first = model(broken, retries=0, fallbacks=["dear"], price={"output": 1.0})
        started = house(first, model(engine, "dear"), budgets=[{"of": "key", "usd": 5}])
        assert chat(started, max_tokens=10).status == 500
        assert engine.calls() == []
        assert chat(started, max_tokens=5).headers["x-hanok-model"] == "dear"


def test_embeddings_of_a_fallback_count_where_they_were_made(house: Start) -> None:
    vectors = {"object": "list", "data": [{"index": 0, "embedding": [1.0]}], "usage": {"prompt_tokens": 4}}
    with fake_engine(status(500, b"{}")) as broken, fake_engine(status(200, _json(vectors))) as engine:
        first = model(broken, retries=0, type="embedding", fallbacks=["other"])
        other = model(engine, "other", type="embedding", price={"input": 1_000_000.0})
        started = house(first, other, budgets=[{"of": "model", "name": "other", "usd": 8}])
        for _ in range(2):
            assert ask(started, "embeddings", {"model": "m", "input": "hello"}).status == 200
        (account,) = started.house.admission.open_accounts()
        assert account.used == 8 * 10**9


def test_embeddings_are_not_downgraded_to_a_model_for_text(house: Start) -> None:
    vectors = {"object": "list", "data": [{"index": 0, "embedding": [1.0]}], "usage": {"prompt_tokens": 9}}
    with fake_engine(status(200, _json(vectors))) as engine:
        embed = model(engine, type="embedding", price={"input": 1_000_000.0})
        budget = {"of": "key", "usd": 100, "soft": 0.05, "downgrade_to": "echo"}
        started = house(embed, ECHO, budgets=[budget])
        for _ in range(2):
            assert ask(started, "embeddings", {"model": "m", "input": "hello"}).status == 200


def test_a_caller_who_leaves_before_the_answer_pays_for_the_prompt(house: Start) -> None:
    async def never(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asked.gone()

    with fake_engine(never) as engine:
        started = house(model(engine, price={"input": 1_000_000.0}), budgets=[{"of": "key", "usd": 10_000}])
        parts = urlsplit(started.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
        body = _json({"model": "m", "messages": [{"role": "user", "content": "word " * 400}]})
        connection.request("POST", "/v1/chat/completions", body, started.headers)
        while not engine.calls():
            pass
        connection.close()
        assert engine.gone.wait(5)
        while not (charges := started.house.ledger.charges_since(0, started.house.ledger.own_bits)):
            pass
        assert (charges[0].status, charges[0].prompt_tokens) == ("cancelled", 508)


def test_admins_mistakes_are_told_and_break_nothing(house: Start) -> None:
    started = house(ECHO, gateway={"admin_key": SECRET})
    for when in (1e18, 10**30, 1.8e12, "9999-12-31T23:59:59-14:00"):
        assert admin(started, "POST", "keys", {"name": "late", "expires_at": when}).status == 400
    assert admin(started, "POST", "keys", {"name": "old"}).status == 201
    assert admin(started, "PATCH", "keys/old", {"name": "new"}).json["name"] == "new"
    assert admin(started, "GET", "keys").status == 200
    for query in ("before=%C2%B2", "limit=%C2%B2", f"before={'9' * 30}"):
        assert admin(started, "GET", f"audit?{query}").status == 400


def test_odd_values_are_refused_and_no_failure_of_ours(house: Start) -> None:
    started = house(ECHO, budgets=[{"of": "key", "usd": 1}])
    body = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
    assert ask(started, "chat/completions", {**body, "max_tokens": 10**400}).status == 400
    assert ask(started, "chat/completions", body, **{"idempotency-key": ""}).status == 200
    assert ask(started, "chat/completions", body, **{"x-hanok-run": "a" * 600}).error["code"] == "invalid_run"


def _json(value: Any) -> bytes:
    import json

    return json.dumps(value).encode()
