"""GPUs, as the DCGM exporter tells: use, memory, heat, power, faults, and what idleness costs."""

from __future__ import annotations

from hanok.kubernetes.alerts.gpus import ACTIVE, IDLE_USD, LIMITS, MEMORY, PAID_USD
from hanok.kubernetes.dashboards.panel import GREEN, RED, YELLOW, Board, Panel, Query, Row, figure
from hanok.kubernetes.dashboards.queries import lines, per_second, share

_PICK = 'node=~"$node"'
_BY = "node, gpu"


def gpu_board(*, priced: bool) -> Board:
    """`priced`: whether rules record what GPUs cost."""
    return Board(
        name="gpus", title="GPUs", variables={"node": "label_values(DCGM_FI_DEV_GPU_TEMP, node)"},
        rows=[_now(), *([_idle()] if priced else []), _use(), _health()],
    )  # fmt: skip


def _now() -> Row:
    used = f"avg(DCGM_FI_PROF_GR_ENGINE_ACTIVE{{{_PICK}}})"
    return Row(title="Now", panels=[
        figure("GPUs", f"count(DCGM_FI_DEV_GPU_TEMP{{{_PICK}}})"),
        figure("In use", used, "percentunit", ((LIMITS.idle, YELLOW), (LIMITS.busy, GREEN))),
        figure("Hottest", f"max(DCGM_FI_DEV_GPU_TEMP{{{_PICK}}})", "celsius", ((LIMITS.hot_c, RED),)),
        figure("Power", f"sum(DCGM_FI_DEV_POWER_USAGE{{{_PICK}}})", "watt"),
        figure("Fullest memory", f"max({_picked(MEMORY)})", "percentunit", ((LIMITS.full, RED),)),
        figure("Idle for an hour", f"count(avg_over_time(({ACTIVE % _PICK})[1h:5m]) < {LIMITS.idle:g}) or vector(0)"),
    ])  # fmt: skip


def _picked(expr: str) -> str:
    """An expression over the exporter's memory fields, of the nodes that are picked."""
    for field in ("FB_USED", "FB_FREE", "FB_RESERVED"):
        expr = expr.replace(f"DCGM_FI_DEV_{field}", f"DCGM_FI_DEV_{field}{{{_PICK}}}")
    return expr


def _idle() -> Row:
    about = "At the price of each pool's cheapest machine, on demand. A GPU that works half of the time costs half."
    return Row(title="Money", panels=[
        Panel(title="Paid for idleness, an hour", unit="currencyUSD", about=about, stacked=True,
              queries=lines(IDLE_USD, "accelerator")),
        Panel(title="Paid in all, an hour", unit="currencyUSD", about=about, stacked=True,
              queries=lines(PAID_USD, "accelerator")),
        Panel(title="Share that is paid for idleness", unit="percentunit", most=1,
              queries=lines(share(IDLE_USD, PAID_USD), "accelerator")),
    ])  # fmt: skip


def _use() -> Row:
    """What goes over PCIe is bytes a second as it comes, whatever older lists of counters call it."""
    return Row(title="Use", panels=[
        Panel(title="In use", unit="percentunit", most=1, about="Share of time in which anything ran; of slices, each.",
              queries=lines(f"DCGM_FI_PROF_GR_ENGINE_ACTIVE{{{_PICK}}}", "node, gpu, GPU_I_PROFILE")),
        Panel(title="Tensor cores", unit="percentunit", most=1,
              queries=lines(f"DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{{{_PICK}}}", "node, gpu, GPU_I_PROFILE")),
        Panel(title="Memory read and written", unit="percent", most=100, thresholds=((LIMITS.copying * 100, YELLOW),),
              queries=lines(f"DCGM_FI_DEV_MEM_COPY_UTIL{{{_PICK}}}", _BY)),
        Panel(title="Memory in use", unit="percentunit", most=1, thresholds=((LIMITS.full, RED),),
              queries=lines(_picked(MEMORY), _BY)),
        Panel(title="Memory", unit="mbytes", stacked=True, queries=lines(f"DCGM_FI_DEV_FB_USED{{{_PICK}}}", _BY)),
        Panel(title="Over PCIe", unit="Bps", queries=[
            Query(expr=f"sum by (node) (DCGM_FI_PROF_PCIE_RX_BYTES{{{_PICK}}})",
                  legend="{{node}} in"),
            Query(expr=f"sum by (node) (DCGM_FI_PROF_PCIE_TX_BYTES{{{_PICK}}})",
                  legend="{{node}} out"),
        ]),
    ])  # fmt: skip


def _health() -> Row:
    return Row(title="Health", panels=[
        Panel(title="Heat", unit="celsius", thresholds=((LIMITS.hot_c, RED),),
              queries=lines(f"DCGM_FI_DEV_GPU_TEMP{{{_PICK}}}", _BY)),
        Panel(title="Power", unit="watt", queries=lines(f"DCGM_FI_DEV_POWER_USAGE{{{_PICK}}}", f"{_BY}, modelName")),
        Panel(title="Clock", unit="hertz", about="Below its usual, while it works, it is throttled.",
              queries=lines(f"DCGM_FI_DEV_SM_CLOCK{{{_PICK}}} * 1e6", _BY)),
        Panel(title="Last XID", queries=lines(f"DCGM_FI_DEV_XID_ERRORS{{{_PICK}}}", _BY), thresholds=((1, RED),)),
        Panel(title="Memory rows replaced", thresholds=((1, YELLOW),), queries=[
            *lines(f"DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS{{{_PICK}}}", _BY),
            Query(expr=f"DCGM_FI_DEV_ROW_REMAP_FAILURE{{{_PICK}}}", legend="{{node}} {{gpu}} cannot"),
        ]),
        Panel(title="Energy an hour", unit="kwatth", queries=lines(
            f"{per_second('DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION', 'node', _PICK)} / 1e6", "node")),
    ])  # fmt: skip
