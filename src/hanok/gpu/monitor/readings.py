"""What sources tell, in one form: a `Reading` of each GPU or MIG slice, and the `Load` of each engine.

Everything but the place is optional, as no source tells all of it: what is not known is None, never 0. Shares go from
0 to 1. The same GPU told of by two sources has the same `key`, so that their readings can be put together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

_LISTS = ("pods", "processes", "slowdowns")


@dataclass(frozen=True, kw_only=True)
class Pod:
    """A pod that holds a GPU, and the container in it."""

    namespace: str
    name: str
    container: str = ""


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process on a GPU."""

    pid: int
    name: str
    memory_mib: float | None = None


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A MIG slice: NVIDIA's name of its profile, and the id of its GPU instance."""

    profile: str
    id: str


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One GPU, or one MIG slice of it, as it is now."""

    source: str
    node: str
    index: str
    uuid: str = ""
    model: str = ""
    """Its name as the driver tells it."""
    slice: Slice | None = None
    gpu_utilization: float | None = None
    """Share of time in which any kernel ran. Says nothing of slices."""
    engine_active: float | None = None
    """Share of time in which the compute engine was active: GR_ENGINE_ACTIVE."""
    tensor_active: float | None = None
    dram_active: float | None = None
    copy_utilization: float | None = None
    """Share of time in which memory was read or written."""
    memory_used_mib: float | None = None
    memory_free_mib: float | None = None
    memory_reserved_mib: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    power_default_w: float | None = None
    """What its maker lets it draw (TDP)."""
    power_limit_w: float | None = None
    """What it may draw now."""
    clock_mhz: float | None = None
    clock_most_mhz: float | None = None
    slowdowns: tuple[str, ...] = ()
    """Why its clocks are held down."""
    xid: int | None = None
    """The last error that the driver reported; 0 is none."""
    pods: tuple[Pod, ...] = ()
    processes: tuple[Process, ...] = ()
    instance_type: str | None = None
    trouble: str | None = None
    """Why it cannot be read, where it cannot."""

    @property
    def gpu_key(self) -> tuple[str, ...]:
        """The GPU that this is, or is a slice of."""
        return (self.uuid,) if self.uuid else (self.node, self.index)

    @property
    def key(self) -> tuple[str, ...]:
        """Which GPU or slice this is, whoever tells of it."""
        return (*self.gpu_key, self.slice.id if self.slice else "")

    @property
    def utilization(self) -> float | None:
        """How busy it is. GPU_UTIL knows nothing of slices, so only GR_ENGINE_ACTIVE speaks for one."""
        if self.slice or self.gpu_utilization is None:
            return self.engine_active
        return self.gpu_utilization

    @property
    def copying(self) -> float | None:
        """How busy its memory is."""
        if self.slice or self.copy_utilization is None:
            return self.dram_active
        return self.copy_utilization

    @property
    def memory_total_mib(self) -> float | None:
        """Used, free and reserved together."""
        if self.memory_used_mib is None or self.memory_free_mib is None:
            return None
        return self.memory_used_mib + self.memory_free_mib + (self.memory_reserved_mib or 0.0)

    @property
    def memory_full(self) -> float | None:
        """The share of its memory that is used."""
        total = self.memory_total_mib
        return self.memory_used_mib / total if total and self.memory_used_mib is not None else None


@dataclass(frozen=True, kw_only=True)
class Load:
    """What an engine tells of itself. Rates are tokens a second."""

    source: str
    model: str
    place: str
    """Where it runs: a pod, an endpoint, or the address that was asked."""
    pod: Pod | None = None
    local: bool = False
    """It answers on this machine."""
    running: float | None = None
    waiting: float | None = None
    cache_used: float | None = None
    """Share of its KV cache in use."""
    prompt_tokens: float | None = None
    output_tokens: float | None = None
    prompt_rate: float | None = None
    output_rate: float | None = None


@dataclass(frozen=True, kw_only=True)
class Told:
    """What one source told at one time. `types` are instance types by node."""

    readings: tuple[Reading, ...] = ()
    loads: tuple[Load, ...] = ()
    types: tuple[tuple[str, str], ...] = ()


def merged(readings: Iterable[Reading]) -> list[Reading]:
    """One reading a GPU or slice: who told first is believed, who came later fills in what is missing.

    Where slices are told of, their GPU gives them its temperature, power and clocks, and is not listed itself.
    """
    found: dict[tuple[str, ...], Reading] = {}
    for each in readings:
        found[each.key] = _filled(found[each.key], each) if each.key in found else each
    sliced = {each.gpu_key for each in found.values() if each.slice}
    wholes = {each.gpu_key: each for each in found.values() if not each.slice and each.gpu_key in sliced}
    rest = [each for each in found.values() if each.slice or each.gpu_key not in sliced]
    return [_of_whole(each, wholes[each.gpu_key]) if each.gpu_key in wholes else each for each in rest]


def _filled(first: Reading, later: Reading) -> Reading:
    missing = {
        field.name: getattr(later, field.name)
        for field in fields(Reading)
        if field.name not in _LISTS and getattr(first, field.name) in (None, "")
    }
    lists = {name: tuple(dict.fromkeys(getattr(first, name) + getattr(later, name))) for name in _LISTS}
    if first.memory_total_mib is not None:  # figures of one memory come from one source
        missing = {name: value for name, value in missing.items() if not name.startswith("memory_")}
    if later.trouble and not first.trouble:
        missing.pop("trouble")
    return replace(first, **missing, **lists)


def _of_whole(part: Reading, whole: Reading) -> Reading:
    shared = ("temperature_c", "power_w", "power_default_w", "power_limit_w", "clock_mhz", "clock_most_mhz", "xid")
    told = {name: getattr(whole, name) for name in shared if getattr(part, name) is None}
    return replace(part, **told, slowdowns=part.slowdowns or whole.slowdowns)
