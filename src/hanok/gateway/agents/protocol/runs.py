"""Runs of the Agent Protocol: begun, resumed, waited for, streamed, called off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

from hanok.agents.agency import Agency
from hanok.agents.values import Order, Run, RunState, Thread
from hanok.errors import RequestError, Unknown
from hanok.gateway.agents.bodies import NewId
from hanok.gateway.agents.ordering import begin, idempotency_key
from hanok.gateway.agents.protocol.bodies import RunCreate, RunsCancel
from hanok.gateway.agents.protocol.forms import STATUSES, run_form
from hanok.gateway.agents.protocol.messages import read_messages
from hanok.gateway.agents.protocol.resuming import read_resume, single
from hanok.gateway.agents.protocol.streaming import stream_run, waited_form
from hanok.gateway.agents.protocol.threads import Conflict, Entered, Threads
from hanok.gateway.agents.watching import Cancelling, Leave, Watched
from hanok.gateway.bodies import decode_body
from hanok.gateway.giving import EVENTS, JSON_TYPE, Giving
from hanok.gateway.http import Call, Header
from hanok.gateway.relay import relay
from hanok.wire import json_bytes

_GOING: tuple[RunState, ...] = ("queued", "running")
_STATES_OF: Mapping[str, Sequence[RunState]] = {"pending": ("queued",), "running": ("running",), "all": _GOING}
MOST_LISTED = 1000
LAST_EVENT = b"last-event-id"


class Begun:
    """A run that was begun or goes on, and after which of its events its caller has it told."""

    def __init__(self, run: Run, asked: RunCreate, after: int = 0) -> None:
        self.run = run
        self.asked = asked
        self.after = after


class ProtocolRuns:
    """What is done with runs. `giving` knows how long a stream may be silent."""

    def __init__(
        self, agency: Agency, *, threads: Threads, giving: Giving, new_id: NewId, leaving: Callable[[], bool]
    ) -> None:
        self._agency = agency
        self._threads = threads
        self._giving = giving
        self._new_id = new_id
        self._cancelling = Cancelling(agency, leaving)

    # beginning

    async def create(self, call: Call, body: bytes, thread_id: str | None, entered: Entered) -> None:
        begun = await self._begin(call, body, thread_id, entered)
        await call.reply(200, json_bytes(run_form(begun.run)), JSON_TYPE, _place(begun.run))

    async def wait(self, call: Call, body: bytes, thread_id: str | None, entered: Entered) -> None:
        begun = await self._begin(call, body, thread_id, entered)
        await self._give_waited(call, begun.run, self._leave(begun))

    async def stream(self, call: Call, body: bytes, thread_id: str | None, entered: Entered) -> None:
        begun = await self._begin(call, body, thread_id, entered)
        pieces = stream_run(self._agency, begun.run, begun.asked.modes(), after=begun.after)
        await self._relay(call, begun.run, pieces, self._leave(begun))

    async def _begin(self, call: Call, body: bytes, thread_id: str | None, entered: Entered) -> Begun:
        asked = decode_body(body, RunCreate)
        asked.check()
        caller, open_to = entered
        if asked.assistant_id not in open_to:
            raise unknown_assistant(asked.assistant_id)
        thread = await self._thread(thread_id, asked, entered)
        if asked.resumes:
            return await self._resume(asked, thread, entered)
        if thread is not None:
            await self._make_way(asked, thread)
        given = (asked.input or {}).get("messages")
        order = Order(
            agent=asked.assistant_id,
            input=() if given is None else read_messages(given, self._new_id),
            caller=caller,
            thread=None if thread is None else thread.id,
            checkpoint=asked.from_checkpoint(),
            limits=self._limits(asked),
            metadata=asked.metadata or {},
        )
        _refuse_other_input(asked)
        return Begun(await begin(self._agency, order, once=idempotency_key(call)), asked)

    async def _thread(self, thread_id: str | None, asked: RunCreate, entered: Entered) -> Thread | None:
        if thread_id is None:
            return None
        try:
            return await self._threads.find(thread_id, entered)
        except Unknown:
            if asked.if_not_exists == "reject":
                raise
        caller, _ = entered
        made = Thread(id=thread_id, tenant=caller.tenant, user=caller.user, agent=asked.assistant_id)
        return await self._agency.add_thread(made)

    async def _resume(self, asked: RunCreate, thread: Thread | None, entered: Entered) -> Begun:
        """Answer what the thread's run waits for: the same run goes on, told from here on."""
        if thread is None:
            raise RequestError("a run without a thread cannot be resumed", param="command", code="invalid_value")
        waiting: tuple[RunState, ...] = ("waiting",)
        run = single(await self._agency.runs(tenant=thread.tenant, thread=thread.id, states=waiting, limit=1))
        assert asked.command is not None
        answers = read_resume(asked.command.resume, run)
        after = 0
        async for event in self._agency.events(run.id, tenant=run.tenant, wait=False):
            after = event.seq
        caller, _ = entered
        by = caller.user or caller.key_name
        return Begun(await self._agency.answer(run.id, answers, tenant=run.tenant, by=by), asked, after)

    async def _make_way(self, asked: RunCreate, thread: Thread) -> None:
        """What becomes of a run that is going on on the thread. Raises `Conflict`."""
        if asked.multitask_strategy == "enqueue":
            return
        going = await self._agency.runs(tenant=thread.tenant, thread=thread.id, states=_GOING)
        if going and asked.multitask_strategy == "reject":
            raise Conflict(f"the thread is busy with {going[0].id}", param="multitask_strategy", code="thread_busy")
        for run in going:
            await self._agency.cancel(run.id, tenant=run.tenant)

    def _limits(self, asked: RunCreate) -> dict[str, float]:
        """`recursion_limit` holds where it is less than the agent's own."""
        most = asked.config.recursion_limit if asked.config else None
        declared = self._agency.agent(asked.assistant_id).limits.steps
        return {} if most is None or most >= declared else {"steps": most}

    # what there is

    async def find(self, thread: Thread, own: str) -> Run:
        """Raises `Unknown`."""
        run = await self._agency.run(own, tenant=thread.tenant)
        if run.thread != thread.id:
            raise Unknown(f"there is no run {own!r} on this thread", param="run_id", code="run_not_found")
        return run

    async def list(self, call: Call, thread: Thread) -> list[dict[str, Any]]:
        given = {name: values[-1] for name, values in parse_qs(call.query).items()}
        limit, offset = _number(given, "limit", 10), _number(given, "offset", 0)
        status = given.get("status")
        states: list[RunState] | None = None
        if status is not None:
            states = [state for state, told in STATUSES.items() if told == status]
        found = await self._agency.runs(
            tenant=thread.tenant, thread=thread.id, states=states, limit=min(limit + offset, MOST_LISTED)
        )
        return [run_form(run) for run in found[offset:]]

    async def join(self, call: Call, run: Run) -> None:
        await self._give_waited(call, run, None)

    async def join_stream(self, call: Call, run: Run) -> None:
        """From the beginning, or after the last event that was seen."""
        given = parse_qs(call.query)
        seen = call.headers.get(LAST_EVENT, b"").decode("latin-1")
        after = int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 16 else 0
        cancels = given.get("cancel_on_disconnect", [""])[-1].lower() in ("true", "1")
        modes = frozenset(given.get("stream_mode") or ("values", "messages-tuple", "updates", "custom"))
        await self._relay(
            call, run, stream_run(self._agency, run, modes, after=after), self._cancelling.leave(run, cancels)
        )

    async def cancel(self, call: Call, run: Run) -> None:
        waits = parse_qs(call.query).get("wait", ["0"])[-1].lower() in ("1", "true")
        run = await self._agency.cancel(run.id, tenant=run.tenant)
        if waits and not run.ended:
            await self._agency.ended(run.id, tenant=run.tenant)
        await call.reply(204, b"")

    async def cancel_many(self, body: bytes, entered: Entered) -> None:
        """Those of a thread by their ids, or all of a status."""
        asked = decode_body(body, RunsCancel)
        caller, open_to = entered
        if asked.run_ids is not None:
            found = [await self._agency.run(own, tenant=caller.tenant) for own in asked.run_ids]
        else:
            found = await self._agency.runs(
                tenant=caller.tenant,
                thread=asked.thread_id,
                states=_STATES_OF[asked.status or "all"],
                limit=MOST_LISTED,
            )
        for run in found:
            if run.agent in open_to and asked.thread_id in (None, run.thread):
                await self._agency.cancel(run.id, tenant=run.tenant)

    # giving

    async def _give_waited(self, call: Call, run: Run, leave: Leave | None) -> None:
        """The thread's values, when the run has ended or waits; white space until then."""
        watched = Watched(self._waited(run), name=run.agent, leave=leave)
        headers = [JSON_TYPE, *_places(run, "join")]
        await relay(
            call, _at_once(watched), headers=lambda _: headers, keep_alive_s=self._giving.keep_alive_s, comment=b"\n"
        )

    async def _waited(self, run: Run) -> AsyncGenerator[bytes]:
        run = await self._agency.ended(run.id, tenant=run.tenant)
        state = await self._agency.state(run.thread, tenant=run.tenant)
        yield json_bytes(waited_form(run, {} if state is None else state.values))

    async def _relay(self, call: Call, run: Run, pieces: AsyncGenerator[bytes], leave: Leave | None) -> None:
        watched = Watched(pieces, name=run.agent, leave=leave)
        headers = [*EVENTS, *_places(run, "stream")]
        await relay(call, _at_once(watched), headers=lambda _: headers, keep_alive_s=self._giving.keep_alive_s)

    def _leave(self, begun: Begun) -> Leave | None:
        return self._cancelling.leave(begun.run, begun.asked.on_disconnect == "cancel")


