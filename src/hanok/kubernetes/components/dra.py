"""Claims of GPUs (Dynamic Resource Allocation): NVIDIA's driver for them, and a template for each claim of an engine.

In place of the device plugin. Domains of several machines (ComputeDomain) are of GB200 and are left off.
"""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.component import Body, Chart, Component, Piece, Placed
from hanok.kubernetes.objects import labels, thing
from hanok.kubernetes.places import MODELS
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.pools import TOLERATION, Pool

NAME = SPACE = "dra-driver"
OPERATORS = "/run/nvidia/driver"
"""Where the GPU operator's driver is on a node. EKS' images have theirs at the root, which is the chart's default."""
WHOLE, SLICE = "gpu.nvidia.com", "mig.nvidia.com"


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """The driver, and templates."""
    values: Body = {
        **({} if plan.on_aws else {"nvidiaDriverRoot": OPERATORS}),
        "gpuResourcesEnabledOverride": True,
        "resources": {"gpus": {"enabled": True}, "computeDomains": {"enabled": False}},
        "webhook": {"enabled": False},
        "kubeletPlugin": {"tolerations": [TOLERATION]},
    }
    yield Chart(chart=NAME, release=NAME, namespace=SPACE, values=values)
    for pool in plan.pools:
        yield from (Placed(stage="apps", folder=MODELS, body=each) for each in _templates(pool))


def _templates(pool: Pool) -> Iterator[Body]:
    wanted = {str(pool.claim(each)): each.gpus for each in pool.engines}
    for name in sorted(wanted):
        request = {"name": "gpus", "exactly": _exactly(pool, wanted[name])}
        spec = {"spec": {"devices": {"requests": [request]}}}
        yield thing(
            "resource.k8s.io/v1", "ResourceClaimTemplate", name, MODELS, labels=labels(name, NAME), spec=spec
        )  # fmt: skip


def _exactly(pool: Pool, count: int) -> Body:
    if pool.profile is None:
        return {"deviceClassName": WHOLE, "allocationMode": "ExactCount", "count": count}
    only = f"device.attributes['{WHOLE}'].profile == '{pool.profile}'"
    return {
        "deviceClassName": SLICE, "allocationMode": "ExactCount", "count": count,
        "selectors": [{"cel": {"expression": only}}],
    }  # fmt: skip


def notes(plan: ClusterPlan) -> Iterator[str]:
    """Where the driver is looked for."""
    if not plan.on_aws:
        yield (
            f"NVIDIA's driver is looked for at {OPERATORS}, where the GPU operator puts it: on nodes that bring their "
            "own, say `nvidiaDriverRoot: /` in the chart's values"
        )


COMPONENT = Component(
    name=NAME, wanted=lambda plan: plan.cluster.nodes.dra and plan.needs_gpus, adapters={"v1": render}, notes=notes
)
