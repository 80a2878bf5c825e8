"""Assistants, threads, states and runs as LangGraph's server writes them. Each agent is an assistant of its name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hanok.agents.agency import Snapshot
from hanok.agents.values import Run, RunState, Thread
from hanok.gateway.agents.forms import wanted_form
from hanok.gateway.agents.protocol.messages import values_form
from hanok.spec import Agent

_Json = dict[str, Any]
STATUSES: Mapping[RunState, str] = {
    "queued": "pending",
    "running": "running",
    "waiting": "interrupted",
    "paused": "interrupted",
    "done": "success",
    "limited": "success",
    "failed": "error",
    "cancelled": "interrupted",
}
_THREAD_STATUSES: Mapping[RunState, str] = {
    "queued": "busy",
    "running": "busy",
    "waiting": "interrupted",
    "paused": "interrupted",
    "failed": "error",
}
_NODE = r"[A-Za-z0-9_.\-]+"
_EDGE = re.compile(rf"^\s*({_NODE})\s+(?:-->|-\.->|-\.\s.*\s\.->|--\s.*\s-->)\s+({_NODE});?\s*$", re.MULTILINE)
_MESSAGES = {"type": "array", "title": "Messages", "items": {"type": "object", "title": "BaseMessage"}}


def at(seconds: float | None) -> str | None:
    """Unix seconds as ISO 8601 in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def assistant_form(agent: Agent, created: float) -> _Json:
    return {
        "assistant_id": agent.name,
        "graph_id": agent.name,
        "name": agent.name,
        "description": agent.description or None,
        "config": {},
        "context": {},
        "metadata": {"created_by": "system"},
        "version": 1,
        "created_at": at(created),
        "updated_at": at(created),
    }


def graph_form(mermaid: str) -> _Json:
    """Nodes and edges of a Mermaid flowchart, as LangGraph draws it."""
    edges = [{"source": source, "target": target} for source, target in _EDGE.findall(mermaid)]
    names = dict.fromkeys(name for edge in edges for name in (edge["source"], edge["target"]))
    return {"nodes": [_node(name) for name in names], "edges": edges}


def schemas_form(agent: Agent) -> _Json:
    """JSON schemas of what a thread of this agent takes and holds."""
    messages = {"type": "object", "properties": {"messages": _MESSAGES}, "required": ["messages"]}
    answer = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    state = {**messages, "properties": {"messages": _MESSAGES, "answer": answer}}
    return {
        "graph_id": agent.name,
        "input_schema": {"title": "Input", **messages},
        "output_schema": {"title": "Output", **state},
        "state_schema": {"title": "State", **state},
        "config_schema": None,
        "context_schema": None,
    }


def thread_form(thread: Thread, latest: Run | None, values: Mapping[str, Any] | None) -> _Json:
    """A thread, how its latest run stands, and what is in it."""
    named = {} if thread.agent is None else {"graph_id": thread.agent, "assistant_id": thread.agent}
    return {
        "thread_id": thread.id,
        "created_at": at(thread.created_at),
        "updated_at": at(thread.used_at),
        "metadata": {**named, **thread.metadata},
        "status": "idle" if latest is None else _THREAD_STATUSES.get(latest.state, "idle"),
        "config": {},
        "values": None if values is None else values_form(values),
        "interrupts": {latest.id: interrupts(latest)} if latest is not None and latest.state == "waiting" else {},
    }


def interrupts(run: Run) -> list[_Json]:
    """What a run waits for, as interrupts."""
    return [
        {"id": each["id"], "value": each["value"] if each.get("kind") == "interrupt" else each}
        for each in wanted_form(run)
    ]


def checkpoint_form(thread: str, checkpoint: str | None) -> _Json:
    return {"thread_id": thread, "checkpoint_ns": "", "checkpoint_id": checkpoint, "checkpoint_map": None}


def state_form(thread: str, snapshot: Snapshot | None, waiting: Sequence[_Json] = ()) -> _Json:
    """A thread's state. `waiting` are the interrupts of its run, where it is the latest state."""
    if snapshot is None:
        return {
            "values": {},
            "next": [],
            "checkpoint": checkpoint_form(thread, None),
            "metadata": {},
            "created_at": None,
            "parent_checkpoint": None,
            "tasks": [],
            "interrupts": [],
        }
    return {
        "values": values_form(snapshot.values),
        "next": list(snapshot.next),
        "checkpoint": checkpoint_form(thread, snapshot.checkpoint),
        "metadata": snapshot.metadata,
        "created_at": at(snapshot.at),
        "parent_checkpoint": None if snapshot.parent is None else checkpoint_form(thread, snapshot.parent),
        "tasks": [_task(snapshot, name, waiting) for name in snapshot.next],
        "interrupts": list(waiting),
    }


def run_form(run: Run) -> _Json:
    hanok = {"state": run.state, **({"reason": run.reason} if run.reason else {})}
    return {
        "run_id": run.id,
        "thread_id": run.thread,
        "assistant_id": run.agent,
        "created_at": at(run.created_at),
        "updated_at": at(run.ended_at or run.started_at or run.created_at),
        "status": "timeout" if run.reason == "wall_time_s" else STATUSES[run.state],
        "metadata": {**run.metadata, "hanok": hanok},
        "kwargs": {},
        "multitask_strategy": "enqueue",
    }


def error_form(run: Run) -> _Json:
    """What a run has failed of."""
    return {"error": run.reason or "failed", "message": run.error or "the run failed"}


def _task(snapshot: Snapshot, name: str, waiting: Sequence[_Json]) -> _Json:
    told = {"id": f"{snapshot.checkpoint}:{name}", "name": name, "error": None, "interrupts": list(waiting)}
    return {**told, "checkpoint": None, "state": None, "result": None}


def _node(name: str) -> _Json:
    if name in ("__start__", "__end__"):
        return {"id": name, "type": "schema", "data": name}
    return {"id": name, "type": "runnable", "data": {"id": ["hanok", "agents", name], "name": name}}
