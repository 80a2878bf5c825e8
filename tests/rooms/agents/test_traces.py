"""What agents do, as a collector and Prometheus see it: one tree of spans, and counts."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from hanok.agents.tool import ToolCall, ToolResult, ToolSpec
from hanok.agents.values import Run
from hanok.assemble.watching import AgentsWatch
from hanok.telemetry import Deed, Metrics, continue_trace
from tests.calls import call as ask
from tests.conftest import RunningHouse, open_house
from tests.engine import FakeEngine, fake_engine, status
from tests.passages import Paper, fill
from tests.rooms.agents.stage import SCHEMA, Count, MortalRuns, Script, Stage, call, finished, order
from tests.rooms.telemetry.collector import Collector, attributes, collector, until
from tests.rooms.telemetry.test_metrics import samples

CALLERS = "00f067aa0ba902b7"
TURNS = [
    {"schema": "choice", "tool": "researcher", "json": {"next": "finish"}},
    {"schema": "choice", "json": {"next": "researcher", "task": "Which budget, twice?"}},
    {"system": "team's work is done", "say": "Twice 21 dollars is 42."},
    {"system": "You research", "tool": "add", "say": "It is 42."},
    {"system": "You research", "tool": "search_docs", "call": {"name": "add", "arguments": {"x": 21}}},
    {"system": "You research", "call": {"name": "search_docs", "arguments": {"query": "a budget"}}},
    {"system": "You ask", "tool": "add", "say": "It was done."},
    {"system": "You ask", "call": {"name": "add", "arguments": {"x": 1}}},
    {"system": "You err", "tool": "nothing", "error": 400},
    {"system": "You err", "call": {"name": "nothing", "arguments": {}}},
]


class Add:
    """A tool that doubles, and remembers in which trace it was asked to."""

    spec = ToolSpec(name="add", description="Doubles.", parameters=SCHEMA, cost_nano_usd=1_000_000)

    async def use(self, call: ToolCall) -> ToolResult:
        return ToolResult(content=str(call.arguments["x"] * 2))


@pytest.fixture(scope="module")
def there() -> Iterator[Collector]:
    with collector() as seen:
        yield seen


@pytest.fixture(scope="module")
def engine() -> Iterator[FakeEngine]:
    vector = {"object": "list", "data": [{"index": 0, "embedding": [1.0, 0.5]}], "usage": {"prompt_tokens": 4}}
    with fake_engine(status(200, json.dumps(vector).encode())) as running:
        yield running


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, there: Collector, engine: FakeEngine) -> Iterator[RunningHouse]:
    says = {"name": "says", "price": {"input": 1, "output": 1}, "serve": {"engine": "script", "turns": TURNS}}
    add = {"name": "add", "type": "python", "code": "def f(): pass"}
    told = {"system_prompt": "You research.", "knowledge": ["docs"], "tools": ["add"]}
    encoder = {"name": "embed", "type": "embedding", "serve": {"engine": "openai", "url": engine.url, "model": "e"}}
    platform = {
        "name": "test",
        "telemetry": {"export": {"url": there.url}, "every_s": 0.01, "content": True},
        "models": [says, encoder],
        "knowledge": [{"name": "docs", "sources": {"path": "nothing/"}, "on_start": False}],
        "tools": [add],
        "agents": [
            {"name": "lead", "description": "Leads.", "pattern": "supervisor", "team": ["researcher"]},
            {"name": "researcher", **told},
            {"name": "asker", "system_prompt": "You ask.", "tools": ["add"], "approvals": ["add"]},
            {"name": "unlucky", "system_prompt": "You err.", "tools": ["add"]},
        ],
    }
    file = tmp_path_factory.mktemp("traces") / "platform.yaml"
    file.write_text(yaml.safe_dump(platform), "utf-8")
    with open_house(file) as running:
        running.house.wing.replaced["add"] = Add()
        fill(running, "docs", Paper(path="a.md", passages=["A budget is 21 dollars a month."]))
        yield running


def start(house: RunningHouse, agent: str, trace: str, **headers: str) -> Any:
    sent = {**house.headers, "traceparent": f"00-{trace}-{CALLERS}-01", **headers}
    return ask(f"{house.url}/v1/agents/{agent}/runs", "POST", {"input": "Go on."}, sent).json


def trace_of(there: Collector, trace: str, last: str) -> list[Span]:
    """The spans of that trace in their order, when there is the one of that name."""
    until(lambda: any(each.trace_id.hex() == trace and each.name == last for each in there.spans), last)
    found = [each for each in there.spans if each.trace_id.hex() == trace]
    return sorted(found, key=lambda each: each.start_time_unix_nano)


def outline(spans: list[Span], above: str, depth: int = 0) -> list[str]:
    """The tree below a span, as indented names."""
    lines: list[str] = []
    for span in spans:
        if span.parent_span_id.hex() == above:
            lines += ["  " * depth + span.name, *outline(spans, span.span_id.hex(), depth + 1)]
    return lines


def named(spans: list[Span], name: str) -> dict[str, Any]:
    """What the only span of that name says."""
    (span,) = [each for each in spans if each.name == name]
    return attributes(span)


@pytest.fixture(scope="module")
def research(started: RunningHouse, there: Collector) -> tuple[Any, list[Span]]:
    """A run of a team, and its trace."""
    trace = "1" * 32
    run = start(started, "lead", trace, **{"x-session-id": "s-1"})
    assert run["state"] == "done", run
    return run, trace_of(there, trace, "invoke_agent lead")


def test_a_team_its_tools_its_searches_and_all_model_calls_are_one_tree(research: tuple[Any, list[Span]]) -> None:
    _, spans = research
    assert outline(spans, CALLERS) == [
        "invoke_agent lead",
        "  chat says",
        "  execute_tool researcher",
        "    invoke_agent researcher",
        "      chat says",
        "      execute_tool search_docs",
        "        retrieval docs",
        "          embeddings embed",
        "      chat says",
        "      execute_tool add",
        "      chat says",
        "  chat says",
        "  chat says",
    ]
    assert len(spans) == 13 and len({span.span_id for span in spans}) == 13
    by_id = {span.span_id: span for span in spans}
    for span in spans:
        above = by_id.get(span.parent_span_id, span)
        assert above.start_time_unix_nano <= span.start_time_unix_nano
        assert span.end_time_unix_nano <= above.end_time_unix_nano + 1_000_000, f"{span.name} within {above.name}"
    assert {attributes(span)["gen_ai.conversation.id"] for span in spans} == {"s-1"}
    assert {attributes(span)["hanok.key"] for span in spans} == {"test"}


def test_a_runs_span_says_whose_it_is_how_it_ended_and_what_it_used(research: tuple[Any, list[Span]]) -> None:
    run, spans = research
    said = named(spans, "invoke_agent lead")
    assert said.pop("hanok.run.worked_s") > 0
    assert said.pop("hanok.run.usd") == pytest.approx(run["usage"]["cost_usd"])
    assert said.pop("hanok.run.input_tokens") == run["usage"]["prompt_tokens"]
    assert said.pop("hanok.run.output_tokens") == run["usage"]["completion_tokens"]
    assert json.loads(said.pop("gen_ai.input.messages"))[0]["parts"] == [{"type": "text", "content": "Go on."}]
    assert json.loads(said.pop("gen_ai.output.messages"))[0]["parts"][0]["content"] == "Twice 21 dollars is 42."
    assert said.pop("hanok.request_id")
    for former in ("input.value", "gen_ai.prompt", "output.value", "gen_ai.completion"):
        said.pop(former)
    assert said == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "lead",
        "gen_ai.agent.id": "lead",
        "gen_ai.agent.description": "Leads.",
        "gen_ai.conversation.id": "s-1",
        "session.id": "s-1",
        "langsmith.metadata.session_id": "s-1",
        "langfuse.observation.type": "agent",
        "langsmith.span.kind": "chain",
        "mlflow.spanType": "AGENT",
        "openinference.span.kind": "AGENT",
        "hanok.key": "test",
        "hanok.run": run["path"],
        "hanok.run.state": "done",
        "hanok.run.attempt": 1,
        "hanok.run.steps": 3,
        "hanok.run.tool_calls": 1,
    }
    below = named(spans, "invoke_agent researcher")
    assert below["hanok.run"].startswith(f"{run['path']}/run_")


def test_a_tool_and_a_search_say_what_they_were_given_and_what_came_of_it(
    research: tuple[Any, list[Span]], engine: FakeEngine
) -> None:
    _, spans = research
    add = named(spans, "execute_tool add")
    assert add["gen_ai.tool.name"] == "add" and add["gen_ai.tool.type"] == "function"
    assert add["gen_ai.tool.call.id"] and add["gen_ai.agent.name"] == "researcher"
    assert json.loads(add["gen_ai.tool.call.arguments"]) == {"x": 21} and add["gen_ai.tool.call.result"] == "42"
    assert named(spans, "execute_tool search_docs")["gen_ai.tool.type"] == "datastore"
    search = named(spans, "retrieval docs")
    assert (search["gen_ai.data_source.id"], search["hanok.retrieval.passages"]) == ("docs", 1)
    assert search["gen_ai.retrieval.query.text"] == "a budget"
    (document,) = json.loads(search["gen_ai.retrieval.documents"])
    assert document["content"] == "A budget is 21 dollars a month."
    (embeds,) = [span for span in spans if span.name == "embeddings embed"]
    assert engine.calls()[-1].headers["traceparent"].split("-")[2] == embeds.span_id.hex()


def test_a_chat_with_an_agent_is_its_run_below_the_callers_span(started: RunningHouse, there: Collector) -> None:
    trace = "4" * 32
    body = {"model": "agent/lead", "messages": [{"role": "user", "content": "Go on."}]}
    sent = {**started.headers, "traceparent": f"00-{trace}-{CALLERS}-01"}
    assert ask(f"{started.url}/v1/chat/completions", "POST", body, sent).status == 200
    spans = trace_of(there, trace, "invoke_agent lead")
    assert outline(spans, CALLERS)[:2] == ["invoke_agent lead", "  chat says"] and len(spans) == 13
    lead = named(spans, "invoke_agent lead")
    assert {attributes(span)["session.id"] for span in spans} == {lead["session.id"]}, "the thread's"


def test_a_search_of_its_own_is_the_span_of_its_call(started: RunningHouse, there: Collector) -> None:
    trace = "5" * 32
    sent = {**started.headers, "traceparent": f"00-{trace}-{CALLERS}-01"}
    assert ask(f"{started.url}/v1/knowledge/docs/search", "POST", {"query": "a budget"}, sent).status == 200
    assert outline(trace_of(there, trace, "retrieval docs"), CALLERS) == ["retrieval docs", "  embeddings embed"]


def test_waiting_for_a_person_is_an_event_of_the_one_span_of_a_run(started: RunningHouse, there: Collector) -> None:
    trace = "2" * 32
    run = start(started, "asker", trace)
    (wanted,) = run["wanted"]
    path = f"{started.url}/v1/agent-runs/{run['id']}"
    assert ask(f"{path}/answers", "POST", {"answers": {wanted["id"]: {"approve": True}}}, started.headers).status == 200
    spans = trace_of(there, trace, "invoke_agent asker")
    assert outline(spans, CALLERS) == ["invoke_agent asker", "  chat says", "  execute_tool add", "  chat says"]
    (span,) = [each for each in spans if each.name == "invoke_agent asker"]
    events = [(event.name, {pair.key: pair.value.string_value for pair in event.attributes}) for event in span.events]
    assert [name for name, _ in events] == [
        "hanok.run", "hanok.wanted", "hanok.run", "hanok.answered", "hanok.run",
    ]  # fmt: skip
    assert events[1][1] == {"hanok.wanted": "approval"} and events[2][1] == {"hanok.run.state": "waiting"}
    assert events[4][1] == {"hanok.run.state": "running", "hanok.run.attempt": "2"}
    assert span.start_time_unix_nano <= span.events[0].time_unix_nano <= span.end_time_unix_nano
    assert attributes(span)["hanok.run.attempt"] == 2
    assert samples(started.house.metrics)["hanok_agent_waits_total", "asker"] == 1


def test_a_run_that_failed_and_is_resumed_has_a_second_span_below_the_first(
    started: RunningHouse, there: Collector
) -> None:
    trace = "3" * 32
    run = start(started, "unlucky", trace)
    assert run["state"] == "failed"
    failed = trace_of(there, trace, "invoke_agent unlucky")
    assert outline(failed, CALLERS) == [
        "invoke_agent unlucky", "  chat says", "  execute_tool nothing", "  chat says",
    ]  # fmt: skip
    (first,) = [each for each in failed if each.name == "invoke_agent unlucky"]
    assert first.status.code == Status.STATUS_CODE_ERROR and attributes(first)["error.type"] == "EngineRefused"
    refused = named(failed, "execute_tool nothing")
    assert refused["error.type"] == "refused"
    assert samples(started.house.metrics)["hanok_agent_tool_calls_total", "unlucky", "refused", "unknown"] == 1
    assert ask(f"{started.url}/v1/agent-runs/{run['id']}/resume", "POST", {}, started.headers).status == 200
    until(lambda: sum(each.trace_id.hex() == trace for each in there.spans) == 6, "the second time")
    spans = sorted(
        (each for each in there.spans if each.trace_id.hex() == trace), key=lambda each: each.start_time_unix_nano
    )
    assert outline(spans, first.span_id.hex())[-2:] == ["invoke_agent unlucky", "  chat says"]
    second = spans[-2]
    assert second.start_time_unix_nano > first.end_time_unix_nano


def test_what_agents_do_is_counted(started: RunningHouse, research: tuple[Any, list[Span]]) -> None:
    assert research
    seen = samples(started.house.metrics)
    runs = seen["hanok_agent_runs_total", "lead", "done"]
    assert runs == seen["hanok_agent_runs_total", "researcher", "done"] >= 1
    assert seen["hanok_agent_steps_total", "lead"] == 3 * runs
    assert seen["hanok_agent_tool_calls_total", "researcher", "ok", "add"] == runs
    assert seen["hanok_agent_run_duration_seconds_count", "lead"] == runs
    assert not any(count for (name, *_), count in seen.items() if name == "hanok_agent_running_runs")


class Watched(Stage):
    """A stage whose agents are watched; deeds and counts of all lives together."""

    def __init__(self, folder: Path, model: Script, *tools: Any, **platform: Any) -> None:
        super().__init__(folder, model, *tools, **platform)
        self.deeds: list[Deed] = []
        self.metrics = Metrics()
        bits = iter(range(1, 1000))
        self.watcher = AgentsWatch(
            self.metrics,
            trace=lambda: (
                lambda came, state: continue_trace(came, state, random_bits=lambda _: next(bits) << 70, sample=1.0)
            ),
            tell=self.deeds.append,
            platform=lambda: self.loaded.platform,
        )

    def spans(self) -> list[tuple[str, str, str | None]]:
        """What was told, as operation and name, and the ids of the span and of that above."""
        return [
            (f"{deed.operation} {deed.name}", (deed.caller.trace or "")[36:52], deed.caller.parent_span)
            for deed in self.deeds
        ]


TEAM = [
    {"name": "worker", "pattern": "supervisor", "team": ["finder"], "system_prompt": "You lead."},
    {"name": "finder", "system_prompt": "You find.", "tools": ["look"]},
]
TEAM_TURNS = [
    {"schema": "choice", "tool": "finder", "json": {"next": "finish"}},
    {"schema": "choice", "json": {"next": "finder", "task": "find it"}},
    {"system": "You find", "tool": "look", "say": "Found."},
    {"system": "You find", **call("look", 1)},
    {"say": "All done.", "times": 100},
]


class Interrupted(Count):
    """A tool that does not come back the first time."""

    async def use(self, call: ToolCall) -> ToolResult:
        result = await super().use(call)
        if len(self.effects) == 1:
            await asyncio.Event().wait()
        return result


def test_a_run_that_goes_on_in_another_process_goes_on_in_the_same_spans(tmp_path: Path) -> None:
    look = Interrupted("look")
    stage = Watched(tmp_path, Script(TEAM_TURNS), look, agents=TEAM)

    async def live_twice() -> Run:
        async with stage.alive() as agency:
            run = await agency.start(order("go"))
            async with asyncio.timeout(20):
                while not look.effects:  # what a tool is at is told to nobody
                    await asyncio.sleep(0.001)
        assert stage.deeds == []
        async with stage.alive() as agency, asyncio.timeout(20):
            ended = await finished(agency, run)
            while len(stage.deeds) < 4:  # the last is told when the end is kept
                await asyncio.sleep(0.001)
            return ended

    run = asyncio.run(live_twice())
    assert (run.state, run.attempt, look.effects) == ("done", 2, [1, 1])
    told = {name: (span, above) for name, span, above in stage.spans()}
    assert len(stage.deeds) == len(told) == 4
    lead, delegated = told["invoke_agent worker"], told["execute_tool finder"]
    finder, used = told["invoke_agent finder"], told["execute_tool look"]
    assert (lead[1], delegated[1], finder[1], used[1]) == (None, lead[0], delegated[0], finder[0])
    assert len({deed.caller.trace[:36] for deed in stage.deeds if deed.caller.trace}) == 1
    began = {f"{deed.operation} {deed.name}": deed.began for deed in stage.deeds}
    assert began["invoke_agent worker"] <= began["execute_tool finder"] <= began["execute_tool look"]


def test_a_tool_that_a_run_did_not_wait_for_is_told_with_the_end_of_the_run(tmp_path: Path) -> None:
    class Slow(Count):
        async def use(self, call: ToolCall) -> ToolResult:
            self.effects.append(1)
            await asyncio.Event().wait()
            raise AssertionError

    slow = Slow("slow")
    stage = Watched(tmp_path, Script([call("slow", 1)]), slow, agents=[{"name": "worker", "tools": ["slow"]}])

    async def cancel() -> Run:
        async with stage.alive() as agency:
            run = await agency.start(order("go"))
            async with asyncio.timeout(20):
                while not slow.effects:  # what a tool is at is told to nobody
                    await asyncio.sleep(0.001)
            await agency.cancel(run.id, tenant=None)
            return await finished(agency, run)

    assert asyncio.run(cancel()).state == "cancelled"
    tool, run = stage.deeds
    assert (tool.name, tool.error, tool.caller.parent_span) == ("slow", "cancelled", (run.caller.trace or "")[36:52])
    assert (run.error, run.failed, run.facts["run_state"]) == ("cancelled", False, "cancelled")
    assert samples(stage.metrics)["hanok_agent_tool_calls_total", "worker", "failed", "slow"] == 1


def test_a_run_that_is_cancelled_while_it_waits_is_told(tmp_path: Path) -> None:
    look = Count("look")
    agents = [{"name": "worker", "tools": ["look"], "approvals": ["look"]}]
    stage = Watched(tmp_path, Script([call("look", 1)]), look, agents=agents)

    async def cancel() -> None:
        async with stage.alive() as agency:
            run = await finished(agency, await agency.start(order("go")))
            await agency.cancel(run.id, tenant=None)

    asyncio.run(cancel())
    (run,) = stage.deeds
    assert run.error == "cancelled" and [moment.name for moment in run.moments][1:] == ["hanok.wanted", "hanok.run"]


def test_an_end_that_is_kept_while_the_house_is_closed_is_told(tmp_path: Path) -> None:
    class Slow(MortalRuns):
        """A store that takes its time to say that an end is kept."""

        kept = threading.Event()

        def append(self, *given: Any, **named: Any) -> Any:
            lost = super().append(*given, **named)
            if any(run.ended for run in named["runs"]):
                self.kept.set()
                time.sleep(0.2)
            return lost

    stage = Watched(tmp_path, Script([{"say": "Done."}]), agents=[{"name": "worker"}])
    stage.store = Slow

    async def leave_at_the_end() -> None:
        async with stage.alive() as agency:
            await agency.start(order("go"))
            async with asyncio.timeout(20):
                while not Slow.kept.is_set():
                    await asyncio.sleep(0.001)

    asyncio.run(leave_at_the_end())
    assert [f"{deed.operation} {deed.name}" for deed in stage.deeds] == ["invoke_agent worker"]
