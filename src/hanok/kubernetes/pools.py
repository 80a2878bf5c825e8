"""Pools: machines with GPUs that engines share, one for each kind of machine that was planned. Pure.

Engines find their machines by the pool's label; whatever needs no GPU is kept off by the taint. GPUs of a pool
are whole, or all of them are cut or shared alike: a pod of an engine then asks for one share, by another name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from hanok.gpu import Split
from hanok.gpu.catalog import Instance
from hanok.kubernetes.engines import EnginePlan
from hanok.kubernetes.objects import Body, label
from hanok.kubernetes.places import GPU_TAINT, WORKLOAD
from hanok.spec.tree.cluster import Nodes, Sharing

GENERAL = "general"
GPU = "nvidia.com/gpu"
PLUGIN_CONFIG, MIG_CONFIG = "nvidia.com/device-plugin.config", "nvidia.com/mig.config"
SHARED = f"{GPU}.shared"
"""What NVIDIA's device plugin calls the shares of a GPU where it renames them."""
TAINT: Body = {"key": GPU_TAINT, "value": "true", "effect": "NoSchedule"}
TOLERATION: Body = {"key": GPU_TAINT, "operator": "Exists", "effect": "NoSchedule"}
Mode = Literal["whole", "mig", "time-slicing", "mps"]
MEMORY = 0.92
"""vLLM's own `--gpu-memory-utilization`: what all engines on one GPU take of it together."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """`instances` are types whose GPUs are alike, cheapest first; `gpus` are those of one machine, whole.

    `profile` is the MIG profile that every GPU is cut into, if any; `shares` are pods on one GPU. `claimed`: pods take
    GPUs by a claim (DRA), not as a resource.
    """

    name: str
    accelerator: str
    machines: Sequence[tuple[str, Instance]]
    gpus: int
    profile: str | None
    mode: Mode
    shares: int
    claimed: bool
    engines: Sequence[EnginePlan]
    others: int = 0
    """Pods beside engines, each with a GPU of its own."""

    @property
    def instances(self) -> list[str]:
        return [name for name, _ in self.machines]

    @property
    def labels(self) -> dict[str, str]:
        """By which engines find these machines."""
        return {WORKLOAD: self.name}

    @property
    def device(self) -> str:
        """The name under which a node offers its GPUs, or their shares."""
        if self.mode == "mig":
            return f"nvidia.com/mig-{self.profile}"
        return GPU if self.mode == "whole" else SHARED

    def resource(self, engine: EnginePlan) -> tuple[str, int] | None:
        """What each pod of an engine asks for, and how many; None where it has a claim."""
        return None if self.claimed else (self.device, engine.gpus)

    def claim(self, engine: EnginePlan) -> str | None:
        """The ResourceClaimTemplate beside an engine's pods, where they take GPUs by a claim."""
        return label(f"{self.name}-x{engine.gpus}") if self.claimed else None

    @property
    def memory_utilization(self) -> float | None:
        """The share of a GPU's memory that each engine may take where others use that GPU, too; else None.

        Neither time-slicing nor MPS divides it for vLLM, which looks at the whole.
        """
        return memory_share(self.shares) if self.mode in ("time-slicing", "mps") else None

    @property
    def sharing_key(self) -> str | None:
        """The device plugin's configuration for these nodes, as `time-slicing-4`, where several pods use a GPU."""
        return f"{self.mode}-{self.shares}" if self.mode in ("time-slicing", "mps") else None

    @property
    def operator_labels(self) -> dict[str, str]:
        """Labels of its nodes by which the GPU operator knows how to share out their GPUs."""
        if self.mode == "mig":
            return {MIG_CONFIG: f"all-{self.profile}"}
        return {PLUGIN_CONFIG: self.sharing_key} if self.sharing_key else {}

    @property
    def most_machines(self) -> int:
        """Machines that its engines and others fill at most, each packed for itself."""
        room = self.gpus * self.shares
        filled = sum(-(-each.most * each.machines // max(1, room // each.gpus)) for each in self.engines)
        return filled + -(-self.others // room)

    @property
    def most_gpus(self) -> int:
        """GPUs that its engines take at most, whole machines' worth."""
        return self.most_machines * self.gpus


def plan_pools(engines: Iterable[EnginePlan], nodes: Nodes) -> list[Pool]:
    """A pool for each kind of machine and way to share its GPUs, by name."""
    alike: dict[str, list[EnginePlan]] = {}
    for each in engines:
        alike.setdefault(pool_name(each, nodes), []).append(each)
    return [_pool(name, alike[name], nodes) for name in sorted(alike)]


def pool_name(engine: EnginePlan, nodes: Nodes) -> str:
    """The name of the pool that an engine stands on, as `gpu-g6e-12xlarge`, `…-1g-10gb` or `…-shared`."""
    mode, profile = mode_of(engine, nodes.sharing), engine.option.machine.profile
    tail = f"-{profile}" if profile else "" if mode == "whole" else "-shared"
    return label(f"gpu-{engine.option.machine.instances[0][0]}{tail}")


def mode_of(engine: EnginePlan, sharing: Sharing) -> Mode:
    """How the GPUs of an engine are shared out: small models alone share one."""
    if engine.option.machine.profile:
        return "mig"
    if sharing.mode in ("time-slicing", "mps") and is_small(engine, sharing.replicas):
        return "mps" if sharing.mode == "mps" else "time-slicing"
    return "whole"


def is_small(engine: EnginePlan, shares: int) -> bool:
    """Whether an engine of one GPU works with one of so many equal shares of its memory: weights, itself, one call."""
    room = engine.option.fit
    alone = engine.option.split == Split() and engine.option.machine.whole
    return alone and room.memory * memory_share(shares) >= room.weights + room.overhead + room.sequence


def memory_share(shares: int) -> float:
    """One share of a GPU's memory, of so many; a little less than equal, so that all of them fit."""
    return int(MEMORY / shares * 1000) / 1000


def _pool(name: str, engines: Sequence[EnginePlan], nodes: Nodes) -> Pool:
    machine, mode = engines[0].option.machine, mode_of(engines[0], nodes.sharing)
    return Pool(
        name=name,
        accelerator=machine.accelerator,
        machines=machine.instances,
        gpus=machine.gpus // machine.per_gpu,
        profile=machine.profile,
        mode=mode,
        shares={"whole": 1, "mig": machine.per_gpu}.get(mode, nodes.sharing.replicas),
        claimed=nodes.dra,
        engines=engines,
    )
