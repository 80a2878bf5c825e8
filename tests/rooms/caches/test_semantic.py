"""Questions in other words, asked through the door; and what keeps two questions apart."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from hanok.caches.guards import differ, facts
from tests.calls import Reply
from tests.conftest import RunningHouse
from tests.engine import Asked, FakeEngine, fake_engine, status
from tests.rooms.caches.asking import PRICE, Start, charges, chat, found, model

PLACES = {"capital": [1.0, 0.0, 0.0], "city": [0.97, 0.24, 0.0], "weather": [0.0, 1.0, 0.0]}
ONE, SAME, OTHER = "Which is the capital of Chile?", "What city governs Chile, please?", "What is the weather in Chile?"


async def place(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Answer with the vector of the first word that is known."""
    (text,) = asked.json["input"]
    vector = next((each for word, each in PLACES.items() if word in text), [0.0, 0.0, 1.0])
    data = [{"object": "embedding", "index": 0, "embedding": vector}]
    body = {"object": "list", "data": data, "model": "e", "usage": {"prompt_tokens": 5, "total_tokens": 5}}
    await status(200, json.dumps(body).encode())(asked, writer)


@pytest.fixture
def embedder() -> Iterator[FakeEngine]:
    with fake_engine(place) as running:
        yield running


def start(house: Start, engine: FakeEngine, embedder: FakeEngine, **more: Any) -> RunningHouse:
    semantic = {"semantic": {"embedder": "e", **more.pop("semantic", {})}}
    return house(
        model(engine, cache=semantic),
        {
            "name": "e",
            "type": "embedding",
            "serve": {"engine": "openai", "url": embedder.url},
            "price": PRICE,
            "retries": 0,
        },
        **more,
    )


def test_a_question_in_other_words_is_answered_from_the_cache(
    house: Start, engine: FakeEngine, embedder: FakeEngine
) -> None:
    started = start(house, engine, embedder)
    told = charges(started)
    first, again = chat(started, ONE), chat(started, SAME)
    assert [found(first), found(again)] == ["miss", "semantic"]
    assert again.body == first.body
    assert again.headers["x-hanok-endpoint"] == "cache"
    assert found(chat(started, OTHER)) == "miss"
    assert found(chat(started, ONE)) == "hit"
    assert len(engine.calls()) == 2
    vectors = [each for each in told if each.model == "e"]
    assert [each.prompt_tokens for each in vectors] == [5, 5, 5]  # whoever asks is charged for them
    assert {each.key_name for each in vectors} == {"test"}
    assert told[3].saved_nano_usd > 0


@pytest.mark.parametrize(
    "more",
    [
        {"temperature": 0.1},
        {"n": 2},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"response_format": {"type": "json_object"}},
        {"messages": [{"role": "system", "content": "Be rude."}, {"role": "user", "content": SAME}]},
        {"messages": [{"role": "user", "content": ONE}, {"role": "user", "content": SAME}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}]},
        {"messages": [{"role": "user", "content": SAME + " x" * 600}]},
    ],
    ids=["setting", "several", "tools", "json", "system", "turns", "picture", "long"],
)
def test_only_one_plain_question_under_the_same_terms_is_compared(
    house: Start, engine: FakeEngine, embedder: FakeEngine, more: Any
) -> None:
    started = start(house, engine, embedder)
    chat(started, ONE)
    assert found(chat(started, SAME, **more)) == "miss"


def test_the_same_system_message_makes_the_same_terms(house: Start, engine: FakeEngine, embedder: FakeEngine) -> None:
    started = start(house, engine, embedder)

    def ask(content: Any) -> Reply:
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}]
        return chat(started, messages=messages)

    assert [found(ask(ONE)), found(ask([{"type": "text", "text": SAME}]))] == ["miss", "semantic"]


def test_tenants_do_not_meet_in_the_semantic_cache_either(
    house: Start, engine: FakeEngine, embedder: FakeEngine
) -> None:
    started = start(house, engine, embedder)
    other = started.house.ledger.create_key("other").secret
    started.house.take_up_keys()
    chat(started, ONE)
    assert found(chat(started, SAME, secret=other)) == "miss"
    assert found(chat(started, SAME)) == "semantic"


