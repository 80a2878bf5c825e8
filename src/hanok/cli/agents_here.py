"""Agents of a house in this process, in the forms of the HTTP API."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

import msgspec

from hanok.agents.agency import Agency
from hanok.agents.memory.values import Owner, owner_of
from hanok.agents.process_watch import is_dead, is_own
from hanok.agents.values import Message, Order, Run, Thread
from hanok.cli.agents_reach import Form
from hanok.cli.terminal import talk
from hanok.errors import Unknown
from hanok.gateway.agents.forms import checkpoint_form, event_form, run_form
from hanok.wire import Caller

if TYPE_CHECKING:
    from hanok.agents.memory.remembering import Remembering


class Here:
    """An agency. Runs are begun for `caller`, and seen whoever began them: whoever can read the state folder may."""

    def __init__(self, agency: Agency, caller: Caller, remembering: Remembering | None = None) -> None:
        self._agency = agency
        self._remembering = remembering
        self._caller = caller

    async def graph(self, name: str) -> str:
        return await self._agency.graph(name)

    async def start(self, name: str, order: Form) -> Form:
        said = _said(order.get("input"))
        limits: dict[str, float] = order.get("limits") or {}
        ordered = Order(agent=name, input=said, caller=self._caller, thread=order.get("thread"), limits=limits)
        return run_form(await self._agency.start(ordered))

    async def run(self, id_: str) -> Form:
        return run_form(await self._agency.run(id_, tenant=None))

    async def runs(self, **wanted: Any) -> list[Form]:
        state = wanted.pop("state", None)
        states = [state] if state else None
        return [run_form(run) for run in await self._agency.runs(tenant=None, states=states, **wanted)]

    async def events(self, id_: str, *, after: int = 0, wait: bool = True) -> AsyncGenerator[Form]:
        if wait:
            await self._take_up(id_)
        async for event in self._agency.events(id_, tenant=None, after=after, wait=wait):
            yield event_form(event)

    async def _take_up(self, id_: str) -> None:
        """Nobody else may be there to lead a run whose process has died: it is ordered again by its own id."""
        run = await self._agency.run(id_, tenant=None)
        self._say_if_leased(run)
        if run.state in ("queued", "running") and run.parent is None:
            order = Order(agent=run.agent, input=run.input, caller=run.caller, thread=run.thread, run_id=run.id)
            await self._agency.start(order)

    def _say_if_leased(self, run: Run) -> None:
        """Nothing is heard of a run before the lease of whoever had it is over, unless that process still lives."""
        if run.lease_by and is_own(run.lease_by):
            return
        left_s = run.lease_until - time.time()
        if run.state == "running" and run.lease_by and left_s > 0 and not is_dead(run.lease_by):
            told = f"Another process had {run.id}; if nothing is heard of it within {left_s:.0f} s, it goes on here."
            talk.print(told, highlight=False, soft_wrap=True)

    async def answer(self, id_: str, answers: dict[str, Form]) -> Form:
        return run_form(await self._agency.answer(id_, answers, tenant=None, by=self._caller.key_name))

    async def wish(self, id_: str, wish: str) -> Form:
        return run_form(await getattr(self._agency, wish)(id_, tenant=None))

    async def fork(self, id_: str, order: Form) -> Form:
        run = await self._agency.run(id_, tenant=None)
        thread = await self._agency.copy_thread(run.thread, tenant=None, checkpoint=order["checkpoint"])
        forked = Order(agent=run.agent, input=_said(order.get("input")), caller=run.caller, thread=thread.id)
        return run_form(await self._agency.start(forked))

    async def checkpoints(self, id_: str, *, limit: int) -> list[Form]:
        run = await self._agency.run(id_, tenant=None)
        return [checkpoint_form(each) for each in await self._agency.history(run.thread, tenant=None, limit=limit)]

    async def threads(self, *, agent: str | None, limit: int, below: bool = False) -> list[Form]:
        found = await self._agency.threads(tenant=None, agent=agent, below=below, limit=limit)
        return [_thread_form(each) for each in found]

    async def memories(self, agent: str, *, user: str | None) -> list[Form]:
        remembering, owner = self._remembered(agent, user)
        return await remembering.export(owner)

    async def forget(self, agent: str, *, user: str | None, memory: str | None) -> int:
        remembering, owner = self._remembered(agent, user)
        if memory is None:
            return await remembering.forget_all(owner)
        if not await remembering.forget(owner, memory):
            raise Unknown(f"there is no memory {memory!r}", code="memory_not_found")
        return 1

    def _remembered(self, agent: str, user: str | None) -> tuple[Remembering, Owner]:
        long_term = self._agency.agent(agent).memory.long_term
        if long_term is None or self._remembering is None:
            message = f"agent {agent!r} remembers nothing beyond its threads (`memory.long_term`)"
            raise Unknown(message, code="no_memory")
        caller = msgspec.structs.replace(self._caller, user=user or self._caller.user)
        return self._remembering, owner_of(caller, agent, long_term.scope)


def _said(text: str | None) -> tuple[Message, ...]:
    return () if text is None else ({"id": f"msg_{secrets.token_hex(12)}", "role": "user", "content": text},)


def _thread_form(thread: Thread) -> Form:
    return {
        "id": thread.id,
        "agent": thread.agent,
        "metadata": thread.metadata,
        "created_at": thread.created_at,
        "used_at": thread.used_at,
    }
