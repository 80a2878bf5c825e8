"""Nodes: pools and classes for what the models were planned on, on EKS and in its Auto Mode."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from hanok.errors import SpecError
from hanok.spec import Target
from tests.rooms.kubernetes.rendering import Made, faults, made

QUIET = "  observe: {collector: false}\n"
PLATFORM = (
    """\
name: acme
models:
  - name: chat
    serve: {engine: vllm, model: meta-llama/Llama-3.3-70B-Instruct, flags: {max-model-len: 16384}}
    deploy: {gpu: [g6e.12xlarge, g6e.24xlarge], concurrency: 1}
    scale: {min: 2, max: 3}
cluster:
  zones: [us-east-1a, us-east-1b]
  nodes: {spot: true}
"""
    + QUIET
)
POOL = "gpu-g6e-12xlarge"


@cache
def tree(target: Target = "eks", text: str = PLATFORM) -> Made:
    return made(text, target=target)


def wants(pool: dict[str, Any]) -> dict[str, list[str]]:
    return {each["key"]: each["values"] for each in pool["spec"]["template"]["spec"]["requirements"]}


def refused(text: str, target: Target = "eks") -> list[str]:
    with pytest.raises(SpecError) as found:
        made(text, target=target)
    return [each.path for each in found.value.problems]


@pytest.mark.parametrize("pool", [POOL, "general", "jobs"])
def test_auto_mode_is_given_no_pool_whose_nodes_may_live_longer_than_it_lets_them(pool: str) -> None:
    text = PLATFORM + "  jobs: {gpus: 4, gpu: g6.12xlarge}\n"
    spec = tree("eks-auto", text).one("NodePool", pool)["spec"]["template"]["spec"]
    hours = [int(spec[each].removesuffix("h")) for each in ("expireAfter", "terminationGracePeriod")]
    assert sum(hours) <= 21 * 24, "its API refuses more"
    assert hours[1] == 24


def test_engines_have_a_pool_of_the_machines_they_were_planned_on() -> None:
    pool = tree().one("NodePool", POOL)
    wanted = wants(pool)
    assert wanted["node.kubernetes.io/instance-type"] == ["g6e.12xlarge", "g6e.24xlarge"]
    assert wanted["karpenter.sh/capacity-type"] == ["spot", "on-demand"]
    assert wanted["topology.kubernetes.io/zone"] == ["us-east-1a", "us-east-1b"]
    template = pool["spec"]["template"]
    assert template["metadata"]["labels"]["hanok.dev/workload"] == POOL
    assert template["spec"]["taints"] == [{"key": "nvidia.com/gpu", "value": "true", "effect": "NoSchedule"}]
    pod = tree().one("StatefulSet", "chat")["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"hanok.dev/workload": POOL}


def test_engines_are_not_moved_and_one_machine_may_be_replaced() -> None:
    spec = tree().one("NodePool", POOL)["spec"]
    assert spec["disruption"]["consolidationPolicy"] == "WhenEmpty"
    assert spec["template"]["spec"]["expireAfter"] == "Never"
    assert spec["limits"] == {"nvidia.com/gpu": "16"}  # three replicas of four GPUs, and a machine more


def test_weights_are_on_the_machines_own_disks_where_all_have_them() -> None:
    spec = tree().one("EC2NodeClass", POOL)["spec"]
    assert spec["instanceStorePolicy"] == "RAID0"
    assert spec["amiSelectorTerms"] == [{"alias": "al2023@v20260801"}]
    assert spec["metadataOptions"]["httpPutResponseHopLimit"] == 1
    without = PLATFORM.replace("g6e.12xlarge, g6e.24xlarge", "p5.4xlarge, p5en.48xlarge").replace(
        "Llama-3.3-70B", "Llama-3.1-8B"
    )
    small = tree(text=without.replace("concurrency: 1}", "concurrency: 1, mig: false}"))
    [found] = [each for each in small.all("EC2NodeClass") if each["metadata"]["name"].startswith("gpu-")]
    assert found["spec"]["blockDeviceMappings"][0]["ebs"]["encrypted"] is True


def test_all_else_stands_on_general_machines_up_to_a_limit() -> None:
    pool = tree().one("NodePool", "general")
    assert wants(pool)["karpenter.k8s.aws/instance-family"] == ["m7i", "m7a", "m6i"]
    assert pool["spec"]["disruption"]["consolidationPolicy"] == "WhenEmptyOrUnderutilized"
    assert pool["spec"]["limits"] == {"cpu": "256", "memory": "2048Gi"}
    assert "taints" not in pool["spec"]["template"]["spec"]


def test_patterns_that_are_no_families_become_types() -> None:
    text = PLATFORM.replace("nodes: {", "nodes: {general: [m7i.2xlarge, 'c7i.*'], ")
    wanted = wants(tree(text=text).one("NodePool", "general"))
    types = wanted["node.kubernetes.io/instance-type"]
    assert "m7i.2xlarge" in types
    assert "c7i.large" in types
    assert "m7i.large" not in types


def test_karpenter_comes_before_everything_that_needs_a_node() -> None:
    steps = {each["metadata"]["name"]: each["spec"] for each in tree().all("Kustomization")}
    assert {"name": "provisioners-karpenter"} in steps["nodes-karpenter"]["dependsOn"]
    assert {"name": "nodes-karpenter"} in steps["controllers-gpu-operator"]["dependsOn"]
    values = tree().one("HelmRelease", "karpenter")["spec"]["values"]
    assert values["settings"] == {"clusterName": "hanok", "interruptionQueue": "hanok"}


def test_auto_mode_gets_its_own_classes_and_labels_and_no_karpenter() -> None:
    auto = tree("eks-auto")
    assert [
        each["metadata"]["name"] for each in auto.all("HelmRelease") if "karpenter" in each["metadata"]["name"]
    ] == []
    pool = auto.one("NodePool", POOL)
    assert pool["spec"]["template"]["spec"]["nodeClassRef"]["group"] == "eks.amazonaws.com"
    assert "eks.amazonaws.com/instance-family" in wants(auto.one("NodePool", "general"))
    assert auto.one("NodeClass", POOL)["spec"]["ephemeralStorage"]["size"].endswith("Gi")
    assert not auto.all("EC2NodeClass")


@pytest.mark.parametrize(
    ("target", "words"),
    [("eks", "enableNetworkPolicy"), ("eks-auto", "enable-network-policy-controller"), ("eks-auto", "access entry")],
)
def test_what_the_tree_cannot_do_in_aws_is_told(target: Target, words: str) -> None:
    assert words in tree(target).files["APPLY.md"]


def test_a_cluster_of_others_gets_no_nodes() -> None:
    assert not tree("kubernetes").all("NodePool")
    assert "karpenter" not in tree("kubernetes").rendered.components


@pytest.mark.parametrize("target", ["eks", "eks-auto"])
def test_preflight_finds_nothing_in_it(target: Target, tmp_path: Path) -> None:
    assert faults(tree(target), tmp_path) == []


def test_reserved_capacity_is_taken_first() -> None:
    found = tree(text=PLATFORM.replace("nodes: {", "nodes: {reservations: [cr-0123456789abcdef0], "))
    assert wants(found.one("NodePool", POOL))["karpenter.sh/capacity-type"] == ["reserved", "spot", "on-demand"]
    terms = found.one("EC2NodeClass", POOL)["spec"]["capacityReservationSelectorTerms"]
    assert terms == [{"id": "cr-0123456789abcdef0"}]
    assert "capacityReservationSelectorTerms" not in found.one("EC2NodeClass", "general")["spec"]


def test_what_cannot_be_is_refused_by_its_line() -> None:
    assert refused(PLATFORM.replace("nodes: {", "nodes: {gpus: 8, ")) == ["cluster.nodes.gpus"]
    assert refused(PLATFORM.replace("nodes: {", "nodes: {general: [z9.*], ")) == ["cluster.nodes.general[0]"]
    auto = PLATFORM.replace("nodes: {", "nodes: {dra: true, ami: al2023@v1, sharing: {mode: mps}, ")
    assert refused(auto, "eks-auto") == ["cluster.nodes.sharing", "cluster.nodes.dra", "cluster.nodes.ami"]
