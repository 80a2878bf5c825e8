"""How many nodes it takes, and whether pools, accounts and namespaces allow as many."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hanok.errors import PreflightError
from hanok.preflight import read_quotas
from tests.rooms.preflight.conftest import Look, ids, look_by, only
from tests.rooms.preflight.test_scheduling_seats import G6, TYPE, manifest, pods, pool, text

look = look_by("HK3")


def scaler(most: int) -> dict[str, Any]:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "model"}
    spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": most}
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "m"}, "spec": spec}


def test_nodes_are_counted_at_least_and_at_most(look: Look) -> None:
    report = look(text(pool((TYPE, "In", ["g6.xlarge", "g6.12xlarge"])), pods(), scaler(3)))
    found = report.case.placement
    assert [(each.seat.instance, each.capacity) for each in found.least] == [("g6.xlarge", "spot")]
    assert [(each.seat.instance, each.capacity, each.count) for each in found.most] == [("g6.xlarge", "on-demand", 3)]
    assert found.most[0].free["nvidia.com/gpu"] == 0


def test_pods_share_a_node_and_those_that_avoid_each_other_do_not(look: Look) -> None:
    near = text(pool((TYPE, "In", ["m7i.2xlarge"])), pods(replicas=3, requests={"cpu": "2"}))
    assert len(look(near).case.placement.most) == 1
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "model"}}}
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    report = look(text(pool((TYPE, "In", ["m7i.2xlarge"])), pods(replicas=3, requests={}, affinity=apart)))
    assert sum(each.count for each in report.case.placement.most) == 3


@pytest.mark.parametrize("replicas", [1_000_000, 2_147_483_647, 10**18])
def test_replicas_without_number_take_neither_time_nor_memory(look: Look, replicas: int) -> None:
    placed = look(text(pool(G6), pods(replicas=replicas))).case.placement.most
    assert sum(each.count for each in placed) == replicas
    assert len(placed) < 5


def test_a_limit_is_told_with_its_figures_at_the_most_replicas(look: Look) -> None:
    report = look(text(pool(G6, limits={"nvidia.com/gpu": 4}), pods(), scaler(6)))
    found = only(report, "HK321")
    assert "allows 4 nvidia.com/gpu" in found.message
    assert "6× Deployment default/model take at least 6 nvidia.com/gpu" in found.message
    assert "HK321" not in ids(look(text(pool(G6, limits={"nvidia.com/gpu": 6}), pods(), scaler(6))))


def test_what_packing_misses_is_searched_for(look: Look) -> None:
    """The cheapest type a pod would use up the limit; together the pods fit on one node of another type."""
    given = pool((TYPE, "In", ["g6.xlarge", "g6.12xlarge"]), limits={"cpu": 48})
    wide = pods(name="wide", requests={"nvidia.com/gpu": "2", "cpu": "10"})
    assert ids(look(text(given, pods(replicas=2), wide))) == []


def test_a_static_pool_has_as_many_nodes_as_it_says(look: Look) -> None:
    assert "1 of 3 pods find no room" in only(look(text(pool(G6, replicas=2), pods(replicas=3))), "HK321").message
    report = look(text(pool(G6, replicas=3), pods(replicas=2)))
    assert ids(report) == []
    assert sum(each.count for each in report.case.placement.most) == 3


@pytest.mark.parametrize(("quota", "rule"), [({"L-DB2E81BA": 8, "L-3819A6DF": 8}, "HK323"), ({"L-DB2E81BA": 64}, None)])
def test_an_accounts_quota_bounds_the_processors(look: Look, quota: dict[str, float], rule: str | None) -> None:
    report = look(text(pool((TYPE, "In", ["g6.xlarge"])), pods(replicas=5)), quotas=quota)
    assert ids(report) == ([rule] if rule else [])
    if rule:
        assert "5× g6.xlarge have 20 vCPUs, and the account may run 16" in only(report, rule).message


def test_quotas_are_read_as_aws_prints_them(tmp_path: Path) -> None:
    file = tmp_path / "quotas.json"
    file.write_text(json.dumps({"Quotas": [{"QuotaCode": "L-DB2E81BA", "Value": 64.0}]}))
    assert read_quotas(file) == {"L-DB2E81BA": 64.0}
    file.write_text('{"L-DB2E81BA": 8}')
    assert read_quotas(file) == {"L-DB2E81BA": 8.0}
    file.write_text("[]")
    with pytest.raises(PreflightError, match="holds no quotas"):
        read_quotas(file)


def quota(**hard: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": hard}}


@pytest.mark.parametrize(
    ("hard", "rule"),
    [
        ({"requests.nvidia.com/gpu": "2"}, True),
        ({"requests.nvidia.com/gpu": "3"}, False),
        ({"pods": 2}, True),
        ({"requests.cpu": "2500m"}, True),
        ({"requests.cpu": "3"}, False),
        ({"memory": "3Gi"}, False),
        ({"limits.memory": "30Gi"}, True),
        ({"services": "1"}, False),
        ({"requests.storage": "1Gi"}, False),
    ],
)
def test_a_resource_quota_counts_all_replicas(look: Look, hard: dict[str, Any], rule: bool) -> None:
    report = look(text(pool(G6), pods(replicas=3), quota(**hard)))
    assert ids(report) == (["HK325"] if rule else [])


def test_defaults_of_a_limit_range_are_asked_for(look: Look) -> None:
    limits = [{"type": "Container", "default": {"cpu": "9"}, "defaultRequest": {"cpu": "9"}}]
    given = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "r"}, "spec": {"limits": limits}}
    silent = pods()
    silent["spec"]["template"]["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": 1}}
    report = look(text(pool((TYPE, "In", ["g6.2xlarge"])), silent, given))
    assert "9 CPU" in only(report, "HK301").message


def test_mig_slices_are_offered_by_their_own_names_and_seen_through_an_overlay(look: Look) -> None:
    given = pool((TYPE, "In", ["p5.4xlarge"]), labels={"nvidia.com/mig.config": "all-1g.10gb"})
    policy = manifest("nvidia.com/v1", "ClusterPolicy", {"mig": {"strategy": "mixed"}})
    slices = pods(requests={"nvidia.com/mig-1g.10gb": "1"})
    hidden = only(look(text(given, policy, slices)), "HK309")
    assert "Karpenter does not know" in hidden.message
    wanted = [{"key": TYPE, "operator": "In", "values": ["p5.4xlarge"]}]
    capacity = {"nvidia.com/mig-1g.10gb": "7"}
    overlay = manifest("karpenter.sh/v1alpha1", "NodeOverlay", {"requirements": wanted, "capacity": capacity})
    report = look(text(given, policy, slices, overlay))
    (seat,) = report.case.placement.seats[report.case.workloads[0]]
    assert seat.sharing is not None
    assert (seat.sharing.kind, seat.sharing.profile) == ("mig", "1g.10gb")
    whole = only(look(text(given, policy, pods())), "HK309")
    assert "offer nvidia.com/mig-1g.10gb instead" in whole.message


def test_a_claim_of_a_device_counts_as_a_gpu(look: Look) -> None:
    request = {"name": "gpu", "exactly": {"deviceClassName": "gpu.nvidia.com", "count": 4}}
    template = manifest("resource.k8s.io/v1", "ResourceClaimTemplate", {"spec": {"devices": {"requests": [request]}}})
    claims = [{"name": "gpu", "resourceClaimTemplateName": "x"}]
    report = look(
        text(pool((TYPE, "In", ["g6.xlarge", "g6.12xlarge"])), pods(requests={}, resourceClaims=claims), template)
    )
    assert {each.instance for each in report.case.placement.seats[report.case.workloads[0]]} == {"g6.12xlarge"}