async def _at_once(watched: Watched) -> Watched:
    await asyncio.sleep(0)
    return watched


def unknown_assistant(own: str) -> Unknown:
    """There is no such agent, or it is not open to the key."""
    return Unknown(f"there is no assistant {own[:100]!r} here", param="assistant_id", code="assistant_not_found")


def _refuse_other_input(asked: RunCreate) -> None:
    if other := [name for name in asked.input or {} if name != "messages"]:
        message = f"input.{other[0]}: an agent is given `messages`, nothing else"
        raise RequestError(message, param=f"input.{other[0]}", code="unsupported")


def _place(run: Run) -> Header:
    """Where the run is, below the base URL that clients were given: they put that before it."""
    return (b"content-location", f"/threads/{run.thread}/runs/{run.id}".encode())


def _places(run: Run, rest: str) -> list[Header]:
    """The same, and where a client goes on whose connection breaks."""
    return [_place(run), (b"location", f"/threads/{run.thread}/runs/{run.id}/{rest}".encode())]


def _number(given: dict[str, str], name: str, usual: int) -> int:
    text = given.get(name, str(usual))
    if not text.isascii() or not text.isdigit() or len(text) > 4:
        raise RequestError(f"`{name}` is a whole number below 10,000", param=name, code="invalid_value")
    return int(text)
