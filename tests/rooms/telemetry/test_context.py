"""Trace context in and out, by https://www.w3.org/TR/trace-context/."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanok.telemetry import TraceStart, continue_trace, is_sampled

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADER = f"00-{TRACE}-{SPAN}-01"
GOOD = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL
)


def begin(header: str | bytes | None, state: bytes | None = None, *, sample: float = 1.0) -> TraceStart:
    header = header.encode() if isinstance(header, str) else header
    return continue_trace(header, state, random_bits=random.getrandbits, sample=sample)


def test_a_callers_trace_is_continued_with_a_span_of_our_own() -> None:
    start = begin(HEADER, b"vendor=1,other=2")
    version, trace, span, flags = start.trace.split("-")
    assert (version, trace, flags) == ("00", TRACE, "01")
    assert span != SPAN and len(span) == 16
    assert start.parent_span == SPAN
    assert start.trace_state == "vendor=1,other=2"


def test_without_a_header_a_new_trace_begins() -> None:
    one, two = begin(None), begin(None)
    assert one.parent_span is None and one.trace_state is None
    assert GOOD.fullmatch(one.trace.encode())
    assert one.trace != two.trace


@pytest.mark.parametrize("sample", [0.0, 1.0])
@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("03", True), ("ff", True)])
def test_the_callers_own_decision_wins(flags: str, sampled: bool, sample: float) -> None:
    start = begin(f"00-{TRACE}-{SPAN}-{flags}", sample=sample)
    assert is_sampled(start.trace) is sampled
    assert start.trace.endswith("-01" if sampled else "-00"), "flags that nobody has defined are not handed on"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        HEADER[:-1],
        HEADER + "-",
        HEADER + "-more",
        HEADER + " ",
        HEADER.upper(),
        HEADER.replace("-", "_"),
        f"ff-{TRACE}-{SPAN}-01",
        f"ff-{TRACE}-{SPAN}-01-more",
        f"0x-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-0g",
        f"00-{TRACE[:-1]}-{SPAN}0-01",
        f"00-{TRACE}-{SPAN}-1-",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"00-{TRACE[:-1]}é-{SPAN}-01",
    ],
)
def test_what_is_not_valid_is_ignored_with_its_state(header: str) -> None:
    start = begin(header, b"vendor=1")
    assert start.parent_span is None and start.trace_state is None
    assert TRACE not in start.trace


@pytest.mark.parametrize(
    "header", [f"01-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-what-will-be", f"fe-{TRACE}-{SPAN}-01-"]
)
def test_a_later_version_is_read_as_far_as_it_is_known_and_answered_in_ours(header: str) -> None:
    start = begin(header)
    assert start.parent_span == SPAN
    assert start.trace.startswith(f"00-{TRACE}-")


@pytest.mark.parametrize("state", [b"", b"a=\r\nx: y", b"a=\x00", "a=é".encode(), b"a=" + b"x" * 511])
def test_a_state_that_is_no_header_text_or_too_long_is_not_handed_on(state: bytes) -> None:
    start = begin(HEADER, state)
    assert start.trace_state is None and start.parent_span == SPAN


@given(st.one_of(st.binary(max_size=70), st.from_regex(GOOD, fullmatch=True)))
def test_any_header_is_taken_exactly_when_the_specifications_pattern_fits(header: bytes) -> None:
    found = GOOD.fullmatch(header)
    valid = found is not None and (found[1] != b"00" or found[5] is None)
    start = begin(header)
    assert GOOD.fullmatch(start.trace.encode())
    assert (start.parent_span is not None) == valid
    if valid and found:
        assert start.trace[3:35].encode() == found[2]
        assert (start.parent_span or "").encode() == found[3]
        assert is_sampled(start.trace) == bool(int(found[4], 16) & 1)


@given(st.integers(0, 54), st.binary(min_size=1, max_size=1))
def test_one_changed_byte_never_slips_through(at: int, byte: bytes) -> None:
    header = HEADER.encode()
    header = header[:at] + byte + header[at + 1 :]
    found = GOOD.fullmatch(header)
    assert (begin(header).parent_span is not None) == (found is not None)


def test_a_share_of_new_traces_is_sampled_and_by_the_traces_own_bits() -> None:
    bits = random.Random(7)
    traces = [continue_trace(None, random_bits=bits.getrandbits, sample=0.25).trace for _ in range(4000)]
    sampled = [trace for trace in traces if is_sampled(trace)]
    assert 0.21 < len(sampled) / len(traces) < 0.29
    assert all(int(trace[21:35], 16) >= 0.75 * 2**56 for trace in sampled)
    assert not any(is_sampled(begin(None, sample=0.0).trace) for _ in range(200))


def test_ids_are_never_zero_even_from_a_broken_source_of_randomness() -> None:
    start = continue_trace(None, random_bits=lambda _: 0, sample=1.0)
    assert GOOD.fullmatch(start.trace.encode())
    assert GOOD.fullmatch(continue_trace(HEADER.encode(), random_bits=lambda _: 0, sample=1.0).trace.encode())
