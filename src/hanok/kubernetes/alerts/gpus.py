"""Of GPUs, as the DCGM exporter tells: heat, memory, bandwidth, power, faults, and GPUs that stand idle.

Figures are those of `hanok gpu top`. Use is `DCGM_FI_PROF_GR_ENGINE_ACTIVE`: `GPU_UTIL` says nothing of MIG slices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hanok.gpu.thresholds import BOARDS, Thresholds
from hanok.kubernetes.alerts.alert import Alert, Recorded
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.pools import Pool

LIMITS = Thresholds()
NAMES: Mapping[str, str] = {
    "t4": "Tesla T4",
    "t4g": "NVIDIA T4G",
    "v100": "Tesla V100.*",
    "a10g": "NVIDIA A10G",
    "l4": "NVIDIA L4",
    "l40s": "NVIDIA L40S",
    "rtx-pro-6000": "NVIDIA RTX PRO 6000.*",
    "a100-40gb": "NVIDIA A100.*40GB",
    "a100-80gb": "NVIDIA A100.*80GB",
    "h100": "NVIDIA H100.*",
    "h200": "NVIDIA H200.*",
    "b200": "NVIDIA B200",
}
"""The exporter's `modelName`, a pattern, by the catalogue's name of the accelerator."""
MEMORY = (
    "DCGM_FI_DEV_FB_USED / (DCGM_FI_DEV_FB_USED + DCGM_FI_DEV_FB_FREE + "
    "(DCGM_FI_DEV_FB_RESERVED or 0 * DCGM_FI_DEV_FB_USED))"
)
"""The share that is in use. What the driver keeps is in some lists of counters only."""
ACTIVE = "avg by (node, gpu, modelName) (DCGM_FI_PROF_GR_ENGINE_ACTIVE{%s})"
"""How busy a GPU is; of its slices, on average."""
_ONE = "GPU {{ $labels.gpu }} of {{ $labels.node }}"
IDLE_USD = "hanok:gpu_idle_usd_per_hour"
PAID_USD = "hanok:gpu_usd_per_hour"


def gpu_records(plan: ClusterPlan) -> list[Recorded]:
    """What GPUs cost, and what of that is paid for idleness: at the price of each pool's cheapest machine."""
    found: list[Recorded] = []
    for accelerator, usd in sorted(prices(plan.pools).items()):
        pick, marks = f'modelName=~"{NAMES[accelerator]}"', {"accelerator": accelerator}
        active = ACTIVE % pick
        found.append(Recorded(name=IDLE_USD, expr=f"sum(1 - {active}) * {usd:.4g}", labels=marks))
        found.append(Recorded(name=PAID_USD, expr=f"count({active}) * {usd:.4g}", labels=marks))
    return found


def prices(pools: list[Pool]) -> dict[str, float]:
    """USD an hour of one GPU, by accelerator, as far as both the price and the exporter's name are known."""
    found: dict[str, float] = {}
    for pool in pools:
        usd = [each.usd_hour / pool.gpus for _, each in pool.machines if each.usd_hour is not None]
        if usd and pool.accelerator in NAMES:
            found.setdefault(pool.accelerator, min(usd))
    return found


def gpu_alerts(plan: ClusterPlan) -> list[Alert]:
    """Thresholds of heat, memory, bandwidth and power; faults; idleness."""
    return [
        Alert(
            name="GpuHot", minutes=5, severity="warning",
            expr=f"DCGM_FI_DEV_GPU_TEMP > {LIMITS.hot_c:g}",
            summary=f"{_ONE} is at {{{{ $value }}}} °C",
            todo="It will slow down. On cloud machines, drain the node and let it be replaced.",
        ),
        Alert(
            name="GpuMemoryFull", minutes=10, severity="warning",
            expr=f"{MEMORY} > {LIMITS.full:g}",
            summary=f"Memory of {_ONE} is {{{{ $value | humanizePercentage }}}} full",
            todo="The next allocation may fail. Lower the engine's memory share, or its context.",
        ),
        Alert(
            name="GpuMemoryBandwidth", minutes=30, severity="info",
            expr=f"DCGM_FI_DEV_MEM_COPY_UTIL > {LIMITS.copying * 100:g}",
            summary=f"Memory of {_ONE} is read and written {{{{ $value }}}} % of the time",
            todo="Its bandwidth bounds it: larger batches or FP8 do more with it than further GPUs.",
        ),
        *_power(plan),
        Alert(
            name="GpuXid", minutes=0, severity="critical",
            expr="DCGM_FI_DEV_XID_ERRORS > 0 and changes(DCGM_FI_DEV_XID_ERRORS[15m]) > 0",
            summary=f"{_ONE} reports XID {{{{ $value }}}}",
            todo="31 is most often the program's own fault; 48, 63, 64, 74, 79, 94, 95 are the GPU's: drain the node.",
        ),
        Alert(
            name="GpuMemoryBroken", minutes=0, severity="critical",
            expr="DCGM_FI_DEV_ROW_REMAP_FAILURE > 0",
            summary=f"{_ONE} cannot replace broken memory any more",
            todo="Drain the node; the GPU must be exchanged.",
        ),
        Alert(
            name="GpuIdle", minutes=60, severity="info",
            expr=f"{ACTIVE % ''} < {LIMITS.idle:g}".replace("{}", ""),
            summary=f"{_ONE} has stood idle for an hour",
            todo="It is paid for. Lower the model's least replicas, or put small models on one GPU.",
        ),
    ]  # fmt: skip


def _power(plan: ClusterPlan) -> Iterator[Alert]:
    """The exporter gives out no limit of power, so data sheets stand in."""
    for accelerator in sorted({pool.accelerator for pool in plan.pools} & NAMES.keys() & BOARDS.keys()):
        watt = BOARDS[accelerator].power_w * LIMITS.power
        yield Alert(
            name="GpuPower", minutes=30, severity="info",
            expr=f'DCGM_FI_DEV_POWER_USAGE{{modelName=~"{NAMES[accelerator]}"}} > {watt:g}',
            summary=f"{_ONE} draws {{{{ $value }}}} W",
            todo=f"That is over {LIMITS.power:.0%} of what its data sheet says. Heat and throttling follow.",
        )  # fmt: skip
