"""A run's events as LangGraph's streams tell them, by modes. One event of ours is written as one piece.

Its number stands at the last of what it is written as, so that a stream goes on after whole events. `values` between
two checkpoints are put together from what was told; the last ones are the thread's own.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from typing import Any

from hanok.agents.agency import Agency
from hanok.agents.values import Event, Message, Run
from hanok.gateway.agents.forms import event_form
from hanok.gateway.agents.protocol.forms import error_form, interrupts
from hanok.gateway.agents.protocol.messages import as_langchain, values_form
from hanok.wire import json_bytes

_Json = dict[str, Any]
_Part = tuple[str, Any]
"""An event's name and its data."""


async def stream_run(agency: Agency, run: Run, modes: Collection[str], *, after: int = 0) -> AsyncGenerator[bytes]:
    """The run from there to its end, or to where it waits for a person."""
    telling = _Telling(run, modes)
    if "values" in modes:
        state = await agency.state(run.thread, tenant=run.tenant)
        telling.begin(state.values if state is not None else {})
    yield _written([("metadata", {"run_id": run.id, "attempt": run.attempt or 1})], None)
    async for event in agency.events(run.id, tenant=run.tenant, after=after):
        if event.type in ("done", "wanted"):
            state = await agency.state(run.thread, tenant=run.tenant)
            telling.begin(state.values if state is not None else {})
        if parts := telling.parts(event):
            yield _written(parts, event.seq)
    run = await agency.run(run.id, tenant=run.tenant)
    yield _written([("end", {"run_id": run.id, "status": run.state})], None)


class _Telling:
    """What was told so far."""

    def __init__(self, run: Run, modes: Collection[str]) -> None:
        self._run = run
        self._modes = modes
        self._values: _Json = {}
        self._node = ""
        self._silent = False
        self._step = 0
        self._said = ""

    def begin(self, values: Mapping[str, Any]) -> None:
        """These are the thread's values now."""
        self._values = dict(values)
        known = [message.get("id") for message in self._values.get("messages") or ()]
        new = [message for message in self._run.input if message.get("id") not in known]
        self._values["messages"] = [*(self._values.get("messages") or ()), *new]

    def parts(self, event: Event) -> list[_Part]:
        """What an event is written as."""
        told = _TELLS.get(event.type)
        found: list[_Part] = list(told(self, event.data)) if told is not None else []
        if "events" in self._modes:
            found.append(("events", event_form(event)))
        return found

    def step(self, data: Mapping[str, Any]) -> list[_Part]:
        self._node = str(data.get("node") or "")
        self._silent = bool(data.get("silent"))
        self._step = int(data.get("step") or 0)
        self._said = ""
        return []

    def token(self, data: Mapping[str, Any]) -> list[_Part]:
        if data.get("reasoning"):
            return []
        text = str(data.get("text") or "")
        self._said += text
        found: list[_Part] = []
        if "messages-tuple" in self._modes:
            found.append(("messages", [self._chunk(text), self._about()]))
        if "messages" in self._modes:
            found.append(("messages/partial", [{**self._chunk(self._said), "type": "ai"}]))
        return found

    def message(self, data: Mapping[str, Any]) -> list[_Part]:
        message: Message = data.get("message") or {}
        return [] if self._silent else self._added(message, self._node or "agent")

    def tool_result(self, data: Mapping[str, Any]) -> list[_Part]:
        message: Message = {
            "id": f"tool_{data.get('id')}",
            "role": "tool",
            "name": data.get("name"),
            "tool_call_id": data.get("id"),
            "content": data.get("content"),
        }
        return self._added(message, "tools")

    def _added(self, message: Message, node: str) -> list[_Part]:
        form = as_langchain(message)
        self._values["messages"] = [*(self._values.get("messages") or ()), message]
        found: list[_Part] = []
        if "messages" in self._modes:
            found.append(("messages/complete", [form]))
        if "messages-tuple" in self._modes and message.get("role") == "tool":
            found.append(("messages", [form, self._about()]))
        if "updates" in self._modes:
            found.append(("updates", {node: {"messages": [form]}}))
        if "values" in self._modes:
            found.append(("values", values_form(self._values)))
        return found

    def custom(self, data: Mapping[str, Any]) -> list[_Part]:
        return [("custom", data.get("value", data))] if "custom" in self._modes else []

    def wanted(self, data: Mapping[str, Any]) -> list[_Part]:
        waiting = [
            {"id": each.get("id"), "value": each["value"] if each.get("kind") == "interrupt" else each}
            for each in data.get("requests") or ()
        ]
        found: list[_Part] = []
        if "updates" in self._modes:
            found.append(("updates", {"__interrupt__": waiting}))
        if "values" in self._modes:
            found.append(("values", {**values_form(self._values), "__interrupt__": waiting}))
        return found

    def done(self, data: Mapping[str, Any]) -> list[_Part]:
        found: list[_Part] = []
        if "values" in self._modes:
            found.append(("values", values_form(self._values)))
        if data.get("state") == "failed":
            error = {"error": data.get("reason") or "failed", "message": data.get("error") or "the run failed"}
            found.append(("error", error))
        return found

    def _chunk(self, text: str) -> _Json:
        own = f"{self._run.id}-{self._step}"
        return {**as_langchain({"role": "assistant", "content": text, "id": own}), "type": "AIMessageChunk"}

    def _about(self) -> _Json:
        run = self._run
        told = {"run_id": run.id, "thread_id": run.thread, "assistant_id": run.agent, "graph_id": run.agent}
        return {**told, "langgraph_node": self._node, "langgraph_step": self._step}


_TELLS: dict[str, Callable[[_Telling, Mapping[str, Any]], list[_Part]]] = {
    "step": _Telling.step,
    "token": _Telling.token,
    "message": _Telling.message,
    "tool_result": _Telling.tool_result,
    "custom": _Telling.custom,
    "wanted": _Telling.wanted,
    "done": _Telling.done,
}


def waited_form(run: Run, values: Mapping[str, Any]) -> _Json:
    """What `/wait` and `/join` give: the thread's values, and what stands in their way."""
    form = values_form(values)
    if run.state == "waiting":
        form["__interrupt__"] = interrupts(run)
    if run.state == "failed":
        form["__error__"] = error_form(run)
    return form


def _written(parts: list[_Part], seq: int | None) -> bytes:
    written = [b"event: %b\ndata: %b\n" % (name.encode(), json_bytes(data)) for name, data in parts]
    if seq is not None:
        written[-1] = b"id: %d\n%b" % (seq, written[-1])
    return b"\n".join(written) + b"\n"
