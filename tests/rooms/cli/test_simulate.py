"""`hanok simulate`, run as a user runs it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from hanok.cli import app, simulate_run, terminal
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
    assert re.search(r"fixed +3 +– +– +–", said)
    assert re.search(r"declared +1–3 +16 +1 +0.7", said)
    assert "Over time, with 1–3, running 16, waiting 1, kv cache 0.7" in said
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


def test_the_table_fits_a_narrow_terminal_and_says_what_is_a_suggestion(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "platform.yaml").write_text(yaml.safe_dump({"models": [{**MODEL, "scale": None}]}))
    monkeypatch.setattr(terminal.data, "_width", 80)
    _, said = run("--trace", "trace.csv", "--sweep", "--ttft-p99", "30")
    table = said[said.index("  RULE") : said.index("Over time")]
    assert "$" in table
    assert "SPOT" not in table
    assert max(map(len, table.splitlines())) <= 80
    assert re.search(r"usual +1–8 +16", table)
    words = " ".join(said.split())
    assert "chat has no `scale`: the usual rule for 1–8 replicas is tried (--min, --max), a suggestion until" in words
    assert "To write into platform.yaml, below `name: chat`:" in words


def test_of_several_models_without_a_rule_one_must_be_named(folder: Path) -> None:
    models = [{**MODEL, "scale": None, "name": name} for name in ("big", "small")]
    (folder / "platform.yaml").write_text(yaml.safe_dump({"models": models}))
    with pytest.raises(HanokError, match="none of the 2 models") as told:
        run("--trace", "trace.csv")
    assert told.value.hint == "say which: `--model big`; there are big, small"
    assert run("--trace", "trace.csv", "--model", "small")[0] == 0


def test_replays_in_processes_come_to_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ("--trace", "trace.csv", "--sweep", "--ttft-p99", "30", "--json")
    _, here = run(*asked)
    monkeypatch.setattr(simulate_run, "WORTH_PROCESSES", 0)
    assert run(*asked)[1] == here


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--trace", "none.csv"], "none.csv: No such file"),
        (["--trace", "platform.yaml"], "no known form"),
        (["--trace", "trace.csv", "--sweep"], "how quick is quick enough"),
        (["--trace", "trace.csv", "--model", "echo"], "it has no `deploy`"),
        (["--trace", "trace.csv", "--model", "chta"], "declares no model called 'chta'"),
        (["--trace", "trace.csv", "--html", "none/page.html"], "none/page.html cannot be written"),
        (["--trace", "trace.csv", "--min", "9"], "min is 9, more than max, 3"),
    ],
)
def test_what_cannot_be_simulated_is_told_in_one_error(folder: Path, arguments: list[str], said: str) -> None:
    with pytest.raises(HanokError) as told:
        run(*arguments)
    assert said in told.value.message
    assert told.value.hint
