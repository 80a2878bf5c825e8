"""A run that has come to rest, with everything that happened in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hanok.agents.values import Event, Run, RunState, Used

STORY_LINES = 50


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a run asks a person: whether it may use `tool` with `arguments` (`approval`), or a `question`; `value` is
    what a graph of one's own interrupts with (`interrupt`)."""

    id: str
    kind: str
    agent: str
    tool: str | None = None
    arguments: dict[str, Any] | None = None
    question: str | None = None
    value: Any = None


@dataclass(frozen=True, kw_only=True)
class ToolUse:
    """One call of a tool; `result` is what the model was told, `failed` whether it went wrong, `seconds` its time."""

    name: str
    arguments: dict[str, Any]
    result: str
    failed: bool
    seconds: float


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A run at rest: ended, or waiting for a person whom the test does not play. `below` are the runs of other agents
    that it gave work to, in their order."""

    run: Run
    events: tuple[Event, ...]
    below: tuple[FinishedRun, ...] = ()

    @property
    def id(self) -> str:
        return self.run.id

    @property
    def agent(self) -> str:
        return self.run.agent

    @property
    def thread(self) -> str:
        """Its conversation: give it to the next run to go on."""
        return self.run.thread

    @property
    def state(self) -> RunState:
        return self.run.state

    @property
    def answer(self) -> str:
        """What it said at its end; empty where it said nothing."""
        return self.run.answer or ""

    @property
    def reason(self) -> str | None:
        """Which limit it has reached, say."""
        return self.run.reason

    @property
    def error(self) -> str | None:
        return self.run.error

    @property
    def used(self) -> Used:
        """Steps, tool calls, tokens, nano dollars, seconds."""
        return self.run.used

    @property
    def usd(self) -> float:
        """What it cost, with the runs below it."""
        return self.run.used.cost_nano_usd / 1e9

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        """What it waits for."""
        return tuple(read_wanted(self.run))

    @property
    def plan(self) -> list[str]:
        """The steps of its plan, as they were at last."""
        plans = [event.data["steps"] for event in self.events if event.type == "plan"]
        return [str(step["text"]) for step in plans[-1]] if plans else []

    @property
    def uses(self) -> tuple[ToolUse, ...]:
        """Its calls of tools that came to a result, in the order of their results."""
        return tuple(_uses(self.events))

    @property
    def tools_used(self) -> list[str]:
        """The names of the tools that it called, in their order, each as often as it was called."""
        return [event.data["name"] for event in self.events if event.type == "tool_call"]

    def called(self, name: str, /, **arguments: Any) -> tuple[ToolUse, ...]:
        """Its calls of this tool that have at least these arguments: as good as False where there is none."""
        return tuple(use for use in self.uses if use.name == name and arguments.items() <= _Items(use.arguments))

    def every(self) -> Iterator[FinishedRun]:
        """It and all runs below it."""
        yield self
        for below in self.below:
            yield from below.every()

    def story(self) -> str:
        """What happened, a line each: for reading, as in the message of a failed test."""
        lines = [f"{self.agent} ({self.run.id}): {self.state}"]
        told = [line for event in self.events if (line := _line(event))]
        lines += told if len(told) <= STORY_LINES else [*told[:10], "  …", *told[10 - STORY_LINES :]]
        for below in self.below:
            lines += [f"  {line}" for line in below.story().splitlines()]
        return "\n".join([*lines, f"  answer: {self.answer!r}"] + ([f"  error: {self.error}"] if self.error else []))


class _Items:
    """The items of a dict that can be compared though its values cannot be hashed."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def __ge__(self, other: Any) -> bool:
        return all(key in self._values and self._values[key] == value for key, value in other)


def read_wanted(run: Run) -> Iterator[Wanted]:
    """What a run waits for and was not answered."""
    for id_, request in run.wanted.items():
        if id_ not in run.answers:
            yield Wanted(
                id=id_,
                kind=str(request.get("kind")),
                agent=run.agent,
                tool=request.get("tool"),
                arguments=request.get("arguments"),
                question=request.get("question"),
                value=request.get("value"),
            )


def _uses(events: Sequence[Event]) -> Iterator[ToolUse]:
    asked = {event.data["id"]: event.data for event in events if event.type == "tool_call"}
    for event in events:
        if event.type == "tool_result":
            data = event.data
            arguments: dict[str, Any] = asked.get(data["id"], {}).get("arguments") or {}
            yield ToolUse(
                name=data["name"],
                arguments=arguments,
                result=str(data["content"]),
                failed=bool(data["failed"]),
                seconds=float(data["seconds"]),
            )


def _line(event: Event) -> str:
    data = event.data
    match event.type:
        case "tool_call":
            return f"  → {data['name']}({json.dumps(data['arguments'], ensure_ascii=False)})"
        case "tool_result":
            return f"  {'✗' if data['failed'] else '✓'} {data['name']}: {str(data['content'])[:200]!r}"
        case "message":
            return f"  says {str(data['message'].get('content') or '')[:200]!r}"
        case "wanted":
            return f"  wants {json.dumps(data['requests'], ensure_ascii=False)}"
        case _:
            return ""
