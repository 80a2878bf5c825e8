"""Threads of the Agent Protocol: made, found, read, changed, copied. Those of agents not open are not there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import msgspec

from hanok.agents.agency import Agency
from hanok.agents.values import Run, Thread
from hanok.errors import RequestError, Unknown
from hanok.gateway.agents.bodies import NewId
from hanok.gateway.agents.protocol.bodies import (
    HistoryQuery,
    StateChange,
    StateQuery,
    ThreadBody,
    ThreadChange,
    ThreadsSearch,
)
from hanok.gateway.agents.protocol.forms import checkpoint_form, interrupts, state_form, thread_form
from hanok.gateway.agents.protocol.messages import read_messages
from hanok.gateway.bodies import decode_body
from hanok.gateway.http import Call
from hanok.wire import Caller

MOST_SEARCHED = 1000
Entered = tuple[Caller, frozenset[str]]
"""Who asks, and the names of the agents that are open to him."""


class Threads:
    """What is done with threads: each method takes a body and gives a form."""

    def __init__(self, agency: Agency, *, new_id: NewId) -> None:
        self._agency = agency
        self._new_id = new_id

    async def create(self, body: bytes, entered: Entered) -> dict[str, Any]:
        """Raises `RequestError` where there is one of that id, and `Unknown` where it is another tenant's."""
        asked = decode_body(body, ThreadBody)
        if asked.supersteps:
            raise RequestError("'supersteps' are not to be had here", param="supersteps", code="unsupported")
        caller, open_to = entered
        metadata = asked.metadata or {}
        if asked.thread_id is not None:
            found = await self._maybe(asked.thread_id, entered)
            if found is not None and asked.if_exists == "raise":
                raise Conflict(f"there is a thread {asked.thread_id!r}", param="thread_id", code="thread_exists")
            if found is not None:
                return await self.form(found)
        id_ = asked.thread_id or self._new_id("thread")
        agent = metadata.get("graph_id") or metadata.get("assistant_id")
        made = Thread(
            id=id_,
            tenant=caller.tenant,
            user=caller.user,
            agent=agent if isinstance(agent, str) and agent in open_to else None,
            metadata=metadata,
        )
        kept = await self._agency.add_thread(made)
        if not await self._is_open(kept, open_to):
            raise Unknown(f"there is no thread {id_!r} here", param="thread_id", code="thread_not_found")
        return thread_form(kept, None, None)

    async def find(self, id_: str, entered: Entered) -> Thread:
        """Raises `Unknown`."""
        caller, open_to = entered
        thread = await self._agency.thread(id_, tenant=caller.tenant)
        if not await self._is_open(thread, open_to):
            raise Unknown(f"there is no thread {id_!r} here", param="thread_id", code="thread_not_found")
        return thread

    async def _is_open(self, thread: Thread, open_to: frozenset[str]) -> bool:
        """Whether its agent is, or that of its latest run where it was made for none."""
        if thread.agent is not None:
            return thread.agent in open_to
        latest = await self.latest(thread)
        return latest is None or latest.agent in open_to

    async def form(self, thread: Thread, *, with_values: bool = True) -> dict[str, Any]:
        """The thread with its state."""
        state = await self._agency.state(thread.id, tenant=thread.tenant) if with_values else None
        return thread_form(thread, await self.latest(thread), None if state is None else state.values)

    async def latest(self, thread: Thread) -> Run | None:
        """The run that was begun last on it."""
        found = await self._agency.runs(tenant=thread.tenant, thread=thread.id, limit=1)
        return found[0] if found else None

    async def change(self, thread: Thread, body: bytes) -> dict[str, Any]:
        """Add to its metadata."""
        asked = decode_body(body, ThreadChange)
        added = {**thread.metadata, **(asked.metadata or {})}
        kept = {name: value for name, value in added.items() if value is not None}
        return await self.form(await self._agency.change_thread(thread.id, tenant=thread.tenant, metadata=kept))

    async def copy(self, thread: Thread) -> dict[str, Any]:
        """A thread of its own with the same in it."""
        return await self.form(await self._agency.copy_thread(thread.id, tenant=thread.tenant))

    async def search(self, body: bytes, entered: Entered) -> list[dict[str, Any]]:
        """One page, the latest used first."""
        asked = decode_body(body, ThreadsSearch)
        _refuse_values(asked)
        with_values = asked.select is None or "values" in asked.select
        threads = await self._fitting(asked, entered, most=asked.offset + asked.limit)
        forms = [await self.form(each, with_values=with_values) for each in threads[asked.offset :]]
        if asked.select is None:
            return forms
        return [{name: form[name] for name in asked.select if name in form} for form in forms]

    async def count(self, body: bytes, entered: Entered) -> int:
        """How many fit, at most a thousand."""
        asked = decode_body(body, ThreadsSearch)
        _refuse_values(asked)
        return len(await self._fitting(asked, entered, most=MOST_SEARCHED))

    async def _fitting(self, asked: ThreadsSearch, entered: Entered, *, most: int) -> list[Thread]:
        caller, open_to = entered
        metadata = dict(asked.metadata or {})
        agent = metadata.pop("graph_id", None) or metadata.pop("assistant_id", None)
        metadata.pop("assistant_id", None)
        found = await self._agency.threads(
            tenant=caller.tenant,
            agent=agent if isinstance(agent, str) else None,
            metadata=metadata or None,
            below=asked.below,
            limit=MOST_SEARCHED,
        )
        shown: list[Thread] = []
        for thread in found:
            if len(shown) == most:
                break
            if await self._is_open(thread, open_to) and await self._is(asked.status, thread):
                shown.append(thread)
        return shown

    async def _is(self, status: str | None, thread: Thread) -> bool:
        return status is None or thread_form(thread, await self.latest(thread), None)["status"] == status

    # states

    async def state(self, thread: Thread, checkpoint: str | None = None) -> dict[str, Any]:
        """Now, or at a checkpoint. Raises `Unknown` where there is no such checkpoint."""
        snapshot = await self._agency.state(thread.id, tenant=thread.tenant, checkpoint=checkpoint)
        if snapshot is None and checkpoint is not None:
            message = f"there is no checkpoint {checkpoint!r} on this thread"
            raise Unknown(message, param="checkpoint_id", code="checkpoint_not_found")
        return state_form(thread.id, snapshot, await self._waiting(thread) if checkpoint is None else ())

    async def state_at(self, thread: Thread, body: bytes) -> dict[str, Any]:
        return await self.state(thread, decode_body(body, StateQuery).checkpoint.checkpoint_id)

    async def change_state(self, thread: Thread, body: bytes) -> dict[str, Any]:
        """As a node would have changed it."""
        asked = decode_body(body, StateChange)
        given = asked.values if isinstance(asked.values, dict) else {"messages": asked.values or []}
        values: Mapping[str, Any] = given
        if "messages" in given:
            values = {**given, "messages": list(read_messages(given["messages"], self._new_id))}
        checkpoint = asked.checkpoint_id or (asked.checkpoint.checkpoint_id if asked.checkpoint else None)
        made = await self._agency.set_state(
            thread.id, dict(values), tenant=thread.tenant, node=asked.as_node, checkpoint=checkpoint
        )
        return {"checkpoint": checkpoint_form(thread.id, made)}

    async def history(self, thread: Thread, body: bytes) -> list[dict[str, Any]]:
        """The latest first."""
        return await self._history(thread, decode_body(body, HistoryQuery))

    async def history_of_query(self, thread: Thread, call: Call) -> list[dict[str, Any]]:
        """The same, asked by GET."""
        given = {name: values[-1] for name, values in parse_qs(call.query).items()}
        limit = given.get("limit", "")
        is_number = limit.isascii() and limit.isdigit() and len(limit) < 10
        told = {**given, "limit": int(limit)} if is_number else given
        return await self._history(thread, decode_body(msgspec.json.encode(told), HistoryQuery))

    async def _history(self, thread: Thread, asked: HistoryQuery) -> list[dict[str, Any]]:
        before = asked.before if isinstance(asked.before, str | None) else asked.before.checkpoint_id
        found = await self._agency.history(thread.id, tenant=thread.tenant, limit=asked.limit, before=before)
        return [state_form(thread.id, each) for each in found]

    async def _waiting(self, thread: Thread) -> list[dict[str, Any]]:
        latest = await self.latest(thread)
        return interrupts(latest) if latest is not None and latest.state == "waiting" else []

    async def _maybe(self, id_: str, entered: Entered) -> Thread | None:
        try:
            return await self.find(id_, entered)
        except Unknown:
            return None


class Conflict(RequestError):
    """It is there already, or busy."""

    status = 409


def _refuse_values(asked: ThreadsSearch) -> None:
    if asked.values:
        raise RequestError("threads are not searched by their values", param="values", code="unsupported")
