"""When batches run: in a window of every day, by a clock on the wall somewhere, or always. Pure."""

from __future__ import annotations

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
    today = datetime.fromtimestamp(now, zone).replace(minute=0, second=0, microsecond=0, hour=0, tzinfo=None)
    for days in (0, 1, 2):
        opening = today + timedelta(days=days, minutes=window.opens)
        moment = opening.replace(tzinfo=zone).timestamp()
        if moment > now:
            return moment
    return None
