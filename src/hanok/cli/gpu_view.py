"""How GPUs look: for people a table that takes the columns that fit, for machines one object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from hanok.gpu.monitor import LEVELS, Level, Load, Mark, Overview, Row, Seen, Totals
from hanok.gpu.monitor.prices import Pricing

_STYLES: dict[Level, str] = {"bad": "bold red", "attention": "yellow", "waste": "cyan", "good": "green"}
_FAINT = "bright_black"
_UNKNOWN = Text("–", style=_FAINT)
_BAR_CELLS = 6
_MOST_BELOW = 6
"""So many engines and silent sources a screen shows below the GPUs."""
_GIB = 1024


@dataclass(frozen=True, kw_only=True)
class _Column:
    """A column, and how soon it goes where the terminal is narrow: the greatest `rank` first."""

    title: str
    rank: int
    cell: Callable[[Row], Text]
    right: bool = False
    most: int = 40
    """Cells that it takes at most."""


def table(seen: Overview, *, pricing: Pricing, scroll: Scroll | None = None) -> RenderableType:
    """Everything for people. `scroll` says which rows, where not all of them fit."""
    around = [_header(seen, pricing), Text("")]
    most = None if scroll is None else _MOST_BELOW
    below: list[RenderableType] = [Text(""), _loads(seen.loads[:most])] if seen.loads else []
    below += [Text(""), *(_fault(each) for each in seen.faults[:most])] if seen.faults else []
    below += _left_off(len(seen.loads), most, "engines") + _left_off(len(seen.faults), most, "silent sources")
    if not seen.rows:
        return Group(*around, *below)
    return Group(*around, _gpus(seen.rows, scroll, Group(*around, *below)), *below)


def _left_off(count: int, most: int | None, what: str) -> list[Text]:
    """A line that tells how many there are that a screen has no room for."""
    return [] if most is None or count <= most else [Text(f"… {count - most} more {what}", style=_FAINT)]


def _gpus(rows: Sequence[Row], scroll: Scroll | None, around: RenderableType) -> RenderableType:
    """The GPUs, or as many of them as the screen has room for beside what is `around` them."""
    if scroll is None:
        return _Fitting(_COLUMNS, rows)
    above, shown, below = scroll.cut(rows, around)
    if not above and not below:
        return _Fitting(_COLUMNS, shown)
    return Group(_Fitting(_COLUMNS, shown), Text(f"… {above} above, {below} below (↑ ↓)", style=_FAINT))


@dataclass
class Scroll:
    """Which rows the screen shows, from the row `top` on."""

    console: Console
    top: int = 0

    def move(self, rows: int) -> None:
        """Down by so many rows, or up."""
        self.top = max(0, self.top + rows)

    def cut(self, rows: Sequence[Row], around: RenderableType) -> tuple[int, Sequence[Row], int]:
        """How many rows are above, the rows to be shown, how many are below. `around` stands there, too."""
        taken = len(self.console.render_lines(around, pad=False)) + 1  # and the titles
        room = max(3, self.console.height - taken)
        if len(rows) > room:
            room = max(3, room - 1)  # and the line that tells how many are not shown
        self.top = max(0, min(self.top, len(rows) - room))
        shown = rows[self.top : self.top + room]
        return self.top, shown, len(rows) - self.top - len(shown)


class _Fitting:
    """A table as wide as the terminal: long cells are cut where it must be, then columns go."""

    def __init__(self, columns: Sequence[_Column], rows: Sequence[Row]) -> None:
        cells = [(column, [column.cell(row) for row in rows]) for column in columns]
        self._told = [(column, texts) for column, texts in cells if any(text.plain != "–" for text in texts)]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        told = list(self._told)
        if _width(told) > options.max_width:
            told = [(column, [_shortened(text, column.most) for text in texts]) for column, texts in told]
        while len(told) > 1 and _width(told) > options.max_width:
            told.remove(max(told, key=lambda each: each[0].rank))
        table = _new_table()
        for column, _ in told:
            justify = "right" if column.right else "left"
            table.add_column(column.title, justify=justify, no_wrap=True, overflow="ellipsis")
        for texts in zip(*(texts for _, texts in told), strict=True):
            table.add_row(*texts)
        yield table


def _width(told: Sequence[tuple[_Column, list[Text]]]) -> int:
    """Of a table of these columns, a space between them."""
    return sum(max(len(column.title), *(text.cell_len for text in texts)) + 1 for column, texts in told) - 1


def _new_table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style=_FAINT)


def _shortened(text: Text, cells: int) -> Text:
    short = text.copy()
    short.truncate(cells, overflow="ellipsis")
    return short


def _header(seen: Overview, pricing: Pricing) -> Text:
    totals = seen.totals
    if not seen.rows and not seen.loads:
        return Text("No GPU is seen yet.", style="bold")
    parts = [_counted(totals), f"used {_percent(totals.utilization)}"]
    parts += [f"memory {_gib(totals.memory_used_mib)} of {_gib(totals.memory_total_mib)} GiB"]
    parts += [f"{totals.power_w:,.0f} W"] if totals.power_w else []
    if seen.loads:
        parts.append(f"{totals.running:.0f} requests running, {totals.waiting:.0f} waiting")
    head = Text(" · ".join(parts), style="bold")
    for mark, count in sorted(totals.marks.items(), key=lambda each: list(LEVELS).index(each[0])):
        head.append("\n" if head.plain.count("\n") == 0 else " · ")
        head.append(f"{count} {mark}", style=_STYLES[LEVELS[mark]])
    if totals.priced:
        head.append("\n")
        head.append(_money(totals, pricing), style=_FAINT)
    return head


def _counted(totals: Totals) -> str:
    gpus = f"{totals.gpus} GPU" + ("" if totals.gpus == 1 else "s")
    return f"{gpus} in {totals.slices} slices" if totals.slices else gpus


def _money(totals: Totals, pricing: Pricing) -> str:
    catalog = pricing.catalog
    told = f"≈ ${totals.idle_usd_hour:.2f} of ${totals.usd_hour:.2f} an hour idle"
    notes = [f"on demand, {catalog.region}, {catalog.date}"]
    notes += [f"{totals.guessed} GPUs as in the cheapest instance type"] if totals.guessed else []
    unknown = totals.gpus - totals.priced
    notes += [f"{unknown} without a price"] if unknown else []
    return f"{told} (estimate: {'; '.join(notes)})"


# the cells


def _node(row: Row) -> Text:
    """Without the domain, unless it is an address."""
    name = row.reading.node
    host = name.partition(".")[0]
    return Text(name if host.isdecimal() else host)


def _gpu(row: Row) -> Text:
    part = row.reading.slice
    return Text(row.reading.index + (f"/{part.id} {part.profile}".rstrip() if part else ""))


def _name(row: Row) -> Text:
    return Text(row.reading.model.removeprefix("NVIDIA ").partition(" MIG ")[0]) if row.reading.model else _UNKNOWN


def _marks(row: Row) -> Text:
    if row.reading.trouble:
        return Text(row.reading.trouble, style=_STYLES["bad"])
    if not row.marks:
        return Text("ok", style=_STYLES["good"]) if row.reading.utilization is not None else _UNKNOWN
    return Text(" ").join(Text(_mark(each, row), style=_STYLES[LEVELS[each]]) for each in row.marks)


def _mark(mark: Mark, row: Row) -> str:
    return f"xid {row.reading.xid}" if mark == "xid" else mark


def _used(row: Row) -> Text:
    return _figure(_percent(row.reading.utilization), row, "under-used", "idle")


def _memory(row: Row) -> Text:
    full = row.reading.memory_full
    used, total = row.reading.memory_used_mib, row.reading.memory_total_mib
    if full is None or used is None or total is None:
        return _UNKNOWN
    style = _STYLES["attention"] if "full" in row.marks else ""
    return Text.assemble((_bar(full), style or "green"), (f" {_gib(used):>3}/{_gib(total)}", style))


def _bar(share: float) -> str:
    done = round(min(1.0, share) * _BAR_CELLS)
    return "█" * done + "░" * (_BAR_CELLS - done)


def _copying(row: Row) -> Text:
    return _figure(_percent(row.reading.copying), row, "bandwidth")


def _tensor(row: Row) -> Text:
    return _figure(_percent(row.reading.tensor_active), row)


def _temperature(row: Row) -> Text:
    degrees = row.reading.temperature_c
    return _figure("–" if degrees is None else f"{degrees:.0f}°", row, "hot")


def _power(row: Row) -> Text:
    if row.reading.power_w is None:
        return _UNKNOWN
    ceiling = f"/{row.power_ceiling_w:.0f}" if row.power_ceiling_w else ""
    return _figure(f"{row.reading.power_w:.0f}{ceiling}", row, "power")


def _clock(row: Row) -> Text:
    clock = row.reading.clock_mhz
    return _figure("–" if clock is None else f"{clock:.0f}", row, "throttled")


def _who(row: Row) -> Text:
    pods = [pod.name for pod in row.reading.pods]
    processes = [each.name or f"pid {each.pid}" for each in row.reading.processes]
    told = list(dict.fromkeys(pods or processes))
    return Text(", ".join(told)) if told else _UNKNOWN


def _models(row: Row) -> Text:
    names = dict.fromkeys(load.model.rpartition("/")[2] for load in row.loads if load.model)
    return Text(", ".join(names)) if names else _UNKNOWN


def _requests(row: Row) -> Text:
    return Text(f"{_added(row.loads, 'running')}+{_added(row.loads, 'waiting')}") if row.loads else _UNKNOWN


def _cache(row: Row) -> Text:
    known = [load.cache_used for load in row.loads if load.cache_used is not None]
    return Text(_percent(max(known))) if known else _UNKNOWN


def _idle(row: Row) -> Text:
    return _UNKNOWN if row.idle_usd_hour is None else Text(f"{row.idle_usd_hour:.2f}")


_COLUMNS = (
    _Column(title="NODE", rank=3, cell=_node, most=20),
    _Column(title="GPU", rank=0, cell=_gpu, most=14),
    _Column(title="NAME", rank=9, cell=_name, most=20),
    _Column(title="USED", rank=1, cell=_used, right=True),
    _Column(title="MEMORY GIB", rank=2, cell=_memory),
    _Column(title="COPY", rank=10, cell=_copying, right=True),
    _Column(title="TENSOR", rank=12, cell=_tensor, right=True),
    _Column(title="TEMP", rank=4, cell=_temperature, right=True),
    _Column(title="WATT", rank=6, cell=_power, right=True),
    _Column(title="MHZ", rank=11, cell=_clock, right=True),
    _Column(title="REQS", rank=7, cell=_requests, right=True),
    _Column(title="KV", rank=8, cell=_cache, right=True),
    _Column(title="IDLE $/H", rank=5, cell=_idle, right=True, most=8),
    _Column(title="STATE", rank=1, cell=_marks, most=24),
    _Column(title="WHO", rank=5, cell=_who, most=24),
    _Column(title="MODEL", rank=13, cell=_models, most=20),
)


def _figure(text: str, row: Row, *marks: Mark) -> Text:
    """A figure in the colour of the marks that it can bring about."""
    if text == "–":
        return _UNKNOWN
    mark: Mark | None = next((each for each in marks if each in row.marks), None)
    return Text(text, style=_STYLES[LEVELS[mark]] if mark else "")


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _gib(mib: float) -> str:
    return f"{mib / _GIB:,.0f}"


def _added(loads: Sequence[Load], field: str) -> str:
    known = [value for load in loads if (value := getattr(load, field)) is not None]
    return f"{sum(known):.0f}" if known else "–"


# below the GPUs


def _loads(loads: Sequence[Load]) -> Table:
    table = _new_table()
    for title in ("ENGINE", "MODEL", "RUNNING", "WAITING", "KV", "PROMPT TOK/S", "OUTPUT TOK/S"):
        text = title in ("ENGINE", "MODEL")
        table.add_column(title, justify="left" if text else "right", no_wrap=not text, overflow="fold")
    for load in loads:
        counts = (_count(load.running), _count(load.waiting), _percent(load.cache_used))
        table.add_row(load.place, load.model or "–", *counts, _count(load.prompt_rate), _count(load.output_rate))
    return table


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _fault(seen: Seen) -> Text:
    told = Text.assemble(("✗ ", _STYLES["bad"]), (seen.source, "bold"), f": {seen.fault}")
    return told.append(f" ({seen.hint})", style=_FAINT) if seen.hint else told


# the inventory


def inventory(seen: Overview) -> RenderableType:
    """Which GPUs there are, for people."""
    table = _new_table()
    for title in ("NODE", "GPU", "NAME", "CATALOGUE", "GIB", "$/H", "INSTANCE", "UUID"):
        table.add_column(title, no_wrap=title != "UUID", overflow="fold")
    for row in seen.rows:
        total, price = row.reading.memory_total_mib, row.price
        table.add_row(
            _node(row),
            _gpu(row),
            _name(row),
            row.accelerator or "–",
            "–" if total is None else _gib(total),
            "–" if row.usd_hour is None else f"{row.usd_hour:.2f}",
            "–" if price is None else price.instance + ("" if price.exact else "?"),
            row.reading.uuid or "–",
        )
    return Group(table, *(_fault(each) for each in seen.faults))


# for machines


def form(seen: Overview, pricing: Pricing) -> dict[str, Any]:
    """All of it in JSON's terms: shares from 0 to 1, MiB, W, MHz, °C, USD an hour; null is unknown."""
    totals = seen.totals
    return {
        "totals": _rounded(vars(totals) | {"marks": dict(totals.marks)}),
        "prices": {"date": str(pricing.catalog.date), "region": pricing.catalog.region, "estimate": True},
        "gpus": [_row_form(each) for each in seen.rows],
        "engines": [_load_form(each) for each in seen.loads],
        "faults": [{"source": each.source, "fault": each.fault, "hint": each.hint} for each in seen.faults],
    }


