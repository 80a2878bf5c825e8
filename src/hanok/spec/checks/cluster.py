"""The cluster block must name teams that there are, and ask for what its version of Kubernetes has."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.spec.checks.findings import Finding, quoted, unknown
from hanok.spec.tree import Cluster, Platform

DRA_SINCE = (1, 34)
"""Dynamic Resource Allocation is stable since Kubernetes 1.34."""


def check_cluster(platform: Platform) -> Iterator[Finding]:
    """Unknown teams, a team twice, and features that the cluster is too old for."""
    if platform.cluster is not None:
        yield from _teams(platform, platform.cluster)
        yield from _too_old(platform.cluster)


def _teams(platform: Platform, cluster: Cluster) -> Iterator[Finding]:
    declared, seen = [team.name for team in platform.teams], set[str]()
    for index, space in enumerate(cluster.teams):
        place = ("cluster", "teams", index, "team")
        if space.team not in declared:
            yield unknown("team", space.team, declared, place)
        elif space.team in seen:
            yield Finding(place=place, message=f"the team {quoted(space.team)} is there already", hint="keep one")
        seen.add(space.team)


def _too_old(cluster: Cluster) -> Iterator[Finding]:
    major, _, minor = cluster.kubernetes.partition(".")
    if cluster.nodes.dra and (int(major), int(minor)) < DRA_SINCE:
        message = f"Kubernetes {cluster.kubernetes} cannot claim GPUs"
        yield Finding(place=("cluster", "nodes", "dra"), message=message, hint="raise `cluster.kubernetes` to 1.34")
