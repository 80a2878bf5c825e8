"""What a thread is at its checkpoints: read for people, and changed as a step would."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from langgraph.errors import InvalidUpdateError

from hanok.agents.state import said
from hanok.errors import RequestError, Unknown

_PLAIN = msgspec.json.Encoder(enc_hook=str, order=None)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A thread's state at one of its checkpoints (`agency.Snapshot`)."""

    checkpoint: str
    parent: str | None
    values: dict[str, Any]
    next: tuple[str, ...]
    interrupts: tuple[dict[str, Any], ...]
    metadata: dict[str, Any]
    at: float


async def read_state(graph: Any, thread: str, checkpoint: str | None) -> Checkpoint | None:
    """The thread now, or at that checkpoint; None before its first. Raises `Unknown` for a checkpoint there is not."""
    found = await graph.aget_state(config_of(thread, checkpoint))
    if checkpoint is not None and not found.created_at:
        raise no_checkpoint(thread, checkpoint)
    return _snapshot(found) if found.created_at else None


async def read_history(graph: Any, thread: str, *, limit: int, before: str | None) -> list[Checkpoint]:
    """Its checkpoints, the latest first."""
    earlier = None if before is None else config_of(thread, before)
    states = graph.aget_state_history(config_of(thread), before=earlier, limit=limit)
    return [_snapshot(each) async for each in states]


async def write_state(
    graph: Any, thread: str, values: Mapping[str, Any], *, node: str | None, checkpoint: str | None
) -> str:
    """Change it as that node would have: the new checkpoint. Raises `RequestError` for what the graph does not take."""
    changed = {name: said(*value) if name == "messages" else value for name, value in values.items()}
    try:
        config = await graph.aupdate_state(config_of(thread, checkpoint), changed, as_node=node)
    except InvalidUpdateError as error:
        raise RequestError(str(error), param="as_node", code="invalid_value") from error
    return str(config["configurable"]["checkpoint_id"])


def no_checkpoint(thread: str, checkpoint: str) -> Unknown:
    message = f"thread {thread!r} has no checkpoint {checkpoint!r}"
    return Unknown(message, param="checkpoint", code="checkpoint_not_found")


def config_of(thread: str, checkpoint: str | None = None) -> dict[str, Any]:
    config: dict[str, Any] = {"thread_id": thread, "checkpoint_ns": ""}
    return {"configurable": {**config, "checkpoint_id": checkpoint} if checkpoint else config}


def _snapshot(found: Any) -> Checkpoint:
    parent = found.parent_config["configurable"].get("checkpoint_id") if found.parent_config else None
    return Checkpoint(
        checkpoint=str(found.config["configurable"].get("checkpoint_id") or ""),
        parent=parent,
        values=msgspec.json.decode(_PLAIN.encode(found.values)),
        next=tuple(found.next),
        interrupts=tuple({"id": each.id, "value": each.value} for each in found.interrupts),
        metadata=dict(found.metadata or {}),
        at=_unix(found.created_at),
    )


def _unix(text: str | None) -> float:
    return datetime.fromisoformat(text).timestamp() if text else 0.0
