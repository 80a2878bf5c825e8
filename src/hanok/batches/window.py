"""When batches run: in a window of every day, by a clock on the wall somewhere, or always. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from hanok.spec import BatchWindow

Window = BatchWindow | None
"""None: always."""


def is_open(window: Window, now: float) -> bool:
    """Whether batches run at this moment (Unix seconds). A window may go over midnight."""
    if window is None:
        return True
    here = datetime.fromtimestamp(now, ZoneInfo(window.timezone))
    minute = here.hour * 60 + here.minute
    if window.opens < window.closes:
        return window.opens <= minute < window.closes
    return minute >= window.opens or minute < window.closes


def next_opening(window: Window, now: float) -> float | None:
    """When the window opens next, in Unix seconds; None while it is open."""
    if window is None or is_open(window, now):
        return None
    zone = ZoneInfo(window.timezone)
    today = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    days = (today + timedelta(days=day, minutes=window.opens) for day in (0, 1, 2))
    moments = (moment for day in days for moment in _moments(day, zone))
    return next((moment for moment in moments if moment > now and is_open(window, moment)), None)


def _moments(time: datetime, zone: ZoneInfo) -> Iterator[float]:
    """When clocks there may show this time, or the first one after it, where they are put forward over it."""
    first, last = sorted(time.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    return (first + seconds for seconds in range(0, int(last - first) + 60, 60))
