"""`supervisor`: gives work to the agents of its team, one after the other, and answers out of what they found.

Each choice is structured: the name of a worker and a task for it, or `finish`. A worker is an agent with a run of its
own below this one (and may have a team itself), so its budget, its steps and its end are its own. Rounds are bounded
by `limits.steps`, as every choice is a model call.
"""

from __future__ import annotations

import json
from typing import Any

from langgraph.graph import END, START
from langgraph.runtime import Runtime

from hanok.agents.patterns.steps import Update, act, conversation, new_graph
from hanok.agents.state import State, said
from hanok.agents.work import Work

_FINISH = "finish"


def supervisor() -> Any:
    """choose → work → choose → … → answer."""
    graph = new_graph()
    graph.add_node("choose", choose)
    graph.add_node("work", act)
    graph.add_node("answer", answer)
    graph.add_edge(START, "choose")
    graph.add_conditional_edges("choose", _next, ["work", "answer", END])
    graph.add_edge("work", "choose")
    graph.add_edge("answer", END)
    return graph


async def choose(state: State, runtime: Runtime[Any]) -> Update:
    """Who does what next: a call of that worker, as if the model had called it as a tool."""
    lead: Work = runtime.context
    messages = conversation(state, lead, more=_rules(lead))
    reply = await lead.think(messages, tools=(), schema=_choice(lead.agent.team), silent=True)
    chosen = reply.parsed or {}
    worker, task = str(chosen.get("next") or ""), str(chosen.get("task") or "")
    if worker not in lead.agent.team or not task.strip():
        return {"verdict": _FINISH}
    call = {"id": f"call_{reply.message['id']}", "type": "function"}
    arguments = json.dumps({"task": task}, ensure_ascii=False)
    message = {
        **reply.message,
        "content": "",
        "tool_calls": [{**call, "function": {"name": worker, "arguments": arguments}}],
    }
    return {"messages": said(message), "verdict": None}


async def answer(state: State, runtime: Runtime[Any]) -> Update:
    """What all of it comes to, in words."""
    told = conversation(
        state, runtime.context, more="Your team's work is done. Answer the user now, out of what they found."
    )
    reply = await runtime.context.think(told, tools=())
    return {"messages": said(reply.message), "answer": str(reply.message.get("content") or "")}


async def _next(state: State) -> str:
    return "answer" if state.get("verdict") == _FINISH else "work"


def _rules(work: Work) -> str:
    team = "\n".join(f"- {spec.name}: {spec.description}" for spec in work.tools if spec.name in work.agent.team)
    return (
        "You lead a team. Decide who does what next, or finish when nothing is left to do.\n"
        f"Your team:\n{team}\n"
        'Say {"next": NAME, "task": what to do, with all that they need to know} or {"next": "finish"}.'
    )


def _choice(team: list[str]) -> dict[str, Any]:
    return {
        "title": "choice",
        "type": "object",
        "properties": {"next": {"enum": [*team, _FINISH]}, "task": {"type": "string"}},
        "required": ["next"],
        "additionalProperties": False,
    }
