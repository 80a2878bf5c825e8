"""What is asked of agents: bodies that are checked at the door, and how they become orders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta

from hanok.agents.values import Message
from hanok.errors import RequestError

MOST_MESSAGES = 1000
LONGEST_WAIT_S = 3600.0
USUAL_WAIT_S = 60.0
Count = Annotated[int, Meta(ge=0, le=10**12)]
Amount = Annotated[float, Meta(gt=0, le=1e12)]
Text = Annotated[str, Meta(min_length=1)]
Word = Annotated[str, Meta(min_length=1, max_length=256)]
"""Names and ids."""
Metadata = Annotated[dict[Annotated[str, Meta(max_length=128)], Any], Meta(max_length=64)]
NewId = Callable[[str], str]
"""Makes an id that nobody can guess, with that before it."""


class GivenMessage(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A message in OpenAI's chat form."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None
    id: Word | None = None
    name: Word | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: Word | None = None

    def __post_init__(self) -> None:
        """Refuses at the door, with its place, what would else fail the run later. Raises `ValueError`."""
        for part in self.content if isinstance(self.content, list) else ():
            if problem := part_problem(part):
                raise ValueError(problem)
        for call in self.tool_calls or ():
            if problem := call_problem(call):
                raise ValueError(problem)

    def message(self, new_id: NewId) -> Message:
        """The message, with an id."""
        form: Message = msgspec.to_builtins(self)
        return {"content": None, **form, "id": self.id or new_id("msg")}


def part_problem(part: Mapping[str, Any]) -> str | None:
    """Why it is no part of a message's content."""
    if not isinstance(part.get("type"), str):
        return "each part of `content` needs a `type`, as 'text'"
    if not isinstance(part.get("text", ""), str):
        return "the `text` of a part of `content` must be text"
    return None


def call_problem(call: Mapping[str, Any]) -> str | None:
    """Why it is none of a message's tool calls."""
    function = call.get("function")
    if not isinstance(function, dict) or not isinstance(cast("dict[str, Any]", function).get("name"), str):
        return "each of `tool_calls` needs a `function` with a `name`"
    if not isinstance(call.get("id", ""), str):
        return "the `id` of each of `tool_calls` must be text"
    return None


GivenMessages = Annotated[list[GivenMessage], Meta(min_length=1, max_length=MOST_MESSAGES)]


class LimitsBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Limits of one run, where they are less than the agent's. `usd` in US dollars, `wall_time_s` in seconds."""

    steps: Count | None = None
    tool_calls: Count | None = None
    iterations: Count | None = None
    retries: Count | None = None
    wall_time_s: Amount | None = None
    tokens: Count | None = None
    usd: Amount | None = None

    def as_dict(self) -> dict[str, float]:
        """Those that are given."""
        return {name: value for name, value in msgspec.to_builtins(self).items() if value is not None}


class _Ordered(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What all orders have."""

    input: Text | GivenMessages | None = None
    messages: GivenMessages | None = None
    limits: LimitsBody = msgspec.field(default_factory=LimitsBody)
    metadata: Metadata = {}
    user: Annotated[str, Meta(max_length=256)] | None = None
    stream: bool = False
    wait: Annotated[float, Meta(ge=0, le=LONGEST_WAIT_S)] = USUAL_WAIT_S
    cancel_on_disconnect: bool = False

    def new_messages(self, new_id: NewId) -> tuple[Message, ...]:
        """What is said to the agent. Raises `RequestError` where it is said twice."""
        if self.input is not None and self.messages is not None:
            raise RequestError("give `input` or `messages`, one of them", param="input", code="invalid_value")
        given = self.input if self.input is not None else self.messages or ()
        if isinstance(given, str):
            return (user_message(given, new_id),)
        messages = tuple(message.message(new_id) for message in given)
        if messages:
            ends_with_the_user(messages)
        return messages


class StartBody(_Ordered, kw_only=True):
    """`POST /v1/agents/{name}/runs`. `thread` is one of before, `session` a name of the caller's own for one.

    `wait` is how many seconds the answer is waited for: 0 leaves the run in the background.
    """

    thread: Word | None = None
    session: Word | None = None

    def check(self) -> None:
        """Raises `RequestError` for what does not go together."""
        if self.input is None and self.messages is None:
            raise RequestError("'input' is missing: a text, or messages", param="input", code="invalid_value")
        if self.thread is not None and self.session is not None:
            raise RequestError("give `thread` or `session`, one of them", param="session", code="invalid_value")


class ForkBody(_Ordered, kw_only=True):
    """`POST /v1/agent-runs/{id}/fork`: go on from a checkpoint of the run's thread, in a thread of its own."""

    checkpoint: Word


class Answered(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An answer to what a run wants: `approve` a call (with other `arguments`, or not, with a `reason`), `text` for a
    question, `value` for an interrupt of one's own graph."""

    approve: bool | None = None
    reason: Annotated[str, Meta(max_length=10_000)] | None = None
    arguments: dict[str, Any] | None = None
    text: Annotated[str, Meta(max_length=1_000_000)] | None = None
    value: Any = msgspec.UNSET


class AnswersBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/agent-runs/{id}/answers`: by the ids of the requests."""

    answers: Annotated[dict[Word, Answered], Meta(min_length=1, max_length=100)]

    def as_dict(self) -> dict[str, dict[str, Any]]:
        return {id_: msgspec.to_builtins(answer) for id_, answer in self.answers.items()}


def user_message(text: str, new_id: NewId) -> Message:
    """A message of the user."""
    return {"id": new_id("msg"), "role": "user", "content": text}


def ends_with_the_user(messages: Sequence[Message]) -> None:
    """Raise `RequestError` unless the last message is the user's: what a model said is no order to its tools."""
    if not messages or messages[-1]["role"] != "user":
        message = "the last message must be the user's"
        raise RequestError(message, param=f"messages[{max(len(messages) - 1, 0)}]", code="invalid_value")


def without_ids(messages: Sequence[Message]) -> list[Message]:
    """What is said, whatever it is called."""
    return [{name: value for name, value in each.items() if name != "id"} for each in messages]
