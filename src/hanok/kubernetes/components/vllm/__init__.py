"""vLLM: an engine for each model that needs GPUs, on the machines that were planned for it.

A replica is one pod, or a group of pods where it is spread over several machines. What one needs of GPUs, memory and
time follows from the model's own figures, so nothing of it is asked for in platform.yaml.
"""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.component import Body, Component, Piece, Placed
from hanok.kubernetes.components.vllm.around import around, closed
from hanok.kubernetes.components.vllm.parts import NAME
from hanok.kubernetes.components.vllm.refusals import notes, refuse
from hanok.kubernetes.components.vllm.weights import shared_claim
from hanok.kubernetes.components.vllm.workload import workload
from hanok.kubernetes.external import external_secret
from hanok.kubernetes.places import HUB_SECRET, HUB_SECRET_KEY, MODELS
from hanok.kubernetes.plan import ClusterPlan


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """Each engine's workload and what stands around it; what all of them share."""
    yield from (Placed(stage="apps", folder=MODELS, body=body) for body in _bodies(plan))


def _bodies(plan: ClusterPlan) -> Iterator[Body]:
    if token := plan.cluster.serving.token:
        yield external_secret(plan, HUB_SECRET, MODELS, {HUB_SECRET_KEY: token}, component=NAME)
    yield closed()
    yield from shared_claim(plan)
    for engine in plan.engines:
        yield workload(plan, engine)
        yield from around(plan, engine)


COMPONENT = Component(
    name=NAME, wanted=lambda plan: bool(plan.engines), adapters={"": render}, refuse=refuse, notes=notes
)
