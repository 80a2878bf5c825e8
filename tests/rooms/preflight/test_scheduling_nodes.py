"""Nodes that are there: what keeps a pod off them is mended with kubectl, not in a pool's template."""

from __future__ import annotations

import pytest

from tests.rooms.preflight.conftest import Look, ids, only

NODES = """
apiVersion: v1
kind: Node
metadata: {name: gpu-1, labels: {node.kubernetes.io/instance-type: g6.xlarge, kubernetes.io/arch: amd64}}
SPECstatus: {allocatable: {cpu: "4", memory: 15Gi, nvidia.com/gpu: "1", pods: "58"}}
---
apiVersion: v1
kind: Pod
metadata: {name: chat}
spec:
  nodeSelector: {SELECTOR}
  containers:
    - {name: chat, image: "example.com/chat:1", resources: {limits: {nvidia.com/gpu: 1}}}
"""


@pytest.mark.parametrize(
    ("selector", "spec", "hint"),
    [
        ("team: search", "", "`kubectl label node gpu-1 team=search`, or let the pod do without it"),
        ("kubernetes.io/arch: arm64", "", "add a node that has `kubernetes.io/arch` so"),
        ("kubernetes.io/arch: amd64", "spec: {unschedulable: true}\n", "`kubectl uncordon gpu-1`"),
    ],
)
def test_a_node_that_is_there_is_helped_by_kubectl(look: Look, selector: str, spec: str, hint: str) -> None:
    report = look(NODES.replace("SELECTOR", selector).replace("SPEC", spec))
    assert hint in only(report, "HK301").hint


ENGINE = """
apiVersion: v1
kind: Pod
metadata: {name: chat}
spec:
  containers:
    - name: chat
      image: vllm/vllm-openai:v0.11.0
      args: [--model=Qwen/Qwen3-8B, --max-model-len=8192]
      resources: {limits: {nvidia.com/gpu: 1}}
"""


def test_nodes_that_are_alike_are_one_machine_to_an_engine(look: Look) -> None:
    node = NODES.partition("---")[0].replace("SPEC", "")
    several = [node.replace("gpu-1", f"gpu-{number}") for number in range(5)]
    larger = node.replace("gpu-1", "larger").replace("g6.xlarge", "g6e.xlarge")
    for nodes, kinds in ((several, 1), ([*several, larger], 2)):
        report = look("---".join([*nodes, ENGINE]))
        (fit,) = report.case.fits
        assert [len(report.case.placement.seats[fit.engine.workload]), len(fit.fittings)] == [len(nodes), kinds]
        assert "HK008" not in ids(report)
