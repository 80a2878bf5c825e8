"""A finished call as one OpenTelemetry span in OTLP's protobuf bytes.

Most of what a span says is the same for thousands of calls: its name, model, provider, key, how it ended. That part is
encoded once and kept; a call adds its ids, times, tokens, cost and whatever else is its own. So a span costs a few
microseconds in the exporter's thread, and nothing on the call's path (docs/decisions/006).

Format: `opentelemetry/proto/trace/v1/trace.proto` of opentelemetry-proto 1.x.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from hanok import __version__
from hanok.telemetry.content import input_messages, output_messages
from hanok.telemetry.frame import CLIENT, failure, identity, nanoseconds, times
from hanok.telemetry.protobuf import RESOURCE_ATTRIBUTES, Attribute, field, utf8, varint
from hanok.telemetry.vocabulary import KINDS, Kind, NameStyle, Vocabulary
from hanok.wire import NANO, Caller, Charge, ChatRequest, TaskRequest

Request = ChatRequest | TaskRequest
KEPT_CONSTANTS = 4096
_KEPT_RAW_BYTES = 256
Form = Callable[[Attribute, Any], bytes]


def _number(attribute: Attribute, value: Any) -> bytes:
    return attribute.number(value) if isinstance(value, int | float) and not isinstance(value, bool) else b""


def _whole(attribute: Attribute, value: Any) -> bytes:
    return attribute.whole(value) if isinstance(value, int) and not isinstance(value, bool) else b""


def _texts(attribute: Attribute, value: Any) -> bytes:
    values: list[Any] = [value] if isinstance(value, str) else value
    return attribute.texts(map(str, values)) if isinstance(value, str | list) else b""


_PARAMETERS: dict[str, tuple[Attribute, Form]] = {
    "temperature": (Attribute("gen_ai.request.temperature"), _number),
    "top_p": (Attribute("gen_ai.request.top_p"), _number),
    "top_k": (Attribute("gen_ai.request.top_k"), _number),
    "frequency_penalty": (Attribute("gen_ai.request.frequency_penalty"), _number),
    "presence_penalty": (Attribute("gen_ai.request.presence_penalty"), _number),
    "max_tokens": (Attribute("gen_ai.request.max_tokens"), _whole),
    "max_completion_tokens": (Attribute("gen_ai.request.max_tokens"), _whole),
    "seed": (Attribute("gen_ai.request.seed"), _whole),
    "n": (Attribute("gen_ai.request.choice.count"), _whole),
    "stop": (Attribute("gen_ai.request.stop_sequences"), _texts),
    "dimensions": (Attribute("gen_ai.embeddings.dimension.count"), _whole),
    "encoding_format": (Attribute("gen_ai.request.encoding_formats"), _texts),
}


class SpanEncoder:
    """Turns calls into spans, and spans into what a collector is sent.

    `service` is the platform's name, `providers` the provider of each endpoint (`provider_names`).
    """

    def __init__(
        self, *, service: str, environment: str, names: NameStyle, content: bool, providers: Mapping[str, str]
    ) -> None:
        self._words = words = Vocabulary(names)
        self._no_tokens = words.input_tokens.whole(0) + words.output_tokens.whole(0) + words.total_tokens.whole(0)
        self._content = content
        self._providers = providers
        self._constants: dict[tuple[Any, ...], bytes] = {}
        self._parameters: dict[tuple[str, bytes], bytes] = {}
        self._second, self._second_text = -1, ""
        self._resource = field(1, _resource(service, environment))
        self._scope = field(1, field(1, b"hanok") + field(2, __version__.encode()))

    def encode(self, charge: Charge, request: Request, content: bytes | None = None) -> bytes:
        """One span, as the field that `envelope` wants. `content` is the answer: its body, or its events.

        Raises `ValueError` when `request.caller.trace` is no `traceparent`.
        """
        caller = request.caller
        stream = isinstance(request, ChatRequest) and request.stream
        start = nanoseconds(charge.at)
        parts = [
            identity(caller),
            times(start, start + int(charge.latency_ms * 1e6)),
            self._constant(charge, request.model, stream),
        ]
        self._add_usage(parts, charge)
        if charge.tier:
            self._add_tier(parts, charge, request)
        if charge.saved_nano_usd:
            parts.append(self._words.saved.number(charge.saved_nano_usd / NANO))
        self._add_caller(parts, caller)
        self._add_parameters(parts, request)
        if stream and charge.first_token_ms:
            self._add_first(parts, charge)
        if self._content:
            self._add_content(parts, request, content)
        span = b"".join(parts)
        return b"\x12" + varint(len(span)) + span

    def envelope(self, spans: Iterable[bytes]) -> bytes:
        """An `ExportTraceServiceRequest` of these spans."""
        return field(1, self._resource + field(2, self._scope + b"".join(spans)))

    def _constant(self, charge: Charge, asked_model: str, stream: bool) -> bytes:
        key = (
            charge.operation, asked_model, charge.model, charge.endpoint, charge.key_name, charge.team,
            charge.status, charge.error, charge.estimated, stream,
        )  # fmt: skip
        found = self._constants.get(key)
        if found is None:
            found = _keep(self._constants, key, self._make_constant(charge, asked_model, stream))
        return found

    def _make_constant(self, charge: Charge, asked_model: str, stream: bool) -> bytes:
        words = self._words
        name = charge.operation
        kind = KINDS.get(name) or _other_kind(name)
        model = charge.model or asked_model
        error = charge.error or ("failed" if charge.status == "failed" else "")
        parts = [
            field(5, utf8(f"{kind.name} {asked_model}")),
            CLIENT,
            words.operation.text(kind.name),
            words.provider.text(self._providers.get(charge.endpoint) or self._providers.get(f"{model}#1", "hanok")),
            words.asked_model.text(asked_model),
            words.langfuse_type.text(kind.langfuse),
            words.langsmith_kind.text(kind.langsmith),
            words.mlflow_type.text(kind.mlflow),
            words.openinference_kind.text(kind.openinference),
            words.key.text(charge.key_name),
            words.status.text(charge.status),
        ]
        if charge.endpoint:
            parts += [words.model.text(model), words.endpoint.text(charge.endpoint)]
        if charge.team:
            parts.append(words.team.text(charge.team))
        if stream:
            parts.append(words.stream.truth(True))
        if charge.estimated:
            parts.append(words.estimated.truth(True))
        if error:
            parts.append(words.error.text(error))
        if charge.status == "failed":
            parts.append(failure(error))
        return b"".join(parts)

    def _add_usage(self, parts: list[bytes], charge: Charge) -> None:
        """Tokens, and their cost where it is known (a price of nothing may just not be known, and is not sent)."""
        words, prompt, completion = self._words, charge.prompt_tokens, charge.completion_tokens
        if not prompt and not completion:  # a kept answer
            parts.append(self._no_tokens)
        else:
            parts.append(words.input_tokens.whole(prompt))
            parts.append(words.output_tokens.whole(completion))
            parts.append(words.total_tokens.whole(prompt + completion))
        if cached := charge.cached_tokens:
            parts.append(words.cached_tokens.whole(cached))
            parts.append(words.langfuse_usage.utf8(_langfuse_usage(prompt, completion, cached)))
        if written := charge.cache_write_tokens:
            parts.append(words.cache_write_tokens.whole(written))
        if charge.cost_nano_usd:
            usd = charge.cost_nano_usd / NANO
            text = repr(usd).encode()
            parts.append(words.cost.number(usd))
            parts.append(words.langfuse_cost.utf8(b'{"total":%b}' % text))
            parts.append(words.mlflow_cost.utf8(b'{"total_cost":%b}' % text))

    def _add_tier(self, parts: list[bytes], charge: Charge, request: Request) -> None:
        """Which name was asked for, and how its model was picked."""
        parts += [self._words.tier.text(charge.tier), self._words.asked.text(charge.asked)]
        if isinstance(request, ChatRequest) and request.tier is not None:
            parts.append(self._words.classifier.text(request.tier.classifier))

    def _add_caller(self, parts: list[bytes], caller: Caller) -> None:
        words = self._words
        if caller.request_id:
            parts.append(words.request_id.text(caller.request_id))
        if caller.session is not None:
            parts.append(words.session.text(caller.session))
        if caller.user is not None:
            parts.append(words.user.text(caller.user))
        if caller.run is not None:
            parts.append(words.run.text(caller.run))

    def _add_parameters(self, parts: list[bytes], request: Request) -> None:
        """The parameters of the request, read here for the first time; each value is read once and kept."""
        fields = request.fields
        for name in fields:
            if name not in _PARAMETERS or (name == "max_tokens" and "max_completion_tokens" in fields):
                continue
            key = (name, bytes(fields[name]))
            found = self._parameters.get(key)
            parts.append(self._make_parameter(key) if found is None else found)

    def _make_parameter(self, key: tuple[str, bytes]) -> bytes:
        name, raw = key
        attribute, form = _PARAMETERS[name]
        try:
            made = form(attribute, msgspec.json.decode(raw))
        except msgspec.DecodeError:
            made = b""
        return _keep(self._parameters, key, made) if len(raw) <= _KEPT_RAW_BYTES else made

    def _add_first(self, parts: list[bytes], charge: Charge) -> None:
        """When a stream began, after the call and by the clock."""
        after_s = charge.first_token_ms / 1e3
        second, micros = divmod(int((charge.at + after_s) * 1e6), 1_000_000)
        if second != self._second:
            self._second, self._second_text = second, datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        parts.append(self._words.first_chunk.number(after_s))
        parts.append(self._words.langfuse_first.text(f"{self._second_text}.{micros:06d}Z"))

    def _add_content(self, parts: list[bytes], request: Request, content: bytes | None) -> None:
        words = self._words
        if given := input_messages(request):
            parts.append(words.input.utf8(given))
        if not content or not isinstance(request, ChatRequest):
            return
        told = output_messages(content, stream=request.stream)
        if told.messages:
            parts.append(words.output.utf8(told.messages))
        if told.response_id:
            parts.append(words.response_id.text(told.response_id))
        if told.finish_reasons:
            parts.append(words.finish_reasons.texts(told.finish_reasons))


def _other_kind(name: str) -> Kind:
    return Kind(name=name, langfuse="span", langsmith="chain", mlflow="UNKNOWN", openinference="CHAIN")


def _langfuse_usage(prompt: int, completion: int, cached: int) -> bytes:
    """Langfuse adds its usage up, so what was read from a cache must not be in `input` as well."""
    parts = (max(prompt - cached, 0), cached, completion, prompt + completion)
    return b'{"input":%d,"input_cached_tokens":%d,"output":%d,"total":%d}' % parts


def _resource(service: str, environment: str) -> bytes:
    values = {
        "service.name": service,
        "deployment.environment.name": environment,
        "telemetry.sdk.name": "hanok",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.version": __version__,
    }
    return b"".join(Attribute(name, of=RESOURCE_ATTRIBUTES).text(value) for name, value in values.items())


def _keep(kept: dict[Any, bytes], key: Any, made: bytes) -> bytes:
    """Remember it; what is remembered is bounded, because callers choose some of the keys."""
    if len(kept) >= KEPT_CONSTANTS:
        kept.clear()
    kept[key] = made
    return made
