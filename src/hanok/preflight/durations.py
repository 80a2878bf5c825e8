"""Durations as Go writes them: `720h`, `1h30m`."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_UNITS: Mapping[str, float] = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}


def seconds(duration: str) -> float | None:
    """Seconds of a duration; None for `Never` and what is none."""
    parts = _PART.findall(duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
