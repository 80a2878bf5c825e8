"""platform.yaml as one frozen tree.

Every key has a default that works on a laptop and a description with its unit; the JSON schema (`hanok schema`) and
docs/platform-yaml.md are generated from here. Unknown keys are refused.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

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


class Price(Tree):
    """What tokens cost, in US dollars per million."""

    input: Number = Field(default=0.0, ge=0, description="USD per million prompt tokens.")
    output: Number = Field(default=0.0, ge=0, description="USD per million completion tokens.")
    cached_input: Number | None = Field(
        default=None, ge=0, description="USD per million prompt tokens read from a cache; by default as `input`."
    )
    cache_write: Number | None = Field(
        default=None,
        ge=0,
        description="USD per million prompt tokens written to the provider's prompt cache; by default as `input`.",
    )
    batch: Number = Field(default=1.0, ge=0, le=1, description="Share of these prices that lines of batches cost.")


Tag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


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
    """The embedded sentence encoder as a child process, in the extra `local`: 512 dimensions, English and Korean."""

    engine: Literal["sentence-encoder"]
    load_timeout_s: Number = Field(default=60.0, gt=0, description="Seconds the encoder may take to load.")


class EchoEndpoint(_Endpoint):
    """Answers with the last user message, word by word. For tests and for measuring."""

    engine: Literal["echo"]
    delay_ms: Number = Field(default=0.0, ge=0, description="Milliseconds before each word.")


class Turn(Tree):
    """One scripted answer."""

    say: str = Field(description="The answer's text.")
    when: str | None = Field(default=None, description="Only when the last user message contains this text.")


class ScriptEndpoint(_Endpoint):
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


class Timeouts(Tree):
    """How long to wait for an engine."""

    connect_s: Number = Field(default=5.0, gt=0, description="Seconds to connect.")
    first_byte_s: Number = Field(
        default=600.0,
        gt=0,
        description="Seconds until an answer begins; unstreamed answers begin when they are complete.",
    )
    idle_s: Number = Field(default=120.0, gt=0, description="Seconds a begun answer may fall silent.")
    total_s: Number | None = Field(
        default=None,
        gt=0,
        description="Seconds a call may take in all, waiting, retries and its whole answer included.",
    )


def _as_list(value: object) -> object:
    return [cast("object", value)] if isinstance(value, dict) else value


class Fallbacks(Tree):
    """Models to try, in order, by what went wrong. A list alone means `error`."""

    error: list[str] = Field(default=[], description="When no endpoint of this model answers.")
    context_window: list[str] = Field(default=[], description="When the prompt is too long for this model.")
    content_policy: list[str] = Field(default=[], description="When a content filter refuses the prompt.")
    budget: list[str] = Field(default=[], description="When the budget does not pay for this model; cheaper ones.")

    def all(self) -> tuple[str, ...]:
        """Every model named here, once."""
        return tuple(dict.fromkeys([*self.error, *self.context_window, *self.content_policy, *self.budget]))


class Queue(Tree):
    """Calls that wait while every endpoint of a model is full (`max_in_flight`); teams take turns."""

    length: Whole = Field(default=100, ge=0, description="Calls that may wait; more are refused with 429.")
    wait_s: Number = Field(default=30.0, gt=0, description="Seconds a call may wait; then it is refused with 429.")


class Breaker(Tree):
    """Leaves a failing endpoint alone for a while, then tries it with one call."""

    failures: Whole = Field(default=5, ge=1, description="Failures in a row that open it.")
    cooldown_s: Number = Field(
        default=10.0, gt=0, description="Seconds without calls; doubles with each probe that fails, up to 16 times."
    )


class Hedge(Tree):
    """Asks a second endpoint when the first is slow, and takes whichever answers first. Costs double work: opt in."""

    after_s: Number = Field(gt=0, description="Seconds without a first byte after which a second endpoint is asked.")


Policy = Literal["least-busy", "weighted", "round-robin", "latency", "cost", "session", "prefix"]


class HeaderRule(Tree):
    """Calls with this header are treated as if they asked for these tags."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$", to_lower=True)] = Field(
        description="The header's name, in any case."
    )
    value: str | None = Field(default=None, description="The header's value; by default any.")
    tags: list[Tag] = Field(min_length=1, max_length=16, description="The tags that an endpoint must have.")


