"""When a base is ingested unasked."""

from __future__ import annotations

from typing import Any

import pytest

from hanok.knowledge.ingesting import Report
from hanok.knowledge.ingesting.due import is_due, next_time

DONE = Report(base="docs", declared="a", state="done", started_at=1_000.0, ended_at=1_010.0, completed_at=1_010.0)
DAY_S = 86_400.0


def due(last: Report | None = DONE, **told: Any) -> bool:
    known: dict[str, Any] = {
        "declared": "a",
        "at_start": "a",
        "on_start": True,
        "schedule": None,
        "started_at": 2_000.0,
        "now": 2_001.0,
    }
    return is_due(last, **(known | told))


def report(state: Any, ended_at: float) -> Report:
    return Report(base="docs", declared="a", state=state, started_at=ended_at - 10, ended_at=ended_at)


def test_a_base_that_was_never_filled_is_filled_at_the_start_unless_declared_otherwise() -> None:
    assert due(None)
    assert not due(None, on_start=False)


def test_a_base_that_is_done_rests() -> None:
    assert not due()


def test_what_was_stopped_or_killed_is_taken_up() -> None:
    assert due(report("stopped", 1_900.0))
    assert due(report("running", 0.0))


def test_what_failed_is_tried_again_after_a_while_and_at_once_by_a_new_process() -> None:
    assert not due(report("failed", 2_100.0), now=2_200.0)
    assert due(report("failed", 2_100.0), now=2_401.0)
    assert due(report("failed", 1_999.0))


def test_a_declaration_that_changed_is_taken_up_also_without_on_start() -> None:
    assert due(declared="b", on_start=False)
    assert due(declared="b", at_start="b")
    assert not due(declared="b", at_start="b", on_start=False)


@pytest.mark.parametrize("schedule", ["@daily", "0 0 * * *"])
def test_a_schedule_counts_from_the_last_ingest_and_is_made_up_for(schedule: str) -> None:
    assert not due(schedule=schedule, now=DAY_S - 1)
    assert due(schedule=schedule, now=DAY_S)
    assert due(schedule=schedule, now=3.5 * DAY_S, started_at=3.4 * DAY_S)


def test_a_schedule_without_an_ingest_counts_from_the_start_of_the_process() -> None:
    assert not due(None, on_start=False, schedule="@daily", now=2 * DAY_S - 1, started_at=DAY_S + 1)
    assert due(None, on_start=False, schedule="@daily", now=2 * DAY_S, started_at=DAY_S + 1)


def test_times_are_in_utc() -> None:
    assert next_time("30 3 * * *", 0.0) == 3.5 * 3600
