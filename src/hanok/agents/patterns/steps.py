"""Steps that patterns share: asking with the whole conversation, and using the tools that were asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, cast

from langgraph.graph import END, StateGraph
from langgraph.runtime import Runtime

from hanok.agents.state import State, said
from hanok.agents.summing import sum_up
from hanok.agents.values import Message, text_of
from hanok.agents.work import Work

Update = Mapping[str, Any]


def new_graph() -> Any:
    """A graph over the shared state, whose nodes find their run's `Work` in `runtime.context`."""
    return StateGraph(State, context_schema=cast("Any", Work))


def conversation(state: State, work: Work, *, more: str = "") -> list[Message]:
    """What the model reads: what the agent is told, what was summed up, and the messages since."""
    summary = state.get("summary")
    told = [work.instructions, more]
    if summary is not None:
        told.append(f"What was said before, summed up:\n{summary['text']}")
    system = "\n\n".join(each.strip() for each in told if each.strip())
    messages = state.get("messages", [])[summary["messages"] if summary else 0 :]
    return [*([{"role": "system", "content": system}] if system else []), *_whole(messages)]


def _whole(messages: Sequence[Message]) -> list[Message]:
    """Without results whose call is not there any more, nor calls without results: engines refuse both.

    Results are those that follow their call at once: engines use an id for another call later on.
    """
    kept: list[Message] = []
    asked: set[str] = set()
    for place, message in enumerate(messages):
        if message.get("role") == "tool":
            if str(message.get("tool_call_id")) in asked:
                asked.discard(str(message.get("tool_call_id")))
                kept.append(message)
            continue
        told = message if not message.get("tool_calls") else _with_answered_calls(message, messages[place + 1 :])
        asked = {str(call.get("id")) for call in (told or {}).get("tool_calls") or ()}
        if told is not None:
            kept.append(told)
    return kept


def _with_answered_calls(message: Message, after: Sequence[Message]) -> Message | None:
    """The message with those of its calls whose results follow; None where nothing is left of it."""
    results = takewhile(lambda each: each.get("role") == "tool", after)
    answered = {str(each.get("tool_call_id")) for each in results}
    calls = [call for call in message["tool_calls"] if str(call.get("id")) in answered]
    if calls:
        return {**message, "tool_calls": calls}
    rest = {name: value for name, value in message.items() if name != "tool_calls"}
    return rest if text_of(message) else None


async def think(state: State, runtime: Runtime[Any]) -> Update:
    """One model call with the whole conversation. What it says is added to it; without tool calls it is the answer."""
    work: Work = runtime.context
    summary = await sum_up(state, work)
    if summary is not None:
        state = cast("State", {**state, "summary": summary})
    reply = await work.think(conversation(state, work))
    update: dict[str, Any] = {"messages": said(reply.message)}
    if summary is not None:
        update["summary"] = summary
    if not reply.message.get("tool_calls"):
        update["answer"] = text_of(reply.message)
    return update


async def act(state: State, runtime: Runtime[Any]) -> Update:
    """Use the tools that the last message asks for."""
    work: Work = runtime.context
    return {"messages": said(*await work.use(calls_of(state)))}


def calls_of(state: State) -> list[dict[str, Any]]:
    """The tool calls that the last message asks for."""
    messages = state.get("messages", [])
    return (messages[-1].get("tool_calls") or []) if messages else []


async def after_thinking(state: State) -> str:
    """Tools, if the model wants any, else the end. (LangGraph calls what is not async in a thread of its own.)"""
    return "act" if calls_of(state) else END
