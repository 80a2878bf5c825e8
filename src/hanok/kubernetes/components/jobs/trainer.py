"""Kubeflow Trainer: training over several machines, from a runtime that knows this cluster's.

A TrainJob says what to run and on how many machines; the runtime `torch` says where these are and how they are joined.
"""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.component import Body, Chart, Component, Piece, Placed
from hanok.kubernetes.machines import Machine, machine_of_jobs
from hanok.kubernetes.objects import given, labels, thing
from hanok.kubernetes.places import JOBS, WORKLOAD
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.pools import GPU, TOLERATION

NAME = "trainer"
SPACE = "kubeflow-system"
RUNTIME = "torch"
EFA = "vpc.amazonaws.com/efa"
STEP = "trainer.kubeflow.org/trainjob-ancestor-step"
USER, HOME = 1000, "/tmp"  # noqa: S108 - a folder of the container's own
"""Not root: teams' namespaces take no other pods. PyTorch looks for a name and a home, which this user has not."""
SHM_GIB = 64
"""Shared memory of a machine's processes: NCCL and the loaders of data use it."""


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """The controller with JobSet, and the runtime."""
    requests = {"cpu": "100m", "memory": "256Mi"}
    manager = {"replicas": 2, "resources": {"requests": requests, "limits": {"memory": "512Mi"}}}
    yield Chart(chart=NAME, release=NAME, namespace=SPACE, values={"manager": manager})
    yield Placed(stage="configs", folder=NAME, body=runtime(plan))


def runtime(plan: ClusterPlan) -> Body:
    """PyTorch, a pod for each machine, with all of its GPUs."""
    job = {"metadata": {"labels": {STEP: "trainer"}}, "spec": {"template": {"spec": _pod(plan)}}}
    spec: Body = {
        "mlPolicy": {"numNodes": 1, "torch": {}},
        "template": {"spec": {"replicatedJobs": [{"name": "node", "template": job}]}},
    }
    marks = {**labels(RUNTIME, NAME), "trainer.kubeflow.org/framework": "torch"}
    return thing("trainer.kubeflow.org/v1alpha1", "ClusterTrainingRuntime", RUNTIME, labels=marks, spec=spec)


def _pod(plan: ClusterPlan) -> Body:
    jobs = plan.cluster.jobs
    return given(
        nodeSelector={WORKLOAD: JOBS} if jobs.gpus else None,
        tolerations=[TOLERATION] if jobs.gpus else None,
        securityContext=_security(),
        containers=[_container(plan)],
        volumes=[{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": f"{SHM_GIB}Gi"}}],
    )


def _security() -> Body:
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "fsGroup": USER,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _container(plan: ClusterPlan) -> Body:
    return given(
        name="node",
        image=plan.cluster.jobs.image,
        env=[{"name": "HOME", "value": HOME}, {"name": "USER", "value": "job"}],
        resources=_resources(plan),
        securityContext={"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        volumeMounts=[{"name": "shm", "mountPath": "/dev/shm"}],  # noqa: S108 - a mount of its own
    )


def _resources(plan: ClusterPlan) -> Body:
    """A whole machine, but for what runs on every node."""
    host = machine_of_jobs(plan)
    if host is None:
        return {"requests": {"cpu": "4", "memory": "16Gi"}, "limits": {"memory": f"{SHM_GIB + 16}Gi"}}
    devices = {GPU: str(host.gpus), **({EFA: str(host.efa)} if plan.cluster.jobs.efa else {})}
    memory = f"{int(host.memory_mib * 0.9)}Mi"
    return {
        "requests": {"cpu": str(_cpu(host)), "memory": memory, **devices},
        "limits": {"memory": memory, **devices},
    }


def _cpu(host: Machine) -> int:
    return max(1, int(host.cpu * 0.9))


def notes(plan: ClusterPlan) -> Iterator[str]:
    """What the image must have."""
    if plan.cluster.jobs.efa and "image" not in plan.cluster.jobs.model_fields_set:
        yield "PyTorch's own image has no EFA: build one with libfabric and aws-ofi-nccl, named as `cluster.jobs.image`"


COMPONENT = Component(
    name=NAME, wanted=lambda plan: plan.cluster.jobs.trainer, adapters={"v1alpha1": render}, notes=notes
)
