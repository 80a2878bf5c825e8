"""Manifests of engines for tests: one Deployment of vLLM that is right in every way, and changes to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from hanok.preflight import Finding, Report

LLAMA_70B, LLAMA_8B = "meta-llama/Llama-3.1-70B-Instruct", "meta-llama/Llama-3.1-8B-Instruct"
HEALTH = {"httpGet": {"path": "/health", "port": 8000}}


def engine(*args: str, on: str | Sequence[str] = "g6e.2xlarge", gpus: int = 1, **container: Any) -> str:
    """A Deployment of vLLM with these arguments on an instance type; keywords replace what its container has."""
    types = [on] if isinstance(on, str) else list(on)
    term = {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": types}
    affinity = {"nodeSelectorTerms": [{"matchExpressions": [term]}]}
    spec: dict[str, Any] = {
        "containers": [
            {
                "name": "vllm",
                "image": "vllm/vllm-openai:v0.32.0",
                "args": list(args) or [LLAMA_8B, "--max-model-len=8192"],
                "startupProbe": {**HEALTH, "periodSeconds": 10, "failureThreshold": 400},
                "readinessProbe": HEALTH,
                "resources": {"limits": {"nvidia.com/gpu": gpus}},
                "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
                **container,
            }
        ],
        "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}}],
    }
    if types:
        spec["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": affinity}}
    return dumped(spec)


def dumped(spec: dict[str, Any]) -> str:
    """A Deployment around the spec of a pod."""
    labels = {"app": "engine"}
    template = {"metadata": {"labels": labels}, "spec": spec}
    outer = {"progressDeadlineSeconds": 3600, "selector": {"matchLabels": labels}, "template": template}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "engine"}, "spec": outer}
    return yaml.safe_dump(body, sort_keys=False)


def volume(text: str, name: str, kind: dict[str, Any]) -> str:
    """The Deployment with one more volume."""
    body = yaml.safe_load(text)
    body["spec"]["template"]["spec"]["volumes"].append({"name": name, **kind})
    return yaml.safe_dump(body, sort_keys=False)


def told(report: Report, *, least: str = "warning") -> list[str]:
    """The memory layer's rules, without information unless it is wanted."""
    return [each.rule.id for each in of_layer(report) if least == "info" or each.severity != "info"]


def of_layer(report: Report) -> list[Finding]:
    return [each for each in report.findings if each.layer == "memory"]
