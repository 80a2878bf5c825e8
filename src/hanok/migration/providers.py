"""What LiteLLM's `provider/model` means: which providers speak OpenAI's protocol plainly, and where they are.

Addresses are those that LiteLLM 1.106 uses itself; the others go through its library (engine `litellm`).
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Plain:
    """A provider whose API is OpenAI's: its usual address, and the variables LiteLLM reads when nothing is written.

    `suffix` is what Hanok's address needs and LiteLLM's does not have.
    """

    url: str | None = None
    url_variable: str | None = None
    key_variable: str | None = None
    suffix: str = ""


PLAIN = {
    "openai": Plain(url="https://api.openai.com/v1", key_variable="OPENAI_API_KEY"),
    "text-completion-openai": Plain(url="https://api.openai.com/v1", key_variable="OPENAI_API_KEY"),
    "custom_openai": Plain(url_variable="OPENAI_BASE_URL"),
    "openai_like": Plain(url_variable="OPENAI_LIKE_API_BASE"),
    "hosted_vllm": Plain(url_variable="HOSTED_VLLM_API_BASE"),
    "vllm": Plain(url_variable="HOSTED_VLLM_API_BASE"),
    "llamafile": Plain(url="http://127.0.0.1:8080/v1"),
    "lm_studio": Plain(url_variable="LM_STUDIO_API_BASE"),
    "litellm_proxy": Plain(url_variable="LITELLM_PROXY_API_BASE"),
    "xinference": Plain(url="http://127.0.0.1:9997/v1"),
    "ollama": Plain(url="http://localhost:11434", suffix="/v1"),
    "ollama_chat": Plain(url="http://localhost:11434", suffix="/v1"),
    "groq": Plain(url="https://api.groq.com/openai/v1", key_variable="GROQ_API_KEY"),
    "deepseek": Plain(url="https://api.deepseek.com/v1", key_variable="DEEPSEEK_API_KEY"),
    "mistral": Plain(url="https://api.mistral.ai/v1", key_variable="MISTRAL_API_KEY"),
    "xai": Plain(url="https://api.x.ai/v1", key_variable="XAI_API_KEY"),
    "together_ai": Plain(url="https://api.together.ai/v1", key_variable="TOGETHERAI_API_KEY"),
    "cerebras": Plain(url="https://api.cerebras.ai/v1", key_variable="CEREBRAS_API_KEY"),
    "nvidia_nim": Plain(url="https://integrate.api.nvidia.com/v1", key_variable="NVIDIA_NIM_API_KEY"),
    "sambanova": Plain(url="https://api.sambanova.ai/v1", key_variable="SAMBANOVA_API_KEY"),
    "openrouter": Plain(url="https://openrouter.ai/api/v1", key_variable="OPENROUTER_API_KEY"),
    "perplexity": Plain(url="https://api.perplexity.ai", key_variable="PERPLEXITYAI_API_KEY"),
}

THROUGH_LIBRARY = frozenset(
    ("ai21", "ai21_chat", "aiml", "aleph_alpha", "anthropic", "anthropic_text", "anyscale", "azure", "azure_ai",
     "azure_text", "baseten", "bedrock", "bedrock_converse", "bytez", "clarifai", "cloudflare", "codestral", "cohere",
     "cohere_chat", "cometapi", "dashscope", "databricks", "datarobot", "deepgram", "deepinfra", "docker_model_runner",
     "elevenlabs", "empower", "featherless_ai", "fireworks_ai", "friendliai", "galadriel", "gemini", "gigachat",
     "github", "github_copilot", "gradient_ai", "helicone", "heroku", "huggingface", "hyperbolic", "infinity",
     "jina_ai", "lambda_ai", "lemonade", "maritalk", "meta_llama", "minimax", "modelscope", "moonshot", "morph",
     "nebius", "nlp_cloud", "novita", "nscale", "oci", "ovhcloud", "petals", "predibase", "replicate", "sagemaker",
     "sagemaker_chat", "snowflake", "text-completion-codestral", "topaz", "triton", "v0", "vercel_ai_gateway",
     "vertex_ai", "vertex_ai_beta", "volcengine", "voyage", "wandb", "watsonx", "watsonx_text", "zai")
)  # fmt: skip

_KEY_VARIABLES = {
    "anthropic": "ANTHROPIC_API_KEY", "azure": "AZURE_API_KEY", "azure_ai": "AZURE_AI_API_KEY",
    "bedrock": "AWS_BEARER_TOKEN_BEDROCK", "cohere": "COHERE_API_KEY", "cohere_chat": "COHERE_API_KEY",
    "gemini": "GEMINI_API_KEY", "fireworks_ai": "FIREWORKS_AI_API_KEY", "huggingface": "HUGGINGFACE_API_KEY",
}  # fmt: skip
_BARE = (
    (("gpt-", "chatgpt-", "o1", "o3", "o4", "text-embedding-", "ft:gpt-", "davinci-", "babbage-"), "openai"),
    (("claude-",), "anthropic"),
    (("gemini-",), "vertex_ai"),
    (("command-",), "cohere_chat"),
)


@dataclass(frozen=True, kw_only=True)
class Served:
    """A provider and its model. `meant` tells what the source wrote, where that was not a provider LiteLLM knows."""

    provider: str | None
    model: str
    mistake: str | None = None


def is_known(provider: str) -> bool:
    return provider in PLAIN or provider in THROUGH_LIBRARY


def read_model(model: str, *, provider: str | None, has_url: bool) -> Served:
    """Which provider a `litellm_params.model` names, as LiteLLM reads it."""
    if provider is not None:
        return Served(provider=provider, model=model.removeprefix(f"{provider}/"))
    prefix, slash, rest = model.partition("/")
    if slash and is_known(prefix):
        return Served(provider=prefix, model=rest)
    if not slash:
        found = next((name for beginnings, name in _BARE if model.startswith(beginnings)), None)
        return Served(provider=found, model=model)
    if has_url:
        mistake = f"LiteLLM knows no provider {prefix!r}, and refuses this: taken for `openai/{model}` at its api_base"
        return Served(provider="openai", model=model, mistake=mistake)
    near = difflib.get_close_matches(prefix, [*PLAIN, *THROUGH_LIBRARY], n=1, cutoff=0.8)
    if near:
        mistake = f"LiteLLM knows no provider {prefix!r}, and refuses this: taken for {near[0]!r}"
        return Served(provider=near[0], model=rest, mistake=mistake)
    return Served(provider=None, model=model)


def key_variable(provider: str | None) -> str:
    """The variable in which LiteLLM looks for this provider's key."""
    plain = PLAIN.get(provider or "")
    if plain and plain.key_variable:
        return plain.key_variable
    return _KEY_VARIABLES.get(provider or "", f"{(provider or 'provider').upper().replace('-', '_')}_API_KEY")
