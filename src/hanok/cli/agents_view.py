"""How a run of an agent looks in a terminal while it goes on: what is over stands still, what is under way is below.

Everything shown comes from the run's events and those of the runs below it, so a run that is followed, one that is
looked at later and one on a server look the same. Without a terminal, each event is a line or two.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

Event = dict[str, Any]
"""`{run, seq, type, at, data}`, as the HTTP API has it."""
FAINT = "bright_black"
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
DRAW_EVERY_S = 0.125
RESULT_LINES, SAID_LINES = 3, 4
LONGEST_VALUE, LONGEST_PLAIN = 60, 400
_MARKS = {"done": ("✓", "green"), "failed": ("✗", "red"), "running": ("›", "cyan"), "open": ("·", FAINT)}
_STATES = {"done": "green", "failed": "red", "limited": "yellow", "cancelled": "yellow", "waiting": "yellow"}


@dataclass
class Place:
    """A run in the picture: how far below the first, and what of it is under way."""

    agent: str
    depth: int
    state: str = ""
    said: str = ""
    plan: dict[str, str] = field(default_factory=dict[str, str])
    calls: dict[str, tuple[Text, float]] = field(default_factory=dict[str, tuple[Text, float]])


class RunView:
    """Shows runs. `whole` shows results of tools in full; `clock` counts seconds."""

    def __init__(self, console: Console, *, whole: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._whole = whole
        self._clock = clock
        self._places: dict[str, Place] = {}
        self._used: dict[str, Any] = {}
        self._limits: dict[str, Any] = {}
        self._began = clock()
        self._live: Live | None = None
        self._note = ""

    def begin(self, run: str, agent: str, *, below: str | None = None, task: str = "") -> None:
        """A run comes into the picture; one below another is set off to the right."""
        depth = self._place(run, agent, below).depth
        head = Text.assemble(("▸ ", "cyan"), (agent, "bold"), (f"  {task or run}", FAINT))
        self._line(head, max(0, depth - 1) if depth else 0)

    def _place(self, run: str, agent: str, below: str | None = None) -> Place:
        depth = 0 if below is None else self._places[below].depth + 1
        place = self._places[run] = Place(agent, depth)
        return place

    @asynccontextmanager
    async def shown(self) -> AsyncGenerator[None]:
        """What is under way stands below while this lasts. Drawn from the event loop: two threads would draw over one
        another."""
        if not self._console.is_terminal:
            yield
            return
        self._live = Live(
            get_renderable=self._under_way, console=self._console, transient=True, auto_refresh=False,
            redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip
        with self._live as live:
            drawing = asyncio.create_task(_draw(live))
            try:
                yield
            finally:
                drawing.cancel()
        self._live = None

    def note(self, text: str) -> None:
        """Something to say beside the run."""
        self._note = text
        if self._live is None:
            self._line(Text(text, style=FAINT), 0)

    def tell(self, event: Event) -> None:
        """Show what has happened."""
        place = self._places[event["run"]]
        show: Callable[[Place, dict[str, Any]], None] | None = getattr(self, f"_tell_{event['type']}", None)
        if show is not None:
            show(place, event["data"])

    def end(self, run: dict[str, Any]) -> None:
        """The last line: how it ended, and what it took."""
        state = run["state"]
        line = Text.assemble((state, _STATES.get(state, "default")))
        if why := run.get("error") or (run.get("reason") if state != "done" else None):
            line.append(f": {why}")
        line.append(f" · {sums(run['usage'], run.get('limits') or {})}", style=FAINT)
        self._line(line, 0, soft=True)

    # one for each type of event

    def _tell_run(self, place: Place, data: dict[str, Any]) -> None:
        was, place.state = place.state, str(data.get("state"))
        if (was, place.state) == ("running", "running"):  # nobody told its rest: its process was lost
            place.calls.clear()
            self._line(Text(f"taken up again (attempt {data['attempt']})", style=FAINT), place.depth)

    def _tell_plan(self, place: Place, data: dict[str, Any]) -> None:
        for step in data.get("steps", []):
            state, key = str(step["state"]), f"{step['id']} {step['text']}"
            if place.plan.get(key) != state:
                place.plan[key] = state
                mark, style = _MARKS.get(state, _MARKS["open"])
                self._line(Text.assemble((f"{mark} ", style), f"{step['id']}. {step['text']}"), place.depth)
        if data.get("verdict"):
            told = " ".join(part for part in (str(data["verdict"]).lower(), str(data.get("reason") or "")) if part)
            self._line(Text(f"  {told}", style=FAINT), place.depth)

    def _tell_token(self, place: Place, data: dict[str, Any]) -> None:
        place.said += data["text"]

    def _tell_message(self, place: Place, data: dict[str, Any]) -> None:
        message: dict[str, Any] = data.get("message") or {}
        place.said = ""
        if message.get("tool_calls") and (text := str(message.get("content") or "").strip()):
            self._block(text, place.depth, None, "default")

    def _tell_tool_call(self, place: Place, data: dict[str, Any]) -> None:
        line = call_line(data["name"], data.get("arguments") or {})
        place.calls[data["id"]] = line, self._clock()
        if self._live is None:
            self._line(Text.assemble(("→ ", "cyan"), line), place.depth)

    def _tell_tool_result(self, place: Place, data: dict[str, Any]) -> None:
        line, _ = place.calls.pop(data["id"], (Text(data["name"], style="bold"), 0.0))
        mark, style = _MARKS["failed" if data.get("failed") else "done"]
        seconds = Text(f"  {data.get('seconds', 0.0):.1f} s", style=FAINT)
        said = Text(data["name"], style="bold") if self._live is None else line
        self._line(Text.assemble((f"{mark} ", style), said), place.depth, end=seconds)
        lines = None if self._whole else RESULT_LINES
        self._block(str(data.get("content") or ""), place.depth + 1, lines, "red" if data.get("failed") else FAINT)

    def _tell_budget(self, place: Place, data: dict[str, Any]) -> None:
        if place.depth == 0:
            self._used = data.get("usage") or data.get("used") or {}
            self._limits = data.get("limits") or {}

    def _tell_step(self, place: Place, data: dict[str, Any]) -> None:
        place.said = ""
        self._note = f"step {data['step']}" if place.depth == 0 else f"{place.agent}'s step {data['step']}"

    def _tell_custom(self, place: Place, data: dict[str, Any]) -> None:
        self._line(Text(f"· {json.dumps(data, ensure_ascii=False)}", style=FAINT), place.depth)

    # drawing

    def _line(self, text: Text, depth: int, *, end: Text | None = None, soft: bool = False) -> None:
        """One line; on a terminal it is cut where the terminal ends, but for its end."""
        self._before_line()
        text.pad_left(2 * depth)
        if not soft and self._console.is_terminal:
            text.truncate(max(8, self._console.width - (end.cell_len if end else 0)), overflow="ellipsis")
        else:
            text.truncate(LONGEST_PLAIN, overflow="ellipsis")
        self._console.print(Text.assemble(text, end or ""), highlight=False, soft_wrap=True)

    def _before_line(self) -> None:
        """For who writes elsewhere in between."""

    def _block(self, text: str, depth: int, most: int | None, style: str) -> None:
        """A text to the right: `most` of its lines, each in one; or all of it, folded."""
        lines = [line.rstrip() for line in text.splitlines() if line.strip()]
        for line in lines[:most]:
            if most is None and self._console.is_terminal:
                folded = Text(line, style=style).wrap(self._console, max(8, self._console.width - 2 * depth))
                for each in folded:
                    self._line(each, depth)
            else:
                self._line(Text(line.strip(), style=style), depth)
        if most is not None and len(lines) > most:
            self._line(Text(f"… {counted(len(lines) - most, 'more line')}", style=FAINT), depth)

    def _under_way(self) -> RenderableType:
        return Group(*self._calls(), *self._saying(), self._status())

    def _calls(self) -> Iterator[RenderableType]:
        for place in self._places.values():
            for line, began in place.calls.values():
                shown = line.copy()
                end = f"  {self._clock() - began:.0f} s"
                shown.truncate(max(8, self._console.width - 2 * place.depth - 2 - len(end)), overflow="ellipsis")
                yield Text.assemble(" " * (2 * place.depth), ("→ ", "cyan"), shown, (end, FAINT), no_wrap=True)

    def _saying(self) -> Iterator[RenderableType]:
        """The end of what is being said."""
        said = next((place.said for place in reversed(list(self._places.values())) if place.said.strip()), "")
        if said:
            lines = Text(said.strip()[-2000:], style=FAINT).wrap(self._console, max(8, self._console.width - 2))
            yield from (Text.assemble("  ", line) for line in lines[-SAID_LINES:])

    def _status(self) -> RenderableType:
        used = {**self._used, "steps": None, "seconds": self._clock() - self._began}
        told = " · ".join((self._note or "begins", sums(used, self._limits)))
        frame = SPINNER[int(self._clock() * 8) % len(SPINNER)]
        line = Text.assemble((f"{frame} ", "cyan"), (told, FAINT))
        line.truncate(self._console.width, overflow="ellipsis")
        return line


async def _draw(live: Live) -> None:
    while True:
        live.refresh()
        await asyncio.sleep(DRAW_EVERY_S)


def call_line(name: str, arguments: dict[str, Any]) -> Text:
    """`name(a="b", c=1)`, long values cut short."""
    values = (f"{key}={_value(value)}" for key, value in arguments.items())
    return Text.assemble((name, "bold"), f"({', '.join(values)})")


def _value(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def dollars(value: float) -> str:
    """US dollars: cents, and as many digits more as there are, to a hundredth of a cent."""
    if 0 < value < 0.0001:
        return "<$0.0001"
    cents = f"{value:,.4f}" if value < 1 else f"{value:,.2f}"
    whole, _, rest = cents.partition(".")
    return f"${whole}.{rest[:2]}{rest[2:].rstrip('0')}"


def sums(usage: dict[str, Any], limits: dict[str, Any]) -> str:
    """What was used in one line: `2 steps · 1 tool call · 120 tokens · $0.0002 of $0.10 · 0.4 s`."""
    tokens = usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0)
    spent = dollars(usage.get("cost_usd", usage.get("usd", 0.0)))
    most = limits.get("usd") or 0.0
    steps = usage.get("steps", 0)
    parts = [
        *([] if steps is None else [counted(steps, "step")]),
        counted(usage.get("tool_calls", 0), "tool call"),
        counted(tokens, "token"),
        f"{spent} of {dollars(most)}" if most else spent,
        f"{usage.get('seconds', 0.0):.1f} s",
    ]
    return " · ".join(parts)


def counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
