"""The layer that gives calls to agents: `model: agent/NAME` starts a run, and its answer is the answer.

It stands above everything that answers itself; whatever the run asks of models goes its own way, in the caller's name,
and is admitted, charged and traced there. A call that names no agent passes with one look-up. Who goes away cancels
the run: nobody else knows of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Self

from hanok.agents.agency import Agency
from hanok.agents.values import Event, Order, Run
from hanok.errors import RunFailed
from hanok.gateway.access import AGENT
from hanok.gateway.agents.asking import read_asking
from hanok.gateway.agents.bodies import NewId
from hanok.gateway.agents.delegated_form import chat_body, chat_end, piece_event
from hanok.gateway.agents.forms import usage_of
from hanok.gateway.agents.ordering import thread_named
from hanok.gateway.agents.talking import Piece, Talk
from hanok.gateway.given import Given, Models
from hanok.ledger import Hold, MeteredResult
from hanok.spec import Platform
from hanok.wire import ChatRequest, Chunk, Kept, TaskRequest, Tier


class Delegated:
    """Gives calls to agents. `wall` gives Unix seconds, `new_id` makes ids."""

    def __init__(self, inner: Models, *, new_id: NewId, wall: Callable[[], float] = time.time) -> None:
        self.inner = inner
        self._agency: Agency | None = None
        self._new_id = new_id
        self._wall = wall
        self._names: frozenset[str] = frozenset()

    def change(self, platform: Platform, agency: Agency | None) -> None:
        """Go on with these agents; `agency` is None where none are declared."""
        self._agency = agency
        self._names = frozenset(f"{AGENT}{agent.name}" for agent in platform.agents if agency is not None)

    def open(self, request: ChatRequest) -> Coroutine[Any, Any, Given]:
        """Raises as the layer below does, as `Agency.start` does, and `RunFailed`."""
        return self._open(request) if request.model in self._names else self.inner.open(request)

    def perform(self, request: TaskRequest) -> Coroutine[Any, Any, MeteredResult]:
        """Tasks are none of agents' business."""
        return self.inner.perform(request)

    async def _open(self, request: ChatRequest) -> DelegatedAnswer:
        agency = self._agency
        assert agency is not None
        run = await agency.start(await self._order(agency, request))
        answer = DelegatedAnswer(agency, run, request, created=int(self._wall()))
        try:
            await answer.begin()
        except BaseException:
            await answer.aclose()
            raise
        return answer

    async def _order(self, agency: Agency, request: ChatRequest) -> Order:
        asking = read_asking(request, self._new_id)
        agent, caller = request.model.removeprefix(AGENT), request.caller
        name = asking.thread or caller.session
        if name is None:
            return Order(agent=agent, input=asking.messages, caller=caller)
        thread, is_new = await thread_named(agency, agent, name, caller)
        # one that was made for an order that was refused has nothing in it yet
        known = not is_new and await agency.runs(tenant=caller.tenant, thread=thread, limit=1)
        said = asking.latest() if known else asking.messages
        return Order(agent=agent, input=said, caller=caller, thread=thread)


class DelegatedAnswer:
    """A run as an answer in OpenAI's chat form. Opened when there is something to tell."""

    def __init__(self, agency: Agency, run: Run, request: ChatRequest, *, created: int) -> None:
        self._agency = agency
        self._run = run
        self._request = request
        self._created = created
        self._events: AsyncIterator[Event] = agency.events(run.id, tenant=run.tenant)
        self._talk = Talk(agency.agent(run.agent).pattern)
        self._waiting: list[Piece] = []
        self._told = self._over = False
        self.model = self.endpoint = request.model
        self.kept: Kept | None = None
        self.tier: Tier | None = None
        self.hold: Hold | None = None

    @property
    def cost_nano_usd(self) -> int:
        """What the whole run has cost, when it is over."""
        return self._run.used.cost_nano_usd

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        if self._over:
            raise StopAsyncIteration
        return await (self._next_piece() if self._request.stream else self._whole())

    async def begin(self) -> None:
        """Wait for the first that can be told. Raises `RunFailed` when the run fails before."""
        while self._request.stream and not self._waiting and await self._listen():
            pass

    async def aclose(self) -> None:
        """Cancel the run if its answer was not told to the end."""
        if not self._over:
            self._over = True
            await asyncio.shield(self._agency.cancel(self._run.id, tenant=self._run.tenant))

    async def _whole(self) -> Chunk:
        while await self._listen():
            pass
        self._over = True
        usage = usage_of(self._run.used)
        return Chunk(chat_body(self._request, self._run, self._talk, created=self._created), 0, usage, True)

    async def _next_piece(self) -> Chunk:
        while not self._waiting and await self._listen():
            pass
        if self._waiting:
            pieces, self._waiting = self._waiting, []
            data = b"".join(self._event(piece) for piece in pieces)
            return Chunk(data, len(pieces))
        self._over = True
        data = chat_end(self._request, self._run, self._talk, created=self._created)
        return Chunk(data, 0, usage_of(self._run.used), True)

    def _event(self, piece: Piece) -> bytes:
        first, self._told = not self._told, True
        return piece_event(self._request, piece, first=first, created=self._created)

    async def _listen(self) -> bool:
        """Hear what comes next; False when nothing comes any more. Raises `RunFailed`."""
        if self._events is _NOTHING:
            return False
        try:
            event = await self._events.__anext__()
        except StopAsyncIteration:
            self._events = _NOTHING
            await self._finish()
            return bool(self._waiting)
        self._waiting += self._talk.hear(event)
        return True

    async def _finish(self) -> None:
        run = self._run = await self._agency.run(self._run.id, tenant=self._run.tenant)
        if run.state in ("failed", "cancelled"):
            self._over = True
            said = run.error or run.reason or "it was called off"
            raise RunFailed(f"the run {run.id} of the agent {run.agent!r} {_ENDS[run.state]}: {said}")
        self._waiting += self._talk.end(run)


_ENDS = {"failed": "failed", "cancelled": "was cancelled"}


class _Nothing:
    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        raise StopAsyncIteration


_NOTHING = _Nothing()
