"""LiteLLM's proxy beside the gateway: given its configuration, in shapes that it starts with."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.rooms.kubernetes.rendering import Made, faults, made

PLATFORM = """\
name: acme
models:
  - name: chat
    serve: {engine: vllm, model: Qwen/Qwen3-8B}
    deploy: {context_tokens: 8192, gpu: [g6e.xlarge]}
    scale: {min: 2, max: 2}
    fallbacks: [gpt]
  - name: gpt
    serve: {engine: openai, url: "https://api.openai.com/v1", key: "${env:OPENAI_API_KEY}"}
    price: {input: 2, output: 8}
cluster: {serving: {token: null, litellm: true}}
"""


@cache
def tree(text: str = PLATFORM) -> Made:
    return made(text)


def config(of: Made) -> dict[str, Any]:
    return yaml.safe_load(of.one("ConfigMap", "litellm")["data"]["config.yaml"])


def test_it_is_given_its_configuration_and_keys_from_the_store() -> None:
    [container] = tree().one("Deployment", "litellm")["spec"]["template"]["spec"]["containers"]
    assert container["args"][:2] == ["--config", "/etc/litellm/config.yaml"]
    keys = [each["secretKey"] for each in tree().one("ExternalSecret", "litellm")["spec"]["data"]]
    assert keys == ["LITELLM_HANOK_KEY", "LITELLM_MASTER_KEY"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/liveliness"


def test_at_the_door_hanok_falls_back() -> None:
    told = config(tree())
    assert {each["litellm_params"]["api_base"] for each in told["model_list"]} == {"http://hanok.hanok.svc:4242/v1"}
    assert "litellm_settings" not in told
    assert told["router_settings"] == {"num_retries": 0}
    assert told["model_list"][1]["model_info"]["output_cost_per_token"] == 8 / 1e6


def test_at_the_engines_each_replica_is_a_deployment_and_fallbacks_are_its_own() -> None:
    direct = tree(PLATFORM.replace("litellm: true", "litellm: {to: engines}"))
    told = config(direct)
    chat = [each["litellm_params"] for each in told["model_list"] if each["model_name"] == "chat"]
    assert [each["api_base"] for each in chat] == [f"http://chat-{each}.chat.models.svc:8000/v1" for each in range(2)]
    assert told["litellm_settings"] == {"fallbacks": [{"chat": ["gpt"]}]}
    [rule] = direct.one("NetworkPolicy", "chat")["spec"]["ingress"]
    assert "litellm" in [each["podSelector"]["matchLabels"].get("app.kubernetes.io/name") for each in rule["from"]]


def test_preflight_finds_nothing_in_it(tmp_path: Path) -> None:
    assert faults(tree(PLATFORM.replace("litellm: true", "litellm: {to: engines}")), tmp_path) == []
