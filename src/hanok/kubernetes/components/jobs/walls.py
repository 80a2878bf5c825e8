"""Where jobs are: the walls of the namespace that is no team's, and what machines of jobs must be known by."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.closed import own_pods_only
from hanok.kubernetes.component import Body, Component, Piece, Placed
from hanok.kubernetes.hardening import pod_security
from hanok.kubernetes.machines import machine_of_jobs, refuse_jobs
from hanok.kubernetes.objects import labels, thing
from hanok.kubernetes.places import GPU_TAINT, JOBS, WORKLOAD
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.pools import GPU, TOLERATION

NAME = "jobs"


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """Jobs reach one another and the world; nobody else reaches them. And how a pod asks for their machines."""
    yield Placed(stage="apps", folder=JOBS, body=own_pods_only(plan, JOBS, NAME))
    if plan.cluster.jobs.gpus:
        yield Placed(stage="apps", folder=JOBS, body=_pattern(plan))


def _pattern(plan: ClusterPlan) -> Body:
    """To copy from: machines of jobs are for pods that say so, whoever makes them."""
    container: Body = {
        "name": "job",
        "image": plan.cluster.jobs.image,
        "resources": {"requests": {"cpu": "4", "memory": "16Gi"}, "limits": {"memory": "16Gi", GPU: "1"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec: Body = {
        "nodeSelector": {WORKLOAD: JOBS},
        "tolerations": [TOLERATION],
        "securityContext": pod_security(),  # namespaces of teams take no pod of root
        "restartPolicy": "Never",
        "containers": [container],
    }
    return thing("v1", "PodTemplate", "gpu-job", JOBS, labels=labels("gpu-job", NAME), template={"spec": spec})


def is_wanted(plan: ClusterPlan) -> bool:
    """Where there is anything for jobs."""
    jobs = plan.cluster.jobs
    return bool(jobs.kueue or jobs.trainer or jobs.ray or jobs.gpus or jobs.fsx_gib)


def notes(plan: ClusterPlan) -> Iterator[str]:
    """How nodes that are there are given to jobs."""
    if plan.cluster.jobs.gpus and not plan.on_aws:
        machine = machine_of_jobs(plan)
        assert machine is not None, "refused before"
        beside = f"{machine.cpu:g} processors and {machine.memory_mib / 1024:.0f} GiB"
        yield (
            f"give jobs {-(-plan.cluster.jobs.gpus // machine.gpus)} or more nodes that have {machine.gpus} "
            f"{machine.accelerator} each, and {beside} for pods: "
            f"`kubectl label node NODE {WORKLOAD}={JOBS}` and `kubectl taint node NODE {GPU_TAINT}=true:NoSchedule`"
        )


COMPONENT = Component(name=NAME, wanted=is_wanted, adapters={"": render}, refuse=refuse_jobs, notes=notes)