class Routing(Tree):
    """Which of a model's endpoints takes a call. A word alone is the policy."""

    policy: Policy = Field(
        default="least-busy",
        description="`least-busy`: fewest running calls. `weighted`: by `weight`. `round-robin`: in turn. `latency`: "
        "soonest first token lately. `cost`: cheapest with room. `session`: calls of a session stay together. "
        "`prefix`: soonest first token by what each prompt cache should hold.",
    )
    headers: list[HeaderRule] = Field(default=[], max_length=16, description="Headers that stand for tags.")
    explore_every: Whole = Field(
        default=20,
        ge=0,
        description="Under `latency`, one in so many calls goes to the endpoint not heard of for longest; 0: none.",
    )
    overload: Whole = Field(
        default=8,
        ge=1,
        description="Under `session`, an endpoint with so many more calls than the least busy one is passed over.",
    )
    cache_tokens: Whole = Field(
        default=250_000,
        ge=0,
        description="Under `prefix`, tokens that an endpoint's prompt cache holds, where its metrics do not tell.",
    )
    load_every_s: Number = Field(
        default=1.0,
        gt=0,
        le=60,
        description="Seconds between two looks at the endpoints' own metrics, under `prefix`, `session` and `cost`.",
    )
    prefill_tokens: Whole = Field(
        default=512,
        ge=0,
        description="With prefill endpoints: prompts with fewer new tokens than this are not sent to them.",
    )


def _as_routing(value: object) -> object:
    return {"policy": value} if isinstance(value, str) else value


def _as_fallbacks(value: object) -> object:
    return cast("object", value) if isinstance(value, dict | Fallbacks) else {"error": value}


class Semantic(Tree):
    """Answers a question with what was answered to one that means the same. May be wrong: opt in."""

    embedder: str = Field(description="The model of type embedding that makes questions' vectors.")
    threshold: Number = Field(
        default=0.92, ge=0.5, le=1, description="How near a question must be: the cosine of the two vectors at least."
    )
    entries: Whole = Field(default=1000, ge=1, le=100_000, description="Questions remembered, in memory.")


Share = Literal["tenant", "platform"]


class ModelCache(Tree):
    """A model's cache of answers. `true` alone keeps answers as `cache` at the top says, `false` keeps none."""

    use: bool = Field(default=True, description="Keep this model's answers.")
    ttl_s: Number | None = Field(default=None, gt=0, description="Seconds an answer is kept; by default as at the top.")
    share: Share | None = Field(default=None, description="Who is given an answer; by default as at the top.")
    semantic: Semantic | None = Field(default=None, description="Compare questions by their meaning.")


class Cache(Tree):
    """Answers that are kept and given again to the same call. Off until a model, or `all_models`, says otherwise."""

    all_models: bool = Field(
        default=False, description="Keep the answers of all models that do not say `cache: false`."
    )
    store: Literal["memory", "redis"] = Field(
        default="memory", description="Where answers are kept: in each process, or on a server that all share."
    )
    redis: SecretStr | None = Field(
        default=None, description="`redis://…` of the server (extra `redis`); by default that of `ledger.redis`."
    )
    ttl_s: Number = Field(default=3600.0, gt=0, le=31_536_000, description="Seconds an answer is kept.")
    max_mib: Number = Field(default=64.0, gt=0, description="MiB of answers kept in memory; the oldest go first.")
    max_answer_kib: Whole = Field(default=1024, ge=1, le=65_536, description="Largest answer kept, in KiB.")
    share: Share = Field(
        default="tenant",
        description="`tenant` gives answers to the same team, or key without a team; `platform` to all.",
    )


def _as_cache(value: object) -> object:
    return {"use": value} if isinstance(value, bool) else value


ModelType = Literal["chat", "embedding", "rerank", "moderation"]


class Model(Tree):
    """A model as callers name it, and the endpoints that serve it."""

    name: Name = Field(description="The name callers use. Unique.")
    type: ModelType = Field(
        default="chat",
        description="What it does: text (`chat`), vectors, an order of documents, or a judgement of texts.",
    )
    serve: Annotated[list[Endpoint], BeforeValidator(_as_list)] = Field(
        min_length=1, description="One endpoint, or a list of them; `routing` says which takes a call."
    )
    routing: Annotated[Routing, BeforeValidator(_as_routing)] = Field(
        default=Routing(), description="Which endpoint takes a call; a policy, or a policy with options."
    )
    price: Price | None = Field(
        default=None,
        description="By default LiteLLM's price map where it is installed and knows the model, else nothing.",
    )
    max_output_tokens: Whole = Field(
        default=4096, ge=1, description="Tokens that a budget sets aside for an answer when the caller names no limit."
    )
    fallbacks: Annotated[Fallbacks, BeforeValidator(_as_fallbacks)] = Field(
        default=Fallbacks(), description="Other models to try; a list, or lists by what went wrong."
    )
    retries: Whole = Field(default=2, ge=0, le=10, description="Further attempts before the first byte, per model.")
    timeouts: Timeouts = Field(default=Timeouts(), description="How long to wait for its engines.")
    queue: Queue = Field(default=Queue(), description="Calls that wait for a full endpoint.")
    breaker: Breaker = Field(default=Breaker(), description="When to leave a failing endpoint alone.")
    hedge: Hedge | None = Field(default=None, description="Ask a second endpoint when the first is slow.")
    cache: Annotated[ModelCache | None, BeforeValidator(_as_cache)] = Field(
        default=None, description="Keep its answers: `true`, `false`, or how; by default as `cache.all_models` says."
    )


