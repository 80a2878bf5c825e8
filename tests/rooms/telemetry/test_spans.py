"""A call as a span: what our own encoding says, read back by OpenTelemetry's protobuf classes."""

from __future__ import annotations

import contextlib
import json
import string
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from hanok.spec import EchoEndpoint, LiteLLMEndpoint, Model, OpenAIEndpoint
from hanok.telemetry import provider_names
from hanok.telemetry.protobuf import Attribute, read_fields, varint
from hanok.telemetry.spans import NameStyle, SpanEncoder
from hanok.wire import Charge, Tier
from tests.rooms.telemetry.collector import attributes, plain
from tests.rooms.telemetry.given import caller, charge, chat, embedding

TEXT = st.text(max_size=300)


def encoder(names: NameStyle = "both", *, content: bool = False) -> SpanEncoder:
    return SpanEncoder(
        service="acme", environment="test", names=names, content=content, providers={"smart#1": "anthropic"}
    )


def read(encoder: SpanEncoder, *spans: bytes) -> ExportTraceServiceRequest:
    return ExportTraceServiceRequest.FromString(encoder.envelope(spans))


def span_of(
    of: Charge, request: Any, answer: bytes | None = None, *, names: NameStyle = "both", content: bool = False
) -> Span:
    made = encoder(names, content=content)
    return read(made, made.encode(of, request, answer)).resource_spans[0].scope_spans[0].spans[0]


def told(of: Charge, request: Any, answer: bytes | None = None, **more: Any) -> dict[str, Any]:
    return attributes(span_of(of, request, answer, **more))


def test_a_span_bears_the_ids_and_the_times_of_its_call() -> None:
    span = span_of(charge(), chat(caller(parent_span="00f067aa0ba902b7", trace_state="vendor=1")))
    assert span.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert span.span_id.hex() == "b7ad6b7169203331"
    assert span.parent_span_id.hex() == "00f067aa0ba902b7"
    assert span.trace_state == "vendor=1"
    assert span.flags == 0x301
    assert span.name == "chat smart" and span.kind == Span.SPAN_KIND_CLIENT
    assert span.start_time_unix_nano == 1_800_000_000_250_000_000
    assert span.end_time_unix_nano - span.start_time_unix_nano == 1_500_000_000
    assert span.status.code == Status.STATUS_CODE_UNSET


def test_a_root_span_has_no_parent() -> None:
    span = span_of(charge(), chat())
    assert span.parent_span_id == b"" and span.flags == 0x101 and span.trace_state == ""


def test_the_resource_and_the_scope_say_who_sends() -> None:
    resource = read(encoder()).resource_spans[0]
    said = {pair.key: plain(pair.value) for pair in resource.resource.attributes}
    assert said["service.name"] == "acme" and said["deployment.environment.name"] == "test"
    assert resource.scope_spans[0].scope.name == "hanok"


def test_todays_names() -> None:
    who = caller(session="s-1", user="u-1", run="root/child", request_id="req_1")
    said = told(charge(cached_tokens=800, team="red"), chat(who, stream=True), names="current")
    assert said == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "smart",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "smart",
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.usage.input_tokens": 1200,
        "gen_ai.usage.output_tokens": 340,
        "gen_ai.usage.cache_read.input_tokens": 800,
        "gen_ai.conversation.id": "s-1",
        "session.id": "s-1",
        "langsmith.metadata.session_id": "s-1",
        "langsmith.span.kind": "llm",
        "user.id": "u-1",
        "langfuse.observation.type": "generation",
        "langfuse.observation.completion_start_time": "2027-01-15T08:00:00.500000Z",
        "langfuse.observation.usage_details": '{"input":400,"input_cached_tokens":800,"output":340,"total":1540}',
        "mlflow.spanType": "CHAT_MODEL",
        "hanok.key": "ann",
        "hanok.team": "red",
        "hanok.run": "root/child",
        "hanok.endpoint": "smart#1",
        "hanok.request_id": "req_1",
        "hanok.status": "ok",
    }


def test_only_a_stream_has_a_first_piece() -> None:
    assert not [name for name in told(charge(), chat()) if "first" in name or "start_time" in name]


def test_former_names_instead_of_todays_or_beside_them() -> None:
    of, request = charge(cached_tokens=800), chat(caller(session="s-1"), stream=True)
    now, old, both = (told(of, request, names=style) for style in ("current", "old", "both"))
    assert both == now | old
    assert {name: old[name] for name in old.keys() - now.keys()} == {
        "gen_ai.system": "anthropic",
        "gen_ai.usage.prompt_tokens": 1200,
        "gen_ai.usage.completion_tokens": 340,
        "llm.provider": "anthropic",
        "llm.model_name": "smart",
        "llm.is_streaming": True,
        "llm.token_count.prompt": 1200,
        "llm.token_count.completion": 340,
        "llm.token_count.total": 1540,
        "llm.token_count.prompt_details.cache_read": 800,
        "llm.usage.total_tokens": 1540,
        "openinference.span.kind": "LLM",
    }
    assert "gen_ai.usage.input_tokens" not in old and "gen_ai.provider.name" not in old
    assert old["session.id"] == "s-1"


