"""Agents, runs and events as callers see them. Times are Unix seconds, money US dollars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hanok.agents.agency import Snapshot
from hanok.agents.counting import bounds_form
from hanok.agents.values import Event, Run, Used
from hanok.spec import Agent, AgentLimits
from hanok.wire import NANO, Usage, json_bytes


def agent_form(agent: Agent) -> dict[str, Any]:
    """An agent in a list."""
    return {
        "id": agent.name,
        "object": "agent",
        "name": agent.name,
        "description": agent.description,
        "pattern": agent.pattern,
        "model": agent.model,
    }


def whole_agent_form(agent: Agent, graph: str | None, problem: str | None) -> dict[str, Any]:
    """An agent by itself. `graph` is a Mermaid flowchart; `problem` why there is none."""
    return {
        **agent_form(agent),
        "tools": tool_names(agent),
        "team": agent.team,
        "approvals": agent.approvals,
        "limits": _declared_form(agent.limits),
        "graph": graph,
        "problem": problem,
    }


def tool_names(agent: Agent) -> list[str]:
    """What it may use, by the names of the declaration: a server's own tools are known when it is asked."""
    declared = [tool if isinstance(tool, str) else tool.name for tool in agent.tools]
    asking = ["ask_user"] if agent.questions else []
    return [*declared, *(f"search_{name}" for name in agent.knowledge), *agent.team, *asking]


def run_form(run: Run) -> dict[str, Any]:
    """A run."""
    return {
        "id": run.id,
        "object": "agent.run",
        "agent": run.agent,
        "thread": run.thread,
        "state": run.state,
        "answer": run.answer,
        "reason": run.reason,
        "error": run.error,
        "wanted": wanted_form(run),
        "input": list(run.input),
        "usage": used_form(run.used),
        "limits": bounds_form(run.bounds),
        "metadata": run.metadata,
        "path": run.path,
        "parent": run.parent,
        "checkpoint": run.checkpoint,
        "attempt": run.attempt,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
    }


def wanted_form(run: Run) -> list[dict[str, Any]]:
    """What the run asks a person, as far as it was not answered."""
    return [{**request, "id": id_} for id_, request in run.wanted.items() if id_ not in run.answers]


def used_form(used: Used) -> dict[str, Any]:
    return {
        "steps": used.steps,
        "tool_calls": used.tool_calls,
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        "total_tokens": used.tokens,
        "cost_usd": used.cost_nano_usd / NANO,
        "seconds": round(used.seconds, 3),
    }


def usage_of(used: Used) -> Usage:
    """A run's tokens as the usage of one call."""
    return Usage(prompt_tokens=used.prompt_tokens, completion_tokens=used.completion_tokens)


def event_form(event: Event) -> dict[str, Any]:
    return {"run": event.run, "seq": event.seq, "type": event.type, "at": event.at, "data": event.data}


def sse(event: Event) -> bytes:
    """An event for a stream; its number is what a stream goes on after."""
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (event.seq, event.type.encode(), json_bytes(event_form(event)))


def checkpoint_form(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "id": snapshot.checkpoint,
        "object": "agent.checkpoint",
        "parent": snapshot.parent,
        "values": snapshot.values,
        "next": list(snapshot.next),
        "interrupts": list(snapshot.interrupts),
        "metadata": snapshot.metadata,
        "created_at": snapshot.at,
    }


def list_form(forms: Sequence[dict[str, Any]], *, more: bool = False, last: str | None = None) -> dict[str, Any]:
    """A page in OpenAI's form. `last` is what the next page goes on after."""
    first = forms[0]["id"] if forms else None
    return {"object": "list", "data": list(forms), "first_id": first, "last_id": last, "has_more": more}


def _declared_form(limits: AgentLimits) -> dict[str, Any]:
    return limits.model_dump()
