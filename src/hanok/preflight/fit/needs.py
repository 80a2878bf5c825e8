"""What each engine takes of a GPU's memory on every machine that it may be put on, and what is left for its calls.

The same reckoning as `hanok plan`, the other way round: there the machine is sought, here it is given. Where no pool is
known that would take the pod, every instance type with GPUs enough counts as one that might. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from hanok.errors import PlanError
from hanok.gpu import GIB, Anatomy, Catalog, Fit, Split, fit
from hanok.gpu.catalog import Instance
from hanok.gpu.memory import obstacles, stage_share, weights_bytes
from hanok.gpu.speed import Device, device_fits
from hanok.gpu.weights import LEAST_CAPABILITY, NAMED, packing_named
from hanok.preflight.engines import Engine
from hanok.preflight.facts import Facts
from hanok.preflight.manifests import labels_at, mappings_at, text_at, texts_at
from hanok.preflight.placement import Placement, Seat, Sharing
from hanok.preflight.workloads import GPU, Workload

Outcome = Literal["fits", "tight", "no context", "no memory", "no kernel"]
ORDER: tuple[Outcome, ...] = ("fits", "tight", "no context", "no memory", "no kernel")
ERROR_GIB = 1.0
"""Of the estimate a GPU, either way (docs/planning.md): what misses by less is not called impossible."""
OLD_UTILIZATION, NEW_DEFAULTS_SINCE = 0.9, (0, 20, 0)
"""vLLM's default of --gpu-memory-utilization before it became the catalogue's."""
MIG = "nvidia.com/mig-"
SHARED = "nvidia.com/gpu.shared"
INSTANCE_LABELS = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")
_NARROW = ("fp8", "int8", "fp8_e4m3", "fp8_e5m2", "fp8_inc", "fp8_ds_mla")
_BITS_4 = ("bitsandbytes", "awq_marlin", "gptq_marlin")


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """One engine on one machine."""

    seat: Seat
    title: str
    """The GPU's, or the slice's."""
    fit: Fit
    reasons: Sequence[str] = ()
    """Why its GPUs cannot compute the model, if they cannot."""
    keeps: bool = True
    """Whether calls are kept in a cache: engines for vectors keep none."""

    @property
    def missing(self) -> float:
        """Bytes a GPU that are too few; below zero where some are left."""
        return self.fit.sequence - self.fit.kv if self.keeps else -self.fit.kv

    @property
    def outcome(self) -> Outcome:
        if self.reasons:
            return "no kernel"
        if self.missing > ERROR_GIB * GIB:
            return "no context" if self.keeps and self.fit.kv > 0 else "no memory"
        return "tight" if self.missing > 0 or (self.keeps and self.fit.kv < ERROR_GIB * GIB) else "fits"

    @property
    def bad(self) -> bool:
        return self.outcome not in ("fits", "tight")


@dataclass(frozen=True, kw_only=True, eq=False)
class EngineFit:
    """One engine, and how it does wherever it may stand. `anatomy` is None where the model is not known."""

    engine: Engine
    split: Split
    context_tokens: int = 0
    anatomy: Anatomy | None = None
    unknown: str = ""
    """Why nothing can be said, where nothing can."""
    hint: str = ""
    fittings: Sequence[Fitting] = ()
    assumed: bool = False
    """Whether no pool takes it, so that fittings are what the catalogue has."""

    @cached_property
    def best(self) -> Fitting | None:
        """Where the most is left; of the catalogue's, the cheapest that does."""
        if self.assumed:
            good = [each for each in self.fittings if not each.bad] or self.fittings
            return min(good, key=lambda each: (ORDER.index(each.outcome), price(each.seat)), default=None)
        return min(self.fittings, key=lambda each: each.missing, default=None)

    @cached_property
    def first(self) -> Fitting | None:
        """Where an autoscaler of nodes would put it: on the cheapest."""
        return min(self.fittings, key=lambda each: price(each.seat), default=None)

    @property
    def kv_tokens(self) -> int:
        """Tokens that its cache holds where it would be put first; 0 where that is not known."""
        return self.first.fit.kv_tokens if self.first and not self.first.bad and self.first.keeps else 0

    @property
    def calls(self) -> int:
        """Calls of the whole context at once, there."""
        return self.first.fit.concurrency if self.first and not self.first.bad and self.first.keeps else 0

    @cached_property
    def weights_bytes(self) -> float:
        """Of the whole model, on disk and over all GPUs of one copy; 0 where the model is not known."""
        return weights_bytes(self.anatomy, Split()) if self.anatomy else 0.0


def price(seat: Seat) -> float:
    return seat.usd_hour if seat.usd_hour is not None else seat.host.usd_hour or math.inf


