"""Pods of jobs, by the labels that whoever makes them writes: Kubernetes for every Job, JobSets' and TrainJobs' among
them, and KubeRay for its clusters. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hanok.kubernetes.component import Body
from hanok.kubernetes.places import team_space
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.walls import SPACE_NAME

JOB, RAY_CLUSTER = "batch.kubernetes.io/job-name", "ray.io/cluster"


def has_jobs(plan: ClusterPlan) -> bool:
    """Whether the cluster has anything for jobs."""
    jobs = plan.cluster.jobs
    return bool(jobs.kueue or jobs.trainer or jobs.ray or jobs.gpus or jobs.fsx_gib)


def kinds_of_job(plan: ClusterPlan) -> Mapping[str, Body]:
    """What selects the pods of each kind of job."""
    kinds = {"jobs": JOB, **({"ray": RAY_CLUSTER} if plan.cluster.jobs.ray else {})}
    return {kind: {"matchExpressions": [{"key": key, "operator": "Exists"}]} for kind, key in kinds.items()}


def jobs_of_teams(plan: ClusterPlan) -> Iterator[Body]:
    """Pods of jobs in namespaces of teams, as a wall lets them in."""
    teams = [team_space(team.name) for team in plan.platform.teams]
    if teams and has_jobs(plan):
        spaces = {"matchExpressions": [{"key": SPACE_NAME, "operator": "In", "values": teams}]}
        for pods in kinds_of_job(plan).values():
            yield {"namespaceSelector": spaces, "podSelector": pods}