def test_a_cost_goes_out_as_each_tool_reads_it() -> None:
    said = told(charge(cost_nano_usd=3_240_000), chat())
    assert said["gen_ai.usage.cost"] == said["llm.cost.total"] == 0.00324
    assert json.loads(said["langfuse.observation.cost_details"]) == {"total": 0.00324}
    assert json.loads(said["mlflow.llm.cost"]) == {"total_cost": 0.00324}


def test_a_cost_that_nobody_knows_is_not_said_to_be_nothing() -> None:
    assert not [name for name in told(charge(cost_nano_usd=0), chat()) if "cost" in name]


@pytest.mark.parametrize(
    ("operation", "name", "kinds"),
    [
        ("chat", "chat", ("generation", "llm", "CHAT_MODEL", "LLM")),
        ("text", "text_completion", ("generation", "llm", "LLM", "LLM")),
        ("embedding", "embeddings", ("embedding", "embedding", "EMBEDDING", "EMBEDDING")),
        ("rerank", "rerank", ("retriever", "retriever", "RERANKER", "RERANKER")),
        ("moderation", "moderation", ("guardrail", "chain", "GUARDRAIL", "GUARDRAIL")),
        ("speech", "speech", ("span", "chain", "UNKNOWN", "CHAIN")),
    ],
)
def test_every_operation_has_its_word_in_each_tool(operation: str, name: str, kinds: tuple[str, ...]) -> None:
    span = span_of(charge(operation=operation), embedding())
    said = attributes(span)
    assert span.name == f"{name} smart" and said["gen_ai.operation.name"] == name
    assert (
        tuple(
            said[key]
            for key in (
                "langfuse.observation.type",
                "langsmith.span.kind",
                "mlflow.spanType",
                "openinference.span.kind",
            )
        )
        == kinds
    )


def test_a_failure_is_an_error_with_its_code() -> None:
    span = span_of(charge(status="failed", error="engine_timeout", endpoint="", first_token_ms=0.0), chat())
    said = attributes(span)
    assert span.status.code == Status.STATUS_CODE_ERROR and span.status.message == "engine_timeout"
    assert said["error.type"] == "engine_timeout" and said["hanok.status"] == "failed"
    assert "gen_ai.response.model" not in said and "gen_ai.response.time_to_first_chunk" not in said
    assert attributes(span_of(charge(status="failed"), chat()))["error.type"] == "failed"


def test_a_caller_who_went_away_and_a_cut_answer_are_no_failures_of_the_engine() -> None:
    gone = span_of(charge(status="cancelled"), chat())
    cut = span_of(charge(status="ok", error="budget_exceeded"), chat())
    assert gone.status.code == cut.status.code == Status.STATUS_CODE_UNSET
    assert attributes(gone)["hanok.status"] == "cancelled"
    assert attributes(cut)["error.type"] == "budget_exceeded"


def test_the_parameters_of_the_request_are_read_in_their_own_types() -> None:
    asked = chat(
        temperature=0, top_p=0.9, max_tokens=5, max_completion_tokens=64, seed=-7, n=2, stop=["a", "b"],
        tools=[{"x": 1}], logprobs=True,
    )  # fmt: skip
    said = told(charge(), asked)
    expected = {
        "temperature": 0.0, "top_p": 0.9, "max_tokens": 64, "seed": -7, "choice.count": 2, "stop_sequences": ["a", "b"]
    }  # fmt: skip
    prefix = "gen_ai.request."
    found = {name.removeprefix(prefix): value for name, value in said.items() if name.startswith(prefix)}
    assert found == {**expected, "model": "smart"}


def test_odd_parameters_are_left_out() -> None:
    asked = chat(temperature="hot", seed=2**70, max_tokens=True, stop={"x": 1}, n=None, top_p=[0.1])
    assert not {name for name in told(charge(), asked) if name.startswith("gen_ai.request.")} - {"gen_ai.request.model"}


def test_a_call_that_fell_back_names_both_models() -> None:
    said = told(charge(model="cheap", endpoint="cheap#2"), chat())
    assert said["gen_ai.request.model"] == "smart" and said["gen_ai.response.model"] == "cheap"