def test_an_embedder_that_fails_is_a_miss(house: Start, engine: FakeEngine, embedder: FakeEngine) -> None:
    started = start(house, engine, embedder)
    chat(started, ONE)
    for answer in (
        status(500, b"{}"),
        status(200, b'{"data": []}'),
        status(200, b'{"data": [{"index": 0, "embedding": [0, 0, 0]}]}'),
        status(200, b'{"data": [{"index": 0, "embedding": ["a"]}]}'),
        status(200, b'{"data": [{"index": 0, "embedding": [1.0]}]}'),
    ):
        embedder.answer = answer
        reply = chat(started, f"{SAME} {answer}", headers={"cache-control": "no-store"})
        assert (reply.status, found(reply)) == (200, "miss")
    embedder.answer = place
    assert found(chat(started, SAME)) == "semantic"


def test_the_embedders_call_has_a_span_of_its_own_below_that_of_the_call(
    house: Start, engine: FakeEngine, embedder: FakeEngine
) -> None:
    started = start(house, engine, embedder, telemetry={"export": {"url": engine.url}})
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    chat(started, ONE, headers={"traceparent": trace})
    (asked,) = (each for each in engine.calls() if each.path.endswith("/chat/completions"))
    (compared,) = embedder.calls()
    ours, embedders = (each.headers["traceparent"].split("-") for each in (asked, compared))
    assert ours[1] == embedders[1] == trace[3:35]
    assert len({ours[2], embedders[2], trace[36:52]}) == 3


def test_tags_hold_for_the_embedder_too(house: Start, engine: FakeEngine, embedder: FakeEngine) -> None:
    with fake_engine(place) as abroad:
        tagged = {"engine": "openai", "url": engine.url, "tags": ["eu"]}
        serve = [
            {"engine": "openai", "url": abroad.url, "weight": 1000},
            {"engine": "openai", "url": embedder.url, "tags": ["eu"]},
        ]
        started = house(
            {"name": "m", "serve": tagged, "cache": {"semantic": {"embedder": "e"}}},
            {"name": "e", "type": "embedding", "serve": serve, "routing": {"policy": "weighted"}},
        )
        for number in range(5):
            assert chat(started, f"{ONE} {number}", headers={"x-hanok-tags": "eu"}).status == 200
        assert (len(abroad.calls()), len(embedder.calls())) == (0, 5)


def test_the_oldest_question_is_forgotten_for_a_new_one(house: Start, engine: FakeEngine, embedder: FakeEngine) -> None:
    started = start(house, engine, embedder, semantic={"entries": 2})
    for question in (ONE, "first thing", "second thing"):
        chat(started, question)
    assert found(chat(started, SAME)) == "miss"


def test_questions_are_forgotten_with_their_answers(house: Start, engine: FakeEngine, embedder: FakeEngine) -> None:
    started = start(house, engine, embedder)
    chat(started, ONE)
    assert started.run(started.house.caches.clear("m")) == 1
    assert found(chat(started, SAME)) == "miss"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Which drugs are safe during pregnancy?", "Which drugs are not safe during pregnancy?"),
        ("Which drugs are safe?", "Which drugs are unsafe?"),
        ("How many days are in 3 weeks?", "How many days are in 4 weeks?"),
        ("Take two pills at once?", "Take three pills at once?"),
        ("Fly from Boston to Denver", "Fly from Denver to Boston"),
        ('What does "left" mean?', 'What does "right" mean?'),
        ("How do I enable logging there?", "How can I disable logging?"),
        ("Who wrote it?", "When was it written?"),
        ("Can dogs eat grapes?", "Can cats eat grapes?"),
        ("임신 중에 먹어도 되는 약은?", "임신 중에 먹으면 안 되는 약은?"),
        ("서울에서 부산까지 어떻게 가나요?", "부산에서 서울까지 어떻게 가나요?"),
        ("두 번 먹나요?", "세 번 먹나요?"),
        ("알림을 켜는 방법", "알림 끄는 법"),
        ("개가 포도를 먹어도 되나요?", "고양이가 포도를 먹어도 되나요?"),
    ],
)
def test_small_differences_that_change_the_answer_keep_questions_apart(one: str, other: str) -> None:
    assert differ(facts(one), facts(other))
    assert differ(facts(other), facts(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How do I reset my password?", "What is the way to reset my password?"),
        ("What happens if I don't pay my taxes?", "What happens if I do not pay taxes?"),
        ("How many days are in 3 weeks?", "3 weeks are how many days?"),
        ("3주는 며칠인가요?", "3주는 며칠인가요"),
        ("오류 404는 무슨 뜻인가요?", "오류 404의 뜻이 뭔가요? 설명해 주세요."),
    ],
)
def test_other_wordings_are_not_kept_apart(one: str, other: str) -> None:
    assert not differ(facts(one), facts(other))
