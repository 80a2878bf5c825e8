"""platform.yaml written while the house runs: what is taken up, what is refused, and that no call suffers."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from hanok.assemble import config
from hanok.spec import watch
from tests.calls import Reply, call
from tests.conftest import ECHO, RunningHouse, free_port
from tests.engine import DONE, STREAM_HEAD, Asked, FakeEngine, chunk, delta, fake_engine, whole
from tests.journeys.test_hanok_up import start_up

Start = Callable[..., RunningHouse]
ADMIN = "an-admin-key-of-tests"


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often, so that the tests need not wait."""
    monkeypatch.setattr(config, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(watch, "SETTLE_S", 0.005)


def model(engine: FakeEngine, name: str = "m", **more: Any) -> dict[str, Any]:
    return {"name": name, "serve": {"engine": "openai", "url": engine.url}, **more}


def text_of(*models: dict[str, Any], **more: Any) -> str:
    return yaml.safe_dump({"name": "test", **more, "models": list(models)})


def rewrite(house: RunningHouse, *models: dict[str, Any], **more: Any) -> None:
    """Replace the file, as editors do."""
    file = house.house.loaded.file
    new = file.with_suffix(".new")
    new.write_text(text_of(*models, **more), "utf-8")
    new.replace(file)


def eventually(holds: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 10
    while not (found := holds()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
    return found


def taken(house: RunningHouse, *models: dict[str, Any], **more: Any) -> None:
    """Rewrite the file, and wait until it is taken up."""
    before = house.house.loaded
    rewrite(house, *models, **more)
    eventually(lambda: house.house.loaded is not before)


def chat(house: RunningHouse, name: str = "echo", content: str = "hello", **more: Any) -> Reply:
    body = {"model": name, "messages": [{"role": "user", "content": content}], **more}
    return call(f"{house.url}/v1/chat/completions", "POST", body, house.headers)


def admin(house: RunningHouse, method: str, path: str) -> Reply:
    return call(f"{house.url}/admin/{path}", method, {}, {"authorization": f"Bearer {ADMIN}"})


def ready(house: RunningHouse) -> Reply:
    return call(f"{house.url}/health/ready")


def budget_of(house: RunningHouse) -> Any:
    return call(f"{house.url}/v1/budgets", headers=house.headers).json["budgets"][0]


class Stream:
    """A streamed call that is under way."""

    def __init__(self, house: RunningHouse, name: str) -> None:
        parts = urlsplit(house.url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
        body = {"model": name, "messages": [{"role": "user", "content": "hi"}], "stream": True}
        self._connection.request("POST", "/v1/chat/completions", json.dumps(body), house.headers)
        self._response = self._connection.getresponse()
        self.status = self._response.status

    def rest(self) -> bytes:
        with contextlib.closing(self._connection):
            return self._response.read()


@pytest.fixture
def held() -> tuple[Callable[[Asked, asyncio.StreamWriter], Any], threading.Event]:
    """An engine's answer that begins, and ends when it is told to."""
    go = threading.Event()

    async def answer(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(delta("begun")))
        await writer.drain()
        while not go.is_set():
            await asyncio.sleep(0.005)
        writer.write(chunk(delta(" ended")) + chunk(DONE) + b"0\r\n\r\n")

    return answer, go


def test_a_model_that_is_added_is_served_and_listed_at_once(house: Start) -> None:
    with fake_engine(whole("from the new one")) as engine:
        started = house(ECHO)
        assert chat(started, "m").status == 404
        rewrite(started, ECHO, model(engine))
        eventually(lambda: chat(started, "m").status == 200)
        listed = call(f"{started.url}/v1/models", headers=started.headers).json["data"]
        assert [each["id"] for each in listed] == ["echo", "m"]
        assert 'hanok_reloads_total{result="taken"} 1.0' in call(f"{started.url}/metrics").body.decode()


def test_a_stream_from_a_removed_model_goes_on_to_its_end_and_is_charged(house: Start, held: Any) -> None:
    answer, go = held
    with fake_engine(answer) as engine:
        started = house(ECHO, model(engine, price={"output": 1000.0}))
        stream = Stream(started, "m")
        removed = started.house.fleet.of("m")[0]
        taken(started, ECHO)
        assert chat(started, "m").status == 404
        assert removed.in_flight == 1
        go.set()
        body = stream.rest()
        assert (stream.status, b"ended" in body, b"[DONE]" in body) == (200, True, True)
        eventually(lambda: removed.engine._pool.connections() == (0, 0))  # type: ignore[attr-defined]
        started.house.ledger.flush()
        assert [row.cost_usd > 0 for row in started.house.ledger.usage("model") if row.group == "m"] == [True]


def test_calls_of_a_removed_endpoint_get_drain_s_and_no_more(house: Start, held: Any) -> None:
    answer, _ = held
    with fake_engine(answer) as engine:
        started = house(ECHO, model(engine))
        stream = Stream(started, "m")
        taken(started, ECHO, gateway={"drain_s": 0.1})
        assert b'"error"' in stream.rest()


def test_an_endpoint_declared_as_before_goes_on_as_it_is_whatever_changes_around_it(house: Start) -> None:
    with fake_engine(whole()) as engine:
        started = house(model(engine))
        assert chat(started, "m").status == 200
        endpoint = started.house.fleet.of("m")[0]
        made = engine.connections
        taken(started, ECHO, model(engine, timeouts={"idle_s": 7}, retries=0, queue={"length": 3}))
        taken(started, model(engine, serve=[{"engine": "openai", "url": engine.url, "max_in_flight": 3}]), ECHO)
        assert chat(started, "m").status == 200
        assert started.house.fleet.of("m") == [endpoint]
        assert endpoint.max_in_flight == 3
        assert engine.connections == made


def test_an_endpoint_that_moves_is_asked_at_its_new_address(house: Start) -> None:
    with fake_engine(whole("old")) as old, fake_engine(whole("new")) as new:
        started = house(model(old))
        assert b"old" in chat(started, "m").body
        taken(started, model(new))
        eventually(lambda: b"new" in chat(started, "m").body)
        eventually(lambda: [each.state for each in started.house.fleet.of("m")] == ["up"])


def test_while_the_new_endpoint_starts_the_old_one_goes_on_answering(house: Start) -> None:
    with (
        fake_engine(whole("old")) as old,
        fake_engine(whole("new")) as new,
        socket.create_server(("127.0.0.1", 0)) as mute,
    ):
        started = house(model(old))
        silent = {"engine": "openai", "url": f"http://127.0.0.1:{mute.getsockname()[1]}/v1"}
        taken(started, model(old, serve=silent))
        assert [(each.name, each.state) for each in started.house.fleet.of("m")] == [("m#2", "starting"), ("m#1", "up")]
        assert b"old" in chat(started, "m").body
        assert ready(started).status == 200
        taken(started, model(new))
        eventually(lambda: [each.name for each in started.house.fleet.of("m")] == ["m#2"])
        assert b"new" in chat(started, "m").body


def test_a_hangup_has_the_file_looked_at_and_the_terminal_tells_what_changed(tmp_path: Path) -> None:
    file = tmp_path / "platform.yaml"
    file.write_text(text_of(ECHO, gateway={"reload": False}), "utf-8")
    with contextlib.ExitStack() as stack:
        started = start_up(stack, tmp_path, free_port(), start_new_session=True)
        started.wait_for("Ready.")
        file.write_text("models: [", "utf-8")
        started.process.send_signal(signal.SIGHUP)
        started.wait_for("is not taken up, what ran before goes on")
        assert started.chat("echo").status == 200
        file.write_text(text_of({**ECHO, "name": "other"}, gateway={"reload": False}), "utf-8")
        started.process.send_signal(signal.SIGHUP)
        started.wait_for("taken up: model echo removed, model other added")
        assert started.chat("other").status == 200
        file.write_text(text_of({**ECHO, "name": "other"}, gateway={"reload": False, "host": "::1"}), "utf-8")
        started.process.send_signal(signal.SIGHUP)
        started.wait_for("taken up: takes effect at the next start: gateway.host")


def test_a_budget_that_is_raised_keeps_what_is_used(house: Start) -> None:
    priced = {**ECHO, "price": {"input": 0.0, "output": 1_000_000.0}}  # a dollar a token
    started = house(priced, budgets=[{"of": "key", "usd": 3}])
    assert chat(started, content="one two", max_tokens=2).status == 200
    assert chat(started, content="one two", max_tokens=2).status == 429
    taken(started, priced, budgets=[{"of": "key", "usd": 5}])
    reply = chat(started, content="one two", max_tokens=2)
    assert reply.headers["x-hanok-budget-remaining-usd"] == "1.000000"
    assert chat(started, content="one two", max_tokens=2).status == 429


def test_a_budget_that_is_raised_while_a_stream_runs_lets_it_go_on(house: Start) -> None:
    slow = {"name": "slow", "serve": {"engine": "echo", "delay_ms": 2}, "price": {"output": 1_000_000.0}}
    started = house(slow, budgets=[{"of": "key", "usd": 300}])
    replies: list[Reply] = []
    calling = threading.Thread(
        target=lambda: replies.append(chat(started, "slow", " ".join(["word"] * 500), stream=True))
    )
    calling.start()
    eventually(lambda: started.house.models.running)
    taken(started, slow, budgets=[{"of": "key", "usd": 1000}])
    assert budget_of(started)["limit"] == 1000.0
    calling.join()
    assert b"stopped_by" not in replies[0].body
    assert len(replies[0].events) > 500
    taken(started, slow)
    assert call(f"{started.url}/v1/budgets", headers=started.headers).json == {"budgets": []}
    assert started.house.admission.open_accounts() == []


def test_what_a_teams_keys_open_changes_with_the_team(house: Start) -> None:
    second = {"name": "second", "serve": {"engine": "echo"}}
    started = house(ECHO, second, teams=[{"name": "a"}])
    key = started.house.ledger.create_key("of-the-team", team="a").secret
    started.house.take_up_keys()
    theirs = RunningHouse(started.url, key, started.house, started.loop)
    assert chat(theirs, "second").status == 200
    taken(started, ECHO, second, teams=[{"name": "a", "models": ["echo"]}])
    assert chat(theirs, "second").error["code"] == "model_not_allowed"
    assert chat(theirs, "echo").status == 200


def test_a_file_that_does_not_hold_together_is_refused_told_once_and_the_next_one_taken(
    house: Start, caplog: pytest.LogCaptureFixture
) -> None:
    started = house(ECHO)
    file = started.house.loaded.file
    good = file.read_text("utf-8")
    for _ in range(3):
        file.write_text(good.replace("models:", "modles:"), "utf-8")
        eventually(lambda: ready(started).json["config"]["refused"])
    reply = ready(started)
    assert (reply.status, "modles" in reply.json["config"]["refused"]) == (200, True)
    assert chat(started).status == 200
    assert len([each for each in caplog.records if "is not taken up" in each.message]) == 1
    file.write_text(good.replace("name: echo", "name: other"), "utf-8")
    eventually(lambda: chat(started, "other").status == 200)
    assert ready(started).json["config"]["refused"] is None


def test_the_file_as_it_was_is_no_change(house: Start) -> None:
    started = house(ECHO, gateway={"admin_key": ADMIN})
    before = started.house.loaded
    file = before.file
    good = file.read_text("utf-8")
    file.write_text(": :", "utf-8")
    eventually(lambda: ready(started).json["config"]["refused"])
    file.write_text(good, "utf-8")
    eventually(lambda: ready(started).json["config"]["refused"] is None)
    assert started.house.loaded is before
    assert admin(started, "POST", "reload").json == {"taken": True, "changes": []}


def test_when_an_endpoint_cannot_be_made_nothing_changes(house: Start) -> None:
    started = house(ECHO, gateway={"admin_key": ADMIN, "reload": False})
    bad = {"name": "bad", "serve": {"engine": "openai", "url": "https://127.0.0.1:1/v1", "ca_file": "none.pem"}}
    rewrite(started, {**ECHO, "name": "new"}, bad, gateway={"admin_key": ADMIN, "reload": False})
    reply = admin(started, "POST", "reload")
    assert (reply.status, reply.json["taken"]) == (422, False)
    assert "none.pem" in reply.json["problems"][0]["message"]
    assert chat(started).status == 200
    assert chat(started, "new").status == 404
    assert 'hanok_reloads_total{result="refused"} 1.0' in call(f"{started.url}/metrics").body.decode()


def test_the_admin_api_takes_the_file_up_and_tells_what_has_changed(house: Start) -> None:
    quiet = {"admin_key": ADMIN, "reload": False}
    started = house(ECHO, gateway=quiet, teams=[{"name": "a"}], budgets=[{"of": "team", "name": "a", "usd": 100}])
    rewrite(
        started,
        ECHO,
        {**ECHO, "name": "two"},
        gateway={**quiet, "port": 9999, "keep_alive_s": 3},
        ledger={"database": "postgresql://me:hidden@127.0.0.1/x"},
        teams=[{"name": "a"}],
        budgets=[{"of": "team", "name": "a", "usd": 200}],
    )
    assert admin(started, "POST", "reload").json == {
        "taken": True,
        "changes": ["model two added", "gateway.keep_alive_s 15.0 → 3.0", "budget of team a in all 100 → 200 USD"],
    }
    running = admin(started, "GET", "config")
    assert running.json["at_next_start"] == ["ledger.database", "gateway.port 4242 → 9999"]
    assert (running.json["sha256"], running.json["refused"]) == (started.house.loaded.digest, None)
    assert b"hidden" not in running.body
    assert started.house.loaded.platform.gateway.port == 4242


def test_another_admin_key_body_limit_and_retry_rule_hold_from_the_next_request_on(house: Start) -> None:
    started = house(ECHO, gateway={"admin_key": ADMIN})
    taken(started, ECHO, gateway={"admin_key": "another-key-of-tests", "body_limit_mib": 0.001})
    assert admin(started, "GET", "config").status == 401
    assert chat(started, content="x" * 2000).status == 413


def test_a_file_that_is_a_link_into_another_folder_is_followed(house: Start, tmp_path: Path) -> None:
    """As Kubernetes mounts a ConfigMap: platform.yaml → ..data/platform.yaml, and ..data is turned."""
    started = house(ECHO)
    file = started.house.loaded.file
    for version, name in (("one", "echo"), ("two", "second")):
        (tmp_path / version).mkdir()
        (tmp_path / version / "platform.yaml").write_text(text_of({**ECHO, "name": name}), "utf-8")
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "link").symlink_to("..data/platform.yaml")
    (tmp_path / "link").replace(file)
    eventually(lambda: chat(started, "echo").status == 200)
    (tmp_path / "..new").symlink_to("two")
    (tmp_path / "..new").replace(tmp_path / "..data")
    eventually(lambda: chat(started, "second").status == 200)
    assert started.house.loaded.state == tmp_path / ".hanok"


def test_two_hundred_rewrites_lose_no_call(house: Start) -> None:
    with fake_engine(whole()) as engine, fake_engine(whole()) as other:
        started = house(model(engine))
        statuses: list[int] = []
        done = threading.Event()

        def keep_calling() -> None:
            while not done.is_set():
                statuses.append(chat(started, "m").status)

        callers = [threading.Thread(target=keep_calling) for _ in range(4)]
        for caller in callers:
            caller.start()
        for turn in range(200):
            served = [
                {"engine": "openai", "url": each.url} for each in ((engine, other), (other,), (engine,))[turn % 3]
            ]
            rewrite(started, model(engine, serve=served, retries=turn % 3), gateway={"drain_s": 1 + turn})
        eventually(lambda: started.house.loaded.platform.gateway.drain_s == 200)
        done.set()
        for caller in callers:
            caller.join()
        assert set(statuses) == {200}
        eventually(lambda: chat(started, "m").status == 200)
