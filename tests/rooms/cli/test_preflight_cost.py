"""`hanok preflight` on a platform file and on nodes: the bill, a ceiling, exit codes, as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.test_hanok_up import hanok
from tests.rooms.cli.test_plan import environment
from tests.rooms.preflight.test_cost_bill import PODS, pool

EXAMPLE = Path(__file__).parents[3] / "examples" / "06-which-gpus" / "platform.yaml"


def looked(folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = hanok(folder, "preflight", *arguments, "--json", env=environment(folder))
    return done.returncode, json.loads(done.stdout)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "all.yaml").write_text(PODS + "---" + pool())
    return tmp_path


def test_the_models_of_a_platform_file_are_planned_as_hanok_plan_does(tmp_path: Path) -> None:
    status, said = looked(tmp_path, str(EXAMPLE))
    planned = hanok(tmp_path, "plan", str(EXAMPLE), "--hub", "none", "--json", env=environment(tmp_path))
    assert (status, said["verdict"]) == (0, "proved")
    assert [each["model"] for each in said["cost"]["models"]] == ["assistant", "small"]
    cheapest = json.loads(planned.stdout)["cheapest_together_usd_per_hour"]
    assert said["cost"]["least"]["on_demand_per_hour"] == pytest.approx(cheapest, abs=0.001)
    assert said["cost"]["most"]["per_month"][1] == pytest.approx(cheapest * 730, abs=0.01)


def test_the_platform_file_here_is_looked_at_without_being_named(tmp_path: Path) -> None:
    (tmp_path / "platform.yaml").write_bytes(EXAMPLE.read_bytes())
    assert looked(tmp_path)[0] == 0


def test_nodes_engines_and_idle_gpus_stand_in_the_bill(folder: Path) -> None:
    cost = looked(folder, "deploy")[1]["cost"]
    assert [(each["pool"], each["nodes"]) for each in cost["pools"]] == [("gpu", [2, 2])]
    assert [each["engine"] for each in cost["engines"]] == ["Deployment default/vllm"]
    parts = sum(each["most"]["on_demand_per_hour"] for each in cost["workloads"])
    assert parts / cost["most"]["on_demand_per_hour"] + cost["idle_share"]["most"] == pytest.approx(1, abs=0.01)


def test_a_ceiling_decides_the_exit_code(folder: Path) -> None:
    status, said = looked(folder, "deploy", "--max-usd-month", "100")
    assert (status, said["cost"]["ceiling_usd_per_month"]) == (1, 100)
    assert "HK601" in [each["rule"] for each in said["findings"]]
    assert "HK601" not in [each["rule"] for each in looked(folder, "deploy", "--max-usd-month", "99999")[1]["findings"]]


def test_people_see_a_table_of_what_it_costs(folder: Path) -> None:
    done = hanok(folder, "preflight", "deploy", env=environment(folder, NO_COLOR="1"))
    assert "pool gpu" in done.stdout
    assert "2× g6.2xlarge" in done.stdout
    assert "an assumption" in done.stdout


def test_nothing_is_said_of_cost_where_nothing_costs(tmp_path: Path) -> None:
    (tmp_path / "platform.yaml").write_text("models:\n- name: chat\n  serve: {engine: echo}\n")
    done = hanok(tmp_path, "preflight", env=environment(tmp_path))
    assert (done.returncode, "COST" in done.stdout) == (0, False)


def test_a_model_that_fits_nowhere_or_is_not_known_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    chat = "models:\n- name: chat\n  serve: {engine: echo}\n  deploy: {%s}\n"
    for deploy, status in (("weights: Qwen/Qwen3-32B, gpu: [g6.xlarge]", 1), ("weights: a/none", 3)):
        (tmp_path / "platform.yaml").write_text(chat % deploy)
        assert looked(tmp_path)[0] == status
