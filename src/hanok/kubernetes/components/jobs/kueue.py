"""Kueue: jobs of teams wait until there is room for all of their pods, and share what others leave.

One queue for each team with its share, one more for what nobody owns, all in one cohort: who lends gets it back.
"""

from __future__ import annotations

from collections.abc import Iterator

from hanok.errors import Problem
from hanok.kubernetes.component import Body, Chart, Component, Piece, Placed
from hanok.kubernetes.machines import Machine, machine_of_jobs
from hanok.kubernetes.notes import Known, Told
from hanok.kubernetes.objects import given, label, labels, thing
from hanok.kubernetes.places import JOBS, WORKLOAD, team_space
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.pools import GENERAL, GPU, TOLERATION
from hanok.kubernetes.walls import all_of
from hanok.kubernetes.writing import as_yaml
from hanok.spec.tree.cluster import Space

NAME = "kueue"
SPACE = "kueue-system"
API = "kueue.x-k8s.io/v1beta2"
COHORT, SHARED, QUEUE = "platform", "shared", "jobs"
PRIORITIES = {"high": 1000, "usual": 100, "low": 10}
LEVELS = ("topology.k8s.aws/network-node-layer-1", "topology.k8s.aws/network-node-layer-2",
          "topology.k8s.aws/network-node-layer-3", "kubernetes.io/hostname")  # fmt: skip
"""From the farthest to the nearest, as EKS labels nodes."""
READY = "20m"
"""A machine with GPUs has to start, and an image of many GiB to be fetched."""
FRAMEWORKS = ("batch/job", "jobset.x-k8s.io/jobset", "trainer.kubeflow.org/trainjob", "ray.io/rayjob",
              "ray.io/raycluster")  # fmt: skip


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """The controller, kinds of machines, shares and queues."""
    yield Chart(chart=NAME, release=NAME, namespace=SPACE, values=_values())
    for body in (*_topologies(plan), *_flavors(plan), *_priorities(), *_shares(plan)):
        yield Placed(stage="configs", folder=NAME, body=body)
    yield Placed(stage="apps", folder=JOBS, body=_queue(SHARED, JOBS))
    for space in spaces(plan):
        name = team_space(space.team)
        yield Placed(stage="apps", folder=name, body=_queue(name, name))


def _values() -> Body:
    manager = {
        "replicas": 2,
        "podDisruptionBudget": {"enabled": True, "minAvailable": 1},
    }
    return {"controllerManager": manager, "managerConfig": {"controllerManagerConfigYaml": as_yaml(_config())}}


def _config() -> Body:
    """The chart's own, but that a job whose pods are not all there in time gives its place back, and for which kinds
    of jobs it answers. The chart takes the file as a whole."""
    return {
        "apiVersion": "config.kueue.x-k8s.io/v1beta2",
        "kind": "Configuration",
        "health": {"healthProbeBindAddress": ":8081"},
        "metrics": {"bindAddress": ":8443"},
        "webhook": {"port": 9443},
        "leaderElection": {"leaderElect": True, "resourceName": "c1f6bfd2.kueue.x-k8s.io"},
        "clientConnection": {"qps": 50, "burst": 100},
        "waitForPodsReady": {"timeout": READY, "recoveryTimeout": READY, "blockAdmission": False},
        "integrations": {"frameworks": list(FRAMEWORKS)},
    }


# --- Machines ---------------------------------------------------------------------------------------------------------


def _topologies(plan: ClusterPlan) -> Iterator[Body]:
    """Where machines stand to one another; only of machines that are there, for the rest is not known before."""
    if by_place(plan):
        spec = {"levels": [{"nodeLabel": each} for each in (LEVELS if plan.on_aws else LEVELS[-1:])]}
        yield thing(API, "Topology", JOBS, labels=labels(JOBS, NAME), spec=spec)


def by_place(plan: ClusterPlan) -> bool:
    """Whether jobs may be put together by how near their machines are."""
    jobs = plan.cluster.jobs
    return bool(jobs.gpus) and (jobs.always or not plan.on_aws)


def _flavors(plan: ClusterPlan) -> Iterator[Body]:
    """What jobs may run on: where there are no machines of ours, anything that is there."""
    marks = {WORKLOAD: GENERAL} if plan.on_aws else None
    yield _flavor(GENERAL, given(nodeLabels=marks))
    if plan.cluster.jobs.gpus:
        topology = JOBS if by_place(plan) else None
        yield _flavor(JOBS, given(nodeLabels={WORKLOAD: JOBS}, tolerations=[TOLERATION], topologyName=topology))


