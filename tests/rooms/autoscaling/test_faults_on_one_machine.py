"""What goes wrong with replicas on one machine: real processes that hang, break, are killed, and files that change."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from hanok.assemble import scaling
from hanok.autoscaling import Rule
from hanok.serving import launch, roster
from hanok.spec import ModelScale
from tests.conftest import RunningHouse, wait_until
from tests.rooms.autoscaling.replicas import ask, model, up

Houses = Callable[..., RunningHouse]
TICK_S = 0.05
RULE_OF = Rule.of


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decisions every 50 ms in the place of whole seconds, which is the least that a file can say."""
    decide_quickly(monkeypatch, idle_s=2 * TICK_S)
    monkeypatch.setattr(launch, "BACKOFF_S", (0.0,))
    monkeypatch.setattr(launch, "STOP_LIMIT_S", 0.1)
    monkeypatch.setattr(roster, "TRY_AGAIN_S", (TICK_S,))


def decide_quickly(monkeypatch: pytest.MonkeyPatch, *, idle_s: float) -> None:
    def rule(scale: ModelScale) -> Rule:
        return replace(RULE_OF(scale), every_s=TICK_S, idle_s=idle_s)  # type: ignore[arg-type]

    monkeypatch.setattr(scaling.Rule, "of", rule)


def processes(hold: Path) -> list[int]:
    """The engines' processes that run."""
    return [each for each in all_ever(hold) if _runs(each)]


def all_ever(hold: Path) -> list[int]:
    """The engines' processes that were ever started."""
    return [int(each.name) for each in hold.with_name("pids").glob("*") if each.name.isdigit()]


def _runs(process_id: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{process_id}/status").read_text()
    except OSError:
        return False


def decided_again(here: RunningHouse) -> None:
    """Return when two more decisions were made of m: the second began after this was called."""
    for _ in range(2):
        before = here.house.fleet.replicas["m"]
        wait_until(lambda before=before: here.house.fleet.replicas["m"] is not before)


@contextmanager
def stream(here: RunningHouse, prompt: str) -> Iterator[Iterator[str]]:
    """The pieces of an answer as they come, its first one there."""
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": prompt}]}
    url = f"{here.url}/v1/chat/completions"
    with httpx.stream("POST", url, json=body, headers=here.headers, timeout=30) as answer:
        lines = (line for line in answer.iter_lines() if line.startswith("data: "))
        assert "one" in next(lines)
        yield lines


def declare(here: RunningHouse, change: Callable[[dict[str, Any]], None]) -> None:
    """Change platform.yaml while it is served."""
    file = here.house.loaded.file
    declared = yaml.safe_load(file.read_text())
    change(declared)
    file.write_text(yaml.safe_dump(declared))
    here.run(here.house.config.reload())


def test_who_waits_for_a_cold_start_is_counted_and_may_go_and_the_engine_loads_on(house: Houses, hold: Path) -> None:
    loading = hold.with_name("loading")
    loading.touch()
    here = house({**model(min=0, max=1, waiting=1), "queue": {"length": 2}}, gateway={"reload": True})
    with ThreadPoolExecutor(2) as pool:
        client = httpx.Client(base_url=here.url, headers=here.headers, timeout=30)
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        gone = pool.submit(client.post, "/v1/chat/completions", json=body)
        other = pool.submit(ask, here)
        wait_until(lambda: here.house.fleet.asking.get("m") == 2)
        refused = ask(here)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
        assert "the model 'm' is still loading, and 2 calls wait for it" in refused.text
        for pooled in client._transport._pool.connections:  # type: ignore[attr-defined]
            pooled._connection._network_stream.get_extra_info("socket").shutdown(2)
        assert gone.exception(10)
        wait_until(lambda: here.house.fleet.asking["m"] == 1)
        decided_again(here)
        loading.unlink()
        assert other.result().status_code == 200
    client.close()
    wait_until(lambda: here.house.fleet.is_asleep("m"))
    wait_until(lambda: not processes(hold))


def test_an_engine_is_not_taken_for_idle_while_it_loads(house: Houses, hold: Path) -> None:
    """Whoever woke it was told to come again: it would never be there if it were ended meanwhile."""
    loading = hold.with_name("loading")
    loading.touch()
    here = house(model(min=0, max=1, waiting=1), gateway={"reload": True})
    with pytest.raises(httpx.TimeoutException):
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        httpx.post(f"{here.url}/v1/chat/completions", json=body, headers=here.headers, timeout=0.1)
    wait_until(lambda: here.house.fleet.asking["m"] == 0)
    for _ in range(4):
        decided_again(here)
    assert [each.state for each in here.house.fleet.of("m")] == ["starting"]
    loading.unlink()
    wait_until(lambda: here.house.fleet.is_asleep("m"))


def test_a_model_with_many_short_calls_does_not_fall_asleep_between_looks(
    house: Houses, hold: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide_quickly(monkeypatch, idle_s=1.0)
    here = house(model(min=0, max=1, waiting=1))
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    with httpx.Client(base_url=here.url, headers=here.headers, timeout=30) as client:
        client.post("/v1/chat/completions", json=body)
        woken, begun = processes(hold), time.monotonic()
        while time.monotonic() < begun + 1.5:
            assert client.post("/v1/chat/completions", json=body).status_code == 200
            before = here.house.fleet.replicas["m"]
            wait_until(lambda before=before: here.house.fleet.replicas["m"] is not before)
    assert processes(hold) == woken


def test_no_stream_is_cut_when_its_replica_is_not_needed_and_a_killed_one_is_not_started_again(
    house: Houses, hold: Path
) -> None:
    first, second = hold.with_name("first"), hold.with_name("second")
    here = house(model(max=2, running=1), gateway={"drain_s": 0})
    for dies in (False, True):
        first.touch()
        second.touch()
        with ExitStack() as streams:
            one = streams.enter_context(stream(here, "first"))
            streams.enter_context(stream(here, "first"))
            wait_until(lambda: len(up(here)) == 2)
            two = streams.enter_context(stream(here, "second"))
            first.unlink()
            assert "two" in next(one)
            wait_until(lambda: up(here) == ["m#1"])
            decided_again(here)
            leaving = [each for each in processes(hold) if f"{each}" != str(_process_of(here, "m#1"))]
            assert len(leaving) == 1, "its stream runs still"
            if dies:
                os.kill(leaving[0], signal.SIGKILL)
                assert "error" in next(two)
            else:
                second.unlink()
                assert ["two" in next(two), next(two)] == [True, "data: [DONE]"]
        wait_until(lambda: len(processes(hold)) == 1)
    assert len(all_ever(hold)) == 3, "m#1, and m#2 twice"


def _process_of(here: RunningHouse, name: str) -> int:
    posts = here.house.roster._posts
    return next(post.process.process_id for post in posts if post.endpoint.name == name and post.process) or 0


def test_a_replica_that_cannot_start_disturbs_nobody_and_comes_when_there_is_room(house: Houses, hold: Path) -> None:
    here = house(model(max=2, running=1))
    wait_until(lambda: up(here) == ["m#1"])
    hold.with_name("broken").touch()
    hold.touch()
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(ask, here) for _ in range(3)]
        wait_until(lambda: "failed" in {each.state for each in here.house.fleet.of("m")})
        reason = next(each.reason for each in here.house.fleet.of("m") if each.state == "failed")
        assert "exit code 1: no room on the GPU" in reason
        hold.with_name("broken").unlink()
        wait_until(lambda: len(up(here)) == 2)
        hold.unlink()
        assert [each.result().status_code for each in calls] == [200] * 3


def test_a_file_that_changes_amid_a_scale_up_is_obeyed_at_once_even_by_stubborn_engines(
    house: Houses, hold: Path
) -> None:
    hold.with_name("stubborn").touch()
    other = {"name": "other", "serve": {"engine": "echo"}}
    here = house(model(max=4, running=1), other, gateway={"reload": True})
    wait_until(lambda: up(here) == ["m#1"])
    kept = processes(hold)
    hold.with_name("loading").touch()
    hold.touch()
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(ask, here) for _ in range(4)]
        wait_until(lambda: len(processes(hold)) == 4)
        declare(here, lambda file: file["models"][0]["scale"].update(max=1))
        wait_until(lambda: processes(hold) == kept)
        assert (here.house.fleet.replicas["m"].count, up(here)) == (1, ["m#1"])
        hold.unlink()
        assert [each.result().status_code for each in calls] == [200] * 4
    declare(here, lambda file: file["models"][0].pop("scale"))
    assert (here.house.fleet.replicas, up(here), processes(hold)) == ({}, ["m#1"], kept)
    declare(here, lambda file: file["models"][0].update(scale={**model(min=2, max=2)["scale"]}))
    wait_until(lambda: len(processes(hold)) == 2)
    declare(here, lambda file: file["models"].pop(0))
    wait_until(lambda: not processes(hold))
    assert (ask(here).status_code, ask(here, "other").status_code) == (404, 200)


