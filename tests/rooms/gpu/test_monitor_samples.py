"""Samples out of pages and answers, however they are written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanok.errors import SourceError
from hanok.gpu.monitor.samples import Sample, clean, read_answer, read_page
from tests.exporters import answer, dcgm, gpu

NAMES = {"up", "a:b"}


def page(text: str) -> list[Sample]:
    return list(read_page(text.encode(), NAMES))


def test_lines_of_wanted_names_are_read_with_their_labels() -> None:
    told = page(
        '# HELP up x\n# TYPE up gauge\nup{a="1",b = "x y"} 2.5\nup 3\na:b{} 1e3 1700000000000\nupper 9\nup_x 1\n'
    )
    assert told == [Sample("up", {"a": "1", "b": "x y"}, 2.5), Sample("up", {}, 3.0), Sample("a:b", {}, 1000.0)]


def test_labels_may_hold_quotes_backslashes_braces_and_commas() -> None:
    [told] = page(r'up{a="say \"hi\", {you}",b="C:\\x"} 1')
    assert told.labels == {"a": 'say "hi", {you}', "b": "C:\\x"}


@pytest.mark.parametrize(
    "line", ["up", "up NaN", "up +Inf", "up -Inf", "up x", 'up{a="1" 1', 'up{a="1"}', "up 1 2 3", "up{} ", "up 1e999"]
)
def test_a_line_that_is_no_finite_sample_is_passed_over_and_the_next_is_read(line: str) -> None:
    assert page(f"{line}\nup 7\n") == [Sample("up", {}, 7.0)]


def test_a_line_without_end_is_passed_over() -> None:
    assert page(f'up{{a="{"x" * 20_000}"}} 1\nup 7') == [Sample("up", {}, 7.0)]


def test_what_a_terminal_would_obey_does_not_come_through() -> None:
    [told] = page('up{a="\x1b[2Jgone\\nnext\u202e"} 1')
    assert told.labels == {"a": "?[2Jgone?next?"}
    assert len(clean("x" * 5000)) == 253


@given(st.binary(max_size=400))
def test_no_page_makes_it_fail(body: bytes) -> None:
    list(read_page(b"up{" + body + b"\nup " + body + b"\n" + body, NAMES))


@given(st.lists(st.tuples(st.text(max_size=30), st.floats(allow_nan=True))))
def test_whatever_labels_say_is_told_again(pairs: list[tuple[str, float]]) -> None:
    quoted = [text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for text, _ in pairs]
    lines = [f'up{{a="{text}"}} {value}' for text, (_, value) in zip(quoted, pairs, strict=True)]
    told = [list(read_page(line.encode(), NAMES)) for line in lines]
    for samples, (text, value) in zip(told, pairs, strict=True):
        if value == value and abs(value) != float("inf") and text.isprintable():
            assert samples == [Sample("up", {"a": text}, value)]


def test_a_page_of_the_exporter_is_read_whole() -> None:
    body = dcgm(gpu(0), gpu(1))
    told = list(read_page(body, {"DCGM_FI_DEV_POWER_USAGE"}))
    assert [(each.labels["gpu"], each.labels["Hostname"], each.value) for each in told] == [
        ("0", "node-1", 301.5),
        ("1", "node-1", 301.5),
    ]


def test_an_answer_of_prometheus_is_read_without_what_is_not_finite() -> None:
    told = list(read_answer(answer(("up", {"a": "x\x07"}, 1), ("", {"b": "y"}, "2.5"), ("up", {}, "NaN"))))
    assert told == [Sample("up", {"a": "x?"}, 1.0), Sample("", {"b": "y"}, 2.5)]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"[]", b"null", b"{}", b'{"status":"success"}', b"[" * 5000, b"\xff\xfe",
        b'{"status":"success","data":{"resultType":"matrix","result":[]}}',
        b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":1},"value":[1,"1"]}]}}',
        b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":["x"]}]}}',
    ],
)  # fmt: skip
def test_what_is_no_answer_is_told_as_such(body: bytes) -> None:
    with pytest.raises(SourceError, match="no answer of Prometheus"):
        list(read_answer(body))


def test_a_refusal_is_told_in_the_words_of_prometheus() -> None:
    body = json.dumps({"status": "error", "errorType": "bad_data", "error": "parse error at char 3"}).encode()
    with pytest.raises(SourceError, match="parse error at char 3"):
        list(read_answer(body))