def _rounded(told: dict[str, Any]) -> dict[str, Any]:
    """Four places are more than anybody measures."""
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in told.items()}


def _row_form(row: Row) -> dict[str, Any]:
    told, price = row.reading, row.price
    return _rounded({
        "node": told.node,
        "index": told.index,
        "uuid": told.uuid or None,
        "slice": told.slice and {"profile": told.slice.profile, "id": told.slice.id},
        "name": told.model or None,
        "accelerator": row.accelerator,
        "source": told.source,
        "marks": list(row.marks),
        "trouble": told.trouble,
        "utilization": told.utilization,
        "engine_active": told.engine_active,
        "tensor_active": told.tensor_active,
        "memory_bandwidth": told.copying,
        "memory_used_mib": told.memory_used_mib,
        "memory_total_mib": told.memory_total_mib,
        "temperature_c": told.temperature_c,
        "power_w": told.power_w,
        "power_ceiling_w": row.power_ceiling_w,
        "power_limit_w": told.power_limit_w,
        "clock_mhz": told.clock_mhz,
        "clock_ceiling_mhz": row.clock_ceiling_mhz,
        "slowdowns": list(told.slowdowns),
        "xid": told.xid,
        "pods": [vars(each) for each in told.pods],
        "processes": [vars(each) for each in told.processes],
        "engines": [each.place for each in row.loads],
        "usd_hour": row.usd_hour,
        "idle_usd_hour": row.idle_usd_hour,
        "instance_type": price and price.instance,
        "instance_type_exact": price and price.exact,
    })  # fmt: skip


def _load_form(load: Load) -> dict[str, Any]:
    return _rounded({
        "place": load.place,
        "model": load.model or None,
        "source": load.source,
        "running": load.running,
        "waiting": load.waiting,
        "cache_used": load.cache_used,
        "prompt_tokens_per_s": load.prompt_rate,
        "output_tokens_per_s": load.output_rate,
    })  # fmt: skip
