"""Which machines serve a model as it is wanted, what they cost, and why the others cannot.

Every machine is tried in every way to spread a replica; each way answers all checks, so that who falls out is told all
reasons, not the first. Of the ways that work, a machine's cheapest counts. Pure: figures in, a plan out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from hanok.errors import PlanError
from hanok.gpu.anatomy import Anatomy
from hanok.gpu.catalog import ApiPrice, Catalog, Instance
from hanok.gpu.machines import HOST_MIB, HOST_MIB_PER_GPU, Machine, machines, unknown_patterns
from hanok.gpu.memory import GIB, Fit, Split, fit, needs_expert_parallel, obstacles, sequence_bytes
from hanok.gpu.speed import Rate, Roofline, Shape, device_fits, smallest
from hanok.gpu.weights import LEAST_CAPABILITY, packing_named
from hanok.spec import Deploy, PlannedLatency

MOST_MACHINES = 64
"""A plan of more machines than this is no plan."""
TIGHT_GIB = 1.0
"""KV cache of less a GPU is within the error of the estimate."""
ALIKE = 1.6
"""APIs' models up to so many times larger or smaller are of the same class."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be served, and how."""

    anatomy: Anatomy
    deploy: Deploy
    shape: Shape
    kv_bytes: int

    @property
    def per_s(self) -> float | None:
        return self.deploy.load.requests_per_s


@dataclass(frozen=True, kw_only=True)
class Cost:
    """USD. `hour` is for all machines; a million tokens, prompt and answer together, when full and at the load."""

    hour: float
    million_full: float
    million_load: float
    spot_hour: tuple[float, float]

    def spot(self, million: float) -> tuple[float, float]:
        """The price of a million tokens on spot instances, if it is this on demand."""
        low, high = self.spot_hour
        return million * low / self.hour, million * high / self.hour


@dataclass(frozen=True, kw_only=True)
class Option:
    """One way to serve the model. `cost` is None where the instance type has no price."""

    machine: Machine
    instance: str
    host: Instance
    split: Split
    fit: Fit
    replicas: int
    count: int
    """Machines; of slices, the slices."""
    load: Rate
    full: Rate
    cost: Cost | None
    flags: Sequence[str]

    @property
    def tight(self) -> bool:
        """Whether so little memory is left that the estimate's error may take it."""
        return self.fit.kv < TIGHT_GIB * GIB

    @property
    def gpus(self) -> int:
        return self.replicas * self.split.gpus

    def machines_for(self, replicas: int) -> int:
        """Machines (or slices) that so many replicas take."""
        return _count(self.machine, self.split, replicas)[0]


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to spread a replica, and every reason against it. `gap` is how many times too much it asks for."""

    split: Split
    fit: Fit | None
    reasons: Sequence[str] = ()
    gap: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Miss:
    """A machine that cannot, in the nearest of its ways."""

    machine: Machine
    instance: str
    way: Way


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Options, cheapest first; slices of GPUs apart, for their price is a share of a machine that someone must fill."""

    wanted: Wanted
    options: Sequence[Option]
    slices: Sequence[Option]
    misses: Sequence[Miss]
    remedies: Sequence[tuple[str, Option]]
    """What would help, where nothing fits."""
    api: ApiPrice | None

    @property
    def fits(self) -> bool:
        return bool(self.options or self.slices)

    @property
    def hour(self) -> float | None:
        """USD an hour of the cheapest option; of slices only where no whole machine will do."""
        best = next(iter([*self.options, *self.slices]), None)
        return best.cost.hour if best and best.cost else None


def plan(anatomy: Anatomy, deploy: Deploy, catalog: Catalog) -> Plan:
    """The plan for a model. Raises `PlanError` for wishes that no machine could fulfil."""
    wanted = want(anatomy, deploy, catalog)
    options, misses = _tried(wanted, catalog)
    return Plan(
        wanted=wanted,
        options=[option for option in options if option.machine.profile is None],
        slices=_once(option for option in options if option.machine.profile is not None),
        misses=_once(misses),
        remedies=[] if options else _remedies(anatomy, deploy, catalog),
        api=api_price(wanted.anatomy, catalog),
    )


def option_on(
    anatomy: Anatomy, deploy: Deploy, catalog: Catalog, *, instance: str, split: Split, profile: str | None = None
) -> Option | Miss | None:
    """How a model does on an instance type that is given, spread as is given; None where there are no such GPUs.

    Raises `PlanError` for wishes that no machine could fulfil.
    """
    wanted = want(anatomy, deploy, catalog)
    found = (each for each in machines(catalog, [instance], mig=profile is not None) if each.profile == profile)
    machine = next(found, None)
    if machine is None or machine.refused or not machine.instances:
        return None
    name, host = machine.instances[0]
    way = _way(machine, split, wanted, catalog)
    if way.reasons:
        return Miss(machine=machine, instance=name, way=way)
    return _option(machine, name, host, way, wanted, catalog)


