"""From which figure on a GPU is marked, and how: `hot`, `full`, `throttled` … Pure.

A mark is given only for what is known. What a maker's figure is missing for (its power, its clock), a GPU is compared
with its data sheet, `BOARDS`; where that is missing too, it is not marked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from hanok.gpu.monitor.readings import Reading

Mark = Literal["lost", "hot", "throttled", "xid", "full", "power", "bandwidth", "under-used", "idle"]
"""Worst first."""
Level = Literal["bad", "attention", "waste", "good"]
LEVELS: dict[Mark, Level] = {
    "lost": "bad",
    "hot": "bad",
    "throttled": "bad",
    "xid": "bad",
    "full": "attention",
    "power": "attention",
    "bandwidth": "attention",
    "under-used": "waste",
    "idle": "waste",
}


class Board(NamedTuple):
    """What a data sheet says: power (W), and the greatest clock of the multiprocessors (MHz), if it says that."""

    power_w: float
    clock_mhz: float | None = None


BOARDS = {
    "t4": Board(70, 1590),
    "t4g": Board(70, 1590),
    "v100": Board(300, 1530),
    "a10g": Board(300, 1710),
    "l4": Board(72, 2040),
    "l40s": Board(350, 2520),
    "rtx-pro-6000": Board(600),
    "a100-40gb": Board(400, 1410),
    "a100-80gb": Board(400, 1410),
    "h100": Board(700, 1980),
    "h200": Board(700, 1980),
    "b200": Board(1000),
}
"""By the catalogue's name of the accelerator; NVIDIA's data sheets, SXM boards where there are others; 2026-11."""


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Shares from 0 to 1, but for the temperature."""

    busy: float = 0.80
    """A GPU that is used less is under-used."""
    idle: float = 0.05
    """… and one that is used less than that is idle."""
    copying: float = 0.70
    full: float = 0.95
    hot_c: float = 85.0
    power: float = 0.90
    """Of its default limit (TDP)."""
    clock: float = 0.70
    """Of its greatest clock, while it is busy: below, it is throttled."""


def power_ceiling_w(reading: Reading, board: Board | None) -> float | None:
    """What its power is compared with: its default limit, else the data sheet's, else the limit set for it."""
    return reading.power_default_w or (board.power_w if board else None) or reading.power_limit_w


def clock_ceiling_mhz(reading: Reading, board: Board | None) -> float | None:
    """What its clock is compared with."""
    return reading.clock_most_mhz or (board.clock_mhz if board else None)


def marks(reading: Reading, board: Board | None, limits: Thresholds) -> tuple[Mark, ...]:
    """Everything that is to be said of this GPU, worst first; nothing, where all is well."""
    return tuple(_marks(reading, board, limits))


def _marks(reading: Reading, board: Board | None, limits: Thresholds) -> Iterator[Mark]:
    if reading.trouble:
        yield "lost"
    if _reaches(reading.temperature_c, limits.hot_c):
        yield "hot"
    if reading.slowdowns or _is_slow(reading, clock_ceiling_mhz(reading, board), limits):
        yield "throttled"
    if reading.xid:
        yield "xid"
    if _reaches(reading.memory_full, limits.full):
        yield "full"
    ceiling_w = power_ceiling_w(reading, board)
    if reading.power_w is not None and ceiling_w and reading.power_w > limits.power * ceiling_w:
        yield "power"
    if reading.copying is not None and reading.copying > limits.copying:
        yield "bandwidth"
    if reading.utilization is not None and reading.utilization <= limits.busy:
        yield "idle" if reading.utilization < limits.idle else "under-used"


def _reaches(value: float | None, limit: float) -> bool:
    return value is not None and value >= limit


def _is_slow(reading: Reading, most_mhz: float | None, limits: Thresholds) -> bool:
    if reading.clock_mhz is None or not most_mhz or reading.utilization is None:
        return False
    return reading.utilization > limits.busy and reading.clock_mhz < limits.clock * most_mhz
