"""Calls for something else than text: orders of documents, judgements, vectors of a GGUF model."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from openai import OpenAI

from tests.calls import Reply, call
from tests.conftest import ECHO, RunningHouse
from tests.engine import FakeEngine, fake_engine, status

Start = Callable[..., RunningHouse]
RANKED = {
    "id": "rerank-1",
    "model": "fake",
    "results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}],
    "usage": {"total_tokens": 12},
}
JUDGED = {
    "id": "modr-1",
    "model": "fake",
    "results": [{"flagged": True, "categories": {"violence": True}, "category_scores": {"violence": 0.98}}],
}


def model(engine: FakeEngine, kind: str, **more: Any) -> dict[str, Any]:
    return {"name": "m", "type": kind, "serve": {"engine": "openai", "url": engine.url, "model": "fake"}, **more}


def answers(body: Any) -> Any:
    return status(200, json.dumps(body).encode())


def rerank(house: RunningHouse, path: str = "/v1/rerank", **more: Any) -> Reply:
    body = {"model": "m", "query": "cat", "documents": ["dog", {"text": "cat"}], **more}
    return call(f"{house.url}{path}", "POST", body, house.headers)


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
def test_documents_are_ordered_at_the_addresses_that_clients_know(house: Start, path: str) -> None:
    with fake_engine(answers(RANKED)) as engine:
        started = house(model(engine, "rerank", price={"input": 1_000_000}))
        reply = rerank(started, path, top_n=2, max_tokens_per_doc=99)
        assert (reply.status, reply.json) == (200, RANKED)
        asked = engine.calls()[0]
        assert asked.path == "/v1/rerank"
        sent = {"query": "cat", "documents": ["dog", {"text": "cat"}], "top_n": 2, "max_tokens_per_doc": 99}
        assert asked.json == {"model": "fake", **sent}
        started.house.ledger.flush()
        row = started.house.ledger.usage("model")[0]
        assert (row.calls, row.prompt_tokens, row.cost_usd) == (1, 12, 12.0)


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"documents": []}, "documents"),
        ({"documents": "x"}, "documents"),
        ({"documents": [5]}, "documents[0]"),
        ({"documents": [{"title": "x"}]}, "documents[0].text"),
        ({"query": ""}, "query"),
        ({"query": None}, "query"),
        ({"top_n": 0}, "top_n"),
    ],
)
def test_a_wrong_request_for_an_order_is_refused_by_its_field(house: Start, wrong: dict[str, Any], param: str) -> None:
    with fake_engine(answers(RANKED)) as engine:
        reply = rerank(house(model(engine, "rerank")), **wrong)
        assert (reply.status, reply.error["param"]) == (400, param)
        assert engine.calls() == []


def test_openais_sdk_has_texts_judged(house: Start) -> None:
    with fake_engine(answers(JUDGED)) as engine:
        started = house(model(engine, "moderation"))
        with OpenAI(base_url=f"{started.url}/v1", api_key=started.key) as client:
            found = client.moderations.create(model="m", input=["I will hit you", "hello"])
        assert found.results[0].flagged
        assert found.results[0].category_scores.violence == 0.98
        assert engine.calls()[0].json == {"model": "fake", "input": ["I will hit you", "hello"]}


def test_a_model_for_one_task_says_where_it_is_asked(house: Start) -> None:
    with fake_engine() as engine:
        started = house(model(engine, "rerank"), ECHO)
        for path, body, says in (
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}, "/v1/rerank"),
            ("/v1/embeddings", {"input": "x"}, "/v1/rerank"),
            ("/v1/moderations", {"input": "x"}, "/v1/rerank"),
        ):
            reply = call(f"{started.url}{path}", "POST", {"model": "m", **body}, started.headers)
            assert (reply.status, says in reply.error["message"]) == (404, True)
        reply = rerank(started, model="echo")
        assert (reply.status, "/v1/chat/completions" in reply.error["message"]) == (404, True)


def test_a_budget_holds_for_tasks_too(house: Start) -> None:
    with fake_engine(answers(RANKED)) as engine:
        started = house(model(engine, "rerank"), budgets=[{"of": "key", "tokens": 15}])
        assert rerank(started).status == 200
        reply = rerank(started)
        assert (reply.status, reply.error["code"]) == (429, "budget_exceeded")
        assert len(engine.calls()) == 1


def test_llamacpp_makes_vectors_of_a_gguf_model(house: Start) -> None:
    pytest.importorskip("xllamacpp", reason='the embedded model is not installed: pip install "hanok[local]"')
    started = house({"name": "m", "type": "embedding", "serve": {"engine": "llamacpp", "context_tokens": 512}})
    body = {"model": "m", "input": ["hello", "good morning"]}
    reply = call(f"{started.url}/v1/embeddings", "POST", body, started.headers)
    assert reply.status == 200, reply.body
    first, second = (each["embedding"] for each in reply.json["data"])
    assert len(first) == len(second) == 640
    assert first != second
