"""What a pod of an engine asks of its machine: GPUs, and enough beside them that every allowed machine has."""

from __future__ import annotations

import math

from hanok.gpu.machines import HOST_MIB, HOST_MIB_PER_GPU
from hanok.kubernetes.component import Body
from hanok.kubernetes.components.vllm.flags import asked
from hanok.kubernetes.engines import EnginePlan
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.pools import Pool

EFA = "vpc.amazonaws.com/efa"
LEFT = 0.75
"""Of a machine's share; the rest is for the node's own pods, and for the error of estimates."""
CPUS, CPUS_PER_GPU = 4, 2
"""Processors that an engine has use for: one core for each GPU and two more (vLLM's documentation), twice that in
threads."""


def pool_of(plan: ClusterPlan, engine: EnginePlan) -> Pool:
    """The machines that an engine stands on."""
    return next(each for each in plan.pools if engine in each.engines)


def resources(plan: ClusterPlan, engine: EnginePlan) -> Body:
    """Requests and limits. No limit of processors: it would throttle an engine whose node is idle beside it."""
    memory = f"{memory_mib(plan, engine)}Mi"
    devices = {"nvidia.com/gpu": str(engine.gpus), **_efa(plan, engine)}
    return {
        "requests": {"cpu": f"{cpus(plan, engine):g}", "memory": memory, **devices},
        "limits": {"memory": memory, **devices},
    }


def shared_gib(engine: EnginePlan) -> int:
    """Shared memory, GiB: vLLM's ring buffers (640 MiB at most) and what NCCL takes for each GPU; a judgement."""
    return max(2, engine.gpus)


def cpus(plan: ClusterPlan, engine: EnginePlan) -> float:
    """Processors."""
    least = min(plan.catalog.instances[name].cpu for name in pool_of(plan, engine).instances)
    return math.floor(min(LEFT * least * _share(engine), CPUS + CPUS_PER_GPU * engine.gpus) * 10) / 10


def memory_mib(plan: ClusterPlan, engine: EnginePlan) -> int:
    """Memory, MiB: what is needed, and as much again for files read where the machine has it."""
    needed = needed_mib(engine)
    least = min(plan.catalog.instances[name].memory_mib for name in pool_of(plan, engine).instances)
    return max(needed, min(2 * needed, int(LEFT * least * _share(engine))))


def needed_mib(engine: EnginePlan) -> int:
    """Memory that an engine may come to hold, MiB: as the planner reckons, what processes share, what is moved out."""
    moved = asked(engine.flags, "kv-offloading-size") + asked(engine.flags, "cpu-offload-gb") * engine.option.split.gpus
    gib = shared_gib(engine) + moved
    return HOST_MIB + HOST_MIB_PER_GPU * engine.option.split.gpus + math.ceil(gib * 1024)


def _share(engine: EnginePlan) -> float:
    """The share of a machine that one pod takes."""
    return engine.gpus / engine.option.machine.gpus


def _efa(plan: ClusterPlan, engine: EnginePlan) -> dict[str, str]:
    """The fast network between machines, where a replica is spread over several."""
    if engine.machines == 1 or not plan.on_aws:
        return {}
    return {EFA: str(min(plan.catalog.instances[name].efa for name in pool_of(plan, engine).instances))}