class KeptResponses(Tree):
    """Answers of `/v1/responses`, kept in the state folder so that conversations can go on from them."""

    keep_days: Number = Field(default=30.0, gt=0, le=3650, description="Days after which a response is forgotten.")
    limit_mib: Number = Field(
        default=1024.0, gt=0, description="Largest size of all kept responses, in MiB; beyond it the oldest go."
    )


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
    workers: Whole = Field(
        default=1,
        ge=1,
        le=64,
        description="Processes that answer calls. More than one needs `ledger.redis` for budgets.",
    )
    keep_alive_s: Number = Field(
        default=15.0, gt=0, description="Seconds of silence in a stream after which a comment is sent to keep it open."
    )
    admin_key: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Opens the admin API under `/admin`; best as `${env:NAME}`. Without it there is no admin API.",
    )
    replay_retries: bool = Field(
        default=False,
        description="Answer an SDK's own retry of a call with the answer of its first attempt.",
    )
    reload: bool = Field(default=True, description="Take up changes of this file while running.")
    responses: KeptResponses = Field(
        default_factory=KeptResponses, description="How long, and how many, answers of `/v1/responses` are kept."
    )


class Scope(Tree):
    """What may be used. Names, or patterns such as `small-*`; by default everything."""

    models: list[str] = Field(default=["*"], description="Models.")
    knowledge: list[str] = Field(default=["*"], description="Knowledge collections.")
    agents: list[str] = Field(default=["*"], description="Agents.")


class Team(Scope):
    """Keys that belong together: what they may use, and their turn in queues."""

    name: Name = Field(description="The team's name. Unique.")
    weight: Number = Field(default=1.0, gt=0, le=1000, description="Its share of a model's queue, beside other teams.")


class User(Scope):
    """A person or a service that keys act for."""

    name: Name = Field(description="The user's name. Unique.")
    team: str | None = Field(default=None, description="The team that the user's keys belong to.")


TierName = Literal["simple", "moderate", "complex"]


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        message = "must be a regular expression: {why}"
        raise PydanticCustomError("pattern_unusable", message, {"why": str(error)}) from None
    return pattern