def fits(engines: Sequence[Engine], placement: Placement, facts: Facts) -> list[EngineFit]:
    """Every engine's."""
    return [_engine(each, placement, facts) for each in engines]


def _engine(engine: Engine, placement: Placement, facts: Facts) -> EngineFit:
    split = Split(tensor=engine.tensor, pipeline=engine.pipeline)
    if engine.unsettled:
        return EngineFit(engine=engine, split=split, unknown=f"{engine.unsettled[0]} is only known when it starts")
    if not engine.model:
        return EngineFit(engine=engine, split=split, unknown="it does not say which model it serves")
    try:
        anatomy = _packed(engine, facts.anatomy(engine.model))
    except PlanError as error:
        return EngineFit(engine=engine, split=split, unknown=error.message, hint=error.hint or "")
    context = _context(engine, anatomy)
    seats, assumed = _seats(engine, placement, facts.catalog)
    given = (engine, anatomy, split, context)
    fittings = [] if obstacles(anatomy, split) else fittings_of(*given, seats, facts.catalog)
    return EngineFit(
        engine=engine, split=split, anatomy=anatomy, context_tokens=context, fittings=fittings, assumed=assumed,
    )  # fmt: skip


def _packed(engine: Engine, anatomy: Anatomy) -> Anatomy:
    """The model as this engine quantises it while it loads."""
    asked = (engine.given.get("quantization") or "").lower()
    if anatomy.packing.format != "bf16" or not asked:
        return anatomy
    known = "awq" if asked in _BITS_4 else asked
    return replace(anatomy, packing=packing_named(known)) if known in NAMED else anatomy


def _context(engine: Engine, anatomy: Anatomy) -> int:
    """Tokens of a call, at most: as given, else the model's own limit; 1 where the engine may choose."""
    given = engine.given.get("max-model-len")
    return 1 if given in ("auto", "-1") else max(1, engine.whole("max-model-len", anatomy.longest_tokens))


def _seats(engine: Engine, placement: Placement, catalog: Catalog) -> tuple[Sequence[Seat], bool]:
    """Where it may stand, and whether that is only assumed."""
    known = [each for each in placement.machines_of(engine.workload) if each.host.accelerator in catalog.accelerators]
    return (known, False) if known else (list(_anywhere(engine, catalog)), not _selected(engine.workload))


def _anywhere(engine: Engine, catalog: Catalog) -> Iterator[Seat]:
    """Instance types with the GPUs that the container asks for, and of the type that the pod selects."""
    asked = engine.container.requests
    slices = [name.removeprefix(MIG) for name in asked if name.startswith(MIG)]
    wanted = _selected(engine.workload)
    shared = Sharing(kind="time-slicing", replicas=0) if SHARED in asked else None
    gpus = asked.get(GPU, 0) or asked.get(SHARED, 0)
    found = sliced(slices[0], catalog) if slices else anywhere(gpus, catalog, shared)
    yield from (each for each in found if not wanted or each.instance in wanted)


def anywhere(gpus: int, catalog: Catalog, sharing: Sharing | None = None) -> Iterator[Seat]:
    """Every instance type with so many GPUs; none for none."""
    yield from (_seat(name, host, sharing) for name, host in catalog.instances.items() if 0 < gpus <= host.gpus)


def sliced(profile: str, catalog: Catalog) -> Iterator[Seat]:
    """Every instance type whose GPUs can be cut into slices of this profile."""
    for name, host in catalog.instances.items():
        if profile in catalog.mig.get(host.accelerator, {}) and host.share == 1.0:
            yield _seat(name, host, Sharing(kind="mig", profile=profile))


def _seat(name: str, host: Instance, sharing: Sharing | None = None) -> Seat:
    return Seat(
        pool="", manifest=None, instance=name, host=host, capacities=frozenset(), sharing=sharing,
        usd_hour=host.usd_hour,
    )  # fmt: skip


def _selected(workload: Workload) -> frozenset[str]:
    """Instance types that the pod selects by name, and no others; empty where it does not."""
    labels = labels_at(workload.spec, "nodeSelector")
    found = [frozenset({labels[each]}) for each in INSTANCE_LABELS if each in labels]
    affinity = "requiredDuringSchedulingIgnoredDuringExecution"
    terms = mappings_at(workload.spec, "affinity", "nodeAffinity", affinity, "nodeSelectorTerms")
    wanted = mappings_at(terms[0], "matchExpressions") if len(terms) == 1 else []
    named = [each for each in wanted if text_at(each, "key") in INSTANCE_LABELS and text_at(each, "operator") == "In"]
    found += [frozenset(texts_at(each, "values")) for each in named]
    first, *others = found or [frozenset[str]()]
    return first.intersection(*others)


