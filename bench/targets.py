"""What the figures of a run are to reach, and whether they do.

The idea that keeps it simple: all figures of a run are one value, `Seen`, by gateway (or `memory`, `caches`, `workers`)
and measure; a target is one figure made from it and one bound. What was not measured is neither reached nor missed.
"""

from collections.abc import Callable
from dataclasses import dataclass

from rich.table import Table

Seen = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Aim:
    """What is to be seen: at least `least`, at most `most`."""

    what: str
    form: str  # of the figure
    figure: Callable[[Seen], float | None]  # None: it was not measured
    least: float | None = None
    most: float | None = None

    @property
    def bound(self) -> str:
        return f"≥ {self.least:,g}" if self.least is not None else f"≤ {self.most:,g}"

    def verdict(self, seen: Seen) -> str:
        figure = self.figure(seen)
        if figure is None:
            return "not measured"
        below = self.least is not None and figure < self.least
        above = self.most is not None and figure > self.most
        return "not reached" if below or above else "reached"


def one(of: str, measure: str) -> Callable[[Seen], float | None]:
    return lambda seen: seen.get(of, {}).get(measure)


def beside(rival: str, measure: str) -> Callable[[Seen], float | None]:
    """Hanok's figure, divided by the rival's."""

    def ratio(seen: Seen) -> float | None:
        ours, theirs = one("hanok", measure)(seen), one(rival, measure)(seen)
        return ours / theirs if ours is not None and theirs else None

    return ratio


AIMS = (
    Aim("requests/s, × vllm-router", "{:.2f}", beside("vllm-router", "rps_32"), least=1.5),
    Aim("requests/s, × LiteLLM", "{:.0f}", beside("litellm", "rps_32"), least=150),
    Aim("added p50, ms", "{:.2f}", one("hanok", "p50_ms"), most=0.4),
    Aim("added p99, ms", "{:.2f}", one("hanok", "p99_ms"), most=2),
    Aim("500 steady streams: chunks/s", "{:,.0f}", one("hanok", "steady_per_s"), least=30_000),
    Aim("500 steady streams: added inter-chunk p99, ms", "{:.2f}", one("hanok", "gap_p99_ms"), most=10),
    Aim("memory after 100,000 requests, MiB", "{:,.0f}", one("memory", "second_mib"), most=180),
    Aim("answers/s from the cache", "{:,.0f}", one("caches", "hits_per_s"), least=12_000),
    Aim("requests/s of 2 workers, × 1 worker", "{:.2f}", one("workers", "ratio"), least=1.7),
)
COLOURS = {"reached": "green", "not reached": "red", "not measured": "dim"}


def table_of_targets(seen: Seen, aims: tuple[Aim, ...] = AIMS) -> Table:
    table = Table(title="Targets of hanok with all policies on")
    table.add_column("")
    for title in ("seen", "to reach"):
        table.add_column(title, justify="right")
    table.add_column("")
    for aim in aims:
        figure, verdict = aim.figure(seen), aim.verdict(seen)
        shown = "–" if figure is None else aim.form.format(figure)
        table.add_row(aim.what, shown, aim.bound, f"[{COLOURS[verdict]}]{verdict}[/]")
    return table


def verdicts(seen: Seen) -> dict[str, str]:
    return {aim.what: aim.verdict(seen) for aim in AIMS}
