"""Bodies of the Agent Protocol, as far as they mean something here. What changes nothing is passed over."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from hanok.errors import RequestError
from hanok.gateway.agents.bodies import Metadata, Word

ThreadId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]
Mode = Literal[
    "values",
    "messages",
    "messages-tuple",
    "updates",
    "custom",
    "events",
    "debug",
    "tasks",
    "checkpoints",
    "tools",
    "lifecycle",
]
Limit = Annotated[int, Meta(ge=1, le=100)]
Offset = Annotated[int, Meta(ge=0, le=10_000)]


class AssistantsSearch(msgspec.Struct, kw_only=True):
    """`POST /assistants/search`, `/assistants/count`"""

    graph_id: str | None = None
    name: str | None = None
    metadata: Metadata | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 10
    offset: Offset = 0


class ThreadBody(msgspec.Struct, kw_only=True):
    """`POST /threads`"""

    thread_id: ThreadId | None = None
    metadata: Metadata | None = None
    if_exists: Literal["raise", "do_nothing"] = "raise"
    supersteps: list[Any] | None = None


class ThreadChange(msgspec.Struct, kw_only=True):
    """`PATCH /threads/{id}`: what is given is added, null takes away."""

    metadata: Metadata | None = None


class ThreadsSearch(msgspec.Struct, kw_only=True):
    """`POST /threads/search`, `/threads/count`. `below` is ours: sub-agents' threads, too."""

    metadata: Metadata | None = None
    values: dict[str, Any] | None = None
    status: Literal["idle", "busy", "interrupted", "error"] | None = None
    select: list[str] | None = None
    below: bool = False
    limit: Limit = 10
    offset: Offset = 0


class Checkpoint(msgspec.Struct, kw_only=True):
    """Which checkpoint."""

    checkpoint_id: Word | None = None


class StateQuery(msgspec.Struct, kw_only=True):
    """`POST /threads/{id}/state/checkpoint`"""

    checkpoint: Checkpoint


class StateChange(msgspec.Struct, kw_only=True):
    """`POST /threads/{id}/state`"""

    values: dict[str, Any] | list[dict[str, Any]] | None = None
    as_node: Word | None = None
    checkpoint: Checkpoint | None = None
    checkpoint_id: Word | None = None


class HistoryQuery(msgspec.Struct, kw_only=True):
    """`POST /threads/{id}/history`"""

    limit: Limit = 10
    before: Word | Checkpoint | None = None


class Command(msgspec.Struct, kw_only=True):
    """Answers to what a thread waits for."""

    resume: Any = msgspec.UNSET
    update: Any = None
    goto: Any = None


class Config(msgspec.Struct, kw_only=True):
    """`recursion_limit` lowers the model calls of the run; `configurable` may name the thread's checkpoint."""

    recursion_limit: Annotated[int, Meta(ge=1)] | None = None
    configurable: dict[str, Any] = {}


class RunCreate(msgspec.Struct, kw_only=True):
    """`POST /threads/{id}/runs`, `/runs`, and below these `/stream` and `/wait`"""

    assistant_id: Word
    input: dict[str, Any] | None = None
    command: Command | None = None
    metadata: Metadata | None = None
    config: Config | None = None
    stream_mode: Mode | list[Mode] = "values"
    checkpoint: Checkpoint | None = None
    checkpoint_id: Word | None = None
    on_disconnect: Literal["cancel", "continue"] = "continue"
    multitask_strategy: Literal["reject", "interrupt", "rollback", "enqueue"] = "enqueue"
    if_not_exists: Literal["create", "reject"] = "reject"
    interrupt_before: Any = None
    interrupt_after: Any = None
    webhook: str | None = None
    after_seconds: float | None = None

    def check(self) -> None:
        """Raises `RequestError` for what cannot be had here."""
        given = {
            "interrupt_before": self.interrupt_before,
            "interrupt_after": self.interrupt_after,
            "webhook": self.webhook,
            "after_seconds": self.after_seconds,
            "command.update": self.command and self.command.update,
            "command.goto": self.command and self.command.goto,
        }
        if wrong := [name for name, value in given.items() if value]:
            raise RequestError(f"{wrong[0]!r} is not to be had here", param=wrong[0], code="unsupported")
        if self.input is not None and self.resumes:
            raise RequestError("give `input` or `command`, one of them", param="command", code="invalid_value")

    @property
    def resumes(self) -> bool:
        """Whether it answers what a thread waits for."""
        return self.command is not None and self.command.resume is not msgspec.UNSET

    def modes(self) -> frozenset[str]:
        return frozenset([self.stream_mode] if isinstance(self.stream_mode, str) else self.stream_mode)

    def from_checkpoint(self) -> str | None:
        """The checkpoint to go on from."""
        return self.checkpoint_id or (self.checkpoint.checkpoint_id if self.checkpoint else None)


class RunsCancel(msgspec.Struct, kw_only=True):
    """`POST /runs/cancel`"""

    thread_id: Word | None = None
    run_ids: Annotated[list[Word], Meta(max_length=100)] | None = None
    status: Literal["pending", "running", "all"] | None = None
