"""Namespaces: one for each team, with its share, its walls and its people; and walls round the platform's own.

What a namespace may ask for is the team's `cluster.teams` block. Calls into the platform go to Hanok's door alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from hanok.kubernetes.closed import own_pods_only
from hanok.kubernetes.component import Body, Component, Piece, Placed
from hanok.kubernetes.components.jobs.kueue import SHARED
from hanok.kubernetes.machines import machine_of_jobs
from hanok.kubernetes.objects import labels, thing
from hanok.kubernetes.places import HANOK, team_space
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.spaces import namespace
from hanok.kubernetes.walls import own_pods, pods_in
from hanok.spec.tree import Team
from hanok.spec.tree.cluster import Space

NAME = "namespaces"
TEAM = "hanok.dev/team"
"""Label of a team's namespace."""
_DNS = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """Each team's namespace with quota, limits, network policies and a role binding."""
    for team in plan.platform.teams:
        space = _lent(plan, space_of(plan, team))
        name = team_space(team.name)
        yield Placed(stage="namespaces", folder=name, body=namespace(name, {TEAM: name.removeprefix("team-")}))
        yield from (Placed(stage="apps", folder=name, body=each) for each in _of_team(plan, team, space))


def space_of(plan: ClusterPlan, team: Team) -> Space:
    """What a team has in the cluster, as declared or by default."""
    return next((each for each in plan.cluster.teams if each.team == team.name), Space(team=team.name))


def _lent(plan: ClusterPlan, space: Space) -> Space:
    """With queues, a team may be lent what others leave: then the queue counts, and all of it is room enough."""
    if not plan.cluster.jobs.kueue:
        return space
    gpus, machine = plan.cluster.jobs.gpus, machine_of_jobs(plan)
    part = gpus / machine.gpus if machine else 0
    shares = [Space(team=SHARED), *(space_of(plan, each) for each in plan.platform.teams)]
    cpu = sum(each.cpu for each in shares) + (machine.cpu * part if machine else 0)
    gib = sum(each.memory_gib for each in shares) + (machine.memory_mib * part / 1024 if machine else 0)
    return space.model_copy(
        update={"gpus": max(space.gpus, gpus), "cpu": math.floor(cpu), "memory_gib": math.floor(gib)}
    )


def _of_team(plan: ClusterPlan, team: Team, space: Space) -> Iterator[Body]:
    name = team_space(team.name)
    yield _quota(name, space)
    yield _limits(name)
    yield own_pods_only(plan, name, NAME)
    yield _way_out(name)
    yield _people(name, team, space)


def _quota(name: str, space: Space) -> Body:
    hard = {
        "requests.cpu": f"{space.cpu:g}",
        "requests.memory": f"{space.memory_gib:g}Gi",
        "limits.memory": f"{space.memory_gib:g}Gi",
        "requests.nvidia.com/gpu": str(space.gpus),
        "pods": str(space.pods),
    }
    return thing("v1", "ResourceQuota", "share", name, labels=labels("share", NAME), spec={"hard": hard})


def _limits(name: str) -> Body:
    """What a container gets that asks for nothing: a quota refuses pods that do not say."""
    limit = {
        "type": "Container",
        "defaultRequest": {"cpu": "100m", "memory": "128Mi"},
        "default": {"memory": "512Mi"},
    }
    return thing("v1", "LimitRange", "usual", name, labels=labels("usual", NAME), spec={"limits": [limit]})


def _way_out(name: str) -> Body:
    """Out to names, to one another, and to Hanok's door; not to engines or databases past it."""
    spec: Body = {
        "podSelector": {},
        "policyTypes": ["Egress"],
        "egress": [
            {"ports": _DNS},
            {"to": [own_pods(), pods_in(HANOK, "hanok")]},
        ],
    }
    return thing("networking.k8s.io/v1", "NetworkPolicy", "to-the-door", name, labels=labels("walls", NAME), spec=spec)


def _people(name: str, team: Team, space: Space) -> Body:
    """The team's people may do in it what Kubernetes' own role `edit` allows."""
    group = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": space.group or f"hanok:{team.name}"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"}
    return thing(
        "rbac.authorization.k8s.io/v1", "RoleBinding", "people", name,
        labels=labels("people", NAME), roleRef=role, subjects=[group],
    )  # fmt: skip


COMPONENT = Component(name=NAME, wanted=lambda plan: bool(plan.platform.teams), adapters={"": render})
