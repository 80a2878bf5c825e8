"""How `hanok simulate` looks: for people a table and curves, for machines one object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from hanok.cli.money import usd
from hanok.cli.plots import bucketed, plot
from hanok.cli.terminal import data, print_json
from hanok.gpu import DENSE_ERROR

if TYPE_CHECKING:
    from hanok.autoscaling.simulation import Hardware, Outcome, Tried
    from hanok.cli.simulate_compared import Comparison

SHOWN = 12
WIDEST = 100


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
    return text


def _start(compared: Comparison, hardware: Hardware) -> str:
    room = f"room for {hardware.kv_tokens:,} tokens"
    start_s = compared.setting.start_s if compared.setting.start_s is not None else compared.rules[0].scale.start_s
    if start_s is not None:
        return f"a replica answers {start_s:g} s after it was asked for; {room}"
    node = f"a node with its image takes {hardware.node_start_s:.0f} s"
    return f"{node}, the engine on it {hardware.load_s:.0f} s more; {room}"


def _table(compared: Comparison) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bright_black")
    table.add_column("REPLICAS BY", overflow="fold")
    for title in ("TTFT p50", "p99", "QUEUE p99", "MEAN", "MAX", "GPU-HOURS", "$", "$ SPOT", "$ 1M TOKENS"):
        table.add_column(title, justify="right", no_wrap=True)
    for each in shown(compared):
        table.add_row(*_row(each, compared), style="bold" if each is compared.best else "")
    return table


def _row(tried: Tried, compared: Comparison) -> Iterator[Text | str]:
    outcome = tried.outcome
    p99 = outcome.ttft_s(0.99)
    slow = compared.limit_s is not None and p99 > compared.limit_s
    mark = "→ " if tried is compared.best else ""
    yield f"{mark}{outcome.title}"
    yield spoken(outcome.ttft_s(0.5))
    yield Text(spoken(p99), style="red" if slow else "green" if compared.limit_s else "")
    yield spoken(outcome.wait_s(0.99))
    yield f"{outcome.mean_replicas:.1f}"
    yield str(outcome.most)
    yield f"{outcome.gpu_hours:.1f}"
    yield "–" if outcome.usd is None else usd(outcome.usd)
    yield "–" if outcome.spot_usd is None else usd(sum(outcome.spot_usd) / 2)
    yield "–" if outcome.usd_million is None else usd(outcome.usd_million)


def _curves(outcome: Outcome) -> Iterator[Any]:
    width = max(20, min(WIDEST, data.width) - 19)
    moments = outcome.moments
    lasts = max(outcome.lasted_s, 1e-9)

    def over_time(points: list[tuple[float, float]]) -> list[float]:
        return bucketed(points, lasts=lasts, width=width)

    yield plot("replicas up", "", over_time([(each.at_s, float(each.up)) for each in moments]), style="green")
    yield plot("calls waiting", "", over_time([(each.at_s, float(each.waiting)) for each in moments]), style="yellow")
    yield plot("slowest TTFT", "s", over_time(list(outcome.firsts)), style="cyan")
    yield Text(f"{'':>17}0{spoken(lasts):>{width - 1}}", style="bright_black")


def _verdict(compared: Comparison) -> Iterator[Text]:
    from hanok.autoscaling.simulation import as_yaml

    if compared.limit_s is None:
        return
    if compared.best is not None:
        outcome = compared.best.outcome
        cost = "" if outcome.usd is None else f", ${usd(outcome.usd)}"
        told = f"The cheapest with 99 of 100 first tokens in {spoken(compared.limit_s)}: "
        yield Text(f"{told}{spoken(outcome.ttft_s(0.99))}{cost}", style="bold green")
        yield Text(as_yaml(compared.best.scale))
        yield Text()
        return
    quickest = min(compared.rules, key=lambda each: each.outcome.ttft_s(0.99)).outcome
    told = f"No rule that was tried has 99 of 100 first tokens in {spoken(compared.limit_s)}: the quickest takes "
    yield Text(f"{told}{spoken(quickest.ttft_s(0.99))} ({quickest.title})", style="bold red")
    yield Text("Raise --min or --max, start replicas sooner (--start-s), or plan for quicker GPUs (`deploy.gpu`).")


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
            "machine": compared.setting.hardware.title,
            "trace": str(compared.trace),
            "ttft_p99_limit_s": compared.limit_s,
            "fixed": [each.outcome.form() for each in compared.fixed],
            "rules": [{**each.outcome.form(), "scale": each.scale.model_dump(mode="json")} for each in compared.rules],
            "best": None if best is None else {"rule": best.outcome.title, "yaml": as_yaml(best.scale)},
        }
    )
