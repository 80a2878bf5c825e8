"""What a thread remembers from step to step: the state that all patterns share.

Messages are only ever added, and stored as what each step added (LangGraph's `DeltaChannel`), so that a checkpoint is
as long as its step and not as the conversation. What is added is wrapped: bare dicts LangGraph makes LangChain's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, TypedDict, cast

from langgraph.channels.delta import DeltaChannel

from hanok.agents.values import Message

_SAID = "said"
SNAPSHOT_EVERY = 50
"""Steps after which all messages are written again, so that reading a thread replays no more than so many."""


def extend(messages: Sequence[Message], added: Iterable[Iterable[Message]]) -> list[Message]:
    """The reducer: one after the other. A message whose id is there already takes its place."""
    found = list(messages)
    places = {message.get("id"): place for place, message in enumerate(found)}
    for message in (message.get(_SAID, message) for each in added for message in each):
        place = places.get(message.get("id")) if message.get("id") else None
        if place is None:
            places[message.get("id")] = len(found)
            found.append(message)
        else:
            found[place] = message
    return found


class PlanStep(TypedDict):
    """One step of a plan. `result` is there when it is done."""

    id: int
    text: str
    state: Literal["open", "running", "done", "failed"]
    result: str | None


class Summary(TypedDict):
    """What stands for the first `messages` messages when the model is asked."""

    text: str
    messages: int


class State(TypedDict, total=False):
    """A thread. `plan`, `round`, `retries`, `verdict`, `feedback` and `answer` are of the run that is going on."""

    messages: Annotated[list[Message], DeltaChannel(extend, snapshot_frequency=SNAPSHOT_EVERY)]
    summary: Summary | None
    plan: list[PlanStep]
    round: int
    retries: int
    verdict: str | None
    feedback: str | None
    answer: str | None


def fresh(messages: Iterable[Message]) -> dict[str, Any]:
    """What a new run puts into the state of its thread."""
    begun: dict[str, Any] = {"plan": [], "round": 0, "retries": 0, "verdict": None, "feedback": None, "answer": None}
    return {"messages": said(*messages), **begun}


def message_id(run: str, place: int) -> str:
    """The id of a run's message at that place of its input."""
    return f"msg_{hashlib.sha256(f'{run}/{place}'.encode()).hexdigest()[:16]}"


def in_addition(messages: Sequence[Message], thread: Iterable[object], run: str) -> list[Message]:
    """A run's input as what is added to a thread: a message whose id is there already gets another, so that it does not
    take the place of what was said."""
    taken = {_id_of(message) for message in thread} - {None}
    added: list[Message] = []
    for place, message in enumerate(messages):
        if message.get("id") in taken:
            message = {**message, "id": message_id(run, place)}
        taken.add(message.get("id"))
        added.append(message)
    return added


def _id_of(message: object) -> str | None:
    """Its id, where it has one: a user's own graph may keep messages in a form of its own."""
    named = cast("Message", message).get("id") if isinstance(message, dict) else getattr(message, "id", None)
    return None if named is None else str(named)


def said(*messages: Message) -> list[dict[str, Message]]:
    """What a step writes to `messages` to add these."""
    return [{_SAID: message} for message in messages]
