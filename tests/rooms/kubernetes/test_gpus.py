"""GPUs in a cluster: slices, shares and claims from the model's plan to the pod, and alerts on them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from hanok.errors import SpecError
from hanok.gpu.thresholds import Thresholds
from hanok.spec import Target
from tests.rooms.kubernetes.rendering import Made, faults, made

SLICED = """\
name: acme
models:
  - name: small
    serve: {engine: vllm, model: meta-llama/Llama-3.1-8B-Instruct, flags: {max-model-len: 8192}}
    deploy: {gpu: ["g7e.*"], concurrency: 1}
    scale: {min: 2, max: 3}
cluster:
  nodes: {sharing: {mode: mig}}
  observe: {collector: false}
"""
TURNS = """\
name: acme
models:
  - name: tiny
    serve: {engine: vllm, model: Qwen/Qwen3-0.6B, flags: {max-model-len: 512}}
    deploy: {gpu: ["g6.*"], concurrency: 1}
    scale: {min: 2, max: 3}
  - name: chat
    serve: {engine: vllm, model: meta-llama/Llama-3.1-8B-Instruct, flags: {max-model-len: 8192}}
    deploy: {gpu: ["g6e.*"], concurrency: 1}
    scale: {min: 2, max: 3}
cluster:
  nodes: {sharing: {mode: time-slicing, replicas: 3}}
  observe: {collector: false}
