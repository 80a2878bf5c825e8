"""`plan-execute`: a plan is made, its steps are carried out and each is judged: COMPLETE, CONTINUE or RETRY.

Every verdict is structured output, never a word looked for in a text. Rounds are bounded by `limits.iterations`, tries
of one step by `limits.retries`; a run that reaches either answers with what it has.
Source of the pattern: Wang et al., "Plan-and-Solve Prompting", 2023.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from langgraph.graph import END, START
from langgraph.runtime import Runtime

from hanok.agents.patterns.steps import Update, act, calls_of, conversation, new_graph
from hanok.agents.state import PlanStep, State, said
from hanok.agents.values import text_of
from hanok.agents.work import Work
from hanok.errors import AgentError

MOST_STEPS = 12
_PLAN: dict[str, Any] = {
    "title": "plan",
    "type": "object",
    "properties": {"steps": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MOST_STEPS}},
    "required": ["steps"],
    "additionalProperties": False,
}
_VERDICT: dict[str, Any] = {
    "title": "verdict",
    "type": "object",
    "properties": {
        "verdict": {"enum": ["COMPLETE", "CONTINUE", "RETRY"]},
        "reason": {"type": "string"},
    },
    "required": ["verdict", "reason"],
    "additionalProperties": False,
}


def plan_execute() -> Any:
    """plan → execute ⇄ act → evaluate → (execute | answer)."""
    graph = new_graph()
    for name, node in (("plan", plan), ("execute", execute), ("act", act), ("evaluate", evaluate), ("answer", answer)):
        graph.add_node(name, node)
    graph.add_edge(START, "plan")
    graph.add_edge("plan", "execute")
    graph.add_conditional_edges("execute", _after_execute, ["act", "evaluate"])
    graph.add_edge("act", "execute")
    graph.add_conditional_edges("evaluate", _after_evaluate, ["execute", "answer"])
    graph.add_edge("answer", END)
    return graph


async def plan(state: State, runtime: Runtime[Any]) -> Update:
    """Make the plan. What is no plan is a plan of one step: the task itself."""
    work: Work = runtime.context
    names = ", ".join(spec.name for spec in work.tools) or "none"
    more = f"Make a short plan for the user's task: steps that can be carried out one after the other. Tools: {names}."
    reply = await work.think(conversation(state, work, more=more), tools=(), schema=_PLAN, silent=True)
    steps = _steps(reply.parsed) or [text_of(_task(state)) or "Answer the user."]
    made: list[PlanStep] = [
        {"id": place, "text": text, "state": "open", "result": None} for place, text in enumerate(steps, start=1)
    ]
    work.tell("plan", {"steps": made})
    return {"plan": made, "round": 1, "retries": 0, "feedback": None}


async def execute(state: State, runtime: Runtime[Any]) -> Update:
    """Carry out the step at hand: one model call, with tools."""
    work: Work = runtime.context
    step = _at_hand(state)
    more = f"{_shown(state)}\n\nCarry out step {step['id']} now, and only that: {step['text']}\nSay its result."
    if feedback := state.get("feedback"):
        more += f"\nYour last try was not good enough: {feedback}"
    reply = await work.think(conversation(state, work, more=more))
    steps = _marked(state, step, "running", None)
    if not reply.message.get("tool_calls"):
        steps = _marked(state, step, "running", text_of(reply.message))
    if step["state"] != "running":
        work.tell("plan", {"steps": steps})
    return {"messages": said(reply.message), "plan": steps}


async def evaluate(state: State, runtime: Runtime[Any]) -> Update:
    """Judge the step, and go on, try again, or be done."""
    work: Work = runtime.context
    step = _at_hand(state)
    more = (
        f"{_shown(state)}\n\nJudge the result of step {step['id']}: {step['result']}\n"
        "COMPLETE: the user's task is done, nothing is left. CONTINUE: this step is done, others are left. "
        "RETRY: this step has failed or is not good enough."
    )
    reply = await work.think(conversation(state, work, more=more), tools=(), schema=_VERDICT, silent=True)
    judged = reply.parsed or {}
    verdict, reason = str(judged.get("verdict") or "CONTINUE"), str(judged.get("reason") or "")
    return _judged(state, work, step, verdict, reason)


async def answer(state: State, runtime: Runtime[Any]) -> Update:
    """What all of it comes to."""
    work: Work = runtime.context
    more = f"{_shown(state)}\n\nThe work is over. Answer the user now, out of these results."
    reply = await work.think(conversation(state, work, more=more), tools=())
    return {"messages": said(reply.message), "answer": text_of(reply.message)}


def _judged(state: State, work: Work, step: PlanStep, verdict: str, reason: str) -> Update:
    bounds, tries, turn = work.run.bounds, state.get("retries", 0), state.get("round", 1)
    over = turn >= bounds.iterations
    if verdict == "RETRY" and tries < bounds.retries and not over:
        work.tell("plan", {"steps": state.get("plan", []), "verdict": verdict, "reason": reason})
        return {"retries": tries + 1, "round": turn + 1, "verdict": verdict, "feedback": reason or "try another way"}
    steps = _marked(state, step, "failed" if verdict == "RETRY" else "done", step["result"])
    done = verdict == "COMPLETE" or over or all(each["state"] in ("done", "failed") for each in steps)
    work.tell("plan", {"steps": steps, "verdict": verdict, "reason": reason})
    verdict = "COMPLETE" if done else "CONTINUE"
    return {"plan": steps, "retries": 0, "round": turn + 1, "verdict": verdict, "feedback": None}


async def _after_execute(state: State) -> str:
    return "act" if calls_of(state) else "evaluate"


async def _after_evaluate(state: State) -> str:
    return "answer" if state.get("verdict") == "COMPLETE" else "execute"


def _at_hand(state: State) -> PlanStep:
    """Raises `AgentError` where there is none: a run that began under another pattern."""
    step = next((each for each in state.get("plan", []) if each["state"] in ("open", "running")), None)
    if step is None:
        raise AgentError("this run has no plan: its agent had another pattern when it began", hint="begin a new run")
    return step


def _marked(state: State, step: PlanStep, mark: Any, result: str | None) -> list[PlanStep]:
    changed: PlanStep = {"id": step["id"], "text": step["text"], "state": mark, "result": result or step["result"]}
    return [changed if each["id"] == step["id"] else each for each in state.get("plan", [])]


def _shown(state: State) -> str:
    lines = [
        f"{each['id']}. [{each['state']}] {each['text']}" + (f"\n   result: {each['result']}" if each["result"] else "")
        for each in state.get("plan", [])
    ]
    return "The plan:\n" + "\n".join(lines)


def _task(state: State) -> dict[str, Any] | None:
    return next((each for each in reversed(state.get("messages", [])) if each.get("role") == "user"), None)


def _steps(parsed: Mapping[str, Any] | None) -> list[str]:
    found = (parsed or {}).get("steps")
    listed = cast("list[object]", found) if isinstance(found, list) else []
    return [str(each) for each in listed if str(each).strip()][:MOST_STEPS]
