"""LiteLLM's `budget_duration` in Hanok's periods: day, month, ever.

A duration that Hanok does not have becomes a stricter budget, never a looser one: seven days of 70 dollars are 10
dollars a day.
"""

from __future__ import annotations

import re
from typing import Any

from hanok.migration.source import Block

_DURATION = re.compile(r"^\s*(\d+)\s*(s|sec|m|min|h|hr|d|day|w|week|mo|month)s?\s*$", re.IGNORECASE)
_WORDS = {"daily": "1d", "weekly": "7d", "monthly": "1mo", "hourly": "1h"}
_SECONDS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "hr": 3600, "d": 86400, "day": 86400,
            "w": 7 * 86400, "week": 7 * 86400}  # fmt: skip
_DAY_S = 86400
_USD_LIMIT = 1e9


def as_allowance(
    block: Block, key: str, usd: float, duration: str | None, *, of: str, name: str | None = None
) -> list[dict[str, Any]]:
    """A budget of `usd` for every `duration`, with a note at `key`. None when Hanok cannot keep it."""
    found = _period(usd, duration)
    if found is None:
        block.wrong(
            "budget_duration", f"is no duration: LiteLLM writes 30s, 30m, 24h, 7d or 1mo. {key} is not carried over"
        )
        return []
    amount, per, why = found
    budget: dict[str, Any] = {"of": of, **({"name": name} if name else {}), "usd": min(amount, _USD_LIMIT), "per": per}
    if why:
        block.changed(key, why, "budgets[]")
    else:
        block.carried(key, "budgets[]", f"of: {of}, per: {per}")
    return [budget]


def _period(usd: float, duration: str | None) -> tuple[float, str, str] | None:
    """The amount, the period, and what differs."""
    if duration is None:
        return usd, "ever", ""
    match = _DURATION.match(_WORDS.get(duration.strip().lower(), duration))
    if match is None or int(match.group(1)) == 0:
        return None
    count, unit = int(match.group(1)), match.group(2).lower()
    if unit in ("mo", "month"):
        why = "" if count == 1 else f"{count} months are {usd:g} dollars in all: in Hanok a month's share, each month"
        return _share(usd, count), "month", why
    seconds = count * _SECONDS[unit]
    if 28 * _DAY_S <= seconds <= 31 * _DAY_S:
        return usd, "month", "" if count == 30 else f"{duration}: a calendar month in Hanok"
    if seconds < _DAY_S:
        return usd, "day", f"Hanok has no period of {duration}: the same amount for a day, which is stricter"
    days = seconds / _DAY_S
    why = "" if days == 1 else f"Hanok has no period of {duration}: an even share for each day, which is stricter"
    return _share(usd, days), "day", why


def _share(usd: float, parts: float) -> float:
    return float(f"{usd / parts:.6g}")