def test_a_call_whose_model_was_picked_says_why_and_what_it_saved() -> None:
    tier = Tier(asked="auto", name="simple", classifier="rules", compared_to="large")
    request = msgspec.structs.replace(chat(), tier=tier)
    said = told(charge(asked="auto", tier="simple", saved_nano_usd=1_500_000_000, cache_write_tokens=7), request)
    assert (said["hanok.tier"], said["hanok.asked_model"], said["hanok.classifier"]) == ("simple", "auto", "rules")
    assert said["hanok.saved_usd"] == 1.5
    assert said["gen_ai.usage.cache_creation.input_tokens"] == 7
    assert "hanok.tier" not in told(charge(), chat())


@given(
    session=TEXT, user=st.none() | TEXT, run=TEXT, key=TEXT, tokens=st.integers(0, 2**53), cost=st.integers(0, 2**53),
    at=st.floats(0, 4e9), latency=st.floats(0, 1e7), seed=st.integers(-(2**63), 2**63 - 1), top_p=st.floats(0, 1),
    stop=st.lists(TEXT, max_size=4),
)  # fmt: skip
def test_whatever_a_call_says_is_read_back_as_it_was(**given_: Any) -> None:
    who = caller(session=given_["session"], user=given_["user"], run=given_["run"])
    of = charge(
        key_name=given_["key"], prompt_tokens=given_["tokens"], cost_nano_usd=given_["cost"], at=given_["at"],
        latency_ms=given_["latency"],
    )  # fmt: skip
    span = span_of(of, chat(who, seed=given_["seed"], top_p=given_["top_p"], stop=given_["stop"]))
    said = attributes(span)
    assert (said["session.id"], said.get("user.id"), said["hanok.run"]) == (who.session, who.user, who.run)
    assert said["hanok.key"] == given_["key"]
    assert said["gen_ai.usage.input_tokens"] == said["llm.token_count.prompt"] == given_["tokens"]
    assert said.get("gen_ai.usage.cost", 0) == given_["cost"] / 1e9
    assert (said["gen_ai.request.seed"], said["gen_ai.request.top_p"]) == (given_["seed"], given_["top_p"])
    assert said["gen_ai.request.stop_sequences"] == given_["stop"]
    assert abs(span.start_time_unix_nano - given_["at"] * 1e9) <= 2000
    assert span.end_time_unix_nano >= span.start_time_unix_nano


@given(st.integers(0, 2**64 - 1), st.binary(max_size=40))
def test_what_is_written_can_be_read(number: int, data: bytes) -> None:
    message = b"\x08" + varint(number) + b"\x12" + varint(len(data)) + data + b"\x19" + data[:8].ljust(8)
    assert list(read_fields(message)) == [(1, number), (2, data), (3, data[:8].ljust(8))]


@given(st.binary(max_size=60))
def test_reading_what_is_no_message_ends_in_fields_or_a_value_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert all(isinstance(number, int) for number, _ in read_fields(data))


def test_an_attribute_without_names_is_nothing() -> None:
    none = Attribute()
    assert none.text("x") == none.whole(1) == none.number(1.0) == none.truth(True) == none.texts(["x"]) == b""


def test_text_that_has_no_utf8_form_does_not_lose_the_span() -> None:
    assert told(charge(), chat(caller(user="a\ud800b")))["user.id"] == "a?b"


@pytest.mark.parametrize("trace", ["", "00-abc", "nonsense" * 7, "00-" + "zz" * 16 + "-" + "ab" * 8 + "-01"])
def test_a_trace_that_is_none_is_refused(trace: str) -> None:
    with pytest.raises(ValueError, match=r"trace|hex"):
        encoder().encode(charge(), chat(caller(trace=trace)))


def test_what_is_kept_for_the_next_call_is_bounded() -> None:
    made = encoder()
    for number in range(9000):
        made.encode(charge(key_name=f"key-{number}"), chat(seed=number))
    assert len(made._constants) <= 4096 and len(made._parameters) <= 4096


def test_providers_have_opentelemetrys_words() -> None:
    def openai(url: str) -> OpenAIEndpoint:
        return OpenAIEndpoint(engine="openai", url=url)

    serve = [
        openai("https://api.openai.com/v1"), openai("https://me.openai.azure.com"), openai("http://localhost:8000/v1"),
        openai("https://notopenai.com/v1"), LiteLLMEndpoint(engine="litellm", model="bedrock/x"),
        LiteLLMEndpoint(engine="litellm", model="gpt-5"), EchoEndpoint(engine="echo"),
    ]  # fmt: skip
    names = provider_names([Model(name="m", serve=serve)])
    assert list(names) == [f"m#{number}" for number in range(1, 8)]
    assert list(names.values()) == [
        "openai", "azure.ai.openai", "openai_compatible", "openai_compatible", "aws.bedrock", "openai", "echo"
    ]  # fmt: skip


def test_names_are_ascii_words_with_dots() -> None:
    everything = told(charge(cost_nano_usd=1, cached_tokens=1, team="t", estimated=True), chat(stream=True))
    assert all(set(name) <= set(string.ascii_letters + "._") for name in everything)
