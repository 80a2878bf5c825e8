"""The figures as tables for people."""

from rich.table import Table

from measure import CONNECTIONS, INTERVAL_MS, STEADY_STREAMS, STREAMS, Figures
from rivals import GATEWAYS

Columns = tuple[tuple[str, str, str], ...]  # measure, title, form

REQUESTS: Columns = (
    ("rps_32", "req/s", "{:,.0f}"),
    ("cpu_us_request", "CPU µs/request", "{:,.0f}"),
    ("p50_ms", "+p50 ms", "{:.2f}"),
    ("p99_ms", "+p99 ms", "{:.2f}"),
    ("rss_mib", "MiB", "{:,.0f}"),
    ("ready_s", "ready s", "{:.1f}"),
)
STREAMED: Columns = (
    ("steady_per_s", "chunks/s", "{:,.0f}"),
    ("gap_p99_ms", "+gap ms", "{:.1f}"),
    ("delay_p99_ms", "+delay ms", "{:,.1f}"),
    ("cpu_us_chunk", "CPU µs/chunk", "{:,.1f}"),
    ("chunks_per_s", "most/s", "{:,.0f}"),
)
REQUESTS_LEGEND = " ".join(
    (
        f"req/s: answers a second over {CONNECTIONS} connections. CPU: what all its processes computed for them; the",
        "figure that other work on the machine disturbs least.",
        "+p50, +p99: latency added to the engine's own, one request at a time (direct: the whole latency).",
        "MiB: memory of all its processes after the load. ready: from its start to its first good answer.",
        "Medians; ×: divided by hanok's figure.",
        "≥: nearly as fast as direct, so that the load generator was the limit.",
    )
)
STREAMED_LEGEND = " ".join(
    (
        f"chunks/s: received by {STEADY_STREAMS} streams at once, which each get one every {INTERVAL_MS:.0f} ms.",
        "+gap: what the time between two chunks has beyond what it had at the engine; +delay: how long a chunk",
        "takes from the engine to the client; both 99th percentiles, less those of direct, which stand in its row.",
        "Gaps alone would flatter who holds whole streams back and sends them at once.",
        f"most/s: chunks that {STREAMS} streams at once receive from an engine that does not wait.",
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
    if mine is hanoks or mine is directs or hanoks.get(measure, 0) <= 0 or mine[measure] <= 0:
        return text
    return f"{text}\n[dim]{mine[measure] / hanoks[measure]:.2f} ×[/dim]"


def tables_of(figures: dict[str, Figures], left_out: dict[str, str], one_core: bool) -> list[Table]:
    does = {gateway.name: gateway.does for gateway in GATEWAYS} | {"direct": "no gateway: the engine itself"}
    where = "all on ONE core, there is no other" if one_core else "the gateway on a core of its own"
    beside = [f"{name}: {does[name]}." for name in figures]
    beside += [f"{name} is left out: {reason}" for name, reason in left_out.items()]
    beside += [f"{note}." for each in figures.values() for note in each.notes]
    return [
        table_of(f"Whole answers, {where}", figures, REQUESTS, "\n".join([*beside, "", REQUESTS_LEGEND])),
        table_of(f"Streamed answers, {where}", figures, STREAMED, STREAMED_LEGEND),
    ]


def table_of(title: str, figures: dict[str, Figures], columns: Columns, caption: str) -> Table:
    medians = {name: each.medians() for name, each in figures.items()}
    hanoks, directs = medians.get("hanok", {}), medians.get("direct", {})
    table = Table(title=title, caption=caption, show_lines=True)
    table.caption_justify = "left"
    table.add_column("", no_wrap=True)
    for _, heading, _ in columns:
        table.add_column(heading, justify="right")
    for name, mine in medians.items():
        failed = figures[name].failed
        cells = [
            "failed" if measure in failed else cell(measure, form, mine, hanoks, directs)
            for measure, _, form in columns
        ]
        table.add_row(name, *cells)
    return table
