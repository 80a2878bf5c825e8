"""Alerts on GPUs: the same thresholds as `hanok gpu top` has, as rules of Prometheus on the DCGM exporter's metrics.

Load is that of the graphics engine (`PROF_GR_ENGINE_ACTIVE`): `GPU_UTIL` knows nothing of MIG slices.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hanok.gpu.thresholds import BOARDS, Thresholds
from hanok.kubernetes.alerts.gpus import MEMORY
from hanok.kubernetes.component import Body
from hanok.kubernetes.objects import labels, thing
from hanok.kubernetes.places import OBSERVABILITY, PROMETHEUS_RELEASE
from hanok.kubernetes.plan import ClusterPlan

NAME = "gpus"
LIMITS = Thresholds()
WHICH = "GPU {{ $labels.gpu }} of {{ $labels.node }}"
_VARIANT = re.compile(r"\s+(\d+GB|SXM|Server)\b.*")


def alerts(plan: ClusterPlan) -> Body:
    """The rules for every GPU, and those for the kinds that are in the cluster."""
    rules = [*_general(), *_of_boards(plan)]
    marks = {**labels(NAME, "gpu-operator"), "release": PROMETHEUS_RELEASE}
    spec: Body = {"groups": [{"name": "gpus", "rules": rules}]}
    return thing("monitoring.coreos.com/v1", "PrometheusRule", NAME, OBSERVABILITY, labels=marks, spec=spec)


def _general() -> Iterator[Body]:
    yield _rule("GpuHot", f"DCGM_FI_DEV_GPU_TEMP >= {LIMITS.hot_c:g}", "5m", "warning", "is {{ $value }} °C hot")
    yield _rule(
        "GpuMemoryFull", f"{MEMORY} >= {LIMITS.full:g}", "10m", "warning",
        "has {{ $value | humanizePercentage }} of its memory in use",
    )  # fmt: skip
    yield _rule(
        "GpuFault", "DCGM_FI_DEV_XID_ERRORS > 0", "0m", "critical",
        "told of fault {{ $value }} (NVIDIA's list of XID errors says which)",
    )  # fmt: skip
    yield _rule(
        "GpuMemoryBroken", "DCGM_FI_DEV_ROW_REMAP_FAILURE > 0", "0m", "critical",
        "cannot replace broken memory any more: take the machine out",
    )  # fmt: skip
    yield _rule(
        "GpuBandwidthBusy", f"DCGM_FI_DEV_MEM_COPY_UTIL > {LIMITS.copying * 100:g}", "30m", "info",
        "moves memory {{ $value }} % of the time",
    )  # fmt: skip
    load = "avg_over_time(DCGM_FI_PROF_GR_ENGINE_ACTIVE[1h])"
    yield _rule("GpuIdle", f"{load} < {LIMITS.idle:g}", "1h", "info", "does nothing, and is paid for")
    yield _rule(
        "GpuUnderUsed", f"{load} >= {LIMITS.idle:g} and {load} <= {LIMITS.busy:g}", "6h", "info",
        "is in use {{ $value | humanizePercentage }} of the time",
    )  # fmt: skip


def _of_boards(plan: ClusterPlan) -> Iterator[Body]:
    """What is much of power and a slow clock differs from one kind of GPU to the next."""
    for name in sorted({pool.accelerator for pool in plan.pools} & set(BOARDS)):
        board, model = BOARDS[name], _model(plan, name)
        kind = "".join(part.capitalize() for part in name.split("-"))
        yield _rule(
            f"GpuPower{kind}", f"DCGM_FI_DEV_POWER_USAGE{model} > {LIMITS.power * board.power_w:g}", "15m", "info",
            f"takes {{{{ $value }}}} W of {board.power_w:g} W",
        )  # fmt: skip
        if board.clock_mhz:
            slow = f"DCGM_FI_DEV_SM_CLOCK{model} < {LIMITS.clock * board.clock_mhz:g}"
            busy = f"DCGM_FI_PROF_GR_ENGINE_ACTIVE{model} > {LIMITS.busy:g}"
            yield _rule(
                f"GpuThrottled{kind}", f"{slow} and on (gpu, node) {busy}", "10m", "warning",
                f"is busy at {{{{ $value }}}} MHz of {board.clock_mhz:g} MHz: heat or power hold it back",
            )  # fmt: skip


def _model(plan: ClusterPlan, accelerator: str) -> str:
    """The label by which the exporter names this kind of GPU: its title without memory and form."""
    title = _VARIANT.sub("", plan.catalog.accelerators[accelerator].title)
    return f'{{modelName=~"{title}.*"}}'


def _rule(name: str, expression: str, lasts: str, severity: str, words: str) -> Body:
    return {
        "alert": name,
        "expr": expression,
        **({} if lasts == "0m" else {"for": lasts}),
        "labels": {"severity": severity},
        "annotations": {"summary": f"{WHICH} {words}"},
    }
