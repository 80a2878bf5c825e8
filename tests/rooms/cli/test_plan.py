"""`hanok plan` and `hanok catalog`, run as a user runs them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.catalog import OUT
from tests.conftest import ECHO
from tests.journeys.test_hanok_up import hanok

MODELS = [
    ECHO,
    {
        "name": "chat",
        "serve": {"engine": "openai", "url": "http://127.0.0.1:9/v1", "key": "${env:SET_ONLY_WHERE_IT_RUNS}"},
        "deploy": {"weights": "Qwen/Qwen3-8B", "context_tokens": 16384, "concurrency": 4, "gpu": ["g6.*", "g6e.*"]},
    },
    {
        "name": "own",
        "serve": {
            "engine": "vllm", "model": "openai/gpt-oss-20b",
            "flags": {"max-model-len": 4096, "kv-cache-dtype": "fp8"},
        },
    },
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "platform.yaml").write_text(yaml.safe_dump({"models": MODELS}))
    return tmp_path


def environment(folder: Path, **more: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "HF_TOKEN")}
    return {**plain, "XDG_CONFIG_HOME": str(folder / "config"), "HOME": str(folder), **more}


def planned(folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = hanok(folder, "plan", *arguments, "--hub", "none", "--json", env=environment(folder))
    return done.returncode, json.loads(done.stdout)


def test_a_model_is_planned_without_any_file(tmp_path: Path) -> None:
    status, said = planned(tmp_path, "--model", "Qwen/Qwen3-32B", "--context", "32768", "--concurrency", "16")
    plan = said["plans"][0]
    assert (status, plan["fits"], plan["wanted"]["context_tokens"]) == (0, True, 32768)
    best = plan["options"][0]
    assert best["concurrency"] >= 16
    assert best["usd"]["per_hour"] == min(each["usd"]["per_hour"] for each in plan["options"] if each["usd"])
    assert set(best["memory_of_one_gpu"]) >= {"weights_gib", "engine_gib", "kv_cache_gib"}
    assert f"--tensor-parallel-size {best['tensor_parallel']}" in best["vllm_flags"]
    assert plan["misses"][0]["reasons"]


def test_the_declared_models_that_run_on_gpus_are_planned(folder: Path) -> None:
    status, said = planned(folder)
    chat, own = said["plans"]
    assert (status, chat["model"], own["model"]) == (0, "chat", "own")
    assert {each["accelerator"] for each in chat["options"]} <= {"l4", "l40s"}
    assert (own["wanted"]["context_tokens"], own["wanted"]["kv_dtype"]) == (4096, "fp8")
    cheapest = sum(plan["options"][0]["usd"]["per_hour"] for plan in (chat, own))
    assert said["cheapest_together_usd_per_hour"] == pytest.approx(cheapest)


def test_a_wish_on_the_command_line_wins_over_the_file(folder: Path) -> None:
    _, said = planned(folder, "platform.yaml", "--model", "chat", "--context", "1000", "--gpu", "h100", "--tpot", "50")
    assert [plan["model"] for plan in said["plans"]] == ["chat"]
    wanted = said["plans"][0]["wanted"]
    assert (wanted["context_tokens"], wanted["concurrency"], wanted["gpu"]) == (1000, 4, ["h100"])


def test_exit_code_1_says_that_nothing_fits_and_why(tmp_path: Path) -> None:
    arguments = ("plan", "--model", "Llama-3.1-70B", "--gpu", "g6.xlarge", "--gpu", "t4g")
    done = hanok(tmp_path, *arguments, env=environment(tmp_path, NO_COLOR="1", COLUMNS="100"))
    assert done.returncode == 1
    assert "No machine of the catalogue can serve this" in done.stdout
    assert re.search(r"g6\.xlarge\s+weights 131\.4 GiB", done.stdout)
    assert re.search(r"It would fit with\n  other machines than `gpu` names: .*\$\d", done.stdout)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "Qwen/Qwen3-33B", "--hub", "none"), "did you mean Qwen/Qwen3-32B"),
        (("--model", "deepseek-ai/DeepSeek-V4-Pro"), "not modelled"),
        (("--model", "Qwen/Qwen3-8B", "--gpu", "warp9"), "'warp9'"),
        (("--model", "Qwen/Qwen3-8B", "--context", "0"), "--context"),
        (("--model", "Qwen/Qwen3-8B", "--catalog", "none.yaml"), "none.yaml: no such file"),
        (("nowhere.yaml",), "nowhere.yaml: no such file"),
        (("Qwen/Qwen3-32B",), "hanok plan --model Qwen/Qwen3-32B"),
        (("platform.yaml", "--model", "echo"), "planned models: chat, own"),
    ],
)
def test_exit_code_2_says_what_is_wrong_with_the_input(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    done = hanok(folder, "plan", *arguments, env=environment(folder, COLUMNS="200"))
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_is_cut_in_a_pipe_and_no_colour_is_needed(tmp_path: Path) -> None:
    seen = environment(tmp_path, COLUMNS="80", NO_COLOR="1", PYTHONUTF8="1")
    done = hanok(tmp_path, "plan", "--model", "deepseek-ai/DeepSeek-V3", "--spot", env=seen)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert "…" not in done.stdout
    for word in ("weights", "KV cache", "engine", "1× p5en.48xlarge", "Nearest misses"):
        assert word in done.stdout


def test_a_platform_without_gpus_has_nothing_to_plan(tmp_path: Path) -> None:
    (tmp_path / "platform.yaml").write_text(yaml.safe_dump({"models": [ECHO]}))
    done = hanok(tmp_path, "plan", env=environment(tmp_path))
    assert (done.returncode, done.stdout) == (0, "")
    assert "hanok plan --model" in done.stderr


def test_one_model_that_cannot_be_planned_does_not_hide_the_others(folder: Path) -> None:
    unknown = {**MODELS[1], "name": "mystery", "deploy": {"weights": "acme/mystery"}}
    (folder / "platform.yaml").write_text(yaml.safe_dump({"models": [*MODELS, unknown]}))
    status, said = planned(folder)
    assert status == 2
    assert [plan["model"] for plan in said["plans"]] == ["chat", "own"]
    assert [each["model"] for each in said["refused"]] == ["mystery"]


def test_a_newer_catalogue_is_checked_kept_and_used(folder: Path) -> None:
    text = OUT.read_text("utf-8").replace('date: "2026-07-31"', 'date: "2027-01-01"')
    (folder / "new.yaml").write_text(text.replace('"usd_hour": 0.8048', '"usd_hour": 0.5'), "utf-8")
    done = hanok(folder, "catalog", "update", "new.yaml", env=environment(folder, COLUMNS="200"))
    assert done.returncode == 0
    assert done.stdout.splitlines() == ["date 2026-07-31 → 2027-01-01", "instance g6.xlarge: usd_hour 0.8048 → 0.5"]
    shown = json.loads(hanok(folder, "catalog", "show", "--json", env=environment(folder)).stdout)
    assert (shown["date"], shown["instances"]["g6.xlarge"]["usd_hour"]) == ("2027-01-01", 0.5)
    assert planned(folder, "--model", "Qwen/Qwen3-0.6B")[1]["catalog"]["date"] == "2027-01-01"
    (folder / "old.yaml").write_text(OUT.read_text("utf-8"))
    older = hanok(folder, "catalog", "update", "old.yaml", env=environment(folder))
    assert (older.returncode, "--force" in older.stderr) == (2, True)


def test_a_wrong_catalogue_is_refused_by_line_and_changes_nothing(folder: Path) -> None:
    (folder / "new.yaml").write_text(OUT.read_text("utf-8").replace('"gpus": 1', '"gpus": -1', 1))
    done = hanok(folder, "catalog", "update", "new.yaml", env=environment(folder, COLUMNS="200"))
    assert done.returncode == 2
    assert re.search(r"new\.yaml:\d+:\d+ instances.*gpus: must be at least 0", done.stderr)
    assert not (folder / "config").exists()


def test_the_catalogue_and_its_models_are_shown(tmp_path: Path) -> None:
    shown = hanok(tmp_path, "catalog", "show", env=environment(tmp_path, COLUMNS="80"))
    assert "g6e.12xlarge" in shown.stdout and "us-east-1" in shown.stdout
    listed = json.loads(hanok(tmp_path, "catalog", "models", "--json", env=environment(tmp_path)).stdout)["models"]
    names = {each["model"] for each in listed}
    assert {"Qwen/Qwen3-32B", "openai/gpt-oss-120b", "deepseek-ai/DeepSeek-V4-Pro"} <= names


@pytest.mark.parametrize(
    ("deploy", "said"),
    [
        ({}, "3:12 models[0].deploy: nothing says which weights 'm' has"),
        ({"weights": "a/b", "load": {"prompt_tokens": 9000}}, "a usual call has 9250 tokens"),
        ({"weights": "a/b", "quantization": "int3"}, "must be 'auto' or 'none'"),
        ({"weights": "a/b", "contxt_tokens": 1}, "did you mean 'context_tokens'"),
    ],
)
def test_a_wrong_deploy_block_is_told_by_line(tmp_path: Path, deploy: dict[str, Any], said: str) -> None:
    serve = "{engine: openai, url: 'http://127.0.0.1:9/v1'}"
    (tmp_path / "platform.yaml").write_text(
        f"models:\n- {{name: m, serve: {serve},\n   deploy: {json.dumps(deploy)}}}\n"
    )
    done = hanok(tmp_path, "plan", env=environment(tmp_path, COLUMNS="200"))
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
