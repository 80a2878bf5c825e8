"""The comparison of routing rules runs from a trace to its figures."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[1] / "bench" / "routing.py"


def write_trace(path: Path) -> Path:
    """Conversations of three turns each; the first block is everybody's."""
    rng = random.Random(1)
    rows: list[dict[str, object]] = []
    for number in range(40):
        blocks = [0]
        for turn in range(3):
            blocks += [1 + number * 100 + turn * 10 + each for each in range(rng.randrange(1, 8))]
            at = 1000 * (number + 20 * turn) + rng.randrange(1000)
            size = 512 * len(blocks) - rng.randrange(400)
            rows.append({"timestamp": at, "input_length": size, "output_length": 50, "hash_ids": list(blocks)})
    rows.sort(key=lambda row: str(row["timestamp"]).zfill(9))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(BENCH), *arguments], capture_output=True, text=True, timeout=120)


def test_every_policy_gets_figures_at_every_load_and_they_are_the_same_again(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "trace.jsonl")
    first = run("--trace", str(trace), "--engines", "3", "--json")
    assert first.returncode == 0, first.stderr
    figures = json.loads(first.stdout)
    again = run("--trace", str(trace), "--engines", "3", "--json", "--policies", "hanok,aibrix-prefix")
    assert json.loads(again.stdout) == {name: figures[name] for name in ("hanok", "aibrix-prefix")}
    assert {"hanok", "round-robin", "least-busy", "llm-d", "llm-d-precise", "dynamo-kv"} <= set(figures)
    for each in figures.values():
        assert all(0.0 < each[f"ttft_mean_s_{load}x"] <= each[f"ttft_p99_s_{load}x"] for load in (1, 2, 3))
        assert all(0.0 <= each[f"hit_rate_{load}x"] < 1.0 for load in (1, 2, 3))
    assert figures["hanok"]["hit_rate_1x"] > 1.3 * figures["round-robin"]["hit_rate_1x"]


def test_without_its_trace_it_says_so_and_measures_nothing(tmp_path: Path) -> None:
    said = run("--trace", str(tmp_path / "none.jsonl"))
    assert said.returncode == 0
    assert "nothing was measured" in said.stderr
    assert said.stdout == ""


def test_a_policy_that_does_not_exist_is_named_with_those_that_do(tmp_path: Path) -> None:
    said = run("--trace", str(write_trace(tmp_path / "trace.jsonl")), "--policies", "hanok,best")
    assert said.returncode == 1
    assert "no policy is named best; there are hanok, " in said.stderr
