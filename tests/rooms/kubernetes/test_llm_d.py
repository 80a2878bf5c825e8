"""llm-d before the engines: pools, pickers, one Gateway, and pairs that a sidecar leads."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

from hanok.kubernetes.replicas import gateway_endpoints
from tests.rooms.kubernetes.rendering import Made, faults, made

PLATFORM = """\
name: acme
models:
  - name: chat
    serve: {engine: vllm, model: Qwen/Qwen3-8B}
    deploy: {context_tokens: 8192, gpu: [g6e.xlarge]}
    scale: {min: 2, max: 4}
  - name: pair
    routing: {policy: prefix, prefill_tokens: 300}
    serve:
      - {engine: vllm, model: Qwen/Qwen3-8B, role: prefill}
      - {engine: vllm, model: Qwen/Qwen3-8B, role: decode}
    deploy: {context_tokens: 8192, gpu: [g6e.xlarge]}
  - name: embed
    type: embedding
    serve: {engine: vllm, model: Qwen/Qwen3-Embedding-0.6B}
    deploy: {context_tokens: 8192, gpu: [g6.xlarge]}
cluster: {serving: {route: llm-d, token: null}}
"""


@cache
def tree() -> Made:
    return made(PLATFORM)


def test_each_chat_model_has_a_pool_and_a_picker() -> None:
    values = tree().one("HelmRelease", "chat")["spec"]["values"]["router"]
    pods = tree().one("Deployment", "chat")["spec"]["template"]["metadata"]["labels"]
    assert values["modelServers"]["matchLabels"].items() <= pods.items()
    assert values["epp"]["image"]["repository"] == "llm-d-router-endpoint-picker"
    assert "embed" not in [each["metadata"]["name"] for each in tree().all("HelmRelease")]


def test_calls_are_led_by_the_model_in_the_body() -> None:
    [header] = tree().one("HTTPRoute", "chat")["spec"]["rules"][0]["matches"][0]["headers"]
    traffic = tree().one("AgentgatewayPolicy", "inference-model")["spec"]["traffic"]
    assert traffic["phase"] == "PreRouting"
    [told] = traffic["transformation"]["request"]["set"]
    assert (told["name"], header["value"]) == (header["name"], "chat")
    assert "json(request.body).model" in told["value"]


def test_hanoks_gateway_names_the_model_in_a_header_and_leaves_pairs_to_the_picker() -> None:
    plan = tree().plan
    found = {each.name: list(gateway_endpoints(plan, each)) for each in plan.engines}
    url = {"engine": "openai", "url": "http://inference.models.svc/v1"}
    assert found["chat"] == [{**url, "headers": {"x-gateway-model-name": "chat"}}]
    assert found["pair-prefill"] == []
    assert len(found["embed"]) == 1
    platform = yaml.safe_load(tree().one("ConfigMap", "hanok-config")["data"]["platform.yaml"])
    [pair] = [each["serve"] for each in platform["models"] if each["name"] == "pair"]
    assert pair == {**url, "headers": {"x-gateway-model-name": "pair"}}


def test_a_pair_is_led_by_the_sidecar_of_who_answers() -> None:
    pod = tree().one("Deployment", "pair-decode")["spec"]["template"]["spec"]
    [sidecar] = pod["initContainers"]
    assert sidecar["restartPolicy"] == "Always"
    assert "--model-server-port=8200" in sidecar["args"]
    assert "--port=8200" in pod["containers"][0]["args"]
    [door] = tree().one("Service", "pair-decode")["spec"]["ports"]
    walls = tree().one("NetworkPolicy", "pair-decode")["spec"]["ingress"][0]["ports"]
    assert door["targetPort"] == 8000, "names of init containers' ports are not looked up everywhere"
    assert {each["port"] for each in walls} == {"http", 8000}
    assert "initContainers" not in tree().one("Deployment", "pair-prefill")["spec"]["template"]["spec"]
    config = yaml.safe_load(
        tree().one("HelmRelease", "pair")["spec"]["values"]["router"]["epp"]["pluginsCustomConfig"]["pairs.yaml"]
    )
    [decider] = [each for each in config["plugins"] if each["type"] == "prefix-based-pd-decider"]
    assert decider["parameters"] == {"nonCachedTokens": 300}


def test_calls_that_wait_at_the_picker_count() -> None:
    [waiting] = [each for each in tree().one("ScaledObject", "chat")["spec"]["triggers"] if each["name"] == "waiting"]
    assert 'llm_d_epp_flow_control_queue_size{namespace="models", service="chat-epp"}' in waiting["metadata"]["query"]


def test_preflight_finds_nothing_in_it(tmp_path: Path) -> None:
    assert faults(tree(), tmp_path) == []
