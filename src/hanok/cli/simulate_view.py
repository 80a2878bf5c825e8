"""How `hanok simulate` looks: for people a table and curves, for machines one object."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from hanok.cli.money import usd
from hanok.cli.plots import bucketed, plot
from hanok.cli.terminal import data, print_json
from hanok.gpu import DENSE_ERROR

if TYPE_CHECKING:
    from hanok.autoscaling import TargetName
    from hanok.autoscaling.simulation import Hardware, Outcome, Tried
    from hanok.cli.simulate_compared import Comparison
    from hanok.spec import ModelScale

SHOWN = 12
WIDEST = 100
WIDE = 116
"""Characters that the whole table takes."""


def show(compared: Comparison) -> None:
    """The comparison, on stdout."""
    data.print(_head(compared))
    data.print()
    data.print(_table(compared))
    data.print()
    for curve in _curves(chosen(compared).outcome):
        data.print(curve)
    data.print()
    for line in _verdict(compared):
        data.print(line, soft_wrap=True)
    note = f"Speeds are estimates, ±{DENSE_ERROR:.0%}; no prompt is found in a cache. How: docs/autoscaling.md"
    data.print(Text(note, style="bright_black"))


def chosen(compared: Comparison) -> Tried:
    """The rule whose curves are shown: the best, else the declared one."""
    return compared.best or compared.rules[0]


def shown(compared: Comparison) -> list[Tried]:
    """The fixed numbers, the declared rule, and those that no other beats in both cost and p99."""
    from hanok.autoscaling.simulation import worthwhile

    best = [each for each in worthwhile(compared.rules) if each is not compared.rules[0]]
    return [*compared.fixed, compared.rules[0], *best[:SHOWN]]


def _head(compared: Comparison) -> Text:
    outcome, hardware = compared.fixed[0].outcome, compared.setting.hardware
    told = f"{compared.model} on {hardware.title}: {outcome.calls:,} calls of {compared.trace.name} in "
    text = Text(told + spoken(compared.setting.calls[-1].at_s), style="bold")
    if outcome.left_out:
        longest = min(hardware.context_tokens, hardware.kv_tokens)
        text.append(f"\n{outcome.left_out:,} more are longer than {longest:,} tokens and were left out", style="yellow")
    text.append(f"\n{_start(compared, hardware)}", style="not bold bright_black")
    if not compared.is_declared:
        text.append(f"\n{suggestion(compared)}", style="not bold yellow")
    return text


def suggestion(compared: Comparison) -> str:
    """What is tried where no rule is declared."""
    bounds = replicas_of(compared.rules[0].scale)
    return (
        f"{compared.model} has no `scale`: the usual rule for {bounds} replicas is tried (--min, --max), "
        "a suggestion until it is written down"
    )


def _start(compared: Comparison, hardware: Hardware) -> str:
    room = f"room for {hardware.kv_tokens:,} tokens"
    start_s = compared.setting.start_s if compared.setting.start_s is not None else compared.rules[0].scale.start_s
    if start_s is not None:
        return f"a replica answers {start_s:g} s after it was asked for; {room}"
    node = f"a node with its image takes {hardware.node_start_s:.0f} s"
    return f"{node}, the engine on it {hardware.load_s:.0f} s more; {room}"


def _table(compared: Comparison) -> Table:
    """Rules by their bounds and targets. What a narrow terminal has no room for is in `--json` and on the page."""
    wide = data.width >= WIDE
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bright_black")
    table.add_column("  RULE", no_wrap=True)
    for column in (each for each in _COLUMNS if wide or not each.only_wide):
        table.add_column(column.title, justify="right", no_wrap=True)
    for each in shown(compared):
        cells = [column.cell(each, compared) for column in _COLUMNS if wide or not column.only_wide]
        mark = "→ " if each is compared.best else "  "
        table.add_row(mark + compared.kind(each), *cells, style="bold" if each is compared.best else "")
    return table


@dataclass(frozen=True, kw_only=True)
class _Column:
    """A column of the table, and what stands in it."""

    title: str
    cell: Callable[[Tried, Comparison], Text | str]
    only_wide: bool = False


def _p99(tried: Tried, compared: Comparison) -> Text:
    p99 = tried.outcome.ttft_s(0.99)
    slow = compared.limit_s is not None and p99 > compared.limit_s
    return Text(spoken(p99), style="red" if slow else "green" if compared.limit_s else "")


def replicas_of(scale: ModelScale) -> str:
    """Its bounds, in few characters."""
    return f"{scale.min}" if scale.min == scale.max else f"{scale.min}–{scale.max}"


def target(tried: Tried, name: TargetName) -> str:
    """What it wants of one replica; of a fixed number nothing."""
    value: float | None = getattr(tried.scale, name)
    return "–" if value is None or tried.scale.min == tried.scale.max else f"{value:g}"


def priced(value: float | None) -> str:
    """US dollars, where they are known."""
    return "–" if value is None else usd(value)


def _spot(outcome: Outcome) -> float | None:
    return None if outcome.spot_usd is None else sum(outcome.spot_usd) / 2


_COLUMNS = (
    _Column(title="REPLICAS", cell=lambda each, _: replicas_of(each.scale)),
    _Column(title="RUNNING", cell=lambda each, _: target(each, "running")),
    _Column(title="WAITING", cell=lambda each, _: target(each, "waiting")),
    _Column(title="KV", cell=lambda each, _: target(each, "kv_cache")),
    _Column(title="TTFT p50", cell=lambda each, _: spoken(each.outcome.ttft_s(0.5))),
    _Column(title="p99", cell=_p99),
    _Column(title="QUEUE p99", cell=lambda each, _: spoken(each.outcome.wait_s(0.99)), only_wide=True),
    _Column(title="MEAN", cell=lambda each, _: f"{each.outcome.mean_replicas:.1f}"),
    _Column(title="GPU-HOURS", cell=lambda each, _: f"{each.outcome.gpu_hours:.1f}", only_wide=True),
    _Column(title="$", cell=lambda each, _: priced(each.outcome.usd)),
    _Column(title="$ SPOT", cell=lambda each, _: priced(_spot(each.outcome)), only_wide=True),
    _Column(title="$ 1M TOKENS", cell=lambda each, _: priced(each.outcome.usd_million), only_wide=True),
)


def _curves(outcome: Outcome) -> Iterator[Any]:
    width = max(20, min(WIDEST, data.width) - 19)
    moments = outcome.moments
    lasts = max(outcome.lasted_s, 1e-9)

    def over_time(points: list[tuple[float, float]]) -> list[float]:
        return bucketed(points, lasts=lasts, width=width)

    yield Text(f"Over time, with {outcome.title}:", style="bright_black")
    yield plot("replicas up", "", over_time([(each.at_s, float(each.up)) for each in moments]), style="green")
    yield plot("calls waiting", "", over_time([(each.at_s, float(each.waiting)) for each in moments]), style="yellow")
    yield plot("slowest TTFT", "s", over_time(list(outcome.firsts)), style="cyan")
    yield Text(f"{'':>17}0{spoken(lasts):>{width - 1}}", style="bright_black")


def _verdict(compared: Comparison) -> Iterator[Text]:
    from hanok.autoscaling.simulation import as_yaml

    if compared.limit_s is None:
        return
    if compared.best is not None:
        yield Text(found(compared), style="bold green")
        yield Text(f"To write into platform.yaml, below `name: {compared.model}`:", style="bright_black")
        yield Text(as_yaml(compared.best.scale))
        yield Text()
        return
    yield Text(found(compared), style="bold red")
    yield Text("Raise --min or --max, start replicas sooner (--start-s), or plan for quicker GPUs (`deploy.gpu`).")


def found(compared: Comparison) -> str:
    """Which rule is the best, in a sentence; nothing where nobody asked."""
    if compared.limit_s is None:
        return ""
    if compared.best is not None:
        outcome = compared.best.outcome
        cost = "" if outcome.usd is None else f", ${usd(outcome.usd)}"
        told = f"The cheapest with 99 of 100 first tokens in {spoken(compared.limit_s)}: {outcome.title}"
        return f"{told} ({spoken(outcome.ttft_s(0.99))}{cost})"
    quickest = min(compared.rules, key=lambda each: each.outcome.ttft_s(0.99)).outcome
    told = f"No rule that was tried has 99 of 100 first tokens in {spoken(compared.limit_s)}: the quickest takes "
    return f"{told}{spoken(quickest.ttft_s(0.99))} ({quickest.title})"


def spoken(seconds: float) -> str:
    """A time in the unit that reads best."""
    if seconds == 0:
        return "0"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def print_form(compared: Comparison) -> None:
    """The comparison as one JSON object."""
    from hanok.autoscaling.simulation import as_yaml

    best = compared.best
    print_json(
        {
            "model": compared.model,
            "declared": compared.is_declared,
            "machine": compared.setting.hardware.title,
            "trace": str(compared.trace),
            "ttft_p99_limit_s": compared.limit_s,
            "fixed": [each.outcome.form() for each in compared.fixed],
            "rules": [{**each.outcome.form(), "scale": each.scale.model_dump(mode="json")} for each in compared.rules],
            "best": None if best is None else {"rule": best.outcome.title, "yaml": as_yaml(best.scale)},
        }
    )
