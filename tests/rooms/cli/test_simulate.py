"""`hanok simulate`, run as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from hanok.cli import app
from hanok.errors import HanokError
from hanok.spec import ModelScale
from tests.conftest import ECHO

MODEL = {
    "name": "chat",
    "serve": {"engine": "openai", "url": "http://127.0.0.1:9/v1"},
    "deploy": {"weights": "Qwen/Qwen3-8B", "context_tokens": 16384, "concurrency": 4, "gpu": ["g6e.xlarge"]},
    "scale": {"max": 3},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "platform.yaml").write_text(yaml.safe_dump({"models": [ECHO, MODEL]}))
    rows = [f"{number * 0.5},2000,{50 + number % 7}" for number in range(150)]
    (tmp_path / "trace.csv").write_text("\n".join(["time_s,input_tokens,output_tokens", *rows]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["simulate", "--hub", "none", *arguments])
    if isinstance(done.exception, HanokError):
        raise done.exception
    return done.exit_code, done.stdout


def test_a_trace_is_replayed_and_told_in_a_table_with_curves(folder: Path) -> None:
    status, said = run("--trace", "trace.csv")
    assert status == 0
    assert "chat on NVIDIA L40S (g6e.xlarge): 150 calls of trace.csv" in said
    assert "always 3" in said
    assert "1–3, running 16, waiting 1, kv cache 0.7" in said
    assert "replicas up" in said
    assert "█" in said


def test_the_best_rule_is_named_with_its_yaml_and_drawn_on_a_page(folder: Path) -> None:
    status, said = run("--trace", "trace.csv", "--sweep", "--ttft-p99", "30", "--json", "--html", "page.html")
    told = json.loads(said)
    assert status == 0
    pasted = yaml.safe_load(told["best"]["yaml"])["scale"]
    assert ModelScale.model_validate(pasted).max >= 1
    assert {"usd", "gpu_hours", "ttft_p99_s", "usd_million_tokens"} <= set(told["rules"][0])
    page = (folder / "page.html").read_text()
    assert page.count("<svg") == 4
    assert "<script" not in page
    assert "http" not in page
    status, said = run("--trace", "trace.csv", "--sweep", "--ttft-p99", "0.001")
    assert status == 1
    assert "No rule that was tried" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--trace", "none.csv"], "none.csv: No such file"),
        (["--trace", "platform.yaml"], "no known form"),
        (["--trace", "trace.csv", "--sweep"], "how quick is quick enough"),
        (["--trace", "trace.csv", "--model", "echo"], "it has no `deploy`"),
        (["--trace", "trace.csv", "--model", "chta"], "declares no model called 'chta'"),
        (["--trace", "trace.csv", "--min", "9"], "min is 9, more than max, 3"),
    ],
)
def test_what_cannot_be_simulated_is_told_in_one_error(folder: Path, arguments: list[str], said: str) -> None:
    with pytest.raises(HanokError) as told:
        run(*arguments)
    assert said in told.value.message
    assert told.value.hint
