"""Manifests that the tests of consistency are made of: an engine, a gateway, alerts."""

from __future__ import annotations

import json
from textwrap import dedent, indent

import yaml


def pod(image: str, *, name: str = "app", env: dict[str, str] | None = None, more: str = "") -> str:
    """A pod of one container; `more` are further lines of the container."""
    given = [{"name": key, "value": value} for key, value in (env or {}).items()]
    text = f"apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  labels: {{app: {name}}}\nspec:\n  containers:\n"
    text += f"    - name: main\n      image: {image}\n      env: {given}\n"
    return text + indent(dedent(more), "      ")


def config(text: str, *, name: str = "gateway", key: str = "config.yaml") -> str:
    """A ConfigMap with one file."""
    body = indent(dedent(text).strip("\n"), "    ")
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  {key}: |\n{body}\n"


def engine(*args: str, image: str = "vllm/vllm-openai:v0.32.0", name: str = "qwen", more: str = "") -> str:
    """A vLLM behind a Service of the same name."""
    text = f"apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\nspec:\n"
    text += f"  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n"
    text += f"    spec:\n      containers:\n        - name: vllm\n          image: {image}\n"
    text += f"          args: {yaml.safe_dump(list(args), default_flow_style=True, width=999)}"
    return text + indent(dedent(more), "          ") + "---\n" + service(name)


def service(name: str, port: int = 8000) -> str:
    text = f"apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  selector: {{app: {name}}}\n"
    return text + f"  ports: [{{port: {port}}}]\n"


def gateway(env: dict[str, str] | None = None) -> str:
    """A LiteLLM that is given the ConfigMap `gateway`, behind a Service."""
    more = """
        volumeMounts: [{name: config, mountPath: /etc/litellm}]
        """
    text = pod("ghcr.io/berriai/litellm:v1.109.1", name="gateway", env=env, more=more)
    return text + "  volumes:\n    - {name: config, configMap: {name: gateway}}\n---\n" + service("gateway", 4000)


def models(*names: str, more: str = "") -> str:
    """A gateway's configuration with models behind an API."""
    listed = "".join(f"  - model_name: {name}\n    litellm_params: {{model: openai/gpt-6-sol}}\n" for name in names)
    return config("model_list:\n" + listed + dedent(more))


def route(name: str, base: str = "http://qwen:8000/v1", *, more: str = "") -> str:
    """A gateway's configuration with one model in the cluster."""
    text = "model_list:\n  - model_name: chat\n    litellm_params:\n"
    return config(text + f"      model: {name}\n      api_base: {base}\n      api_key: none\n" + more)


def alert(expression: str) -> str:
    text = "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: rules\nspec:\n  groups:\n"
    rule = f"        - alert: One\n          expr: {yaml.safe_dump(expression, width=999)}"
    return f"{text}    - name: one\n      rules:\n{rule}"


def board_of(target: object) -> str:
    """A Grafana dashboard with one target, in a ConfigMap."""
    text = json.dumps({"panels": [{"panels": [{"targets": [target]}]}]}, indent=2)
    return config(text, name="board", key="engines.json")


def together(*texts: str) -> str:
    return "---\n".join(texts)
