"""Pools: machines with GPUs that engines share, one for each kind of machine that was planned. Pure.

Engines find their machines by the pool's label; whatever needs no GPU is kept off by the taint.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hanok.kubernetes.component import Body
from hanok.kubernetes.engines import EnginePlan
from hanok.kubernetes.objects import label
from hanok.kubernetes.places import GPU_TAINT, WORKLOAD

GENERAL = "general"
TAINT: Body = {"key": GPU_TAINT, "value": "true", "effect": "NoSchedule"}
TOLERATION: Body = {"key": GPU_TAINT, "operator": "Exists", "effect": "NoSchedule"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """`instances` are types whose GPUs are alike, cheapest first; `gpus` are those of one machine, whole.

    `profile` is the MIG profile that every GPU is cut into, if any.
    """

    name: str
    accelerator: str
    instances: Sequence[str]
    gpus: int
    profile: str | None
    engines: Sequence[EnginePlan]

    @property
    def labels(self) -> dict[str, str]:
        """By which engines find these machines."""
        return {WORKLOAD: self.name}

    @property
    def most_gpus(self) -> int:
        """GPUs that its engines take at most, whole machines' worth."""
        machines = sum(each.most * each.machines for each in self.engines)
        return machines * self.gpus


def plan_pools(engines: Iterable[EnginePlan]) -> list[Pool]:
    """A pool for each kind of machine, by name."""
    alike: dict[str, list[EnginePlan]] = {}
    for each in engines:
        alike.setdefault(pool_name(each), []).append(each)
    return [_pool(name, alike[name]) for name in sorted(alike)]


def pool_name(engine: EnginePlan) -> str:
    """The name of the pool that an engine stands on, as `gpu-g6e-12xlarge`."""
    profile = engine.option.machine.profile
    return label(f"gpu-{engine.option.machine.instances[0][0]}" + (f"-{profile}" if profile else ""))


def _pool(name: str, engines: Sequence[EnginePlan]) -> Pool:
    machine = engines[0].option.machine
    return Pool(
        name=name,
        accelerator=machine.accelerator,
        instances=[instance for instance, _ in machine.instances],
        gpus=machine.gpus // machine.per_gpu,
        profile=machine.profile,
        engines=engines,
    )
