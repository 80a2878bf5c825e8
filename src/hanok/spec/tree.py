"""platform.yaml as one frozen tree.

Every key has a default that works on a laptop and a description with its unit; the JSON schema (`hanok schema`) and
docs/platform-yaml.md are generated from here. Unknown keys are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    SecretStr,
    StringConstraints,
)
from pydantic_core import PydanticCustomError


def _usable(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or port == 0:
        raise PydanticCustomError("url_unusable", "must be a URL with a host, and a port from 1 to 65535 if any")
    return url


def _no_truth(value: object) -> object:
    """Python takes `true` for 1; a person who writes `port: true` did not mean 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("number_type", "must be a number")
    return value


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]
HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^/\s?#@]+(/[^\s?#]*)?$"), AfterValidator(_usable)]
Whole = Annotated[int, BeforeValidator(_no_truth)]
Number = Annotated[float, BeforeValidator(_no_truth)]


class Tree(BaseModel):
    """A block of platform.yaml: frozen, strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


class OpenAIEndpoint(Tree):
    """Any OpenAI-compatible URL: OpenAI, vLLM, llm-d, Ollama, LM Studio, a cluster's gateway."""

    engine: Literal["openai"]
    url: HttpUrl = Field(description="Base URL, as an OpenAI client would be given it; usually ends in `/v1`.")
    key: SecretStr | None = Field(default=None, description="Bearer key, best as `${env:NAME}`.")
    model: str | None = Field(default=None, description="The model's name over there; by default the same as here.")
    headers: dict[str, SecretStr] = Field(default={}, description="More headers for every request.")
    verify_tls: bool = Field(default=True, description="Check the certificate. Turn off for a laboratory only.")
    ca_file: str | None = Field(default=None, description="PEM file of a private certificate authority.")


class LlamaCppEndpoint(Tree):
    """llama.cpp as a child process of Hanok, in the extra `local`. Runs any GGUF file on the CPU."""

    engine: Literal["llamacpp"]
    model: str = Field(
        default="gemma3-270m",
        description="`gemma3-270m` (installed with the extra), a path to a GGUF file, or `hf:OWNER/REPO[:FILE]` "
        "(downloaded by llama.cpp at start).",
    )
    threads: Whole | None = Field(
        default=None,
        ge=1,
        description="CPU threads; by default one less than the cores. More than free cores is far slower.",
    )
    context_tokens: Whole = Field(default=4096, ge=256, description="Tokens of context, shared by `parallel` requests.")
    parallel: Whole = Field(default=2, ge=1, le=64, description="Requests answered at the same time.")
    chat_template: str | None = Field(
        default=None, description="A Jinja chat template; by default the model's own (gemma3-270m: a plain dialogue)."
    )
    stop: list[str] = Field(default=[], description="Texts that end an answer, added to those of the request.")
    gpu_layers: Whole = Field(default=0, ge=0, description="Layers to put on a GPU, where the installed build has one.")
    load_timeout_s: Number = Field(default=120.0, gt=0, description="Seconds the model may take to load.")


class VllmEndpoint(Tree):
    """`vllm serve` as a child process of Hanok, where vLLM is installed."""

    engine: Literal["vllm"]
    model: str = Field(description="A model's name or folder, as `vllm serve` takes it.")
    flags: dict[str, str | int | float | bool] = Field(
        default={},
        repr=False,
        description="Flags of `vllm serve` without dashes, as `max-model-len: 8192`; `true` gives the bare flag.",
    )
    load_timeout_s: Number = Field(default=900.0, gt=0, description="Seconds the model may take to load.")


class LiteLLMEndpoint(Tree):
    """More than a hundred providers through LiteLLM's library, in the extra `providers`."""

    engine: Literal["litellm"]
    model: str = Field(description="Provider and model as LiteLLM names them, as `bedrock/…` or `gemini/…`.")
    key: SecretStr | None = Field(default=None, description="The provider's key, best as `${env:NAME}`.")
    url: HttpUrl | None = Field(default=None, description="The provider's base URL, where it is not the usual one.")
    options: dict[str, Any] = Field(
        default={}, repr=False, description="More arguments of LiteLLM's `acompletion`, as `aws_region_name`."
    )


class SentenceEncoderEndpoint(Tree):
    """The embedded sentence encoder as a child process, in the extra `local`: 512 dimensions, English and Korean."""

    engine: Literal["sentence-encoder"]
    load_timeout_s: Number = Field(default=60.0, gt=0, description="Seconds the encoder may take to load.")


