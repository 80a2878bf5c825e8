"""Keeps a long thread within what its model can read: its oldest messages are summed up, and stay where they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hanok.agents.calls import read_call
from hanok.agents.state import State, Summary
from hanok.agents.values import Message, text_of
from hanok.agents.work import Work

_TASK = (
    "Sum up this part of a conversation for yourself, so that you can go on without it: what the user wants, what was "
    "found out with which figures and sources, what was decided, what is still open. At most 300 words."
)
_LONGEST_MESSAGE = 4000


async def sum_up(state: State, work: Work) -> Summary | None:
    """A new summary, when the messages since the last one are too many tokens (estimated at four bytes each).

    Raises as `Work.think` does.
    """
    memory, old = work.agent.memory, state.get("summary")
    begin = old["messages"] if old else 0
    messages = state.get("messages", [])
    end = len(messages) - memory.keep_messages
    if end <= begin or work.length.tokens(messages, begin) <= memory.context_tokens:
        return None
    told = _told(old, messages[begin:end])
    asked = [{"role": "system", "content": _TASK}, {"role": "user", "content": told}]
    reply = await work.think(asked, tools=(), model=memory.summary_model, silent=True)
    return Summary(text=text_of(reply.message), messages=end)


def _told(old: Summary | None, messages: Sequence[Message]) -> str:
    lines = [f"What was said before, summed up:\n{old['text']}"] if old else []
    for message in messages:
        called: list[dict[str, Any]] = message.get("tool_calls") or []
        calls = ", ".join(read_call(call, "").name for call in called)
        said = text_of(message)[:_LONGEST_MESSAGE] or (f"(uses {calls})" if calls else "")
        lines.append(f"{message.get('role')}: {said}")
    return "\n\n".join(lines)