"""
CLAIMED = TURNS.replace("sharing: {mode: time-slicing, replicas: 3}", "dra: true")
SLICE, SHARED = "gpu-g7e-2xlarge-1g-24gb", "gpu-g6-xlarge-shared"


@cache
def tree(text: str, target: Target = "eks") -> Made:
    return made(text, target=target)


def container(found: Made, name: str) -> dict[str, Any]:
    return found.one("StatefulSet", name)["spec"]["template"]["spec"]["containers"][0]


def operator(found: Made) -> dict[str, Any]:
    return found.one("HelmRelease", "gpu-operator")["spec"]["values"]


def node_labels(found: Made, name: str) -> dict[str, str]:
    return found.one("NodePool", name)["spec"]["template"]["metadata"]["labels"]


def test_a_slice_is_asked_for_cut_and_known_before_there_is_a_node() -> None:
    found = tree(SLICED)
    assert container(found, "small")["resources"]["limits"]["nvidia.com/mig-1g.24gb"] == "1"
    assert node_labels(found, SLICE)["nvidia.com/mig.config"] == "all-1g.24gb"
    assert operator(found)["mig"] == {"strategy": "mixed"}
    overlay = found.one("NodeOverlay", SLICE)["spec"]
    assert overlay["capacity"] == {"nvidia.com/mig-1g.24gb": "4"}
    assert {"key": "karpenter.sh/nodepool", "operator": "In", "values": [SLICE]} in overlay["requirements"]
    gates = found.one("HelmRelease", "karpenter")["spec"]["values"]["settings"]["featureGates"]
    assert gates == {"nodeOverlay": True}
    assert found.one("NodePool", SLICE)["spec"]["limits"] == {"nvidia.com/mig-1g.24gb": "8"}


def test_small_models_take_turns_and_large_ones_do_not() -> None:
    found = tree(TURNS)
    assert container(found, "tiny")["resources"]["limits"]["nvidia.com/gpu.shared"] == "1"
    assert container(found, "chat")["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "--gpu-memory-utilization=0.306" in container(found, "tiny")["args"]
    assert node_labels(found, SHARED)["nvidia.com/device-plugin.config"] == "time-slicing-3"
    config = operator(found)["devicePlugin"]["config"]
    assert config == {"name": "device-plugin"}, "no default: other nodes keep whole GPUs"
    told = yaml.safe_load(found.one("ConfigMap", "device-plugin")["data"]["time-slicing-3"])["sharing"]["timeSlicing"]
    assert (told["renameByDefault"], told["failRequestsGreaterThanOne"]) == (True, True)
    assert told["resources"] == [{"name": "nvidia.com/gpu", "replicas": 3}]


def test_claimed_gpus_have_templates_and_nodes_that_stay() -> None:
    found = tree(CLAIMED)
    pod = found.one("StatefulSet", "tiny")["spec"]["template"]["spec"]
    [claim] = pod["resourceClaims"]
    template = found.one("ResourceClaimTemplate", claim["resourceClaimTemplateName"])
    assert template["metadata"]["namespace"] == "models"
    [request] = template["spec"]["spec"]["devices"]["requests"]
    assert request["exactly"] == {"deviceClassName": "gpu.nvidia.com", "allocationMode": "ExactCount", "count": 1}
    assert operator(found)["devicePlugin"] == {"enabled": False}
    pool = found.one("NodePool", "gpu-g6-xlarge")["spec"]
    assert (pool["replicas"], pool["limits"]) == (3, {"nodes": "4"})


@pytest.mark.parametrize("text", [SLICED, TURNS, CLAIMED], ids=["slices", "turns", "claims"])
def test_preflight_finds_nothing_in_it(text: str, tmp_path: Path) -> None:
    assert faults(tree(text), tmp_path) == []


def test_nodes_that_are_there_may_share_gpus_by_labels_that_nobody_sees_here(tmp_path: Path) -> None:
    assert faults(tree(TURNS, "kubernetes"), tmp_path) == []


def test_drivers_are_those_of_the_nodes_image_on_eks_alone() -> None:
    off = {"enabled": False}
    assert (operator(tree(TURNS))["driver"], operator(tree(TURNS))["toolkit"]) == (off, off)
    assert "driver" not in operator(tree(TURNS, "kubernetes"))
    claims = {
        each: tree(CLAIMED, each).one("HelmRelease", "dra-driver")["spec"]["values"] for each in ("eks", "kubernetes")
    }
    assert "nvidiaDriverRoot" not in claims["eks"]
    assert claims["kubernetes"]["nvidiaDriverRoot"] == "/run/nvidia/driver"


def test_auto_mode_has_the_exporter_alone() -> None:
    auto = tree(TURNS.replace("nodes: {sharing: {mode: time-slicing, replicas: 3}}", "name: acme"), "eks-auto")
    names = {each["metadata"]["name"] for each in auto.all("HelmRelease")}
    assert "dcgm-exporter" in names
    values = auto.one("HelmRelease", "dcgm-exporter")["spec"]["values"]
    assert values["securityContext"]["privileged"], "Bottlerocket shows GPUs to no other pod that asks for none"
    space = auto.one("Namespace", "dcgm-exporter")["metadata"]["labels"]
    assert space["pod-security.kubernetes.io/enforce"] == "privileged"
    assert "gpu-operator" not in names
    assert auto.one("PrometheusRule", "gpus")


def test_on_bottlerocket_the_operator_brings_its_exporter_and_little_else(tmp_path: Path) -> None:
    found = tree(TURNS.replace("sharing: {mode: time-slicing, replicas: 3}", "ami: bottlerocket@v1.50.0"))
    off = {"enabled": False}
    values = operator(found)
    assert [values[each] for each in ("driver", "toolkit", "devicePlugin")] == [off, off, off]
    assert values["dcgmExporter"]["serviceMonitor"]["enabled"]
    space = found.one("Namespace", "gpu-operator")["metadata"]["labels"]
    assert space["pod-security.kubernetes.io/enforce"] == "privileged", "as the operator makes the exporter's pods"
    assert "dcgm-exporter" not in {each["metadata"]["name"] for each in found.all("HelmRelease")}
    assert faults(found, tmp_path) == []


def test_a_node_is_called_as_kubernetes_calls_it_whatever_the_exporter_does() -> None:
    auto = tree(TURNS.replace("nodes: {sharing: {mode: time-slicing, replicas: 3}}", "name: acme"), "eks-auto")
    alone = auto.one("HelmRelease", "dcgm-exporter")["spec"]["values"]["serviceMonitor"]
    assert operator(tree(TURNS))["dcgmExporter"]["serviceMonitor"] == alone
    assert alone["relabelings"] == [{"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "node"}]
    said = [text for text in tree(TURNS).files.values() if "DCGM_FI_" in text]
    assert len(said) > 2
    assert not any("Hostname" in text for text in said)
    assert any("on (gpu, node)" in text for text in said)


def test_memory_is_told_where_the_exporter_does_not_count_what_the_driver_keeps() -> None:
    told = [text for text in tree(TURNS).files.values() if "FB_RESERVED" in text]
    assert len(told) > 2
    assert all(text.count("FB_RESERVED") == len(re.findall(r"FB_RESERVED(?:{[^}]*})? or 0 \*", text)) for text in told)


def test_what_goes_over_pcie_is_a_rate_already() -> None:
    said = "".join(tree(TURNS).files.values())
    assert "sum by (node) (DCGM_FI_PROF_PCIE_RX_BYTES" in said
    assert "rate(DCGM_FI_PROF_PCIE" not in said


def test_alerts_have_the_thresholds_of_gpu_top() -> None:
    rules = tree(TURNS).one("PrometheusRule", "gpus")["spec"]["groups"][0]["rules"]
    said = {each["alert"]: each["expr"] for each in rules}
    limits = Thresholds()
    assert said["GpuHot"] == f"DCGM_FI_DEV_GPU_TEMP >= {limits.hot_c:g}"
    assert said["GpuMemoryFull"].endswith(f">= {limits.full:g}")
    assert said["GpuPowerL40s"] == 'DCGM_FI_DEV_POWER_USAGE{modelName=~"NVIDIA L40S.*"} > 315'
    assert "GpuThrottledL4" in said


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        (CLAIMED + "  jobs: {kueue: true, gpus: 8}\n", "jobs ask for GPUs as a resource"),
        (CLAIMED.replace("dra: true", "dra: true, ami: bottlerocket@v1.50"), "a second time"),
    ],
)
def test_what_no_claim_can_be_made_for_is_refused_beside_claims(cluster: str, said: str) -> None:
    with pytest.raises(SpecError) as refused:
        made(cluster)
    (problem,) = refused.value.problems
    assert problem.path == "cluster.nodes.dra"
    assert said in problem.message


def test_ways_to_share_that_exclude_one_another_are_refused() -> None:
    with pytest.raises(SpecError) as both:
        made(TURNS.replace("nodes: {", "nodes: {dra: true, "))
    with pytest.raises(SpecError) as own:
        made(TURNS.replace("nodes: {", "nodes: {ami: bottlerocket@v1.50, "))
    for each in (both, own):
        assert each.value.problems[0].path == "cluster.nodes.sharing.mode"
