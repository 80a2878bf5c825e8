"""Where jobs are: the walls of the namespace that is no team's, the ways out of teams', and how their machines are
asked for."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.closed import own_pods_only
from hanok.kubernetes.component import Body, Component, Piece, Placed
from hanok.kubernetes.components import mlflow
from hanok.kubernetes.hardening import pod_security
from hanok.kubernetes.job_pods import has_jobs, kinds_of_job
from hanok.kubernetes.machines import machine_of_jobs, refuse_jobs
from hanok.kubernetes.objects import labels, thing
from hanok.kubernetes.places import GPU_TAINT, JOBS, OBSERVABILITY, WORKLOAD, team_space
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.pools import GPU, TOLERATION
from hanok.kubernetes.walls import pods_in, port

NAME = "jobs"
AGENT_V4, AGENT_V6 = "169.254.170.23/32", "fd00:ec2::23/128"
"""Where EKS' Pod Identity agent, on the pod's own node, gives a pod the credentials of its role."""


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """Jobs reach one another and the world; nobody else reaches them. And how a pod asks for their machines."""
    yield Placed(stage="apps", folder=JOBS, body=own_pods_only(plan, JOBS, NAME))
    if plan.cluster.jobs.gpus:
        yield Placed(stage="apps", folder=JOBS, body=_pattern(plan))
    for team in plan.platform.teams:
        space = team_space(team.name)
        yield from (Placed(stage="apps", folder=space, body=each) for each in _ways_out(plan, space))


def _ways_out(plan: ClusterPlan, space: str) -> Iterator[Body]:
    """Beside the door, where all of a team's pods may go."""
    for kind, pods in kinds_of_job(plan).items():
        spec: Body = {"podSelector": pods, "policyTypes": ["Egress"], "egress": list(_outs(plan))}
        marks = labels("walls", NAME)
        yield thing("networking.k8s.io/v1", "NetworkPolicy", f"{kind}-to-the-world", space, labels=marks, spec=spec)


def _outs(plan: ClusterPlan) -> Iterator[Body]:
    """Weights and data come by 443, from wherever they are, with the rights of a role; MLflow is told how it goes."""
    yield {"ports": [port(443)]}
    if plan.on_aws:
        yield {"to": [{"ipBlock": {"cidr": each}} for each in (AGENT_V4, AGENT_V6)], "ports": [port(80)]}
    if plan.cluster.observe.mlflow:
        yield {"to": [pods_in(OBSERVABILITY, mlflow.NAME)], "ports": [port(mlflow.PORT)]}


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


COMPONENT = Component(name=NAME, wanted=has_jobs, adapters={"": render}, refuse=refuse_jobs, notes=notes)