def test_a_model_whose_engine_cannot_be_started_keeps_no_other_from_its_replicas(house: Houses, hold: Path) -> None:
    rotten = model("rotten", min=0, max=1, waiting=1) | {"serve": {"engine": "llamacpp", "model": "gone.gguf"}}
    here = house(model("first", min=0, max=1, waiting=1), rotten, model(min=0, max=1, waiting=1))
    here.run(here.house.roster.changing.acquire())
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(ask, here, "first")
        wait_until(lambda: here.house.fleet.asking.get("first"))
        both = [pool.submit(ask, here, name) for name in ("rotten", "m")]
        wait_until(lambda: here.house.fleet.asking.get("rotten") and here.house.fleet.asking.get("m"))
        here.loop.call_soon_threadsafe(here.house.roster.changing.release)
        told, answered = (each.result() for each in both)
        assert first.result().status_code == 200
    assert (told.status_code, "there is no model file" in told.text, answered.status_code) == (503, True, 200)


def test_replicas_declared_otherwise_are_relieved_one_by_one(house: Houses, hold: Path) -> None:
    here = house(model(min=3, max=3), gateway={"reload": True})
    wait_until(lambda: len(up(here)) == 3)
    old = set(processes(hold))
    hold.with_name("loading").touch()
    declare(here, lambda file: file["models"][0]["serve"].update(flags={"max-model-len": 8192}))
    wait_until(lambda: len(processes(hold)) == 6)
    newest = max(set(processes(hold)) - old)
    hold.with_name("pids").joinpath(f"{newest}.go").touch()
    wait_until(lambda: len(processes(hold)) == 5)
    decided_again(here)
    assert len(up(here)) == 3
    hold.with_name("loading").unlink()
    wait_until(lambda: len(processes(hold)) == 3 and not old & set(processes(hold)))
    assert newest in processes(hold)
    wait_until(lambda: len(up(here)) == 3)
