"""When batches run, by a clock on the wall."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from hanok.batches.window import is_open, next_opening
from hanok.errors import SpecError
from hanok.spec import BatchWindow, load

SEOUL = "Asia/Seoul"


def window(start: str, end: str, timezone: str = "UTC") -> BatchWindow:
    return BatchWindow.model_validate({"from": start, "to": end, "timezone": timezone})


def at(text: str, timezone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(timezone)).timestamp()


@pytest.mark.parametrize(
    ("time", "open_"),
    [("21:59", False), ("22:00", True), ("23:59", True), ("00:00", True), ("05:59", True), ("06:00", False)],
)
def test_a_window_may_go_over_midnight(time: str, open_: bool) -> None:
    assert is_open(window("22:00", "06:00", SEOUL), at(f"2026-11-22T{time}", SEOUL)) is open_


def test_a_window_within_a_day_and_none_at_all() -> None:
    noon = window("12:00", "13:30")
    assert [is_open(noon, at(f"2026-11-22T{time}")) for time in ("11:59", "12:00", "13:29", "13:30")] == [
        False,
        True,
        True,
        False,
    ]
    assert is_open(None, 0.0)
    assert next_opening(None, 0.0) is None


def test_the_next_opening_is_later_today_or_tomorrow() -> None:
    noon = window("12:00", "13:30", SEOUL)
    assert next_opening(noon, at("2026-11-22T08:00", SEOUL)) == at("2026-11-22T12:00", SEOUL)
    assert next_opening(noon, at("2026-11-22T14:00", SEOUL)) == at("2026-11-23T12:00", SEOUL)
    assert next_opening(noon, at("2026-11-22T12:30", SEOUL)) is None


def test_it_opens_by_the_clock_on_the_wall_when_summer_time_begins() -> None:
    night = window("02:30", "03:30", "Europe/Berlin")
    before = at("2026-03-28T12:00", "Europe/Berlin")
    opening = next_opening(night, before)
    assert opening == at("2026-03-29T03:00", "Europe/Berlin")  # there is no 02:30 that night
    assert next_opening(night, opening + 3600) == at("2026-03-30T02:30", "Europe/Berlin")


def spec(tmp_path: Path, batches: str) -> Any:
    file = tmp_path / "platform.yaml"
    file.write_text(f"models: [{{name: m, serve: {{engine: echo}}}}]\nbatches: {batches}\n")
    return load(file, {}).platform.batches


def test_a_window_is_read_with_or_without_quotes(tmp_path: Path) -> None:
    plain = spec(tmp_path, "{window: {from: 22:00, to: 06:00, timezone: Asia/Seoul}}")
    assert plain.window == window("22:00", "06:00", SEOUL)
    assert spec(tmp_path, "{window: always}").window is None
    assert spec(tmp_path, "{}").window is None


@pytest.mark.parametrize(
    ("batches", "told"),
    [
        ("{window: {from: 25:00, to: 06:00}}", "must be a time from 00:00 to 23:59"),
        ("{window: {from: noon, to: 06:00}}", "must be a time from 00:00 to 23:59"),
        ("{window: {from: 22:00}}", "'to' is missing here"),
        ("{window: {from: 22:00, to: 06:00, timezone: Nowhere/Land}}", "must be a time zone of this machine"),
        ("{window: {from: 22:00, until: 06:00}}", "unknown key 'until'"),
        ("{window: {from: 22:00, to: 22:00}}", "opens when it closes"),
        ("{window: sometimes}", "must be a mapping of keys"),
        ("{concurrency: 0}", "must be at least 1"),
    ],
)
def test_what_is_no_window_is_told_by_its_place(tmp_path: Path, batches: str, told: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec(tmp_path, batches)
    assert told in str(caught.value)
    assert "platform.yaml:2:" in str(caught.value)
