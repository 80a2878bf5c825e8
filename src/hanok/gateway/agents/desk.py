"""The desk for agents: `/v1/agents` and `/v1/agent-runs`. Starts runs, tells what happens in them, and stops them.

A run goes on whoever watches it. An agent that is not open to a key is answered like one that there is not, and so are
its runs and those of other tenants.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Container, Mapping, Sequence, Set
from contextlib import suppress
from functools import partial
from types import MappingProxyType
from typing import Any, cast, get_args
from urllib.parse import parse_qs

from hanok.agents.agency import Agency
from hanok.agents.values import Order, Run, RunState
from hanok.errors import AgentError, RequestError, Unknown, WrongMethod
from hanok.gateway.agents.bodies import AnswersBody, ForkBody, NewId, StartBody
from hanok.gateway.agents.forms import (
    agent_form,
    checkpoint_form,
    event_form,
    list_form,
    run_form,
    sse,
    whole_agent_form,
)
from hanok.gateway.agents.memories import Memories
from hanok.gateway.agents.ordering import begin, idempotency_key, thread_named
from hanok.gateway.agents.watching import Cancelling, Leave, Watched
from hanok.gateway.bodies import decode_body, with_user
from hanok.gateway.envelope import answer_error, error_event
from hanok.gateway.giving import EVENTS, JSON_TYPE, Giving
from hanok.gateway.http import Call, Header, no_headers
from hanok.gateway.paging import Page, read_page
from hanok.gateway.reception import Reception
from hanok.gateway.relay import relay
from hanok.gateway.replay import Handle
from hanok.ledger import Key
from hanok.wire import Caller, json_bytes

AGENTS, RUNS = "/v1/agents", "/v1/agent-runs"
PAGE, LARGEST_PAGE = 20, 100
LARGEST_PAGE_OF_EVENTS = 1000
LAST_EVENT = b"last-event-id"
_STATES: tuple[RunState, ...] = get_args(RunState)


class Agents:
    """The desk. `agency` is None where no agents are declared, `memories` where nothing is remembered.

    `giving` knows how long a stream may be silent, `leaving` whether the house is shutting down.
    """

    paths: Sequence[str] = (AGENTS, RUNS)
    asks: Set[str] = frozenset(("runs", "stream", "fork"))
    posts: Mapping[str, Handle] = MappingProxyType({})
    answer_error = staticmethod(answer_error)
    error_event = staticmethod(error_event)
    also = staticmethod(no_headers)

    def __init__(
        self,
        agency: Agency | None,
        *,
        reception: Reception,
        giving: Giving,
        new_id: NewId,
        leaving: Callable[[], bool],
        memories: Memories | None = None,
    ) -> None:
        self._declared = agency
        self._memories = memories
        self._reception = reception
        self._giving = giving
        self._new_id = new_id
        self._leaving = leaving

    async def __call__(self, call: Call) -> None:
        """Answer one call. Raises `RequestError` and what an agency raises."""
        key = self._reception.find_key(call)
        path = call.path.rstrip("/")
        if self._declared is None:
            await self._answer_without_agents(call, path)
            return
        if path == RUNS or path.startswith(f"{RUNS}/"):
            await self._at_runs(call, key, path.removeprefix(RUNS).strip("/").split("/"))
        else:
            await self._at_agents(call, key, path.removeprefix(AGENTS).strip("/").split("/"))

    @property
    def _agency(self) -> Agency:
        assert self._declared is not None
        return self._declared

    @property
    def _cancelling(self) -> Cancelling:
        return Cancelling(self._agency, self._leaving)

    async def _answer_without_agents(self, call: Call, path: str) -> None:
        if call.method != "GET" or path not in self.paths:
            raise Unknown(f"there is nothing at {call.path}: no agents are declared", code="not_found")
        await _reply(call, list_form([]))

    async def _at_agents(self, call: Call, key: Key, rest: list[str]) -> None:
        match call.method, rest:
            case "GET", [""]:
                await self._list_agents(call, key)
            case "GET", [name]:
                await self._show_agent(call, key, name)
            case "POST", [name, "runs"]:
                await self._start(call, key, name, streams=False)
            case "POST", [name, "runs", "stream"]:
                await self._start(call, key, name, streams=True)
            case "GET", [name, "runs"]:
                await self._list_runs(call, key, self._open(name, key))
            case _, [name, "memories", *below]:
                await self._tell_memories(call, key, name, below)
            case _, [_]:
                raise WrongMethod(call.path, "GET")
            case _, [_, "runs"]:
                raise WrongMethod(call.path, "GET, POST")
            case _, [_, "runs", "stream"]:
                raise WrongMethod(call.path, "POST")
            case _:
                raise _nothing(call)

    async def _at_runs(self, call: Call, key: Key, rest: list[str]) -> None:
        if rest == [""]:
            if call.method != "GET":
                raise WrongMethod(call.path, "GET", f"a run is started at {AGENTS}/NAME/runs")
            await self._list_runs(call, key, None)
            return
        own, *rest = rest
        run = await self._find(own, key, self._reception.caller(call, key))
        match call.method, rest:
            case "GET", []:
                await _reply(call, run_form(run))
            case "GET", ["events"]:
                await self._tell_events(call, run)
            case "GET", ["checkpoints"]:
                await self._list_checkpoints(call, run)
            case "POST", ["answers"]:
                await self._answer(call, key, run)
            case "POST", ["cancel" | "pause" | "resume" as wish]:
                changed = await getattr(self._agency, wish)(run.id, tenant=run.tenant)
                await _reply(call, run_form(changed))
            case "POST", ["fork"]:
                await self._fork(call, key, run)
            case _, [] | ["events" | "checkpoints"]:
                raise WrongMethod(call.path, "GET")
            case _, ["answers" | "cancel" | "pause" | "resume" | "fork"]:
                raise WrongMethod(call.path, "POST")
            case _:
                raise _nothing(call)

    # agents

    async def _list_agents(self, call: Call, key: Key) -> None:
        open_to = self._reception.agents(key)
        forms = [agent_form(agent) for agent in self._agency.agents() if agent.name in open_to]
        await _reply(call, {"object": "list", "data": forms})

    async def _show_agent(self, call: Call, key: Key, name: str) -> None:
        agent = self._agency.agent(self._open(name, key))
        graph = problem = None
        try:
            graph = await self._agency.graph(name)
        except AgentError as error:
            problem = str(error)
        await _reply(call, whole_agent_form(agent, graph, problem))

    async def _tell_memories(self, call: Call, key: Key, name: str, below: list[str]) -> None:
        agent = self._agency.agent(self._open(name, key))
        if self._memories is None:
            raise _nothing(call)
        caller = self._reception.caller(call, key)
        await _reply(call, await self._memories.answer(call, agent, caller, below))

    def _open(self, name: str, key: Key) -> str:
        """The name, where that agent is open to the key. Raises `Unknown`."""
        if name not in self._reception.agents(key):
            raise Unknown(f"there is no agent {name!r}; see {AGENTS}", param="agent", code="agent_not_found")
        return name

    # beginning a run

    async def _start(self, call: Call, key: Key, name: str, *, streams: bool) -> None:
        caller = self._reception.caller(call, key)
        self._open(name, key)
        body = decode_body(await self._reception.body(call), StartBody)
        body.check()
        caller = with_user(caller, body.user)
        order = Order(
            agent=name,
            input=body.new_messages(self._new_id),
            caller=caller,
            thread=await self._thread(name, body, caller),
            limits=body.limits.as_dict(),
            metadata=body.metadata,
        )
        run = await begin(self._agency, order, once=idempotency_key(call))
        await self._give(call, run, body, streams=streams)

    async def _thread(self, agent: str, body: StartBody, caller: Caller) -> str | None:
        if body.session is None:
            return body.thread
        return (await thread_named(self._agency, agent, body.session, caller))[0]

    async def _fork(self, call: Call, key: Key, run: Run) -> None:
        caller = self._reception.caller(call, key)
        body = decode_body(await self._reception.body(call), ForkBody)
        caller = with_user(caller, body.user)
        thread = await self._agency.copy_thread(run.thread, tenant=run.tenant, checkpoint=body.checkpoint)
        order = Order(
            agent=run.agent,
            input=body.new_messages(self._new_id),
            caller=caller,
            thread=thread.id,
            limits=body.limits.as_dict(),
            metadata={**body.metadata, "forked_from": run.id},
        )
        forked = await begin(self._agency, order, once=idempotency_key(call))
        await self._give(call, forked, body, streams=False)

    async def _give(self, call: Call, run: Run, body: StartBody | ForkBody, *, streams: bool) -> None:
        leave = self._cancelling.leave(run, body.cancel_on_disconnect)
        place = (b"content-location", f"{RUNS}/{run.id}".encode())
        if streams or body.stream:
            watched = Watched(self._written(run, 0), name=run.agent, leave=leave)
            await self._relay(call, watched, place)
            return
        if body.wait:
            run = await self._waited(run, body.wait, leave)
        await call.reply(200 if run.ended else 202, json_bytes(run_form(run)), JSON_TYPE, place)

    async def _waited(self, run: Run, wait_s: float, leave: Leave | None) -> Run:
        """The run, when it has ended or waits for a person, or as it is when the time is up."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    return await self._agency.ended(run.id, tenant=run.tenant)
        except asyncio.CancelledError:
            if leave is not None:
                await asyncio.shield(leave())
            raise
        return await self._agency.run(run.id, tenant=run.tenant)

    # runs

    async def _find(self, own: str, key: Key, caller: Caller) -> Run:
        run = await self._agency.run(own, tenant=caller.tenant)
        if run.agent not in self._reception.agents(key):
            raise unknown_run(own)
        return run

    async def _list_runs(self, call: Call, key: Key, agent: str | None) -> None:
        tenant = self._reception.caller(call, key).tenant
        given = {name: values[-1] for name, values in parse_qs(call.query).items()}
        page = read_page(call, limit=PAGE, most=LARGEST_PAGE)
        search = partial(
            self._agency.runs,
            tenant=tenant,
            agent=agent or given.get("agent"),
            thread=given.get("thread"),
            states=_states(given.get("state")),
            parent=given.get("parent"),
        )
        found = await _open_ones(search, self._reception.agents(key), page)
        forms = [run_form(run) for run in found[: page.limit]]
        last = forms[-1]["id"] if forms else None
        await _reply(call, list_form(forms, more=len(found) > page.limit, last=last))

    async def _list_checkpoints(self, call: Call, run: Run) -> None:
        page = read_page(call, limit=PAGE, most=LARGEST_PAGE)
        found = await self._agency.history(run.thread, tenant=run.tenant, limit=page.limit + 1, before=page.after)
        forms = [checkpoint_form(each) for each in found[: page.limit]]
        last = forms[-1]["id"] if forms else None
        await _reply(call, list_form(forms, more=len(found) > page.limit, last=last))

    async def _answer(self, call: Call, key: Key, run: Run) -> None:
        body = decode_body(await self._reception.body(call), AnswersBody)
        by = self._reception.caller(call, key).user or key.name
        await _reply(call, run_form(await self._agency.answer(run.id, body.as_dict(), tenant=run.tenant, by=by)))

    # events

    async def _tell_events(self, call: Call, run: Run) -> None:
        given = {name: values[-1] for name, values in parse_qs(call.query).items()}
        after = read_number("after", call.headers.get(LAST_EVENT, b"").decode("latin-1") or given.get("after", "0"))
        if given.get("stream") == "true" or b"text/event-stream" in call.headers.get(b"accept", b""):
            leave = self._cancelling.leave(run, given.get("cancel_on_disconnect") == "true")
            await self._relay(call, Watched(self._written(run, after), name=run.agent, leave=leave))
            return
        most = read_number("limit", given.get("limit", str(LARGEST_PAGE_OF_EVENTS)), most=LARGEST_PAGE_OF_EVENTS)
        forms: list[dict[str, Any]] = []
        async for event in self._agency.events(run.id, tenant=run.tenant, after=after, wait=False):
            if len(forms) == most:
                await _reply(call, _events_page(forms, more=True))
                return
            forms.append(event_form(event))
        await _reply(call, _events_page(forms, more=False))

    async def _written(self, run: Run, after: int) -> AsyncGenerator[bytes]:
        async for event in self._agency.events(run.id, tenant=run.tenant, after=after):
            yield sse(event)

    async def _relay(self, call: Call, watched: Watched, *headers: Header) -> None:
        told = [*EVENTS, *headers]
        await relay(call, at_once(watched), headers=lambda _: told, keep_alive_s=self._giving.keep_alive_s)


