"""vLLM: an engine for each model that needs GPUs, on the machines that were planned for it.

A replica is one pod, or a group of pods where it is spread over several machines. What one needs of GPUs, memory and
time follows from the model's own figures, so nothing of it is asked for in platform.yaml.
"""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.component import Component, Piece, Placed
from hanok.kubernetes.components.vllm.around import around
from hanok.kubernetes.components.vllm.parts import NAME
from hanok.kubernetes.components.vllm.refusals import notes, refuse
from hanok.kubernetes.components.vllm.weights import shared_claim
from hanok.kubernetes.components.vllm.workload import workload
from hanok.kubernetes.places import MODELS
from hanok.kubernetes.plan import ClusterPlan


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """Each engine's workload and what stands around it; the weights' volume, where all share one."""
    bodies = [*shared_claim(plan)]
    for engine in plan.engines:
        bodies += [workload(plan, engine), *around(plan, engine)]
    yield from (Placed(stage="apps", folder=MODELS, body=body) for body in bodies)


COMPONENT = Component(
    name=NAME, wanted=lambda plan: bool(plan.engines), adapters={"": render}, refuse=refuse, notes=notes
)
