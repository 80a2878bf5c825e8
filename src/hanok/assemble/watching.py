"""What agents do, told to the metrics and to whoever takes spans. Here both sides are known: runs, and deeds of spans.

A run is one span, told when it has ended, from what its row and its events say: nothing of it is held open while it
works in several processes or waits for a person. One that is taken up after its end has another span, below the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import msgspec

from hanok.agents.tools.table import declared_tools
from hanok.agents.values import Event, Run
from hanok.agents.watching import Use
from hanok.spec import Platform
from hanok.telemetry import Deed, Fact, Metrics, Moment, Trace, hand_on, in_span_below, in_span_beside
from hanok.wire import NANO, Caller

UNKNOWN_TOOL = "unknown"
"""What tools are counted as that models made up."""


class AgentsWatch:
    """`agents.watching.Watcher` for a house. `trace` says how a trace begins, `tell` takes deeds."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        trace: Callable[[], Trace],
        tell: Callable[[Deed], None],
        platform: Callable[[], Platform],
    ) -> None:
        self._metrics = metrics
        self._trace = trace
        self._tell = tell
        self._platform = platform

    # spans

    def begun(self, caller: Caller, run: str) -> Caller:
        """In the span of their run, where spans are made; else with the trace that they came with."""
        trace = self._trace()
        return caller if trace is hand_on else in_span_beside(caller, run, trace)

    def below(self, caller: Caller, name: str) -> Caller:
        """In the span of that name, where spans are made."""
        return caller if self._trace() is hand_on else in_span_below(caller, name)

    def led(self, run: Run, past: Sequence[Event]) -> Run:
        """In a span of its own, where it has ended before."""
        ends = sum(event.type == "done" for event in past)
        return replace(run, caller=self.below(run.caller, f"{run.id}#{ends}")) if ends else run

    # what was done

    def stepped(self, run: Run) -> None:
        """Counted; the call's charge makes the span."""
        self._metrics.run_stepped(run.agent)

    def waits(self, run: Run) -> None:
        """Counted; the run's span tells of it when it has ended."""
        self._metrics.run_waits(run.agent)

    def used(self, run: Run, use: Use) -> None:
        """A span below that of the run."""
        self._metrics.tool_called(run.agent, use.tool if use.known else UNKNOWN_TOOL, use.outcome)
        self._tell(
            Deed(
                operation="execute_tool",
                name=use.tool,
                caller=_in_run(use.caller, run),
                began=use.began,
                ended=use.ended,
                failed=use.outcome == "failed",
                error=use.error,
                facts={
                    "agent_name": run.agent,
                    "tool_name": use.tool,
                    "tool_type": self._tool_type(run.agent, use.tool),
                    "tool_call_id": use.call,
                },
                given=use.arguments,
                told=use.result,
            )
        )

    def ended(self, run: Run, past: Sequence[Event]) -> None:
        """The span of the run, with what happened to it meanwhile."""
        self._metrics.run_ended(run.agent, run.state, run.used.seconds)
        lately = _lately(past)
        began = lately[0].at if lately else run.started_at or run.created_at
        self._tell(
            Deed(
                operation="invoke_agent",
                name=run.agent,
                caller=_in_run(run.caller, run),
                began=began,
                ended=run.ended_at or began,
                failed=run.state == "failed",
                error="" if run.state == "done" else run.reason or run.state,
                facts=self._facts(run),
                moments=[moment for event in lately if (moment := _moment(event))],
                given=run.input,
                told=run.answer,
            )
        )

    def _facts(self, run: Run) -> Mapping[Fact, str | int | float]:
        used = run.used
        agent = self._platform().agent(run.agent)
        return {
            "agent_name": run.agent,
            "agent_id": run.agent,
            "agent_description": (agent.description if agent else None) or "",
            "run_state": run.state,
            "run_attempt": run.attempt,
            "run_worked_s": used.seconds,
            "run_steps": used.steps,
            "run_tool_calls": used.tool_calls,
            "run_input_tokens": used.prompt_tokens,
            "run_output_tokens": used.completion_tokens,
            "run_usd": used.cost_nano_usd / NANO,
        }

    def _tool_type(self, agent: str, name: str) -> str:
        """In OpenTelemetry's words."""
        declared = self._platform().agent(agent)
        tools = declared_tools(declared, self._platform().tools) if declared else []
        return "datastore" if any(tool.name == name and tool.type == "knowledge" for tool in tools) else "function"


def _in_run(caller: Caller, run: Run) -> Caller:
    return msgspec.structs.replace(caller, run=run.path, session=caller.session or run.thread)


def _lately(past: Sequence[Event]) -> Sequence[Event]:
    """What happened since the run ended before, without the end that it has come to."""
    ends = [place for place, event in enumerate(past[:-1]) if event.type == "done"]
    return past[ends[-1] + 1 : -1] if ends else past[:-1]


def _moment(event: Event) -> Moment | None:
    """An event as one of a span, without anything that somebody said."""
    match event.type:
        case "wanted":
            kinds = sorted({str(each.get("kind")) for each in event.data.get("requests", ())})
            return Moment(name="hanok.wanted", at=event.at, about={"hanok.wanted": ", ".join(kinds)})
        case "answered":
            return Moment(name="hanok.answered", at=event.at, about={"hanok.answered_by": str(event.data.get("by"))})
        case "run":
            about = {"hanok.run.state": str(event.data.get("state"))}
            if (attempt := event.data.get("attempt")) is not None:
                about["hanok.run.attempt"] = str(attempt)
            return Moment(name="hanok.run", at=event.at, about=about)
        case _:
            return None