async def at_once(watched: Watched) -> Watched:
    """A stream that needs no opening."""
    return watched


def read_number(name: str, text: str, *, most: int = 2**53) -> int:
    """A whole number of a query or header. Raises `RequestError`."""
    if not text.isascii() or not text.isdigit() or len(text) > 16 or int(text) > most:
        raise RequestError(f"`{name}` is a whole number, at most {most:,}", param=name, code="invalid_value")
    return int(text)


def unknown_run(own: str) -> Unknown:
    """There is no such run, or it is somebody else's."""
    return Unknown(f"there is no run {own[:100]!r} here", param="run", code="run_not_found")


async def _open_ones(search: Callable[..., Awaitable[list[Run]]], open_to: Container[str], page: Page) -> list[Run]:
    """One more than the page has, of agents that are open: nothing of the others, not even an id to go on from."""
    found: list[Run] = []
    before, most = page.after, page.limit + 1
    while len(found) < most:
        part = await search(limit=most, before=before)
        found += [run for run in part if run.agent in open_to]
        if len(part) < most:
            break
        before = part[-1].id
    return found[:most]


def _states(given: str | None) -> Sequence[RunState] | None:
    """States with commas between. Raises `RequestError`."""
    if not given:
        return None
    states = [each.strip() for each in given.split(",")]
    if wrong := [each for each in states if each not in _STATES]:
        message = f"there is no state {wrong[0]!r}: one of {', '.join(_STATES)}"
        raise RequestError(message, param="state", code="invalid_value")
    return cast("Sequence[RunState]", states)


def _events_page(forms: Sequence[dict[str, Any]], *, more: bool) -> dict[str, Any]:
    return {"object": "list", "data": list(forms), "has_more": more, "last_seq": forms[-1]["seq"] if forms else None}


async def _reply(call: Call, form: dict[str, Any]) -> None:
    await call.reply(200, json_bytes(form), JSON_TYPE)


def _nothing(call: Call) -> Unknown:
    return Unknown(f"there is nothing at {call.path}; see /openapi.json", code="not_found")
