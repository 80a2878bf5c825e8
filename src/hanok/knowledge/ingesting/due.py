"""When a base is ingested unasked: at the start, after a change of its declaration, by its schedule. Pure.

The last report says when it was done last, so that of several processes that look, one does it, and a time that passed
while nothing ran is made up for.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hanok.errors import StartError
from hanok.knowledge.ingesting.report import Report

RETRY_S = 300.0
"""How long a base rests that could not be ingested."""
MACROS = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *"}


def is_due(
    last: Report | None,
    *,
    declared: str,
    at_start: str,
    on_start: bool,
    schedule: str | None,
    started_at: float,
    now: float,
) -> bool:
    """Whether to ingest now. `declared` marks the declaration (`declared_mark`), `at_start` the one at the start.

    `started_at` is when the process began; all times are Unix seconds. Raises `StartError` without the extra.
    """
    if schedule is not None and _has_passed(schedule, last.started_at if last else started_at, now):
        return True
    if last is not None and last.state == "failed" and now < last.ended_at + RETRY_S and last.ended_at > started_at:
        return False
    is_changed = declared != at_start and (last is None or last.declared != declared)
    return is_changed or (on_start and not _is_done(last, declared))


def _is_done(last: Report | None, declared: str) -> bool:
    return last is not None and last.state == "done" and last.declared == declared


def _has_passed(schedule: str, since: float, now: float) -> bool:
    """Whether the schedule had a time after `since`, up to now."""
    return next_time(schedule, since) <= now


def next_time(schedule: str, after: float) -> float:
    """The first time of a schedule after a moment, in UTC. Raises `StartError` without the extra."""
    try:
        from cronsim import CronSim
    except ImportError as error:
        raise StartError(f"`schedule` needs the package cronsim: {error}", hint='pip install "hanok[rag]"') from None
    times: Any = CronSim(MACROS.get(schedule, schedule), datetime.fromtimestamp(after, UTC))
    return next(times).timestamp()
