"""Which provider stands behind an endpoint, in OpenTelemetry's words for `gen_ai.provider.name`.

Where the conventions have no word (llama.cpp, vLLM, an unknown address) the engine's own name is used, as they allow.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from hanok.spec import Endpoint, LiteLLMEndpoint, Model, OpenAIEndpoint

_BY_HOST = {
    "openai.com": "openai",
    "anthropic.com": "anthropic",
    "openai.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.inference",
    "amazonaws.com": "aws.bedrock",
    "googleapis.com": "gcp.gemini",
    "groq.com": "groq",
    "mistral.ai": "mistral_ai",
    "deepseek.com": "deepseek",
    "perplexity.ai": "perplexity",
    "cohere.com": "cohere",
    "cohere.ai": "cohere",
    "x.ai": "x_ai",
}
_BY_LITELLM_PREFIX = {
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "vertex_ai": "gcp.vertex_ai",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
UNKNOWN = "openai_compatible"


def provider_names(models: Iterable[Model]) -> dict[str, str]:
    """The provider of every endpoint, by its name `model#1`, `model#2`, …"""
    return {
        f"{model.name}#{number}": provider_name(endpoint)
        for model in models
        for number, endpoint in enumerate(model.serve, 1)
    }


def provider_name(endpoint: Endpoint) -> str:
    """The provider behind one endpoint."""
    if isinstance(endpoint, OpenAIEndpoint):
        host = urlsplit(endpoint.url).hostname or ""
        return next((name for end, name in _BY_HOST.items() if host == end or host.endswith(f".{end}")), UNKNOWN)
    if isinstance(endpoint, LiteLLMEndpoint):
        prefix, slash, _ = endpoint.model.partition("/")
        return _BY_LITELLM_PREFIX.get(prefix, prefix) if slash else "openai"
    return endpoint.engine