def roofline_of(option: Option, wanted: Wanted) -> Roofline:
    """How fast one replica of an option is, at whatever it is asked."""
    return _roofline(option.machine, option.split, wanted)


def _tried(wanted: Wanted, catalog: Catalog) -> tuple[list[Option], list[Miss]]:
    """Every machine: what works, cheapest first, and what does not, nearest first."""
    found = machines(catalog, wanted.deploy.gpu, mig=wanted.deploy.mig)
    tried = [each for machine in found for each in _try(machine, wanted, catalog)]
    options = sorted((each for each in tried if isinstance(each, Option)), key=_rank)
    return options, sorted((each for each in tried if isinstance(each, Miss)), key=lambda miss: miss.way.gap)


Found = TypeVar("Found", Option, Miss)


def _once(found: Iterable[Found]) -> list[Found]:
    """Slices of a profile once, the first: they are alike in whichever instance type."""
    first: dict[tuple[str, str], Found] = {}
    for each in found:
        first.setdefault((each.machine.accelerator, each.machine.profile or each.instance), each)
    return list(first.values())


def _remedies(anatomy: Anatomy, deploy: Deploy, catalog: Catalog) -> list[tuple[str, Option]]:
    """Single changes of the wishes with which something fits, in words, and the cheapest option then."""
    found: list[tuple[str, Option]] = []
    for words, change in _changes(anatomy, deploy):
        options, _ = _tried(want(anatomy, deploy.model_copy(update=change), catalog), catalog)
        found += [(words, option) for option in options[:1]]
    return sorted(found, key=lambda each: _rank(each[1]))


