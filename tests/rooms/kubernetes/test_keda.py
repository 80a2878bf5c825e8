"""Replicas by KEDA: the declared rule, said to the letter."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from hanok.errors import SpecError
from hanok.kubernetes.writing import as_yaml
from tests.rooms.kubernetes.rendering import Made, made

PLATFORM = """\
name: acme
models:
  - name: chat
    serve: {engine: vllm, model: Qwen/Qwen3-8B}
    deploy: {context_tokens: 8192, gpu: [g6e.xlarge]}
    scale:
      {min: 0, max: 5, running: 12, kv_cache: null, idle_s: 600,
       down: {stable_s: 120, replicas: 1, percent: null, period_s: 60}}
  - name: chat-2
    serve: {engine: vllm, model: Qwen/Qwen3-8B}
    deploy: {context_tokens: 8192, gpu: [g6e.xlarge]}
    scale: {min: 2, max: 2}
cluster: {serving: {token: null}}
"""


@cache
def tree() -> Made:
    return made(PLATFORM)


def spec() -> dict[str, Any]:
    [scaled] = tree().all("ScaledObject")
    return scaled["spec"]


def test_the_rule_is_the_declared_one() -> None:
    assert spec()["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "chat"}
    assert (spec()["minReplicaCount"], spec()["maxReplicaCount"], spec()["cooldownPeriod"]) == (0, 5, 600)
    behavior = spec()["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleDown"] == {
        "stabilizationWindowSeconds": 120,
        "selectPolicy": "Max",
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
    }


def test_each_target_is_a_trigger_with_what_one_replica_should_have() -> None:
    found = {each["name"]: each["metadata"] for each in spec()["triggers"]}
    assert list(found) == ["running", "waiting", "asked"]
    assert found["running"]["threshold"] == "12"
    running, none = found["running"]["query"].split(" or ")
    assert running == 'sum(vllm:num_requests_running{namespace="models", pod=~"chat-[0-9]+"})'
    assert none == 'sum(kube_statefulset_replicas{namespace="models", statefulset="chat"} == 0)', (
        "no replica is no fault"
    )
    assert "hanok_waiting_requests" in found["waiting"]["query"]
    assert {each["metricType"] for each in spec()["triggers"]} == {"AverageValue"}


def test_who_scales_needs_metrics() -> None:
    with pytest.raises(SpecError) as refused:
        made(PLATFORM.replace("token: null}", "token: null}, observe: {prometheus: false}"))
    [problem] = refused.value.problems
    assert problem.path == "models[0].scale"


def test_a_number_in_text_is_text_to_every_reader() -> None:
    text = as_yaml({"threshold": "1e+06", "digest": "12e34", "mode": "0o644"})
    assert text == "threshold: '1e+06'\ndigest: '12e34'\nmode: '0o644'\n"
