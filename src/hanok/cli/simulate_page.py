"""The page of `hanok simulate --html`: one file, curves as SVG, no scripts, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from hanok.cli.money import usd
from hanok.cli.plots import bucketed
from hanok.cli.simulate_view import chosen, found, priced, replicas_of, shown, spoken, suggestion, target

if TYPE_CHECKING:
    from hanok.autoscaling.simulation import Outcome, Tried
    from hanok.cli.simulate_compared import Comparison

WIDTH, HEIGHT, LEFT, BOTTOM = 960, 170, 56, 22
POINTS = 240
_STYLE = """
:root{color-scheme:light dark;--ink:#1d232b;--soft:#68737f;--line:#e2e6ea;--paper:#fff;--card:#f6f8f9;--a:#1f7a5c;
--b:#b7791f;--c:#2b6cb0;--bad:#c0392b}
@media(prefers-color-scheme:dark){:root{--ink:#e8ebee;--soft:#98a3ae;--line:#333b44;--paper:#15191e;--card:#1d2329;--a:#4cc38a;
--b:#e0a94a;--c:#6cb2eb;--bad:#ff7b72}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1120px;margin:0 auto;padding:32px 24px 48px}
h1{font-size:24px;margin:0 0 4px}h2{font-size:15px;margin:28px 0 6px}
p{margin:4px 0;color:var(--soft)}p.found{color:var(--a);font-weight:600;margin-top:14px}p.none{color:var(--bad)}
i{display:inline-block;width:9px;height:9px;border-radius:5px;margin:0 5px 0 14px}i:first-child{margin-left:0}
.cards{display:grid;gap:12px;
grid-template-columns:repeat(auto-fit,minmax(140px,1fr));margin:20px 0}
.card{background:var(--card);border-radius:10px;padding:12px 18px}.card b{display:block;font-size:22px}
.card span{color:var(--soft);font-size:13px}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:6px 8px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--soft);font-weight:500;font-size:13px}th:first-child,td:first-child{text-align:left;white-space:normal}
tr.best td{font-weight:700;background:var(--card)}td.slow{color:var(--bad)}td.good{color:var(--a)}.wide{overflow-x:auto}
svg{width:100%;height:auto;display:block}svg text{fill:var(--soft);font-size:12px}.axis{stroke:var(--line)}
pre{background:var(--card);border-radius:10px;padding:14px 18px;overflow-x:auto}
"""


def page(compared: Comparison) -> str:
    """The page as HTML."""
    body = "\n".join(_parts(compared))
    title = escape(f"{compared.model}: replicas for {compared.trace.name}")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><main>\n{body}\n</main></body></html>\n"
    )


def _parts(compared: Comparison) -> Iterator[str]:
    outcome, hardware = chosen(compared).outcome, compared.setting.hardware
    yield f"<h1>{escape(compared.model)}: how many replicas?</h1>"
    yield f"<p>{outcome.calls:,} calls of {escape(compared.trace.name)} on {escape(hardware.title)}</p>"
    if outcome.left_out:
        yield f"<p>{outcome.left_out:,} calls are longer than the engine takes and were left out.</p>"
    if not compared.is_declared:
        yield f"<p>{escape(suggestion(compared)).replace('`scale`', '<code>scale</code>')}.</p>"
    if told := found(compared):
        yield f'<p class="found{"" if compared.best else " none"}">{escape(told)}</p>'
    yield from _pasted(compared)
    yield f"<h2>With {escape(outcome.title)}</h2>"
    yield _cards(outcome)
    yield from _curves(outcome)
    if len(compared.rules) > 1:
        yield "<h2>Every rule that was tried: what it costs, and its p99 time to the first token</h2>"
        yield _LEGEND
        yield _cloud(compared)
    yield "<h2>Compared</h2>"
    yield _table(compared)
    yield "<p>Simulated with the planner's estimates; no prompt is found in a cache. Prices on demand.</p>"


def _pasted(compared: Comparison) -> Iterator[str]:
    from hanok.autoscaling.simulation import as_yaml

    if compared.best is not None:
        yield f"<p>To write into platform.yaml, below <code>name: {escape(compared.model)}</code>:</p>"
        yield f"<pre>{escape(as_yaml(compared.best.scale))}</pre>"


_LEGEND = (
    '<p><i style="background:var(--soft)"></i>fixed numbers<i style="background:var(--c)"></i>rules'
    '<i style="background:var(--a)"></i>the best; each says what it is when pointed at</p>'
)


def _cards(outcome: Outcome) -> str:
    told = [
        (spoken(outcome.ttft_s(0.99)), "p99 time to first token"),
        (spoken(outcome.ttft_s(0.5)), "median"),
        (f"{outcome.mean_replicas:.1f}", f"replicas on average, {outcome.most} at most"),
        (f"{outcome.gpu_hours:.1f}", "GPU-hours"),
    ]
    if outcome.usd is not None and outcome.usd_million is not None:
        told += [(f"${usd(outcome.usd)}", "on demand"), (f"${usd(outcome.usd_million)}", "a million tokens")]
    cards = "".join(f'<div class="card"><b>{value}</b><span>{what}</span></div>' for value, what in told)
    return f'<div class="cards">{cards}</div>'


def _curves(outcome: Outcome) -> Iterator[str]:
    moments, lasts = outcome.moments, max(outcome.lasted_s, 1e-9)

    def over_time(points: Sequence[tuple[float, float]]) -> list[float]:
        return bucketed(points, lasts=lasts, width=POINTS)

    asked = over_time([(each.at_s, float(each.replicas)) for each in moments])
    up = over_time([(each.at_s, float(each.up)) for each in moments])
    yield "<h2>Replicas: asked for (line) and up (area)</h2>"
    yield _chart(up, "var(--a)", lasts, line=asked)
    yield "<h2>Calls waiting</h2>"
    yield _chart(over_time([(each.at_s, float(each.waiting)) for each in moments]), "var(--b)", lasts)
    yield "<h2>Slowest time to a first token, seconds</h2>"
    yield _chart(over_time(list(outcome.firsts)), "var(--c)", lasts)


def _chart(values: Sequence[float], color: str, lasts: float, *, line: Sequence[float] = ()) -> str:
    """An area over time, and perhaps a line above it."""
    top = max([*values, *line, 1e-9])
    across, down = (WIDTH - LEFT) / len(values), HEIGHT - BOTTOM - 8

    def path(each: Sequence[float]) -> str:
        told = "".join(
            f"L{LEFT + place * across:.1f} {8 + down * (1 - value / top):.1f}H{LEFT + (place + 1) * across:.1f}"
            for place, value in enumerate(each)
        )
        return f"M{LEFT} {8 + down}{told}"

    marks = "".join(_mark(8 + down * (1 - share), f"{top * share:,.3g}") for share in (0.0, 0.5, 1.0))
    times = "".join(
        _text(LEFT + (WIDTH - LEFT) * share, HEIGHT - 4, anchor, spoken(lasts * share))
        for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end"))
    )
    area = f'<path d="{path(values)}V{8 + down}Z" fill="{color}" fill-opacity=".35" stroke="{color}"/>'
    over = f'<path d="{path(line)}" fill="none" stroke="{color}" stroke-dasharray="4 3"/>' if line else ""
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{marks}{times}{area}{over}</svg>'


def _mark(y: float, told: str) -> str:
    """A line across, and what it stands for."""
    line = f'<line class="axis" x1="{LEFT}" x2="{WIDTH}" y1="{y:.0f}" y2="{y:.0f}"/>'
    return _text(LEFT - 8, y + 4, "end", told) + line


def _text(x: float, y: float, anchor: str, told: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{told}</text>'


def _cloud(compared: Comparison) -> str:
    """Rules as dots: the further left the cheaper, the lower the quicker."""
    every = [*compared.fixed, *compared.rules]
    dearest = max(each.cost for each in every) or 1.0
    slowest = max(each.outcome.ttft_s(0.99) for each in every) or 1.0
    tall, down = 260, 260 - BOTTOM - 8

    def dot(each: Tried) -> str:
        outcome, best = each.outcome, each is compared.best
        x = LEFT + (WIDTH - LEFT - 10) * each.cost / dearest
        y = 8 + down * (1 - (outcome.ttft_s(0.99) / slowest) ** 0.5)
        color = "var(--a)" if best else "var(--soft)" if each in compared.fixed else "var(--c)"
        told = f"{outcome.title}: p99 {spoken(outcome.ttft_s(0.99))}, {_cost(outcome)}"
        where = f'cx="{x:.1f}" cy="{y:.1f}" r="{7 if best else 4}" fill="{color}"'
        return f"<circle {where}><title>{escape(told)}</title></circle>"

    marks = "".join(_mark(8 + down * (1 - share**0.5), spoken(slowest * share)) for share in (0.0, 0.1, 0.4, 1.0))
    limit = ""
    if compared.limit_s is not None and compared.limit_s < slowest:
        y = 8 + down * (1 - (compared.limit_s / slowest) ** 0.5)
        limit = f'<line x1="{LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--bad)" stroke-dasharray="4 3"/>'
        limit += _text(WIDTH - 4, y - 5, "end", f"wanted: {spoken(compared.limit_s)}")
    unit = "$" if every[0].outcome.usd is not None else "node seconds "
    axis = (
        f'<line class="axis" x1="{LEFT}" x2="{WIDTH}" y1="{8 + down}" y2="{8 + down}"/>'
        f'<text x="{LEFT}" y="{tall - 4}">{unit}0</text>'
        f'<text x="{WIDTH}" y="{tall - 4}" text-anchor="end">{unit}{dearest:,.2f}</text>'
    )
    return f'<svg viewBox="0 0 {WIDTH} {tall}" role="img">{marks}{axis}{limit}{"".join(map(dot, every))}</svg>'


_TITLES = (
    "Rule", "Replicas", "Running", "Waiting", "KV cache", "TTFT p50", "p99", "Queue p99", "Mean", "GPU-hours",
    "$", "$ spot", "$ 1M tokens",
)  # fmt: skip


def _table(compared: Comparison) -> str:
    head = "".join(f"<th>{title}</th>" for title in _TITLES)
    rows = "".join(_row(each, compared) for each in shown(compared))
    return f'<div class="wide"><table><tr>{head}</tr>{rows}</table></div>'


def _row(tried: Tried, compared: Comparison) -> str:
    outcome, limit = tried.outcome, compared.limit_s
    kind = "" if limit is None else "good" if outcome.ttft_s(0.99) <= limit else "slow"
    spot = "–" if outcome.spot_usd is None else "–".join(usd(each) for each in outcome.spot_usd)
    before = [
        compared.kind(tried), replicas_of(tried.scale), target(tried, "running"), target(tried, "waiting"),
        target(tried, "kv_cache"), spoken(outcome.ttft_s(0.5)),
    ]  # fmt: skip
    after = [
        spoken(outcome.wait_s(0.99)), f"{outcome.mean_replicas:.1f}", f"{outcome.gpu_hours:.1f}",
        priced(outcome.usd), spot, priced(outcome.usd_million),
    ]  # fmt: skip
    best = ' class="best"' if tried is compared.best else ""
    p99 = f'<td class="{kind}">{spoken(outcome.ttft_s(0.99))}</td>'
    return f"<tr{best}>{_cells(before)}{p99}{_cells(after)}</tr>"


def _cells(told: Sequence[str]) -> str:
    return "".join(f"<td>{escape(each)}</td>" for each in told)


def _cost(outcome: Outcome) -> str:
    return f"{outcome.gpu_hours:.1f} GPU-hours" if outcome.usd is None else f"${usd(outcome.usd)}"
