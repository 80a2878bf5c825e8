"""`hanok up` starts and stops engine processes as their load wants: real processes, asked through the door."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from hanok.assemble import scaling
from hanok.autoscaling import Demand
from hanok.errors import StartError
from hanok.serving import Endpoint
from hanok.serving.fleet import Load
from hanok.spec import load
from tests.conftest import RunningHouse, wait_until
from tests.rooms.autoscaling.replicas import ask, model, up


def test_replicas_come_with_the_load_and_go_when_their_calls_are_over(
    house: Callable[..., RunningHouse], hold: Path
) -> None:
    here = house(model(min=1, max=2, running=2))
    wait_until(lambda: up(here) == ["m#1"])
    hold.touch()
    with ThreadPoolExecutor(4) as pool:
        calls: list[Future[httpx.Response]] = [pool.submit(ask, here) for _ in range(4)]
        wait_until(lambda: len(up(here)) == 2)
        told = here.house.metrics.render().decode()
        assert 'hanok_replicas{model="m"} 2.0' in told
        hold.unlink()
        assert [each.result().status_code for each in calls] == [200] * 4
    wait_until(lambda: up(here) == ["m#1"])
    replicas = here.house.fleet.replicas["m"]
    assert (replicas.count, replicas.because) == (1, "running 0 at 2 a replica")
    assert ask(here).status_code == 200


def test_the_first_call_wakes_a_model_that_rests_and_another_file_changes_its_rule(
    house: Callable[..., RunningHouse], hold: Path, tmp_path: Path
) -> None:
    here = house(model(min=0, max=2, running=2, waiting=1, idle_s=0), gateway={"reload": True})
    assert here.house.fleet.is_asleep("m")
    assert httpx.get(f"{here.url}/health/ready").status_code == 200
    assert ask(here).status_code == 200
    wait_until(lambda: here.house.fleet.is_asleep("m"))
    assert here.house.fleet.replicas["m"].because == "nobody asked for 0 s"
    file = tmp_path / "platform.yaml"
    declared = yaml.safe_load(file.read_text())
    declared["models"][0]["scale"]["min"] = 2
    file.write_text(yaml.safe_dump(declared))
    here.run(here.house.config.reload())
    wait_until(lambda: len(up(here)) == 2)


def test_a_call_for_a_model_that_cannot_be_started_is_told_why_and_when_to_ask_again(
    house: Callable[..., RunningHouse], hold: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = house(model(min=0, max=1, waiting=1))
    with monkeypatch.context() as patched:
        patched.setenv("PATH", "/nowhere")
        answer = ask(here)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "15")
    assert "needs the `vllm` program" in answer.json()["error"]["message"]
    wait_until(lambda: here.house.fleet.is_asleep("m"))
    assert ask(here).status_code == 200


def test_several_workers_add_no_replicas_and_say_so(write_platform: Callable[..., Path], hold: Path) -> None:
    loaded = load(write_platform(model(max=2), gateway={"workers": 2}), {})
    with pytest.raises(StartError, match="with several workers nobody adds replicas"):
        scaling.refuse_scaled(loaded)


def test_demand_is_what_engines_tell_and_what_they_do_not_know_yet() -> None:
    def endpoint(in_flight: int, load: Load | None, state: Any = "up") -> Endpoint:
        return Endpoint("m#1", "m", "vllm", engine=None, state=state, in_flight=in_flight, load=load)  # type: ignore[arg-type]

    told = endpoint(5, Load(at=0, running=2, waiting=3, kv_usage=0.5))
    newer = endpoint(6, Load(at=0, running=2, waiting=3, kv_usage=0.25))
    silent = endpoint(4, None)
    assert scaling.demand_of([told, newer], waiting=1) == Demand(running=5, waiting=7, kv_cache=0.75)
    assert scaling.demand_of([told, silent], waiting=0) == Demand(running=6, waiting=3, kv_cache=None)
    assert scaling.demand_of([endpoint(0, None, "starting")], waiting=2) == Demand(running=0, waiting=2, kv_cache=0)
