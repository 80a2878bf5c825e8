"""Names whose model Hanok picks, asked at the door: which model answers, what the caller is told, what is charged."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hanok.routing.tiers import HEAD
from tests.calls import Reply, call
from tests.conftest import RunningHouse
from tests.engine import Answer, Asked, FakeEngine, fake_engine, status, whole

Start = Callable[..., RunningHouse]
SIMPLE, MODERATE, COMPLEX = "What is the capital of Peru?", "Summarize this article.", "Prove this theorem."


def model(name: str, dollars: float) -> dict[str, Any]:
    """An engine that says its own name; `dollars` are for a million tokens."""
    price = {"input": dollars, "output": dollars}
    return {"name": name, "serve": {"engine": "script", "turns": [{"say": name}]}, "price": price}


MODELS = [model("small", 1), model("medium", 10), model("large", 100)]
AUTO = {"name": "auto", "simple": "small", "moderate": "medium", "complex": "large"}


def chat(house: RunningHouse, content: Any, model: str = "auto", /, **more: Any) -> Reply:
    headers = {**house.headers, **more.pop("headers", {})}
    body = {"model": model, "messages": [{"role": "user", "content": content}], **more}
    return call(f"{house.url}/v1/chat/completions", "POST", body, headers)


def chosen(reply: Reply) -> tuple[str, str]:
    assert reply.status == 200, reply.body
    return reply.headers["x-hanok-tier"], reply.headers["x-hanok-model"]


def rows(house: RunningHouse, by: str) -> dict[str, Any]:
    house.house.ledger.flush()
    return {row.group: row for row in house.house.ledger.usage(by)}  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("content", "tier", "name"),
    [(SIMPLE, "simple", "small"), (MODERATE, "moderate", "medium"), (COMPLEX, "complex", "large")],
)
def test_a_request_goes_to_the_model_of_its_tier_and_the_answer_says_so(
    house: Start, content: str, tier: str, name: str
) -> None:
    started = house(*MODELS, tiers=[AUTO])
    reply = chat(started, content)
    assert chosen(reply) == (tier, name)
    assert reply.json["choices"][0]["message"]["content"] == name
    streamed = chat(started, content, stream=True)
    assert chosen(streamed) == (tier, name)
    assert streamed.events[0]["choices"][0]["delta"]["content"] == name


def test_a_model_that_is_named_is_asked_as_before(house: Start) -> None:
    started = house(*MODELS, tiers=[AUTO])
    reply = chat(started, COMPLEX, "small")
    assert reply.status == 200
    assert "x-hanok-tier" not in reply.headers
    assert "x-hanok-model" not in reply.headers


def test_text_completions_have_tiers_too(house: Start) -> None:
    started = house(*MODELS, tiers=[AUTO])
    body = {"model": "auto", "prompt": ["Prove that", "this theorem holds."]}
    assert chosen(call(f"{started.url}/v1/completions", "POST", body, started.headers)) == ("complex", "large")


def test_the_name_is_listed_like_a_model_and_several_may_be_declared(house: Start) -> None:
    frugal = {**AUTO, "name": "frugal", "complex": "medium"}
    started = house(*MODELS, tiers=[AUTO, frugal])
    listed = call(f"{started.url}/v1/models", headers=started.headers).json["data"]
    assert [card["id"] for card in listed] == ["small", "medium", "large", "auto", "frugal"]
    assert call(f"{started.url}/v1/models/frugal", headers=started.headers).json["type"] == "chat"
    assert chosen(chat(started, COMPLEX, "frugal")) == ("complex", "medium")


def test_tools_pictures_and_long_prompts_raise_the_tier(house: Start) -> None:
    started = house(*MODELS, tiers=[AUTO])
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    assert chosen(chat(started, SIMPLE, tools=[tool]))[0] == "moderate"
    assert chosen(chat(started, SIMPLE, tools=[]))[0] == "simple"
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    assert chosen(chat(started, [{"type": "text", "text": SIMPLE}, picture]))[0] == "moderate"
    assert chosen(chat(started, "filler " * 1000 + "```python\nx = 1\n```"))[0] == "complex"


def test_declared_cues_decide_first_and_in_their_order(house: Start) -> None:
    cues = [
        {"tier": "COMPLEX", "words": ["계약", "lawsuit"]},
        {"tier": "simple", "words": ["prove"]},
        {"tier": "moderate", "pattern": r"^ticket \d+"},
    ]
    started = house(*MODELS, tiers=[{**AUTO, "rules": {"cues": cues}}])
    assert chosen(chat(started, "계약서를 봐줘"))[0] == "complex"
    assert chosen(chat(started, "prove that the LAWSUIT is lost"))[0] == "complex"
    assert chosen(chat(started, COMPLEX))[0] == "simple"
    assert chosen(chat(started, "Ticket 12"))[0] == "moderate"
    assert chosen(chat(started, "x" * HEAD + " lawsuit " + "x" * HEAD))[0] != "complex"


def test_within_a_session_the_tier_does_not_fall_unless_it_may(house: Start) -> None:
    started = house(*MODELS, tiers=[AUTO, {**AUTO, "name": "loose", "sticky": False}])
    mine, other = {"x-session-id": "a"}, {"x-session-id": "b"}
    tiers = [chosen(chat(started, each, headers=mine))[0] for each in (MODERATE, SIMPLE, COMPLEX, SIMPLE)]
    assert tiers == ["moderate", "moderate", "complex", "complex"]
    assert chosen(chat(started, SIMPLE, headers=other))[0] == "simple"
    assert chosen(chat(started, SIMPLE))[0] == "simple"
    assert chosen(chat(started, COMPLEX, "loose", headers=mine))[0] == "complex"
    assert chosen(chat(started, SIMPLE, "loose", headers=mine))[0] == "simple"


def test_what_was_saved_is_charged_reported_and_counted(house: Start) -> None:
    key = "k" * 16
    started = house(*MODELS, tiers=[AUTO], gateway={"admin_key": key})
    chat(started, "a b")  # 2 tokens in, 1 out, at 1 instead of 100 dollars a million
    chat(started, COMPLEX)
    tiers = rows(started, "tier")
    assert tiers["simple"].cost_nano_usd == 3_000
    assert tiers["simple"].saved_nano_usd == 297_000
    assert tiers["complex"].saved_nano_usd == 0
    admin = {"authorization": f"Bearer {key}"}
    shown = call(f"{started.url}/admin/usage?by=tier", headers=admin).json["rows"]
    assert {row["group"]: row["saved_usd"] for row in shown} == {"simple": 0.000297, "complex": 0.0}
    metrics = call(f"{started.url}/metrics").body.decode()
    assert 'hanok_tier_requests_total{asked="auto",model="small",tier="simple"} 1.0' in metrics


def test_the_saving_is_against_the_model_that_is_declared(house: Start) -> None:
    started = house(*MODELS, tiers=[{**AUTO, "compared_to": "medium"}])
    chat(started, "a b")
    chat(started, "prove it")
    tiers = rows(started, "tier")
    assert tiers["simple"].saved_nano_usd == 27_000
    assert tiers["complex"].saved_nano_usd == -270_000


def test_a_key_that_opens_the_name_gets_whatever_model_is_picked(house: Start) -> None:
    started = house(*MODELS, tiers=[AUTO])
    secret = started.house.ledger.create_key("narrow", models=("auto",)).secret
    started.run(started.house.refresh())
    narrow = {"authorization": f"Bearer {secret}"}
    assert chosen(chat(started, COMPLEX, headers=narrow))[1] == "large"
    assert chat(started, COMPLEX, "large", headers=narrow).status == 403
    other = started.house.ledger.create_key("other", models=("small", "large")).secret
    started.run(started.house.refresh())
    assert chat(started, SIMPLE, headers={"authorization": f"Bearer {other}"}).status == 403


def test_where_the_budget_does_not_pay_for_the_tiers_model_a_lower_one_answers(house: Start) -> None:
    dear = [model("small", 1), model("medium", 1_000_000), model("large", 100_000_000)]
    started = house(*dear, tiers=[AUTO], budgets=[{"of": "key", "usd": 25}])
    assert chosen(chat(started, COMPLEX, max_tokens=3)) == ("complex", "medium")
    assert chosen(chat(started, COMPLEX, max_tokens=20)) == ("complex", "small")
    assert chat(started, COMPLEX, max_tokens=10**9).error["code"] == "budget_exceeded"


def test_a_reload_changes_the_tiers_while_running(house: Start, tmp_path: Any) -> None:
    import yaml

    started = house(*MODELS, tiers=[AUTO], gateway={"reload": False})
    assert chosen(chat(started, COMPLEX))[1] == "large"
    file = tmp_path / "platform.yaml"
    platform = yaml.safe_load(file.read_text("utf-8"))
    platform["tiers"] = [{**AUTO, "complex": "medium"}, {**AUTO, "name": "more"}]
    file.write_text(yaml.safe_dump(platform), "utf-8")
    changes = started.run(started.house.config.reload())
    assert changes == ["tiers auto changed (complex)", "tiers more added"]
    assert chosen(chat(started, COMPLEX))[1] == "medium"
    assert chosen(chat(started, COMPLEX, "more"))[1] == "large"


# a model that is asked


@contextmanager
def saying(*words: str) -> Iterator[FakeEngine]:
    """A small model that says these words, one after another, and then the last for ever."""
    left = list(words)

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await whole(left.pop(0) if len(left) > 1 else left[0])(asked, writer)

    with fake_engine(answer) as engine:
        yield engine


def asking(engine: FakeEngine, **more: Any) -> dict[str, Any]:
    """What starts a house whose tiers are decided by this engine."""
    judge = {"name": "judge", "serve": {"engine": "openai", "url": engine.url}, "retries": 0, "price": {"output": 1}}
    auto = {**AUTO, "classifier": "model", "classifier_model": "judge", **more}
    return {"models": [*MODELS, judge], "tiers": [auto]}


def test_a_small_model_is_asked_once_for_each_text(house: Start) -> None:
    with saying("COMPLEX", " **Simple**.", "moderate") as engine:
        platform = asking(engine)
        started = house(*platform["models"], tiers=platform["tiers"])
        assert chosen(chat(started, "one")) == ("complex", "large")
        assert chosen(chat(started, "one")) == ("complex", "large")
        assert chosen(chat(started, "two")) == ("simple", "small")
        assert chosen(chat(started, "three")) == ("moderate", "medium")
        (first, *_) = asked = [each.json for each in engine.calls()]
    assert len(asked) == 3
    assert (first["max_tokens"], first["temperature"]) == (8, 0)
    assert "---\none\n---" in first["messages"][0]["content"]
    judged = rows(started, "model")["judge"]
    assert (judged.calls, judged.completion_tokens, judged.saved_nano_usd) == (3, 9, 0)
    assert rows(started, "key")["test"].calls == 7


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (whole("It may be SIMPLE or COMPLEX"), "engine_broken"),
        (whole("SIMPLE, not COMPLEX"), "engine_broken"),
        (status(500, b"{}"), "engine_refused"),
    ],
)
def test_the_rules_decide_where_the_model_does_not(house: Start, answer: Answer, reason: str) -> None:
    with fake_engine(answer) as engine:
        platform = asking(engine)
        started = house(*platform["models"], tiers=platform["tiers"])
        assert chosen(chat(started, COMPLEX)) == ("complex", "large")
        assert chosen(chat(started, SIMPLE)) == ("simple", "small")
    line = f'hanok_tier_classifier_failures_total{{asked="auto",reason="{reason}"}} 2.0'
    assert line in call(f"{started.url}/metrics").body.decode()


def test_a_model_that_is_slow_is_not_waited_for(house: Start) -> None:
    async def never(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asked.gone()

    with fake_engine(never) as engine:
        platform = asking(engine, timeout_s=0.2)
        started = house(*platform["models"], tiers=platform["tiers"])
        begun = time.monotonic()
        assert chosen(chat(started, COMPLEX)) == ("complex", "large")
        assert time.monotonic() - begun < 5
        assert engine.gone.wait(5)
    assert 'reason="timeout"' in call(f"{started.url}/metrics").body.decode()


def test_a_caller_who_leaves_while_his_tier_is_found_leaves_nothing_behind(house: Start) -> None:
    async def slow(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asked.gone()

    with fake_engine(slow) as engine:
        platform = asking(engine, timeout_s=30)
        limits = [{"of": "key", "concurrent": 1}]
        started = house(*platform["models"], tiers=platform["tiers"], limits=limits)
        with pytest.raises(TimeoutError):
            body = {"model": "auto", "messages": [{"role": "user", "content": "hm"}]}
            call(f"{started.url}/v1/chat/completions", "POST", body, started.headers, timeout=0.3)
        assert engine.gone.wait(5)
        while started.house.models.running:
            pass
        assert chat(started, SIMPLE, "small").status == 200


def test_a_budget_that_does_not_pay_for_the_classifier_leaves_it_to_the_rules(house: Start) -> None:
    with saying("COMPLEX") as engine:
        platform = asking(engine)
        platform["models"][-1]["price"] = {"input": 1_000_000.0, "output": 1_000_000.0}
        started = house(*platform["models"], tiers=platform["tiers"], budgets=[{"of": "key", "usd": 5}])
        assert chosen(chat(started, "a", max_tokens=2)) == ("simple", "small")
        assert engine.calls() == []


def test_a_classifiers_call_has_a_span_of_its_own_below_that_of_the_call(house: Start) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with saying("COMPLEX") as engine:
        platform = asking(engine)
        platform["models"][2] = {"name": "large", "serve": {"engine": "openai", "url": engine.url}}
        telemetry = {"export": {"url": engine.url}}
        started = house(*platform["models"], tiers=platform["tiers"], telemetry=telemetry)
        chat(started, "hm", headers={"traceparent": trace, "x-hanok-tags": "", "x-request-id": "r1"})
        asked = [each for each in engine.calls() if each.path.endswith("/chat/completions")]
        judge, large = [each.headers["traceparent"].split("-") for each in asked]
    assert judge[1] == large[1] == trace[3:35]
    assert len({judge[2], large[2], trace[36:52]}) == 3
    assert [each.headers["x-request-id"] for each in asked] == ["r1", "r1"]


# examples


def vectors(asked: Asked) -> bytes:
    """Vectors that say which of three words is in a text."""
    texts = asked.json["input"]
    made = [[0.1 + ("red" in text), 0.1 + ("green" in text), 0.1 + ("blue" in text)] for text in texts]
    data = [{"object": "embedding", "index": index, "embedding": each} for index, each in enumerate(made)]
    return json.dumps({"object": "list", "data": data, "usage": {"prompt_tokens": len(texts)}}).encode()


async def embed(asked: Asked, writer: asyncio.StreamWriter) -> None:
    await status(200, vectors(asked))(asked, writer)


EXAMPLES = {"simple": ["red"] * 5, "moderate": ["green"] * 5, "complex": ["blue"] * 5}


def comparing(engine: FakeEngine, **more: Any) -> dict[str, Any]:
    encoder = {"name": "encoder", "type": "embedding", "serve": {"engine": "openai", "url": engine.url}, "retries": 0}
    auto = {**AUTO, "classifier": "examples", "classifier_model": "encoder", "examples": EXAMPLES, **more}
    return {"models": [*MODELS, encoder], "tiers": [auto]}


def wait_until_learnt(started: RunningHouse) -> None:
    sorters = started.house.tiered._sorters  # pyright: ignore[reportPrivateUsage]
    while not all(sorter.is_ready for sorter in sorters.values()):
        pass


def test_the_nearest_examples_decide_and_their_vectors_are_made_once(house: Start) -> None:
    with fake_engine(embed) as engine:
        platform = comparing(engine)
        started = house(*platform["models"], tiers=platform["tiers"])
        wait_until_learnt(started)
        learnt = len(engine.calls())
        assert chosen(chat(started, "something blue"))[0] == "complex"
        assert chosen(chat(started, "something green"))[0] == "moderate"
        assert chosen(chat(started, "something red"))[0] == "simple"
        assert len(engine.calls()) == learnt + 3
        assert engine.calls()[-1].json["input"] == ["something red"]
        started.run(started.house.config.reload())
        assert chosen(chat(started, "something rather blue"))[0] == "complex"
        assert len(engine.calls()) == learnt + 4
    assert rows(started, "key")["test"].calls == 8
    assert rows(started, "key")["hanok"].calls == learnt


def test_until_the_examples_are_learnt_the_rules_decide(house: Start) -> None:
    with fake_engine(status(500, b"{}")) as engine:
        platform = comparing(engine)
        started = house(*platform["models"], tiers=platform["tiers"])
        assert chosen(chat(started, COMPLEX))[0] == "complex"
        assert 'reason="not_ready"' in call(f"{started.url}/metrics").body.decode()


def test_what_a_provider_wants_for_its_prompt_cache_passes_untouched_and_is_priced(house: Start) -> None:
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 1,
        "prompt_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 300},
    }
    fields = {"prompt_cache_key": "k", "prompt_cache_retention": "24h", "service_tier": "flex"}
    content = [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    with fake_engine(whole("x", usage=usage)) as engine:
        price = {"input": 1, "output": 0, "cached_input": 0.1, "cache_write": 1.25}
        named = {"name": "m", "serve": {"engine": "openai", "url": engine.url}, "price": price}
        started = house(named)
        assert chat(started, content, "m", **fields).json["usage"] == usage
        sent = engine.calls()[0].json
    assert sent["messages"] == [{"role": "user", "content": content}]
    assert {name: sent[name] for name in fields} == fields
    assert rows(started, "model")["m"].cost_nano_usd == 100_000 + 60_000 + 375_000