def device_of(seat: Seat, catalog: Catalog) -> Device | None:
    """What one requested GPU of this machine is: a whole one, a share, or a slice. None where it is not known."""
    accelerator = catalog.accelerators[seat.host.accelerator]
    if accelerator.maker != "nvidia" or not accelerator.memory_mib or not accelerator.capability:
        return None
    if seat.sharing and seat.sharing.kind == "mig":
        piece = catalog.mig.get(seat.host.accelerator, {}).get(seat.sharing.profile)
        if piece is None:
            return None
        device = Device.of(accelerator, memory_mib=piece.memory_mib, compute=piece.compute)
        return replace(device, title=f"{accelerator.title}, slice {seat.sharing.profile}")
    return Device.of(accelerator, memory_mib=accelerator.memory_mib * seat.host.share)


def fittings_of(
    engine: Engine, anatomy: Anatomy, split: Split, context: int, seats: Iterable[Seat], catalog: Catalog
) -> list[Fitting]:
    """The engine on each of these machines whose GPUs are known; reckoned once for GPUs that are alike."""
    fittings: list[Fitting] = []
    found: dict[tuple[object, ...], Fitting | None] = {}
    for seat in seats:
        key = (seat.host.accelerator, seat.host.share, seat.sharing.profile if seat.sharing else "")
        if key not in found:
            found[key] = fitting_of(engine, anatomy, split, context, seat, catalog)
        if fitting := found[key]:
            fittings.append(replace(fitting, seat=seat))
    return fittings


def fitting_of(
    engine: Engine, anatomy: Anatomy, split: Split, context: int, seat: Seat, catalog: Catalog
) -> Fitting | None:
    """The engine on one machine; None where the machine's GPUs are not known."""
    device = device_of(seat, catalog)
    if device is None:
        return None
    bfloat = 8.0 if engine.given.get("dtype") == "bfloat16" else 0.0
    reasons = device_fits(
        anatomy, device, kv_bytes=_kv_bytes(engine), least=max(LEAST_CAPABILITY[anatomy.packing.format], bfloat)
    )
    refused = catalog.accelerators[seat.host.accelerator].refused
    return Fitting(
        seat=seat, title=device.title, fit=_fit(engine, anatomy, split, context, device, catalog),
        reasons=[*reasons, *([refused] if refused else [])], keeps=not engine.pooling,
    )  # fmt: skip


def _fit(engine: Engine, anatomy: Anatomy, split: Split, context: int, device: Device, catalog: Catalog) -> Fit:
    found = fit(
        anatomy, split, memory_mib=device.memory_mib, overheads=catalog.overheads, context_tokens=context,
        kv_bytes=_kv_bytes(engine), utilization=_utilization(engine),
    )  # fmt: skip
    found = replace(found, weights=_weights(engine, anatomy, split))
    if cache := engine.whole("kv-cache-memory-bytes", 0):
        return replace(found, usable=min(found.memory, found.weights + found.overhead + cache))
    return found


def _kv_bytes(engine: Engine) -> int:
    if (engine.given.get("kv-cache-dtype") or "") in _NARROW:
        return 1
    return 4 if engine.given.get("dtype") in ("float", "float32") else 2


def _utilization(engine: Engine) -> float | None:
    """The share of memory that the engine may use; None for the catalogue's default."""
    old = engine.version is not None and engine.version < NEW_DEFAULTS_SINCE
    share = engine.number("gpu-memory-utilization", OLD_UTILIZATION if old else 0.0)
    return share if 0 < share <= 1 else None


def _weights(engine: Engine, anatomy: Anatomy, split: Split) -> float:
    """Bytes on the fullest GPU: those of the model, without experts on other copies, and what stays on the host."""
    found = weights_bytes(anatomy, split)
    if engine.data > 1 and "enable-expert-parallel" in engine.given:
        experts = anatomy.parts["experts"] * anatomy.packing.bytes_of("experts") * stage_share(anatomy, split)
        found -= experts / split.tensor * (1 - 1 / engine.data)
    if engine.given.get("dtype") in ("float", "float32"):
        found *= 2
    return max(0.0, found - engine.number("cpu-offload-gb", 0.0) * GIB)


def seats_by_type(fittings: Sequence[Fitting]) -> Mapping[str, Fitting]:
    """Rooms by instance type, the cheapest first; of one type the worst counts."""
    found: dict[str, Fitting] = {}
    for fitting in sorted(fittings, key=lambda each: (price(each.seat), -each.missing)):
        found.setdefault(fitting.seat.instance, fitting)
    return found
