"""Where an engine's weights are kept: on its node, or on a file system that all replicas share."""

from __future__ import annotations

import math
from collections.abc import Iterator

from hanok.gpu import GIB, Split
from hanok.gpu.memory import weights_bytes
from hanok.kubernetes.component import Body
from hanok.kubernetes.components.vllm.parts import NAME
from hanok.kubernetes.engines import EnginePlan
from hanok.kubernetes.objects import labels, thing
from hanok.kubernetes.places import EFS_CLASS, FSX_CLASS, MODELS
from hanok.kubernetes.plan import ClusterPlan

FOLDER, CLAIM = "/weights", "weights"
FSX_STEP_GIB = 1200
"""FSx for Lustre is sold in so many GiB."""


def on_disk_bytes(engine: EnginePlan) -> float:
    """What the model's files take, as they are published."""
    return weights_bytes(engine.anatomy, Split())


def roomy_gib(size: float) -> int:
    """Room for so many bytes of weights, and for what is being fetched."""
    return math.ceil(size / GIB * 1.2) + 5


def volume(plan: ClusterPlan, engine: EnginePlan) -> Body:
    """The pod's volume for weights."""
    if plan.cluster.serving.weights == "node":
        return {"name": "weights", "emptyDir": {"sizeLimit": f"{roomy_gib(on_disk_bytes(engine))}Gi"}}
    return {"name": "weights", "persistentVolumeClaim": {"claimName": CLAIM}}


def storage_class(plan: ClusterPlan) -> str:
    """The class of the file system that all share."""
    serving = plan.cluster.serving
    return serving.storage_class or (FSX_CLASS if serving.weights == "fsx" else EFS_CLASS)


def shared_claim(plan: ClusterPlan) -> Iterator[Body]:
    """The claim on that file system, where there is one."""
    if plan.cluster.serving.weights == "node":
        return
    spec: Body = {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": storage_class(plan),
        "resources": {"requests": {"storage": f"{shared_gib(plan)}Gi"}},
    }
    name = labels(CLAIM, NAME)
    yield thing("v1", "PersistentVolumeClaim", CLAIM, MODELS, labels=name, spec=spec)


def shared_gib(plan: ClusterPlan) -> int:
    """Its size: as declared, else each model's weights once."""
    serving = plan.cluster.serving
    sizes = {each.weights: on_disk_bytes(each) for each in plan.engines}
    size = serving.weights_gib or roomy_gib(sum(sizes.values()))
    return math.ceil(size / FSX_STEP_GIB) * FSX_STEP_GIB if serving.weights == "fsx" else size
