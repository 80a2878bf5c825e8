"""Probes outlast the load; memory and disks beside the GPU are large enough."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.rooms.preflight.conftest import Look, only
from tests.rooms.preflight.engine_text import HEALTH, LLAMA_8B, LLAMA_70B, engine, told, volume

LARGE = [LLAMA_70B, "-tp=4", "--max-model-len=8192"]
CACHE = {"name": "cache", "mountPath": "/root/.cache/huggingface"}
SHM = {"name": "shm", "mountPath": "/dev/shm"}


def large(**container: Any) -> str:
    return engine(*LARGE, on="g6e.12xlarge", gpus=4, **container)


def probe(**figures: int) -> dict[str, Any]:
    return {**HEALTH, **figures}


@pytest.mark.parametrize(
    ("startup", "liveness", "severity"),
    [
        (None, probe(), "error"),
        (None, probe(initialDelaySeconds=60), "error"),
        (probe(periodSeconds=10, failureThreshold=6), None, "error"),
        (probe(periodSeconds=10, failureThreshold=30), None, "warning"),
        (None, probe(initialDelaySeconds=200, periodSeconds=10, failureThreshold=10), "warning"),
    ],
)
def test_a_probe_that_kills_while_weights_load_is_found(
    look: Look, startup: object, liveness: object, severity: str
) -> None:
    found = only(look(large(startupProbe=startup, livenessProbe=liveness)), "HK435")
    assert found.severity == severity
    assert "131 GiB of weights from the hub" in found.message


@pytest.mark.parametrize(
    "probes",
    [
        {"startupProbe": probe(periodSeconds=10, failureThreshold=80), "livenessProbe": probe()},
        {"startupProbe": probe(periodSeconds=1, failureThreshold=600), "livenessProbe": probe(periodSeconds=1)},
        {"startupProbe": None},
        {"startupProbe": {"exec": {"command": ["true"]}}},
    ],
)
def test_probes_that_wait_long_enough_are_no_finding(look: Look, probes: dict[str, Any]) -> None:
    assert told(look(large(**probes))) == []


def test_a_slow_volume_takes_longer_than_the_hub(look: Look) -> None:
    claim = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"},
        "spec": {"storageClassName": "plain", "accessModes": ["ReadWriteOnce"],
                 "resources": {"requests": {"storage": "200Gi"}}},
    }  # fmt: skip
    kind = {
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "plain"},
        "provisioner": "ebs.csi.aws.com", "parameters": {"type": "gp3"},
    }  # fmt: skip
    text = volume(
        large(startupProbe=probe(periodSeconds=10, failureThreshold=90), volumeMounts=[CACHE, SHM]),
        "cache", {"persistentVolumeClaim": {"claimName": "models"}},
    )  # fmt: skip
    slow = "---\n".join([text, yaml.safe_dump(claim), yaml.safe_dump(kind)])
    found = only(look(slow), "HK435")
    assert found.severity == "error"
    assert "a gp3 volume of 125 MiB/s" in found.message
    kind["parameters"]["throughput"] = "1000"
    assert "HK435" not in told(look("---\n".join([text, yaml.safe_dump(claim), yaml.safe_dump(kind)])))


def test_fixed_delays_missing_probes_and_short_deadlines_are_told(look: Look) -> None:
    delayed = engine(startupProbe=None, readinessProbe=probe(initialDelaySeconds=300))
    assert told(look(delayed)) == ["HK436"]
    assert told(look(engine(readinessProbe=None))) == ["HK437"]
    assert told(look(large().replace("progressDeadlineSeconds: 3600", "progressDeadlineSeconds: 600"))) == ["HK438"]


def test_a_job_needs_no_probe(look: Look) -> None:
    body = yaml.safe_load(engine(startupProbe=None, readinessProbe=None))
    body |= {"apiVersion": "batch/v1", "kind": "Job"}
    body["spec"] = {"template": body["spec"]["template"]}
    body["spec"]["template"]["spec"]["restartPolicy"] = "Never"
    assert told(look(yaml.safe_dump(body))) == []


def test_gpus_that_work_together_need_shared_memory(look: Look) -> None:
    assert told(look(large(volumeMounts=[]))) == ["HK440"]
    assert told(look(engine(volumeMounts=[]))) == []
    shared = large(volumeMounts=[]).replace("      containers:", "      hostIPC: true\n      containers:")
    assert told(look(shared)) == []


@pytest.mark.parametrize(
    ("more", "limit", "severity"),
    [([], "12Gi", "warning"), (["--kv-offloading-size=64"], "48Gi", "error"), ([], "64Gi", None)],
)
def test_a_memory_limit_that_can_be_exceeded_is_told(
    look: Look, more: list[str], limit: str, severity: str | None
) -> None:
    resources = {"limits": {"nvidia.com/gpu": 4, "memory": limit}}
    report = look(engine(*LARGE, *more, on="g6e.12xlarge", gpus=4, resources=resources))
    assert [each.severity for each in report.findings if each.rule.id == "HK441"] == ([severity] if severity else [])


@pytest.mark.parametrize(("size", "rules"), [("10Gi", ["HK442"]), ("40Gi", [])])
def test_weights_fit_on_their_volume(look: Look, size: str, rules: list[str]) -> None:
    text = volume(engine(volumeMounts=[CACHE]), "cache", {"emptyDir": {"sizeLimit": size}})
    assert told(look(text)) == rules


def test_weights_fit_on_the_containers_own_disk(look: Look) -> None:
    limits = {"nvidia.com/gpu": 1, "ephemeral-storage": "8Gi"}
    assert told(look(engine(resources={"limits": limits}))) == ["HK442"]
    elsewhere = engine(volumeMounts=[CACHE], resources={"limits": limits})
    assert told(look(volume(elsewhere, "cache", {"hostPath": {"path": "/mnt"}}))) == []


NODES = """apiVersion: karpenter.k8s.aws/v1
kind: EC2NodeClass
metadata: {name: gpu}
spec:
  amiSelectorTerms: [{alias: al2023@v20260715}]
  role: gpu
  subnetSelectorTerms: [{id: subnet-1}]
  securityGroupSelectorTerms: [{id: sg-1}]
MORE---
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: gpu}
spec:
  template:
    spec:
      nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: gpu}
      requirements: [{key: node.kubernetes.io/instance-type, operator: In, values: [g6e.2xlarge]}]
---
"""


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ("", True),
        ("  blockDeviceMappings: [{deviceName: /dev/xvda, ebs: {volumeSize: 40Gi}}]\n", True),
        ("  blockDeviceMappings: [{deviceName: /dev/xvda, ebs: {volumeSize: 200Gi}}]\n", False),
        ("  instanceStorePolicy: RAID0\n", False),
    ],
)
def test_a_nodes_disk_holds_image_and_weights(look: Look, more: str, *, found: bool) -> None:
    report = look(NODES.replace("MORE", more) + engine(LLAMA_8B, "--max-model-len=8192"))
    assert ("HK443" in told(report)) is found
