"""What an engine may run on: every way to take GPUs of an instance type, whole, in shares or in MIG slices.

Instance types whose GPUs are alike differ in nothing that an engine notices but host memory, so they make one *machine*
with several prices. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from hanok.gpu.catalog import Accelerator, Catalog, Instance
from hanok.gpu.memory import Split
from hanok.gpu.speed import Device

HOST_MIB, HOST_MIB_PER_GPU = 4 * 1024, 2 * 1024
"""Host memory that an engine needs, beside what it maps from disk: a rule of thumb."""
STAGES = (2, 4)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """GPUs of one kind in one machine, and the instance types that have them, cheapest first."""

    device: Device
    accelerator: str
    gpus: int
    profile: str | None = None
    """The MIG profile, where `gpus` are slices."""
    whole: bool = True
    """Not a share of a GPU: only whole GPUs work together."""
    per_gpu: int = 1
    """Slices on one GPU."""
    efa: bool = False
    instances: Sequence[tuple[str, Instance]]
    refused: str | None = None

    def splits(self) -> Iterator[Split]:
        """Every way to spread one replica: over GPUs of this machine, or over several machines joined by EFA."""
        counts = [count for count in (1, 2, 4, 8, 16) if count <= self.gpus] if self.whole else [1]
        for tensor in counts:
            yield Split(tensor=tensor)
            yield from (
                Split(tensor=tensor, pipeline=each) for each in STAGES if self.whole and tensor * each <= self.gpus
            )
        if self.efa and self.whole:
            yield from (Split(tensor=self.gpus, pipeline=stages) for stages in STAGES)


def machines(catalog: Catalog, allowed: Sequence[str], *, mig: bool) -> list[Machine]:
    """Everything in the catalogue that is allowed: names or patterns of instance types and GPUs; by default all."""
    alike: dict[tuple[object, ...], list[tuple[str, Instance]]] = {}
    for name, instance in catalog.instances.items():
        if not allowed or is_allowed(name, instance.accelerator, allowed):
            key = (instance.accelerator, instance.gpus, instance.share, instance.efa > 0 and instance.gpus >= 8)
            alike.setdefault(key, []).append((name, instance))
    found = [_whole(catalog, _by_price(each)) for each in alike.values()]
    return found + (list(_slices(catalog, found)) if mig else [])


def is_allowed(instance: str, accelerator: str, allowed: Iterable[str]) -> bool:
    """Whether one of these patterns means the instance type or its GPU."""
    return any(fnmatchcase(name, pattern.lower()) for name in (instance, accelerator) for pattern in allowed)


def unknown_patterns(catalog: Catalog, allowed: Sequence[str]) -> list[str]:
    """Patterns that mean nothing in the catalogue."""
    instances = catalog.instances.items()
    return [each for each in allowed if not any(is_allowed(name, its.accelerator, [each]) for name, its in instances)]


def _by_price(instances: Iterable[tuple[str, Instance]]) -> list[tuple[str, Instance]]:
    return sorted(instances, key=lambda each: (each[1].usd_hour is None, each[1].usd_hour or 0.0))


def _whole(catalog: Catalog, instances: Sequence[tuple[str, Instance]]) -> Machine:
    first = instances[0][1]
    accelerator = catalog.accelerators[first.accelerator]
    memory = (accelerator.memory_mib or 0) * first.share
    return Machine(
        device=Device.of(accelerator, memory_mib=memory, share=first.share, compute=first.share),
        accelerator=first.accelerator,
        gpus=first.gpus,
        whole=first.share == 1.0,
        efa=first.efa > 0 and first.gpus >= 8,
        instances=instances,
        refused=accelerator.refused or _unknown(accelerator),
    )


def _unknown(accelerator: Accelerator) -> str | None:
    known = accelerator.memory_mib and accelerator.bandwidth_gb_s and accelerator.tflops and accelerator.capability
    return None if known else "the catalogue knows too little of this accelerator"


def _slices(catalog: Catalog, wholes: Sequence[Machine]) -> Iterator[Machine]:
    """MIG slices of whole GPUs; the largest profile is the whole GPU, and says nothing new."""
    for machine in wholes:
        profiles: Mapping[str, object] = catalog.mig.get(machine.accelerator, {}) if machine.whole else {}
        for name in profiles:
            piece = catalog.mig[machine.accelerator][name]
            if piece.count == 1 and piece.memory_mib * 2 > machine.device.memory_mib:
                continue
            accelerator = catalog.accelerators[machine.accelerator]
            share = piece.memory_mib / (accelerator.memory_mib or piece.memory_mib)
            yield Machine(
                device=Device.of(accelerator, memory_mib=piece.memory_mib, share=share, compute=piece.compute),
                accelerator=machine.accelerator,
                gpus=machine.gpus * piece.count,
                profile=name,
                whole=False,
                per_gpu=piece.count,
                instances=machine.instances,
                refused=machine.refused,
            )
