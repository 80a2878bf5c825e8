"""kagent's ModelConfigs, and the `llm` of the sketch: which model of the platform an agent uses.

An address that leads to LiteLLM or vLLM in the same cluster means a model that is there already; any other becomes one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from hanok.migration.manifests.engines import engine_pods
from hanok.migration.manifests.keys import Keys
from hanok.migration.manifests.told import Block, Draft, Path, Told, as_model
from hanok.preflight import Case, Manifest
from hanok.preflight.consistency.gateways import gateways, target
from hanok.preflight.manifests import NO_BODY, Body, mapping_at, text_at
from hanok.spec.checks import quoted

DEFAULT_CONFIG = "default-model-config"
_CHARTS_MODEL = "gpt-4.1-mini"
"""What the chart of kagent 0.9 makes `default-model-config` of, unless it is told otherwise."""
_OPENAI = "https://api.openai.com/v1"
_SETTINGS = {
    "OpenAI": "openAI", "Anthropic": "anthropic", "AzureOpenAI": "azureOpenAI", "Ollama": "ollama", "Gemini": "gemini",
    "GeminiVertexAI": "geminiVertexAI", "AnthropicVertexAI": "anthropicVertexAI", "Bedrock": "bedrock",
}  # fmt: skip
"""kagent v1alpha2: where a provider's settings stand in a ModelConfig."""
_PREFIXES = {
    "Anthropic": "anthropic", "AzureOpenAI": "azure", "Gemini": "gemini", "GeminiVertexAI": "vertex_ai",
    "AnthropicVertexAI": "vertex_ai", "Bedrock": "bedrock",
}  # fmt: skip
"""LiteLLM's names of providers."""
_KEYS = {
    "OpenAI": "OPENAI_API_KEY", "Anthropic": "ANTHROPIC_API_KEY", "AzureOpenAI": "AZURE_API_KEY",
    "Gemini": "GEMINI_API_KEY", "Ollama": "OLLAMA_API_KEY",
}  # fmt: skip
_OPTIONS = {
    "apiVersion": "api_version", "location": "vertex_location", "projectID": "vertex_project",
    "region": "aws_region_name",
}  # fmt: skip
_KNOWN = "provider model apiKeySecret apiKeySecretKey apiKeySecretRef"


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The model that an agent uses, by its name in the platform, and what its answers are asked for."""

    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None


class Configs:
    """ModelConfigs of the cluster; each becomes one model, whoever uses it."""

    def __init__(self, case: Case, draft: Draft, told: Told, keys: Keys) -> None:
        self._case, self._draft, self._told, self._keys = case, draft, told, keys
        self._known: dict[tuple[str, str, str], Chosen] = {}

    def of(self, name: str, user: Manifest, path: Path, *, type_: str = "chat") -> Chosen:
        """The model of a ModelConfig. `name` may have a namespace before it; `path` is where it is named."""
        name = name or DEFAULT_CONFIG
        namespace, _, short = name.rpartition("/")
        config = self._case.cluster.find("ModelConfig", short, namespace or user.namespace, group="kagent.dev")
        if config is None:
            return Chosen(model=self._instead(name, user, path) if type_ == "chat" else None)
        key = (config.namespace, config.name, type_)
        if key not in self._known:
            self._known[key] = self._read(config, type_)
        return self._known[key]

    def _instead(self, name: str, user: Manifest, path: Path) -> str:
        """A model where the ModelConfig is not in the files, as where kagent's chart makes it."""
        chats = (each for each, model in self._draft.models.items() if model.get("type", "chat") == "chat")
        model = next(chats, None)
        if model is None:
            key = self._keys.variables.refer("OPENAI_API_KEY")
            endpoint = self.endpoint("OpenAI", _CHARTS_MODEL, "", {}) | {"key": key}
            model = self._draft.add("models", {"name": as_model(name), "serve": endpoint}, user, path)
        message = f"ModelConfig {quoted(name)} is not in these files: write which model it means; {model} was taken"
        self._told.wrong(user, path, message, "agents[].model")
        return model

    def _read(self, config: Manifest, type_: str) -> Chosen:
        told, body = self._told, mapping_at(config.body, "spec")
        told.take(config)
        provider, model = text_at(body, "provider") or "OpenAI", text_at(body, "model")
        place = _SETTINGS.get(provider, "")
        settings = mapping_at(body, place) if place else NO_BODY
        if not model or not place:
            message = "names no model" if not model else f"provider {quoted(provider)} has no place in Hanok"
            told.left(config, ("spec", "provider" if model else "model"), message)
            return Chosen()
        url = text_at(settings, "baseUrl") or text_at(settings, "azureEndpoint") or text_at(settings, "host")
        name = self.there(url, model, config.namespace) if type_ == "chat" else None
        if name is None:
            name = self._add(config, provider, model, url, type_)
        else:
            told.carried(config, ("spec", "model"), f"models[{name}]", "its address leads to this model")
        self._tell_settings(config, place, settings)
        told.leave_rest(config, ("spec",), body, _REASONS, known=f"{_KNOWN} {place}")
        return Chosen(
            model=name, temperature=number(settings.get("temperature")), max_tokens=whole(settings.get("maxTokens"))
        )

    def there(self, url: str, model: str, namespace: str) -> str | None:
        """The model of the platform that an address in the cluster means, if it leads to LiteLLM or vLLM."""
        found = target(self._case, url, namespace) if url else None
        if found is None:
            return None
        pods = {workload for each in gateways(self._case) for workload, _ in each.users} | engine_pods(self._case)
        name = as_model(model)
        return name if pods & set(found.workloads) and name in self._draft.models else None

    def _add(self, config: Manifest, provider: str, model: str, url: str, type_: str) -> str:
        body = mapping_at(config.body, "spec")
        settings = mapping_at(body, _SETTINGS[provider])
        endpoint = self.endpoint(provider, model, url, settings)
        if (key := self._key(config, provider)) is not None:
            endpoint["key"] = key
        block: Block = {"name": as_model(model)} | ({"type": type_} if type_ != "chat" else {}) | {"serve": endpoint}
        same = self._draft.models.get(block["name"])
        if same is not None and same.get("serve") == endpoint:
            return str(block["name"])
        name = self._draft.add("models", block, config, ("spec", "model"))
        needs = ' (needs pip install "hanok[providers]")' if endpoint["engine"] == "litellm" else ""
        self._told.carried(config, ("spec", "model"), f"models[{name}].serve", f"provider {provider}{needs}")
        return name

    def endpoint(self, provider: str, model: str, url: str, settings: Mapping[str, Any]) -> Block:
        """How Hanok asks a provider."""
        if provider in ("OpenAI", "Ollama"):
            base = (url if "://" in url else f"http://{url}") if url else _OPENAI
            if provider == "Ollama":
                base = f"{(base if url else 'http://127.0.0.1:11434').rstrip('/').removesuffix('/v1')}/v1"
            return {"engine": "openai", "url": base, "model": model}
        deployed = settings.get("azureDeployment") if provider == "AzureOpenAI" else None
        found: Block = {"engine": "litellm", "model": f"{_PREFIXES[provider]}/{deployed or model}"}
        found |= {"url": url} if url else {}
        options = {to: settings[key] for key, to in _OPTIONS.items() if settings.get(key)}
        return found | ({"options": options} if options else {})

    def _key(self, config: Manifest, provider: str) -> str | None:
        body = mapping_at(config.body, "spec")
        secret = text_at(body, "apiKeySecret") or text_at(body, "apiKeySecretRef")
        if not secret:
            return None
        inner = text_at(body, "apiKeySecretKey")
        usual = _KEYS.get(provider, f"{provider}_API_KEY")
        wanted = inner if re.fullmatch(r"[A-Z][A-Z0-9_]+", inner) else usual
        shown = self._keys.of_secret(secret, inner or usual, wanted)
        place = "apiKeySecret" if "apiKeySecret" in body else "apiKeySecretRef"
        self._told.carried(config, ("spec", place), "models[].serve[].key", f"set {shown[6:-1]}")
        return shown

    def _tell_settings(self, config: Manifest, place: str, settings: Body) -> None:
        for key in settings:
            path: Path = ("spec", place, key)
            if key in ("temperature", "maxTokens"):
                to = "agents[].temperature" if key == "temperature" else "agents[].max_tokens"
                self._told.carried(config, path, to, "of the agents that use it")
            elif key in ("baseUrl", "azureEndpoint", "host", "azureDeployment", *_OPTIONS):
                self._told.carried(config, path, "models[].serve[]")
            else:
                self._told.left(config, path, "Hanok's callers say it with a call, and agents not at all")


_REASONS = {
    "defaultHeaders": "headers of a model: write them as serve[].headers, secrets as ${env:NAME}",
    "tls": "see serve[].verify_tls and serve[].ca_file",
    "apiKeyPassthrough": "Hanok asks providers with its own keys, never with its callers'",
}


def host_of(url: str) -> str:
    """The host of an address; empty where it is none."""
    try:
        return urlsplit(url if "//" in url else f"//{url}").hostname or ""
    except ValueError:
        return ""


def number(value: object) -> float | None:
    """A number of at least 0, also written as text."""
    match = re.fullmatch(r"\d{1,9}(?:\.\d{1,9})?", str(value)) if not isinstance(value, bool) else None
    return float(match[0]) if match else None


def whole(value: object) -> int | None:
    """A whole number of at least 1, also written as text."""
    found = number(value)
    return int(found) if found is not None and found >= 1 else None