def _changes(anatomy: Anatomy, deploy: Deploy) -> Iterator[tuple[str, dict[str, Any]]]:
    if deploy.gpu:
        yield "other machines than `gpu` names", {"gpu": []}
    if deploy.latency != PlannedLatency():
        yield "no limit of latency", {"latency": PlannedLatency()}
    if deploy.kv_dtype != "fp8":
        yield "an fp8 KV cache", {"kv_dtype": "fp8"}
    if anatomy.packing.format == "bf16" and deploy.quantization in ("auto", "none"):
        yield "weights in fp8", {"quantization": "fp8"}
        yield "weights in 4 bits (awq)", {"quantization": "awq"}
    if deploy.context_tokens > 1:
        yield f"calls of {deploy.context_tokens // 2:,} tokens", {"context_tokens": deploy.context_tokens // 2}


def want(anatomy: Anatomy, deploy: Deploy, catalog: Catalog) -> Wanted:
    """What is wanted, checked against the model and the catalogue. Raises `PlanError`."""
    if deploy.context_tokens > anatomy.longest_tokens:
        message = f"{anatomy.name} takes {anatomy.longest_tokens} tokens at most; wanted are {deploy.context_tokens}"
        raise PlanError(message, hint="shorten the context; longer ones need a checkpoint that was stretched")
    if unknown := unknown_patterns(catalog, deploy.gpu):
        known = ", ".join(catalog.accelerators)
        raise PlanError(f"no GPU or instance type is called {unknown[0]!r}", hint=f"as g6e.xlarge, g6e.*, or {known}")
    if deploy.quantization != "auto":
        anatomy = replace(anatomy, packing=packing_named(deploy.quantization))
    prompt, output = deploy.load.prompt_tokens, deploy.load.output_tokens
    if prompt + output > deploy.context_tokens:  # a usual call of the defaults, in a short context
        output = max(1, deploy.context_tokens // 5)
        prompt = max(1, deploy.context_tokens - output)
    shape = Shape(prompt=prompt, output=output)
    return Wanted(anatomy=anatomy, deploy=deploy, shape=shape, kv_bytes=1 if deploy.kv_dtype == "fp8" else 2)


def _try(machine: Machine, wanted: Wanted, catalog: Catalog) -> list[Option | Miss]:
    """The machine's best option for each of its instance types, or its nearest miss."""
    name = machine.instances[0][0]
    if machine.refused:
        way = Way(split=Split(), fit=None, reasons=[machine.refused], gap=math.inf)
        return [Miss(machine=machine, instance=name, way=way)]
    ways = [_way(machine, split, wanted, catalog) for split in machine.splits()]
    good = [way for way in ways if not way.reasons]
    if not good:
        nearest = min(ways, key=lambda way: (way.gap, way.split.gpus))
        return [Miss(machine=machine, instance=name, way=nearest)]
    return [_on_instance(machine, instance, good, wanted, catalog) for instance in machine.instances]


def _way(machine: Machine, split: Split, wanted: Wanted, catalog: Catalog) -> Way:
    """One way to spread a replica, with every reason against it; none where it works."""
    anatomy, deploy = wanted.anatomy, wanted.deploy
    least = max(LEAST_CAPABILITY[anatomy.packing.format], 8.0 if deploy.dtype == "bfloat16" else 0.0)
    room = fit(
        anatomy,
        split,
        memory_mib=machine.device.memory_mib,
        overheads=catalog.overheads,
        context_tokens=deploy.context_tokens,
        kv_bytes=wanted.kv_bytes,
        utilization=deploy.memory_utilization,
    )
    unfit = obstacles(anatomy, split) + device_fits(anatomy, machine.device, kv_bytes=wanted.kv_bytes, least=least)
    full = memory_reasons(room, sliced=machine.profile is not None)
    slow, slowness = _latency_reasons(_roofline(machine, split, wanted), wanted)
    gap = max((room.weights + room.overhead + room.sequence) / room.usable if full else 1.0, slowness)
    return Way(split=split, fit=room, reasons=[*full, *unfit, *slow], gap=gap * (10.0 if unfit else 1.0))


def memory_reasons(room: Fit, *, sliced: bool) -> list[str]:
    """Why a GPU's memory is too small, in one sum; nothing where it is not."""
    told: list[str] = []
    if room.weights + room.overhead > room.usable:
        told.append(f"weights {_gib(room.weights)} + engine {_gib(room.overhead)} > {_gib(room.usable)} usable")
    elif room.concurrency < 1:
        call = f"one call of {room.context_tokens} tokens takes {_gib(room.sequence)}"
        told.append(f"{_gib(room.kv)} left for KV cache, and {call}")
    if told and sliced:
        told.append("slices cannot work together")
    return told


def _gib(size: float) -> str:
    return f"{size / GIB:.1f} GiB"


def _latency_reasons(roofline: Roofline, wanted: Wanted) -> tuple[list[str], float]:
    """What is too slow even for one call alone, and how many times."""
    alone, limit = roofline.rate(wanted.shape, 1), wanted.deploy.latency
    told, gap = list[str](), 1.0
    if limit.tpot_ms is not None and alone.tpot_s * 1000 > limit.tpot_ms:
        told.append(f"{alone.tpot_s * 1000:.1f} ms a token > {limit.tpot_ms:g} ms, even alone")
        gap = max(gap, alone.tpot_s * 1000 / limit.tpot_ms)
    if limit.ttft_s is not None and alone.ttft_s > limit.ttft_s:
        told.append(f"{alone.ttft_s:.2f} s to the first token > {limit.ttft_s:g} s, even alone")
        gap = max(gap, alone.ttft_s / limit.ttft_s)
    return told, gap


def _roofline(machine: Machine, split: Split, wanted: Wanted) -> Roofline:
    return Roofline(anatomy=wanted.anatomy, device=machine.device, split=split, kv_bytes=wanted.kv_bytes)


def _on_instance(
    machine: Machine, instance: tuple[str, Instance], ways: Sequence[Way], wanted: Wanted, catalog: Catalog
) -> Option | Miss:
    """The best of these ways on one instance type, or why it cannot after all."""
    name, host = instance
    needed = HOST_MIB + HOST_MIB_PER_GPU * (1 if machine.profile else machine.gpus)
    if host.memory_mib < needed:
        reason = f"host memory {host.memory_mib / 1024:.1f} GiB < {needed / 1024:.0f} GiB that an engine needs"
        return Miss(machine=machine, instance=name, way=replace(ways[0], reasons=[reason]))
    options = [_option(machine, name, host, way, wanted, catalog) for way in ways]
    most = MOST_MACHINES * (machine.gpus if machine.profile else 1)
    best = min((option for option in options if option.count <= most), key=_rank, default=None)
    reason = f"more than {MOST_MACHINES} machines would be needed"
    return best or Miss(machine=machine, instance=name, way=replace(ways[0], reasons=[reason]))


def _option(machine: Machine, name: str, host: Instance, way: Way, wanted: Wanted, catalog: Catalog) -> Option:
    assert way.fit is not None
    room, split, roofline = way.fit, way.split, _roofline(machine, way.split, wanted)
    together = sequence_bytes(wanted.anatomy, split, wanted.shape.total, wanted.kv_bytes)
    most = max(1, min(catalog.overheads.max_sequences, int(room.kv / together)))
    quick = _quickest(roofline, wanted, most)
    replicas = _replicas(roofline, wanted, room.concurrency, quick)
    count, room_for = _count(machine, split, replicas)
    load = roofline.rate(wanted.shape, _batch(roofline, wanted, replicas, quick))
    full = roofline.rate(wanted.shape, quick)
    per_s = (load.requests_per_s * replicas, full.requests_per_s * room_for)
    return Option(
        machine=machine,
        instance=name,
        host=host,
        split=split,
        fit=room,
        replicas=replicas,
        count=count,
        load=load,
        full=full,
        cost=_cost(machine, host, count, wanted, catalog, per_s=per_s),
        flags=_flags(machine, split, wanted),
    )


def _count(machine: Machine, split: Split, replicas: int) -> tuple[int, int]:
    """Machines (or slices) for so many replicas, and how many replicas these have room for."""
    if machine.profile:
        return replicas, replicas
    if split.gpus > machine.gpus:
        return replicas * math.ceil(split.gpus / machine.gpus), replicas
    each = machine.gpus // split.gpus
    return math.ceil(replicas / each), math.ceil(replicas / each) * each


def _quickest(roofline: Roofline, wanted: Wanted, most: int) -> int:
    """The largest number of calls at once whose latency is as wanted; one alone was seen to be."""
    limit = wanted.deploy.latency
    if limit.tpot_ms is None and limit.ttft_s is None:
        return most

    def too_slow(batch: int) -> bool:
        rate = roofline.rate(wanted.shape, batch)
        slow = limit.tpot_ms is not None and rate.tpot_s * 1000 > limit.tpot_ms
        return slow or (limit.ttft_s is not None and rate.ttft_s > limit.ttft_s)

    first_slow = smallest(most, too_slow)
    return most if first_slow is None else max(1, first_slow - 1)


def _replicas(roofline: Roofline, wanted: Wanted, concurrency: int, quick: int) -> int:
    """Enough for all calls to be in memory, and for the load, or else for all calls to be quick."""
    in_memory = math.ceil(wanted.deploy.concurrency / concurrency)
    if wanted.per_s is None:
        return max(in_memory, math.ceil(wanted.deploy.concurrency / quick))
    return max(in_memory, math.ceil(wanted.per_s / roofline.rate(wanted.shape, quick).requests_per_s))


def _batch(roofline: Roofline, wanted: Wanted, replicas: int, quick: int) -> int:
    """Calls at once on each replica, at the load."""
    if wanted.per_s is None:
        return min(quick, math.ceil(wanted.deploy.concurrency / replicas))
    share = wanted.per_s / replicas
    return smallest(quick, lambda batch: roofline.rate(wanted.shape, batch).requests_per_s >= share) or quick


def _cost(
    machine: Machine, host: Instance, count: int, wanted: Wanted, catalog: Catalog, *, per_s: tuple[float, float]
) -> Cost | None:
    """What it costs, or None where there is no price. `per_s` are calls a second at the load and when full."""
    if host.usd_hour is None:
        return None
    hour = host.usd_hour * count / (machine.gpus if machine.profile else 1)
    at_load = wanted.per_s or per_s[0]
    spot = catalog.spot
    million = [hour / (calls * wanted.shape.total * 3600) * 1e6 for calls in (per_s[1], at_load)]
    return Cost(
        hour=hour,
        million_full=min(million),
        million_load=million[1],
        spot_hour=(hour * spot.low, hour * spot.high),
    )


def _flags(machine: Machine, split: Split, wanted: Wanted) -> list[str]:
    """Flags of `vllm serve` that make it so."""
    anatomy, deploy = wanted.anatomy, wanted.deploy
    told = [f"--max-model-len {deploy.context_tokens}"]
    told += [f"--tensor-parallel-size {split.tensor}"] if split.tensor > 1 else []
    told += [f"--pipeline-parallel-size {split.pipeline}"] if split.pipeline > 1 else []
    told += ["--enable-expert-parallel"] if needs_expert_parallel(anatomy, split) else []
    told += ["--kv-cache-dtype fp8"] if wanted.kv_bytes == 1 else []
    told += ["--dtype float16"] if machine.device.capability < 8.0 or deploy.dtype == "float16" else []
    told += ["--quantization fp8"] if deploy.quantization == "fp8" else []
    if deploy.memory_utilization is not None:
        told.append(f"--gpu-memory-utilization {deploy.memory_utilization:g}")
    return told


def _rank(option: Option) -> tuple[float, int, float]:
    """Cheapest first; of the same price, what needs fewer stages, then what is quicker."""
    hour = option.cost.hour if option.cost else math.inf
    return round(hour, 4), option.split.pipeline, option.load.tpot_s


def api_price(anatomy: Anatomy, catalog: Catalog) -> ApiPrice | None:
    """The price of an API for the model nearest in size, if there is one."""
    size = anatomy.parameters / 1e9
    nearest = min(catalog.apis.prices, key=lambda each: abs(math.log(each.parameters_b / size)))
    return nearest if 1 / ALIKE <= nearest.parameters_b / size <= ALIKE else None


def api_million(price: ApiPrice, shape: Shape) -> float:
    """USD for a million tokens of calls of this shape."""
    return (price.input * shape.prompt + price.output * shape.output) / shape.total
