"""Who watches runs: told of what they do, so that it is traced and counted. The room itself knows neither.

A span is named by a text that is the same whenever the same thing is done, so a run that goes on in another process
goes on in its own trace, and nothing of a span is kept between two processes but the caller in the run's row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from hanok.agents.values import Event, EventType, Run
from hanok.wire import Caller

Outcome = Literal["ok", "failed", "refused"]
TOLD: tuple[EventType, ...] = ("run", "wanted", "answered", "done")
"""Events of its earlier times that a run's watcher is told of."""


@dataclass(kw_only=True)
class Use:
    """One use of a tool, by a run of ours: `call` is the model's id for it, `caller` in the span of the use.

    `error` is its kind, empty where none was; `refused` says that the tool was not called. Times are Unix seconds.
    """

    tool: str
    call: str
    arguments: dict[str, Any]
    caller: Caller
    began: float
    ended: float = 0.0
    known: bool = True
    """Whether there is such a tool: a model may ask for any."""
    refused: bool = False
    error: str = ""
    result: str = ""

    @property
    def outcome(self) -> Outcome:
        """How it ended, in one word."""
        return "refused" if self.refused else "failed" if self.error else "ok"


class Watcher(Protocol):
    """Nothing here waits, or raises."""

    def begun(self, caller: Caller, run: str, /) -> Caller:
        """Who begins a run, in its span."""
        ...

    def below(self, caller: Caller, name: str, /) -> Caller:
        """The same caller in a span of that name, below the one that they are in."""
        ...

    def led(self, run: Run, past: Sequence[Event], /) -> Run:
        """The run in the span that it goes on in. `past` are the events `TOLD` of the times before, if any were."""
        ...

    def stepped(self, run: Run, /) -> None:
        """It asks a model."""
        ...

    def used(self, run: Run, use: Use, /) -> None:
        """It has used a tool."""
        ...

    def waits(self, run: Run, /) -> None:
        """It waits for a person."""
        ...

    def ended(self, run: Run, past: Sequence[Event], /) -> None:
        """It has ended. `past` are the events `TOLD` so far, where it was led more than once."""
        ...


class Nobody:
    """A watcher that looks away."""

    def begun(self, caller: Caller, _: str, /) -> Caller:
        """As they came."""
        return caller

    def below(self, caller: Caller, _: str, /) -> Caller:
        """As they came."""
        return caller

    def led(self, run: Run, _: Sequence[Event], /) -> Run:
        """As it is."""
        return run

    def stepped(self, _: Run, /) -> None:
        """Nothing."""

    def used(self, _: Run, __: Use, /) -> None:
        """Nothing."""

    def waits(self, _: Run, /) -> None:
        """Nothing."""

    def ended(self, _: Run, __: Sequence[Event], /) -> None:
        """Nothing."""


NOBODY: Watcher = Nobody()
