"""What runs of agents are made of. Times are Unix seconds; ids are texts that nobody can guess."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, cast

from hanok.wire import Caller

RunState = Literal["queued", "running", "waiting", "paused", "done", "failed", "limited", "cancelled"]
"""`waiting` for a person; `limited` has reached a limit and keeps what it has. The last four are ends."""
ENDED: frozenset[RunState] = frozenset({"done", "failed", "limited", "cancelled"})
Wish = Literal["pause", "cancel"]
"""What somebody wants of a run that another process may have."""
Message = dict[str, Any]
"""A message in OpenAI's chat form, with an id: `{"id", "role", "content", "tool_calls"?, "tool_call_id"?}`."""
EventType = Literal[
    "run",  # {state, reason?, attempt}: the run has another state
    "plan",  # {steps: [{id, text, state}]}: a plan was made or has changed
    "step",  # {step, node, silent?}: a model call begins; step counts from 1; what a silent one says is for the agent
    "token",  # {step, text, reasoning?}: a piece of the answer as it comes; folded into `message` when that is there
    "message",  # {step, message, model, usage: {prompt_tokens, completion_tokens, usd}}: what the model has said
    "tool_call",  # {step, id, name, arguments}: a tool is used
    "tool_result",  # {step, id, name, content, failed, seconds}: and this is what came of it
    "wanted",  # {requests: [{id, kind: "approval" | "question", ...}]}: a person is asked; the run waits
    "answered",  # {answers: {id: {...}}, by}: and has answered
    "budget",  # {usage, limits}: what is used of what may be, after each step
    "tools",  # {missing: [{name, why}]} or {found: [name]}: servers whose tools cannot be had now, or can be again
    "child",  # {run, agent, task}: another agent was given work
    "custom",  # {…}: what a user's own graph tells
    "done",  # {state, reason?, answer, usage}: the end; nothing follows
]


@dataclass(frozen=True, kw_only=True)
class Used:
    """What a run has used so far: with its sub-agents for tokens and money, by itself for the rest. `seconds` are those
    in which it was led, by clocks that nobody sets; of a lead whose process died, until its last receipt."""

    steps: int = 0
    tool_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_nano_usd: int = 0
    seconds: float = 0.0

    @property
    def tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The limits of one run: what its agent declares, lowered by what its caller asks and its parent has left."""

    steps: int
    tool_calls: int
    iterations: int
    retries: int
    wall_time_s: float
    depth: int
    tokens: int | None = None
    cost_nano_usd: int | None = None


@dataclass(frozen=True, kw_only=True)
class Thread:
    """A conversation: runs on it follow one another and see what was said before."""

    id: str
    tenant: str
    user: str | None = None
    agent: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    created_at: float = 0.0
    used_at: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Order:
    """What somebody asks of an agent.

    `input` are new messages; `caller` who pays and may look. `run_id` is given for work that must not be begun twice
    (a sub-agent's, an idempotent request's): the run of that id is found again instead. `parent` is the path of runs
    above, `trace` the span they go on from. `checkpoint` continues the thread from an earlier state (a fork).
    """

    agent: str
    input: tuple[Message, ...]
    caller: Caller
    thread: str | None = None
    run_id: str | None = None
    parent: str | None = None
    checkpoint: str | None = None
    limits: dict[str, float] = field(default_factory=dict[str, float])
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run's row.

    `path` is its name in the ledger, `root/child/…` (its own id last); `wanted` are the requests to a person that it
    waits for, by their ids, `answers` those that were answered; `lease_by` is the worker that has it until
    `lease_until`. `attempt` counts how often it was taken up, `takeovers` how often from a process that died, since it
    last came further than `reached`, `let_go` how often in a row since its store did not take what it told;
    `taken_from` is the worker that a claim has just taken it from. `prompt` is the
    version of its agent's declared prompt that it keeps to.
    """

    id: str
    path: str
    agent: str
    thread: str
    caller: Caller
    state: RunState
    input: tuple[Message, ...]
    bounds: Bounds
    used: Used = Used()
    answer: str | None = None
    reason: str | None = None
    error: str | None = None
    wanted: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    answers: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    wish: Wish | None = None
    parent: str | None = None
    checkpoint: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    prompt: str | None = None
    attempt: int = 0
    takeovers: int = 0
    reached: str | None = None
    let_go: int = 0
    taken_from: str | None = field(default=None, compare=False)
    lease_by: str | None = None
    lease_until: float = 0.0
    created_at: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None

    @property
    def tenant(self) -> str:
        """Whom it belongs to."""
        return self.caller.tenant

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ENDED


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened in a run; `seq` counts from 1 within it, without gaps but for folded tokens."""

    run: str
    seq: int
    type: EventType
    data: dict[str, Any]
    at: float


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What a finished call of a run gave back, by a key that is the same when its step is done again.

    `state` is `begun` before a call that may change something outside, `done` with its result after it.
    """

    run: str
    key: str
    kind: Literal["model", "tool", "value"]
    state: Literal["begun", "done"]
    result: dict[str, Any] | None = None
    at: float = 0.0


def text_of(message: Message | None) -> str:
    """What a message says in words."""
    content = message.get("content") if message else None
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in cast("list[dict[str, Any]]", content))
    return str(content or "")
