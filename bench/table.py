"""The figures as a table for people."""

from rich.table import Table

from measure import CONNECTIONS, STREAMS, Figures
from rivals import GATEWAYS

COLUMNS = (
    ("rps_32", "req/s", "{:,.0f}"),
    ("p50_ms", "+p50 ms", "{:.2f}"),
    ("p99_ms", "+p99 ms", "{:.2f}"),
    ("chunks_per_s", "chunks/s", "{:,.0f}"),
    ("rss_mib", "MiB", "{:,.0f}"),
    ("ready_s", "ready s", "{:.1f}"),
)
LEGEND = " ".join(
    (
        f"req/s: answers a second over {CONNECTIONS} connections.",
        "+p50, +p99: latency added to the engine's own, one request at a time (direct: the whole latency).",
        f"chunks/s: events a second received by {STREAMS} streams at once.",
        "MiB: memory of all its processes after the load. ready: from its start to its first good answer.",
        "Medians; ×: divided by hanok's figure.",
        "≥: nearly as fast as direct, so that the load generator was the limit.",
    )
)
NEAR_DIRECT = 0.8


def cell(measure: str, form: str, mine: dict[str, float], hanoks: dict[str, float], directs: dict[str, float]) -> str:
    if measure not in mine:
        return "–"
    text = form.format(mine[measure])
    # As fast as no gateway at all: then the load and the engine were the limit, and the gateway may be faster still.
    if measure in ("rps_32", "chunks_per_s") and mine is not directs and measure in directs:
        text = f"≥ {text}" if mine[measure] > NEAR_DIRECT * directs[measure] else text
    if mine is hanoks or mine is directs or hanoks.get(measure, 0) <= 0:
        return text
    return f"{text}\n[dim]{mine[measure] / hanoks[measure]:.2f} ×[/dim]"


def table_of(figures: dict[str, Figures], one_core: bool) -> Table:
    medians = {name: each.medians() for name, each in figures.items()}
    hanoks, directs = medians.get("hanok", {}), medians.get("direct", {})
    does = {gateway.name: gateway.does for gateway in GATEWAYS} | {"direct": "no gateway: the engine itself"}
    where = "all on ONE core, there is no other" if one_core else "the gateway on a core of its own"
    beside = [f"{name}: {does[name]}." for name in medians]
    table = Table(title=f"The same work, {where}", caption="\n".join([*beside, "", LEGEND]), show_lines=True)
    table.caption_justify = "left"
    table.add_column("")
    for _, title, _ in COLUMNS:
        table.add_column(title, justify="right")
    for name, mine in medians.items():
        failed = figures[name].failed
        cells = [
            "failed" if measure in failed else cell(measure, form, mine, hanoks, directs)
            for measure, _, form in COLUMNS
        ]
        table.add_row(name, *cells)
    return table