def _flavor(name: str, spec: Body) -> Body:
    return thing(API, "ResourceFlavor", name, labels=labels(name, NAME), spec=spec)


# --- Shares -----------------------------------------------------------------------------------------------------------


def spaces(plan: ClusterPlan) -> list[Space]:
    """What each team has, as declared or by default."""
    declared = {each.team: each for each in plan.cluster.teams}
    return [declared.get(team.name, Space(team=team.name)) for team in plan.platform.teams]


def _shares(plan: ClusterPlan) -> Iterator[Body]:
    found, jobs = spaces(plan), plan.cluster.jobs
    for each in found:
        yield _share(plan, team_space(each.team), each)
    left = max(0, jobs.gpus - sum(each.gpus for each in found))
    yield _share(plan, SHARED, Space(team=SHARED, gpus=left), space=JOBS)


def _share(plan: ClusterPlan, name: str, share: Space, space: str | None = None) -> Body:
    spec: Body = {
        "cohortName": COHORT,
        **all_of(space or name),
        "queueingStrategy": "BestEffortFIFO",
        "preemption": {"reclaimWithinCohort": "Any", "withinClusterQueue": "LowerPriority"},
        "resourceGroups": [{"coveredResources": _covered(plan), "flavors": list(_quotas(plan, share))}],
    }
    return thing(API, "ClusterQueue", name, labels=labels(name, NAME), spec=spec)


def _covered(plan: ClusterPlan) -> list[str]:
    jobs = plan.cluster.jobs
    return ["cpu", "memory", *([GPU] if jobs.gpus else []), *([EFA] if jobs.gpus and jobs.efa else [])]


EFA = "vpc.amazonaws.com/efa"


def _quotas(plan: ClusterPlan, share: Space) -> Iterator[Body]:
    """The machines without GPUs first: who asks for none takes none. Processors of the others go with their GPUs."""
    yield _quota(plan, GENERAL, {"cpu": f"{share.cpu:g}", "memory": f"{share.memory_gib:g}Gi"})
    if machine := machine_of_jobs(plan):
        yield _quota(plan, JOBS, _part(machine, share.gpus))


def _part(host: Machine, gpus: int) -> dict[str, str]:
    part = gpus / host.gpus
    return {
        "cpu": f"{int(host.cpu * part)}",
        "memory": f"{int(host.memory_mib * part)}Mi",
        GPU: str(gpus),
        EFA: str(int(host.efa * part)),
    }


def _quota(plan: ClusterPlan, flavor: str, most: dict[str, str]) -> Body:
    resources = [{"name": name, "nominalQuota": most.get(name, "0")} for name in _covered(plan)]
    return {"name": flavor, "resources": resources}


def _queue(share: str, space: str) -> Body:
    """By one name everywhere: a job says `kueue.x-k8s.io/queue-name: jobs` wherever it is."""
    return thing(API, "LocalQueue", QUEUE, space, labels=labels(QUEUE, NAME), spec={"clusterQueue": share})


def _priorities() -> Iterator[Body]:
    for name, value in PRIORITIES.items():
        yield thing(API, "WorkloadPriorityClass", label(name), labels=labels(name, NAME), value=value)


def refuse(plan: ClusterPlan) -> Iterator[Problem]:
    """Teams that own more GPUs than jobs may take."""
    owned = sum(each.gpus for each in spaces(plan))
    if owned > plan.cluster.jobs.gpus:
        message = f"teams have {owned} GPUs, and jobs may take {plan.cluster.jobs.gpus}"
        place = ("cluster", "jobs", "gpus")
        yield plan.written.problem(place, message, f"write `gpus: {owned}`, or give teams fewer")


def notes(plan: ClusterPlan) -> Iterator[Told]:
    """How a job is queued."""
    yield Known(
        f"a job waits its turn when it has the label `kueue.x-k8s.io/queue-name: {QUEUE}`; others start at once"
    )
    if not by_place(plan) and plan.cluster.jobs.gpus:
        yield Known(
            "machines of jobs come when they are wanted, so that jobs are not placed by nearness: see `jobs.always`"
        )


COMPONENT = Component(
    name=NAME, wanted=lambda plan: plan.cluster.jobs.kueue, adapters={"v1beta2": render}, refuse=refuse, notes=notes
)