class EchoEndpoint(Tree):
    """Answers with the last user message, word by word. For tests and for measuring."""

    engine: Literal["echo"]
    delay_ms: Number = Field(default=0.0, ge=0, description="Milliseconds before each word.")


class Turn(Tree):
    """One scripted answer."""

    say: str = Field(description="The answer's text.")
    when: str | None = Field(default=None, description="Only when the last user message contains this text.")


class ScriptEndpoint(Tree):
    """Answers from a list of turns: the first turn whose `when` fits, else the next one without `when`. For tests."""

    engine: Literal["script"]
    turns: list[Turn] = Field(min_length=1, description="The answers.")
    delay_ms: Number = Field(default=0.0, ge=0, description="Milliseconds before each word.")


Endpoint = Annotated[
    OpenAIEndpoint
    | LlamaCppEndpoint
    | VllmEndpoint
    | LiteLLMEndpoint
    | SentenceEncoderEndpoint
    | EchoEndpoint
    | ScriptEndpoint,
    Discriminator("engine"),
]


class Price(Tree):
    """What tokens cost, in US dollars per million."""

    input: Number = Field(default=0.0, ge=0, description="USD per million prompt tokens.")
    output: Number = Field(default=0.0, ge=0, description="USD per million completion tokens.")
    cached_input: Number | None = Field(
        default=None, ge=0, description="USD per million prompt tokens read from a cache; by default as `input`."
    )


class Timeouts(Tree):
    """How long to wait for an engine."""

    connect_s: Number = Field(default=5.0, gt=0, description="Seconds to connect.")
    first_byte_s: Number = Field(
        default=600.0,
        gt=0,
        description="Seconds until an answer begins; unstreamed answers begin when they are complete.",
    )
    idle_s: Number = Field(default=120.0, gt=0, description="Seconds a begun answer may fall silent.")


def _as_list(value: object) -> object:
    return [cast("object", value)] if isinstance(value, dict) else value


class Model(Tree):
    """A model as callers name it, and the endpoints that serve it."""

    name: Name = Field(description="The name callers use. Unique.")
    type: Literal["chat", "embedding"] = Field(default="chat", description="What it does: text, or vectors.")
    serve: Annotated[list[Endpoint], BeforeValidator(_as_list)] = Field(
        min_length=1, description="One endpoint, or a list of them; requests go to the least busy that is up."
    )
    price: Price | None = Field(
        default=None,
        description="By default LiteLLM's price map where it is installed and knows the model, else nothing.",
    )
    fallbacks: list[str] = Field(
        default=[], description="Models to try, in order, when no endpoint of this one answers."
    )
    retries: Whole = Field(default=2, ge=0, le=10, description="Further attempts before the first byte, per model.")
    timeouts: Timeouts = Field(default=Timeouts(), description="How long to wait for its engines.")


class Gateway(Tree):
    """The HTTP door."""

    host: str = Field(default="127.0.0.1", description="Address to listen on; `0.0.0.0` for every interface.")
    port: Whole = Field(default=4242, ge=1, le=65535, description="TCP port to listen on.")
    body_limit_mib: Number = Field(default=32.0, gt=0, description="Largest request body, in MiB.")
    answer_limit_mib: Number = Field(default=64.0, gt=0, description="Largest unstreamed answer of an engine, in MiB.")
    drain_s: Number = Field(default=30.0, ge=0, description="Seconds that running streams may take to end on shutdown.")
    health_every_s: Number = Field(
        default=5.0, gt=0, description="Seconds between two looks at each endpoint's health."
    )


class Platform(Tree):
    """One organisation's platform."""

    name: Name = Field(default="hanok", description="The platform's name.")
    state: str = Field(
        default=".hanok", min_length=1, description="Folder for everything that is kept, relative to this file."
    )
    gateway: Gateway = Field(default=Gateway(), description="The HTTP door.")
    models: list[Model] = Field(min_length=1, description="The models on offer.")

    def model(self, name: str) -> Model | None:
        """The model of that name."""
        return next((model for model in self.models if model.name == name), None)


class Loaded(BaseModel):
    """A platform and where it came from: `file` for messages, `folder` for relative paths, `state` made absolute."""

    model_config = ConfigDict(frozen=True)

    platform: Platform
    file: Path
    folder: Path
    state: Path
