"""What a pod of an engine asks of its machine: GPUs, and enough beside them that every allowed machine has."""

from __future__ import annotations

import math

from hanok.gpu.machines import HOST_MIB, HOST_MIB_PER_GPU
from hanok.kubernetes.component import Body
from hanok.kubernetes.components.vllm.flags import asked
from hanok.kubernetes.engines import EnginePlan
from hanok.kubernetes.objects import given
from hanok.kubernetes.plan import ClusterPlan

CLAIM = "gpus"
"""A pod's own name for its claim."""
EFA = "vpc.amazonaws.com/efa"
LEFT = 0.75
"""Of a machine's share; the rest is for the node's own pods, and for the error of estimates."""
CPUS, CPUS_PER_GPU = 4, 2
"""Processors that an engine has use for: one core for each GPU and two more (vLLM's documentation), twice that in
threads."""


def resources(plan: ClusterPlan, engine: EnginePlan) -> Body:
    """Requests and limits. No limit of processors: it would throttle an engine whose node is idle beside it."""
    memory = f"{memory_mib(plan, engine)}Mi"
    devices = {**_devices(plan, engine), **_efa(plan, engine)}
    claims = [{"name": CLAIM}] if plan.pool_of(engine).claim(engine) else None
    return given(
        requests={"cpu": f"{cpus(plan, engine):g}", "memory": memory, **devices},
        limits={"memory": memory, **devices},
        claims=claims,
    )


def claims(plan: ClusterPlan, engine: EnginePlan) -> list[Body] | None:
    """The pod's claims of GPUs, where it takes them so."""
    template = plan.pool_of(engine).claim(engine)
    return [{"name": CLAIM, "resourceClaimTemplateName": template}] if template else None


def shared_gib(engine: EnginePlan) -> int:
    """Shared memory, GiB: vLLM's ring buffers (640 MiB at most) and what NCCL takes for each GPU; a judgement."""
    return max(2, engine.gpus)


def cpus(plan: ClusterPlan, engine: EnginePlan) -> float:
    """Processors."""
    least = min(instance.cpu for _, instance in plan.pool_of(engine).machines)
    return math.floor(min(LEFT * least * _share(plan, engine), CPUS + CPUS_PER_GPU * engine.gpus) * 10) / 10


def memory_mib(plan: ClusterPlan, engine: EnginePlan) -> int:
    """Memory, MiB: what is needed, and as much again for files read where the machine has it."""
    needed = needed_mib(engine)
    least = min(instance.memory_mib for _, instance in plan.pool_of(engine).machines)
    return max(needed, min(2 * needed, int(LEFT * least * _share(plan, engine))))


def needed_mib(engine: EnginePlan) -> int:
    """Memory that an engine may come to hold, MiB: as the planner reckons, what processes share, what is moved out."""
    moved = asked(engine.flags, "kv-offloading-size") + asked(engine.flags, "cpu-offload-gb") * engine.option.split.gpus
    gib = shared_gib(engine) + moved
    return HOST_MIB + HOST_MIB_PER_GPU * engine.option.split.gpus + math.ceil(gib * 1024)


def _share(plan: ClusterPlan, engine: EnginePlan) -> float:
    """The share of a machine that one pod takes."""
    pool = plan.pool_of(engine)
    return engine.gpus / (pool.gpus * pool.shares)


def _devices(plan: ClusterPlan, engine: EnginePlan) -> dict[str, str]:
    asked_for = plan.pool_of(engine).resource(engine)
    return {asked_for[0]: str(asked_for[1])} if asked_for else {}


def _efa(plan: ClusterPlan, engine: EnginePlan) -> dict[str, str]:
    """The fast network between machines, where a replica is spread over several."""
    if engine.machines == 1 or not plan.on_aws:
        return {}
    return {EFA: str(min(instance.efa for _, instance in plan.pool_of(engine).machines))}
