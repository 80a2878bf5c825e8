"""Traces of three forms are read; others, and wrong ones, are answered with one clear error and its line."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from hanok.autoscaling.load import load_trace
from hanok.autoscaling.trace import Call, parse, select
from hanok.errors import PlanError

TRACES = Path(__file__).parents[4] / "shared" / "data" / "traces"
PLAIN = ["time_s,input_tokens,output_tokens", "10,100,5", "10.5,200,7"]
FORMS = [
    PLAIN,
    [
        '{"timestamp": 10000, "input_length": 100, "output_length": 5, "hash_ids": [0]}',
        '{"timestamp": 10500, "input_length": 200, "output_length": 7, "hash_ids": [0]}',
    ],
    [
        "TIMESTAMP,ContextTokens,GeneratedTokens",
        "2023-11-16 18:17:03.9799600,100,5",
        "2023-11-16 18:17:04.4799600,200,7",
    ],
    [
        '{"time_s": 0, "input_tokens": 100, "output_tokens": 5}',
        "",
        '{"time_s": 0.5, "input_tokens": 200, "output_tokens": 7}',
    ],
]  # fmt: skip


@pytest.mark.parametrize("lines", FORMS)
def test_each_form_tells_the_same_calls(lines: list[str]) -> None:
    assert parse(lines, name="t") == [Call(at_s=0, prompt=100, output=5), Call(at_s=0.5, prompt=200, output=7)]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "t has no calls"),
        (["", "  "], "t has no calls"),
        (PLAIN[:1], "t has no calls"),
        ([*PLAIN, "9,1,1"], "t:4: this call comes before the one above it"),
        ([*PLAIN, "11,-5,1"], "t:4: -5 tokens"),
        ([*PLAIN, "11,many,1"], "t:4: this is no call"),
        ([*PLAIN, "11,1"], "t:4: this is no call"),
        ([*PLAIN, "nan,1,1"], "t:4: the time is nan"),
        ([*PLAIN, "1e9,1,1"], "t:4: this call comes 11,574 days after the first"),
        ([*PLAIN, "x" * 200_000], "t:4: not a line of CSV"),
        (['{"a": ' + "[" * 100_000], "t:1: not a JSON object"),
        (["a,b", "1,2"], "t is a trace of no known form: it has a, b"),
        (['{"a": 1}'], "t is a trace of no known form"),
        (['{"time_s": 0,', "x"], "t:1: not a JSON object"),
        (['{"time_s": 0, "input_tokens": 1.5, "output_tokens": 1}'], "t:1: this is no call"),
    ],
)
def test_what_is_no_trace_is_told(lines: list[str], said: str) -> None:
    with pytest.raises(PlanError) as told:
        parse(lines, name="t")
    assert said in told.value.message
    assert told.value.hint


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    for name in ("missing", "bytes", "."):
        with pytest.raises(PlanError):
            load_trace(tmp_path / name)


def test_calls_of_a_coarse_clock_are_spread_over_its_ticks() -> None:
    calls = parse([PLAIN[0], *["0,1,1"] * 4, *["2,1,1"] * 2], name="t")
    assert [each.at_s for each in calls] == [0, 0.5, 1, 1.5, 2, 3]


def test_a_trace_can_be_cut_and_made_denser() -> None:
    calls = [Call(at_s=each * 36.0, prompt=1, output=1) for each in range(101)]
    assert len(select(calls, hours=0.5)) == 51
    assert select(calls, speed=2)[-1].at_s == 1800
    dense = select(calls, per_s=10)
    assert len(dense) / dense[-1].at_s == pytest.approx(10)


@pytest.mark.skipif(not TRACES.exists(), reason="the recorded traces are not here")
@pytest.mark.parametrize("name", ["mooncake_conversation.jsonl", "azure_code_2023.csv"])
def test_recorded_traces_are_read(name: str) -> None:
    calls = load_trace(TRACES / name)
    assert 8000 < len(calls) < 13_000
    assert 3000 < calls[-1].at_s < 4000
    assert all(before.at_s <= after.at_s for before, after in pairwise(calls))
