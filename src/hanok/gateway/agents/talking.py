"""A run as one message of a chat: its answer as content, what led to it as reasoning, and the rest for machines.

Words come while nobody knows whether they are the answer or lead to a tool, so they are content when they come, unless
the step is one of carrying out a plan. What the run gives in the end is told once: by its words, or else after them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hanok.agents.values import Event, Run
from hanok.gateway.agents.forms import used_form, wanted_form
from hanok.spec import Pattern
from hanok.wire import json_bytes

THINKING: Mapping[Pattern, frozenset[str]] = {"plan-execute": frozenset({"execute"})}
"""Nodes of the patterns whose words lead to the answer and are none."""
SHOWN = 300
"""The most characters of arguments and results that are told as reasoning."""
MOST_PASSAGES = 100
GAP = "\n\n"


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What a message grows by: words of the answer, or of the way to it."""

    text: str
    reasoning: bool = False


class Talk:
    """Reads a run's events. `text` and `reasoning` are what was told so far, `tools` what was used."""

    def __init__(self, pattern: Pattern) -> None:
        self._thinking = THINKING.get(pattern, frozenset())
        self.text = ""
        self.reasoning = ""
        self.tools: list[dict[str, Any]] = []
        self._passages: dict[tuple[Any, Any], Mapping[str, Any]] = {}
        self._thinks = self._silent = False
        self._said = ""
        self._gap = False

    @property
    def passages(self) -> list[Mapping[str, Any]]:
        """What was found in knowledge bases, each passage once."""
        return list(self._passages.values())[:MOST_PASSAGES]

    def hear(self, event: Event) -> list[Piece]:
        """What the message grows by."""
        heard = _HEARD.get(event.type)
        return [piece for piece in (heard(self, event.data) if heard else []) if piece.text]

    def end(self, run: Run) -> list[Piece]:
        """What is still to be told, now that the run has ended or waits: its answer, unless its words were that."""
        left = rest_of(run)
        if not left or self.text.rstrip().endswith(left.strip()):
            return []
        return [self._tell(GAP + left if self.text else left, reasoning=False)]

    def step(self, data: Mapping[str, Any]) -> list[Piece]:
        self._thinks = data.get("node") in self._thinking
        self._silent = bool(data.get("silent"))
        self._said = ""
        return []

    def token(self, data: Mapping[str, Any]) -> list[Piece]:
        reasoning = bool(data.get("reasoning"))
        text = str(data.get("text") or "")
        if not reasoning:
            self._said += text
        return [self._tell(text, reasoning=reasoning or self._thinks)]

    def message(self, data: Mapping[str, Any]) -> list[Piece]:
        """Words that were folded before they were heard."""
        if self._silent:
            return []
        message: Mapping[str, Any] = data.get("message") or {}
        content = message.get("content")
        text = content if isinstance(content, str) else ""
        left = text.removeprefix(self._said) if text.startswith(self._said) else GAP + text
        told = [self._tell(left, reasoning=self._thinks)]
        self._gap = bool(message.get("tool_calls")) and bool(text)
        self._said = text
        return told

    def plan(self, data: Mapping[str, Any]) -> list[Piece]:
        steps: list[Mapping[str, Any]] = data.get("steps") or []
        lines = [f"{_MARKS.get(str(each.get('state')), '-')} {each.get('text')}" for each in steps]
        return [self._note("\n".join(["Plan:", *lines]))]

    def tool_call(self, data: Mapping[str, Any]) -> list[Piece]:
        arguments = json_bytes(data.get("arguments") or {}).decode()
        return [self._note(f"→ {data.get('name')} {_short(arguments)}")]

    def tool_result(self, data: Mapping[str, Any]) -> list[Piece]:
        self.tools.append({name: data.get(name) for name in ("id", "name", "failed", "seconds")})
        self._note_passages(data.get("data") or {})
        failed = " failed" if data.get("failed") else ""
        return [self._note(f"← {data.get('name')}{failed}: {_short(str(data.get('content') or ''))}")]

    def child(self, data: Mapping[str, Any]) -> list[Piece]:
        return [self._note(f"→ agent {data.get('agent')}: {_short(str(data.get('task') or ''))}")]

    def _note_passages(self, data: Mapping[str, Any]) -> None:
        for passage in data.get("passages") or ():
            self._passages.setdefault((passage.get("document"), passage.get("start")), passage)

    def _note(self, line: str) -> Piece:
        before = "" if not self.reasoning or self.reasoning.endswith("\n") else "\n"
        return self._tell(f"{before}{line}\n", reasoning=True)

    def _tell(self, text: str, *, reasoning: bool) -> Piece:
        if reasoning:
            self.reasoning += text
        elif text:
            text = GAP + text if self._gap else text
            self._gap = False
            self.text += text
        return Piece(text=text, reasoning=reasoning)


_MARKS = {"done": "✓", "running": "…", "failed": "✗"}
_HEARD: dict[str, Callable[[Talk, Mapping[str, Any]], list[Piece]]] = {
    "step": Talk.step,
    "token": Talk.token,
    "message": Talk.message,
    "plan": Talk.plan,
    "tool_call": Talk.tool_call,
    "tool_result": Talk.tool_result,
    "child": Talk.child,
}


def rest_of(run: Run) -> str:
    """What a person is told of a run that has ended or waits."""
    if run.state != "waiting":
        return run.answer or ""
    asked = [_asking(request) for request in wanted_form(run)]
    return "\n".join([*asked, f"The run {run.id} waits for an answer: POST /v1/agent-runs/{run.id}/answers"])


def machine_form(run: Run, talk: Talk) -> dict[str, Any]:
    """The run for machines, beside the message."""
    form: dict[str, Any] = {"run": run.id, "thread": run.thread, "agent": run.agent, "state": run.state}
    if run.reason:
        form["reason"] = run.reason
    if run.state == "waiting":
        form["wanted"] = wanted_form(run)
    return {**form, "tools": talk.tools, "usage": used_form(run.used)}


def _asking(request: Mapping[str, Any]) -> str:
    if request.get("kind") == "question":
        return str(request.get("question") or "")
    if request.get("kind") == "interrupt":
        return _short(json_bytes(request.get("value")).decode())
    arguments = json_bytes(request.get("arguments") or {}).decode()
    return f"May {request.get('tool') or 'this'} be called with {_short(arguments)}?"


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= SHOWN else f"{plain[:SHOWN]}…"
