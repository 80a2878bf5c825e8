"""Curves over time in block characters, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

_EIGHTHS = " ▁▂▃▄▅▆▇█"


def bucketed(points: Sequence[tuple[float, float]], *, lasts: float, width: int) -> list[float]:
    """The largest value of each of `width` equal parts of the time; an empty part has that of the one before."""
    found: list[float | None] = [None] * width
    for at, value in points:
        place = min(width - 1, int(at / lasts * width)) if lasts else 0
        found[place] = max(value, found[place] or 0.0)
    last, told = 0.0, list[float]()
    for value in found:
        last = last if value is None else value
        told.append(last)
    return told


def plot(title: str, unit: str, values: Sequence[float], *, style: str, height: int = 4) -> Table:
    """A curve with its highest value beside it."""
    top = max(values, default=0.0)
    grid = Table.grid(padding=(0, 1))
    grid.add_column(justify="right", width=16, style="bright_black")
    grid.add_column(no_wrap=True)
    labels = [f"{top:,.4g} {unit}".strip(), title, *[""] * (height - 3), "0"]
    for label, line in zip(labels, _lines(values, top, height), strict=True):
        grid.add_row(label, Text(line, style=style))
    return grid


def _lines(values: Sequence[float], top: float, height: int) -> Iterator[str]:
    """Rows from above, each an eighth as fine as a character allows."""
    for row in range(height - 1, -1, -1):
        filled = (value / top * height - row if top else 0.0 for value in values)
        yield "".join(_EIGHTHS[max(0, min(8, round(each * 8)))] for each in filled)
