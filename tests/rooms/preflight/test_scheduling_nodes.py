"""Nodes that are there: what keeps a pod off them is mended with kubectl, not in a pool's template."""

from __future__ import annotations

import pytest

from tests.rooms.preflight.conftest import Look, only

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
