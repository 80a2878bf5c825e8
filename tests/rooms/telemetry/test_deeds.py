"""What agents do as spans: what our own encoding says, read back by OpenTelemetry's protobuf classes."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from hanok.spec import Telemetry
from hanok.telemetry import CONTENT_LIMIT_BYTES, Deed, Exporter, Fact, Moment, in_span_below, in_span_beside
from hanok.telemetry.deeds import DeedEncoder
from hanok.telemetry.vocabulary import NameStyle
from tests.rooms.telemetry.collector import attributes, collector
from tests.rooms.telemetry.given import TRACE, UNSAMPLED, caller
from tests.rooms.telemetry.test_spans import encoder, read

FACTS: dict[Any, Any] = {name: 7 if name.startswith(("run_", "top", "pass")) else "x" for name in get_args(Fact)}
ASKED = [{"role": "user", "content": "Twice 21?"}]


def run(**more: Any) -> Deed:
    values: dict[str, Any] = {"name": "lead", "began": 10.5, "ended": 12.0, "given": ASKED, "told": "42."}
    who = caller(session="s", user="u", run="run_1", team="red")
    return Deed(**{"operation": "invoke_agent", "caller": who, "facts": FACTS, **values, **more})


def tool(**more: Any) -> Deed:
    values: dict[str, Any] = {"operation": "execute_tool", "name": "add", "given": {"x": 21}, "told": "42"}
    return run(**{**values, **more})


def search(**more: Any) -> Deed:
    found = [{"id": "p1", "score": 1.0, "content": "21"}]
    return run(**{"operation": "retrieval", "name": "docs", "given": "a sum", "told": found, **more})


def span_of(deed: Deed, *, names: NameStyle = "both", content: bool = False) -> Span:
    made = DeedEncoder(names=names, content=content).encode(deed)
    return read(encoder(), made).resource_spans[0].scope_spans[0].spans[0]


def said(deed: Deed, **more: Any) -> dict[str, Any]:
    return attributes(span_of(deed, **more))


def test_a_deed_bears_its_name_its_times_its_place_and_what_happened_meanwhile() -> None:
    moments = [Moment(name="hanok.wanted", at=11.25, about={"hanok.wanted": "approval"})]
    span = span_of(run(moments=moments, caller=caller(parent_span="00f067aa0ba902b7")))
    assert (span.name, span.kind) == ("invoke_agent lead", Span.SPAN_KIND_INTERNAL)
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (10_500_000_000, 12_000_000_000)
    assert (span.trace_id.hex(), span.span_id.hex()) == (TRACE[3:35], TRACE[36:52])
    assert (span.parent_span_id.hex(), span.flags) == ("00f067aa0ba902b7", 0x301)
    assert (span.events[0].name, span.events[0].time_unix_nano) == ("hanok.wanted", 11_250_000_000)
    assert span.events[0].attributes[0].value.string_value == "approval"
    assert span.status.code == Status.STATUS_CODE_UNSET
    below = span_of(tool(caller=caller(parent_span="00f067aa0ba902b7")))
    assert below.flags == 0x101, "its parent is ours, too"


@pytest.mark.parametrize(("deed", "kinds"), [
    (run(), ("invoke_agent", "agent", "chain", "AGENT", "AGENT")),
    (tool(), ("execute_tool", "tool", "tool", "TOOL", "TOOL")),
    (search(), ("retrieval", "retriever", "retriever", "RETRIEVER", "RETRIEVER")),
], ids=["run", "tool", "search"])  # fmt: skip
def test_each_receiver_finds_the_kind_that_it_knows(deed: Deed, kinds: tuple[str, ...]) -> None:
    names = ("gen_ai.operation.name", "langfuse.observation.type", "langsmith.span.kind", "mlflow.spanType")
    told = said(deed)
    assert tuple(told[name] for name in (*names, "openinference.span.kind")) == kinds
    assert told["session.id"] == told["gen_ai.conversation.id"] == "s" and told["user.id"] == "u"


@pytest.mark.parametrize("deed", [run(), tool(), search()], ids=["run", "tool", "search"])
def test_what_was_said_goes_out_only_where_content_is_recorded_and_by_the_names_that_are_wanted(deed: Deed) -> None:
    now, old, both = (said(deed, names=style, content=True) for style in ("current", "old", "both"))
    assert both == now | old
    without = said(deed)
    content = {name: value for name, value in both.items() if name not in without}
    assert {"input.value", "output.value"} <= content.keys() and len(content) >= 4
    assert not any("21" in str(value) or "42" in str(value) for value in without.values())
    assert "input.value" not in now and "gen_ai.tool.call.arguments" not in old


def test_a_run_says_nothing_that_receivers_add_up() -> None:
    assert not [name for name in said(run()) if name.startswith(("gen_ai.usage", "llm.", "langfuse.observation.cost"))]


def test_a_failure_is_one_and_a_limit_is_none() -> None:
    failed, limited = span_of(tool(failed=True, error="timeout")), span_of(run(error="usd"))
    assert (failed.status.code, failed.status.message) == (Status.STATUS_CODE_ERROR, "timeout")
    assert limited.status.code == Status.STATUS_CODE_UNSET and attributes(limited)["error.type"] == "usd"


def test_what_is_too_long_is_cut() -> None:
    long = "é" * CONTENT_LIMIT_BYTES
    found = [{"id": str(number), "content": "x" * 1000} for number in range(100)]
    for deed in (run(told=long), tool(given={"x": long}, told=long), search(given=long, told=found)):
        for name, value in said(deed, content=True).items():
            assert len(str(value).encode()) <= CONTENT_LIMIT_BYTES, name
    documents = json.loads(said(search(told=found), content=True)["gen_ai.retrieval.documents"])
    assert 0 < len(documents) < 100 and documents[0]["id"] == "0"


def test_a_name_is_the_same_span_in_every_process_and_no_other() -> None:
    who = caller(parent_span="00f067aa0ba902b7")
    beside = in_span_beside(who, "run_1", lambda *_: pytest.fail("there is a trace"))
    below = in_span_below(beside, "run_1:call")
    assert beside == in_span_beside(who, "run_1", lambda *_: pytest.fail("there is a trace"))
    assert beside.parent_span == who.parent_span and below.parent_span == (beside.trace or "")[36:52]
    traces = [each.trace or "" for each in (who, beside, below)]
    assert len({trace[36:52] for trace in traces}) == 3 and len({(t[:36], t[52:]) for t in traces}) == 1
    assert in_span_below(caller(trace=None), "x").trace is None


def test_deeds_go_out_with_calls_and_only_of_sampled_traces() -> None:
    with collector() as there:
        settings = Telemetry.model_validate({"every_s": 0.01, "export": {"url": there.url}})
        exporter = Exporter(settings, service="acme", providers={}, random_bits=lambda _: 1)
        exporter.start()
        for trace in (TRACE, UNSAMPLED, None):
            exporter.tell(tool(caller=caller(trace=trace)))
        exporter.tell(run(caller=caller(trace="00-x-01")))
        exporter.close()
        assert [span.name for span in there.spans] == ["execute_tool add"]
        assert exporter.counts["otlp"] == (1, 0, 1, 0)
