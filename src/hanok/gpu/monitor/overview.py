"""Everything that sources told, put together: one row a GPU or slice, the engines, and what it adds up to. Pure.

Idle dollars are what is paid for the share of time in which a GPU did nothing: (1 − utilisation) × its price. A slice
costs its share of the GPU; what no slice was cut of is idle whole.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hanok.gpu.monitor.prices import Price, Pricing
from hanok.gpu.monitor.readings import Load, Pod, Reading, merged
from hanok.gpu.monitor.watch import Seen
from hanok.gpu.thresholds import (
    BOARDS,
    Board,
    Mark,
    Thresholds,
    clock_ceiling_mhz,
    marks,
    power_ceiling_w,
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A GPU or slice, with what follows from its figures."""

    reading: Reading
    accelerator: str | None
    """The catalogue's name of it."""
    share: float
    """Of its GPU."""
    marks: tuple[Mark, ...]
    power_ceiling_w: float | None
    clock_ceiling_mhz: float | None
    price: Price | None
    loads: tuple[Load, ...]
    """The engines that run on it, as far as that is known."""

    @property
    def usd_hour(self) -> float | None:
        """What it costs."""
        return None if self.price is None else self.price.usd_hour * self.share

    @property
    def idle_usd_hour(self) -> float | None:
        """What of that is paid for nothing."""
        if self.usd_hour is None or self.reading.utilization is None:
            return None
        return self.usd_hour * (1 - self.reading.utilization)


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Of all rows. Sums are of what is known."""

    gpus: int
    slices: int
    utilization: float | None
    """Each GPU counts alike, each slice by its share."""
    memory_used_mib: float
    memory_total_mib: float
    power_w: float
    usd_hour: float
    idle_usd_hour: float
    priced: int
    """GPUs whose price is known."""
    guessed: int
    """… by the cheapest instance type that has such a GPU."""
    running: float
    waiting: float
    prompt_rate: float
    output_rate: float
    marks: Mapping[Mark, int]


@dataclass(frozen=True, kw_only=True)
class Overview:
    """All that is shown."""

    rows: Sequence[Row]
    loads: Sequence[Load]
    faults: Sequence[Seen]
    """Sources that tell nothing now."""
    totals: Totals


def overview(seen: Sequence[Seen], *, limits: Thresholds, pricing: Pricing) -> Overview:
    """What the sources told, as one table."""
    loads = [load for each in seen for load in each.told.loads]
    types = {node: kind for each in seen for node, kind in each.told.types}
    readings = merged(reading for each in seen for reading in each.told.readings)
    alone = sum(each.local for each in loads) == 1
    rows = [
        _row(each, [load for load in loads if _runs_on(load, each, alone=alone)], types, limits, pricing)
        for each in sorted(readings, key=_order)
    ]
    return Overview(rows=rows, loads=loads, faults=[each for each in seen if each.fault], totals=_totals(rows, loads))


def _row(
    reading: Reading, loads: Sequence[Load], types: Mapping[str, str], limits: Thresholds, pricing: Pricing
) -> Row:
    accelerator = pricing.accelerator(reading)
    board: Board | None = BOARDS.get(accelerator or "")
    return Row(
        reading=reading,
        accelerator=accelerator,
        share=pricing.share(reading),
        marks=marks(reading, board, limits),
        power_ceiling_w=power_ceiling_w(reading, board),
        clock_ceiling_mhz=clock_ceiling_mhz(reading, board),
        price=pricing.price(reading, types),
        loads=tuple(loads),
    )


def _runs_on(load: Load, reading: Reading, *, alone: bool) -> bool:
    """By its pod, by a host name that begins with the pod's, or as the only engine of this machine (`alone`)."""
    if load.pod:
        return any(_same(load.pod, pod) for pod in reading.pods)
    if any(load.place.partition(":")[0].partition(".")[0] == pod.name for pod in reading.pods):
        return True
    return alone and load.local and any("vllm" in process.name.lower() for process in reading.processes)


def _same(one: Pod, other: Pod) -> bool:
    return one.name == other.name and (one.namespace == other.namespace or not (one.namespace and other.namespace))


def _order(reading: Reading) -> list[tuple[int, int | str]]:
    """Nodes, GPUs and slices in the order that people count: gpu-2 before gpu-10."""
    text = f"{reading.node} {reading.index} {reading.slice.id if reading.slice else ''}"
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", text, maxsplit=64) if part]


def _totals(rows: Sequence[Row], loads: Sequence[Load]) -> Totals:
    gpus: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        gpus[row.reading.gpu_key].append(row)
    prices = [parts[0].price for parts in gpus.values()]
    return Totals(
        gpus=len(gpus),
        slices=sum(row.reading.slice is not None for row in rows),
        utilization=_mean(rows),
        memory_used_mib=_sum(row.reading.memory_used_mib for row in rows),
        memory_total_mib=_sum(row.reading.memory_total_mib for row in rows),
        power_w=sum(max(row.reading.power_w or 0.0 for row in parts) for parts in gpus.values()),
        usd_hour=_sum(price.usd_hour for price in prices if price),
        idle_usd_hour=_sum(row.idle_usd_hour for row in rows) + sum(_uncut_usd_hour(parts) for parts in gpus.values()),
        priced=sum(price is not None for price in prices),
        guessed=sum(price is not None and not price.exact for price in prices),
        running=_sum(each.running for each in loads),
        waiting=_sum(each.waiting for each in loads),
        prompt_rate=_sum(each.prompt_rate for each in loads),
        output_rate=_sum(each.output_rate for each in loads),
        marks=Counter(mark for row in rows for mark in row.marks),
    )


def _uncut_usd_hour(parts: Sequence[Row]) -> float:
    price = parts[0].price
    return 0.0 if price is None else price.usd_hour * max(0.0, 1 - sum(row.share for row in parts))


def _mean(rows: Iterable[Row]) -> float | None:
    known = [(row.reading.utilization, row.share) for row in rows if row.reading.utilization is not None]
    weight = sum(share for _, share in known)
    return sum(value * share for value, share in known) / weight if weight else None


def _sum(values: Iterable[float | None]) -> float:
    return sum(value for value in values if value is not None)