def _as_tier(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class TierCue(Tree):
    """Words that decide a request's tier by themselves. Any of them will do; capitals do not matter."""

    tier: Annotated[TierName, BeforeValidator(_as_tier)] = Field(description="The tier of requests that say this.")
    words: list[Annotated[str, StringConstraints(min_length=1)]] = Field(
        default=[], description="Words or phrases; they need not stand alone: `계약` fits `계약서를`."
    )
    pattern: Annotated[str, StringConstraints(min_length=1), AfterValidator(_compiles)] | None = Field(
        default=None, description="A regular expression of Python, looked for anywhere."
    )


class TierRules(Tree):
    """How the rules decide: by cues, else by points (docs/tiers.md lists them) and these thresholds."""

    cues: list[TierCue] = Field(default=[], description="Looked at first, in this order; the first that fits decides.")
    moderate_from: Whole = Field(default=2, description="Points from which a request is MODERATE.")
    complex_from: Whole = Field(default=5, description="Points from which a request is COMPLEX.")


class TierExamples(Tree):
    """Requests of each tier, added to the built-in ones."""

    simple: list[str] = Field(default=[], max_length=100, description="Requests that are SIMPLE.")
    moderate: list[str] = Field(default=[], max_length=100, description="Requests that are MODERATE.")
    complex: list[str] = Field(default=[], max_length=100, description="Requests that are COMPLEX.")


class Auto(Tree):
    """A name that callers ask for in place of a model; Hanok picks the model by the request's tier."""

    name: Name = Field(default="auto", description="The name callers use. Unique among models, too.")
    simple: str = Field(description="The model for classification, extraction and short questions.")
    moderate: str = Field(description="The model for summaries, translation and conversation.")
    complex: str = Field(description="The model for analysis, reasoning and code.")
    compared_to: str | None = Field(
        default=None, description="The model whose price shows what was saved; by default the `complex` one."
    )
    classifier: Literal["rules", "examples", "model"] = Field(
        default="rules",
        description="Who decides: `rules` on the request's text and form; the nearest of labelled `examples`; a small "
        "`model`. The rules decide whenever the others cannot.",
    )
    classifier_model: str | None = Field(
        default=None, description="The embedding model of `examples`, or the chat model of `model`. Its calls cost too."
    )
    timeout_s: Number = Field(
        default=2.0, gt=0, le=60, description="Seconds the classifier may take; then the rules decide."
    )
    rules: TierRules = Field(default=TierRules(), description="How the rules decide.")
    examples: TierExamples = Field(default=TierExamples(), description="Your own examples, for `examples`.")
    sticky: bool = Field(
        default=True, description="Within a session, do not fall below the tier that an earlier call was given."
    )

    def model_of(self, tier: TierName) -> str:
        """The model of that tier."""
        return {"simple": self.simple, "moderate": self.moderate, "complex": self.complex}[tier]

    def models(self) -> tuple[str, ...]:
        """Every model named here, once."""
        named = (self.simple, self.moderate, self.complex, self.compared_to, self.classifier_model)
        return tuple(dict.fromkeys(name for name in named if name is not None))


Period = Literal["day", "month", "ever"]
Unit = Literal["usd", "tokens"]


class Allowance(Tree):
    """An amount of dollars or tokens, or both, for a while."""

    usd: Number | None = Field(default=None, ge=0, le=1e9, description="US dollars.")
    tokens: Whole | None = Field(default=None, ge=0, le=10**15, description="Tokens, prompt and completion together.")
    per: Period = Field(default="ever", description="`day` and `month` begin at midnight UTC; `ever` does not end.")
    soft: Number = Field(
        default=0.8, gt=0, le=1, description="The softer line, as a share: beyond it a warning header is sent."
    )
    downgrade_to: str | None = Field(
        default=None,
        description="A cheaper model that calls go to beyond the softer line, instead of the one asked for.",
    )


class Budget(Allowance):
    """What may be spent: a hard limit, reserved before each call."""

    of: Literal["key", "team", "user", "model", "session", "run"] = Field(description="What it is kept for.")
    name: str | None = Field(default=None, description="Only for the one of that name; by default for each one.")


class Rates(Tree):
    """How much a minute, and how much at once."""

    requests_per_minute: Whole | None = Field(default=None, ge=1, description="Calls a minute.")
    tokens_per_minute: Whole | None = Field(default=None, ge=1, description="Tokens a minute, prompt and completion.")
    concurrent: Whole | None = Field(default=None, ge=1, description="Calls at once.")


class Limit(Rates):
    """A rate limit."""

    of: Literal["key", "team", "user", "model"] = Field(description="What it is kept for.")
    name: str | None = Field(default=None, description="Only for the one of that name; by default for each one.")


class Books(Tree):
    """Where charges, keys and budgets are kept."""

    database: SecretStr | None = Field(
        default=None,
        description="`postgresql://…` for PostgreSQL (extra `postgres`); by default SQLite in the `state` folder.",
    )
    redis: SecretStr | None = Field(
        default=None,
        description="`redis://…` where several processes or machines agree on budgets and limits (extra `redis`).",
    )


class Export(Tree):
    """Where spans go: one OTLP/HTTP address."""

    to: Literal["otlp", "langfuse", "langsmith", "mlflow"] = Field(
        default="otlp", description="What listens there: decides the path and which extra headers are sent."
    )
    url: HttpUrl = Field(description="Base URL, as `http://localhost:4318`; the path of `to` is added to it.")
    headers: dict[str, SecretStr] = Field(default={}, description="Headers for every export, as an API key.")
    public_key: str | None = Field(default=None, description="Langfuse's public key.")
    secret_key: SecretStr | None = Field(default=None, description="Langfuse's secret key, or LangSmith's API key.")
    project: str | None = Field(default=None, description="LangSmith's project, or MLflow's experiment id.")


class Telemetry(Tree):
    """OpenTelemetry spans of every call. Off until `export` names a receiver."""

    export: Annotated[list[Export], BeforeValidator(_as_list)] = Field(
        default=[], description="Receivers of spans, by OTLP over HTTP."
    )
    names: Literal["current", "old", "both"] = Field(
        default="both", description="Names of attributes: today's `gen_ai.*`, those that older tools query, or both."
    )
    content: bool = Field(default=False, description="Record prompts and answers in spans, up to 64 KiB each.")
    sample: Number = Field(default=1.0, ge=0, le=1, description="Share of calls traced; a caller's own decision wins.")
    environment: str = Field(default="default", description="`deployment.environment.name` of the spans.")
    batch: Whole = Field(default=512, ge=1, le=10_000, description="Spans in one export at most.")
    every_s: Number = Field(default=2.0, gt=0, description="Seconds between exports.")
    queue: Whole = Field(default=16_384, ge=1, description="Spans that may wait; more are dropped and counted.")


def _as_time(value: object) -> object:
    """A time of the day as text; YAML reads `22:00` without quotes as 22 sixties."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 24 * 60:
        return f"{value // 60:02}:{value % 60:02}"
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise PydanticCustomError("time_type", 'must be a time from 00:00 to 23:59, as "22:00"')
    return value


def _as_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise PydanticCustomError("zone_unknown", "must be a time zone of this machine, as Europe/Berlin") from None
    return value


def _as_window(value: object) -> object:
    return None if value == "always" else value


_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
Time = Annotated[str, BeforeValidator(_as_time)]


class BatchWindow(Tree):
    """The hours of the day in which batches run."""

    start: Time = Field(alias="from", description='When it opens, as `"22:00"`.')
    end: Time = Field(alias="to", description='When it closes, as `"06:00"`; may be after midnight.')
    timezone: Annotated[str, AfterValidator(_as_zone)] = Field(
        default="UTC", description="Whose time that is, as `Europe/Berlin`."
    )

    @property
    def opens(self) -> int:
        """Minutes after midnight."""
        return _minutes(self.start)

    @property
    def closes(self) -> int:
        """Minutes after midnight."""
        return _minutes(self.end)


def _minutes(time: str) -> int:
    return int(time[:2]) * 60 + int(time[3:])


class Batches(Tree):
    """Files, and batches of calls that have time."""

    concurrency: Whole = Field(default=8, ge=1, le=1024, description="Lines asked at once, in all.")
    per_model: Whole | None = Field(default=None, ge=1, description="Lines asked at once of one model.")
    window: Annotated[BatchWindow | None, BeforeValidator(_as_window)] = Field(
        default=None, description="The hours in which lines are asked; by default `always`."
    )
    retries: Whole = Field(
        default=3, ge=0, le=100, description="Further attempts at a line that fails; what is only full is waited for."
    )
    keep_days: Number = Field(
        default=30.0, gt=0, le=3650, description="Days that files and ended batches are kept, unless a caller says."
    )
    file_limit_mib: Number = Field(default=512.0, gt=0, description="Largest file, in MiB.")
    tenant_limit_gib: Number = Field(default=16.0, gt=0, description="What one team's files, or one key's, may take.")


class Platform(Tree):
    """One organisation's platform."""

    name: Name = Field(default="hanok", description="The platform's name.")
    state: str = Field(
        default=".hanok", min_length=1, description="Folder for everything that is kept, relative to this file."
    )
    gateway: Gateway = Field(default=Gateway(), description="The HTTP door.")
    ledger: Books = Field(default=Books(), description="Where charges, keys and budgets are kept.")
    telemetry: Telemetry = Field(default=Telemetry(), description="OpenTelemetry spans.")
    cache: Cache = Field(default=Cache(), description="Answers that are kept and given again.")
    batches: Batches = Field(default=Batches(), description="Files, and batches of calls that have time.")
    models: list[Model] = Field(min_length=1, description="The models on offer.")
    tiers: list[Auto] = Field(default=[], description="Names whose model Hanok picks by each request's tier.")
    teams: list[Team] = Field(default=[], description="Teams of keys.")
    users: list[User] = Field(default=[], description="Users that keys act for.")
    budgets: list[Budget] = Field(default=[], description="What may be spent.")
    limits: list[Limit] = Field(default=[], description="How fast calls may come.")

    def names(self) -> list[str]:
        """Every name that callers may ask for: models, then those whose model is picked."""
        return [each.name for each in (*self.models, *self.tiers)]

    def model(self, name: str) -> Model | None:
        """The model of that name."""
        return next((model for model in self.models if model.name == name), None)


class Loaded(BaseModel):
    """A platform and where it came from: `file` for messages, `folder` for relative paths, `state` made absolute.

    `digest` is the SHA-256 of the file's text.
    """

    model_config = ConfigDict(frozen=True)

    platform: Platform
    file: Path
    folder: Path
    state: Path
    digest: str = ""
