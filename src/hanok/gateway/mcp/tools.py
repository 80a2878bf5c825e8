"""What a key may use over MCP: `search_NAME` for each knowledge base that it opens, `ask_NAME` for each agent.

A run that is asked for goes on whether anybody waits for it or not: who does not want to wait is told its id, and asks
again by it. In the protocol of 2026 who closes the stream of an answer cancels what was asked, and so the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from hanok.agents.agency import Agency
from hanok.agents.tools.knowledge import told
from hanok.agents.tools.mcp_names import fit_name
from hanok.agents.values import Order, Run
from hanok.errors import HanokError, RequestError
from hanok.gateway.agents.bodies import NewId
from hanok.gateway.agents.desk import unknown_run
from hanok.gateway.agents.forms import used_form, wanted_form
from hanok.gateway.agents.ordering import begin
from hanok.gateway.bodies import decode_body
from hanok.gateway.knowledge import MOST_PASSAGES, SearchBody, found_form
from hanok.gateway.reception import Reception
from hanok.knowledge.finding.finder import LONGEST_QUESTION
from hanok.knowledge.library import Library
from hanok.knowledge.values import Found
from hanok.ledger import Key
from hanok.spec import Agent
from hanok.spec import Knowledge as Base
from hanok.wire import Caller, json_bytes

LONGEST_TASK = 200_000
LONGEST_WAIT_S = 3600.0
_FAILED = ("failed", "cancelled")
_SEARCH = MappingProxyType(
    {
        "type": "object",
        "properties": {
            "query": {"type": "string", "minLength": 1, "maxLength": LONGEST_QUESTION, "description": "What to find."},
            "k": {"type": "integer", "minimum": 1, "maximum": MOST_PASSAGES, "description": "Passages to give."},
            "filters": {
                "type": "object",
                "description": 'Only passages that fit, as {"type": "eq", "key": "lang", "value": "en"}; several '
                'together as {"type": "and", "filters": [...]}.',
            },
        },
        "required": ["query"],
        "additionalProperties": False,
    }
)
_ASK = MappingProxyType(
    {
        "type": "object",
        "properties": {
            "task": {"type": "string", "minLength": 1, "maxLength": LONGEST_TASK, "description": "What to do."},
            "thread": {"type": "string", "description": "Go on with the conversation of that id."},
            "run": {"type": "string", "description": "Instead of a task: wait for the run of that id."},
            "wait_s": {
                "type": "number",
                "minimum": 0,
                "maximum": LONGEST_WAIT_S,
                "description": "Seconds to wait for the answer; by default until it is there.",
            },
        },
        "additionalProperties": False,
    }
)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How a tool is called. `once` is the same where a call is repeated; `progress` takes a step and a word on it.

    `cancels` says whether who goes away has cancelled what he asked.
    """

    caller: Caller
    once: bytes | None
    progress: Callable[[int, str], Awaitable[None]]
    cancels: bool


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a tool gives back: a text for models, and the same for machines."""

    text: str
    data: dict[str, Any] = field(default_factory=dict[str, Any])
    failed: bool = False


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A tool that a key may use. `use` takes arguments; raises `HanokError`."""

    name: str
    title: str
    description: str
    parameters: Mapping[str, Any]
    reads_only: bool
    use: Callable[[Mapping[str, Any], Asked], Awaitable[Told]]


class AskBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The arguments of `ask_NAME`: a task, or a run to wait for."""

    task: Annotated[str, Meta(min_length=1, max_length=LONGEST_TASK)] | None = None
    thread: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    run: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    wait_s: Annotated[float, Meta(ge=0, le=LONGEST_WAIT_S)] | None = None


class McpTools:
    """Tools over knowledge and agents. `agency` gives None where no agents are declared; `leaving` says that the house
    is shutting down, so that a stream that ends is nobody's wish."""

    def __init__(
        self,
        *,
        library: Library,
        agency: Callable[[], Agency | None],
        reception: Reception,
        new_id: NewId,
        leaving: Callable[[], bool],
    ) -> None:
        self._library = library
        self._agency = agency
        self._reception = reception
        self._new_id = new_id
        self._leaving = leaving

    def open_to(self, key: Key) -> dict[str, Offer]:
        """The tools that this key may use, by their names."""
        knowledge, agents = self._reception.knowledge(key), self._reception.agents(key)
        offers = [self._search_offer(base) for base in self._library.bases if base.name in knowledge]
        if (agency := self._agency()) is not None:
            offers += [self._ask_offer(agent, agency) for agent in agency.agents() if agent.name in agents]
        return {offer.name: offer for offer in offers}

    def _search_offer(self, base: Base) -> Offer:
        return Offer(
            name=fit_name(f"search_{base.name}", None),
            title=f"Search {base.name}",
            description=f"Find passages in the knowledge base {base.name!r}. {base.description}".strip(),
            parameters=_SEARCH,
            reads_only=True,
            use=partial(self._search, base.name),
        )

    def _ask_offer(self, agent: Agent, agency: Agency) -> Offer:
        return Offer(
            name=fit_name(f"ask_{agent.name}", None),
            title=f"Ask {agent.name}",
            description=f"Give a task to the agent {agent.name!r}; it answers when it is done. "
            f"{agent.description}".strip(),
            parameters=_ASK,
            reads_only=False,
            use=partial(self._ask, agency, agent.name),
        )

    async def _search(self, base: str, arguments: Mapping[str, Any], asked: Asked) -> Told:
        body = decode_body(json_bytes(arguments), SearchBody)
        found = await self._library.search(body.question(base, asked.caller))
        return Told(text="\n\n".join([told(found.hits, base), *_notes(found)]), data=found_form(found))

    async def _ask(self, agency: Agency, agent: str, arguments: Mapping[str, Any], asked: Asked) -> Told:
        body = decode_body(json_bytes(arguments), AskBody)
        if (body.task is None) == (body.run is None):
            raise RequestError("give `task` or `run`, one of them", param="task", code="invalid_value")
        run = await self._run_of(agency, agent, body, asked)
        return told_of(await self._waited(agency, run, body.wait_s, asked))

    async def _run_of(self, agency: Agency, agent: str, body: AskBody, asked: Asked) -> Run:
        """The run that was asked for, begun or found."""
        if body.run is not None:
            run = await agency.run(body.run, tenant=asked.caller.tenant)
            if run.agent != agent:
                raise unknown_run(body.run)
            return run
        message = {"role": "user", "content": body.task, "id": self._new_id("msg")}
        order = Order(agent=agent, input=(message,), caller=asked.caller, thread=body.thread)
        return await begin(agency, order, once=asked.once)

    async def _waited(self, agency: Agency, run: Run, wait_s: float | None, asked: Asked) -> Run:
        """The run when it has ended, waits for a person, or the time is up."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    async for event in agency.events(run.id, tenant=run.tenant):
                        if event.type == "step":
                            step = int(event.data.get("step", 0))
                            await asked.progress(step, f"step {step}: {event.data.get('node', '')}")
        except asyncio.CancelledError:
            if asked.cancels and not self._leaving():
                await asyncio.shield(agency.cancel(run.id, tenant=run.tenant))
            raise
        return await agency.run(run.id, tenant=run.tenant)


def told_of(run: Run) -> Told:
    """How it is with a run, as a model reads it."""
    data = {
        "run": run.id,
        "thread": run.thread,
        "state": run.state,
        "answer": run.answer,
        "reason": run.reason,
        "wanted": wanted_form(run),
        "usage": used_form(run.used),
    }
    return Told(text=_text_of_run(run), data=data, failed=run.state in _FAILED)


def failure_of(error: HanokError) -> Told:
    """What went wrong, for a model to mend where it can."""
    return Told(text=str(error), failed=True)


def _notes(found: Found) -> list[str]:
    return [f"Note: {note}" for note in found.notes]


def _text_of_run(run: Run) -> str:
    match run.state:
        case "done":
            return run.answer or "(it gave no answer)"
        case "limited":
            return f"{run.answer or ''}\n\n(It stopped at a limit: {run.reason or 'not said'}.)".strip()
        case "failed" | "cancelled":
            return f"The run {run.id} was {run.state}: {run.error or run.reason or 'no reason is known'}"
        case "waiting":
            wanted = "; ".join(_wanted(request) for request in wanted_form(run)) or "an answer"
            return (
                f"The run {run.id} waits for a person, who is asked for: {wanted}. It goes on when that was answered "
                f"(POST /v1/agent-runs/{run.id}/answers); then ask again with `run`: {run.id!r}."
            )
        case _:
            return f"The run {run.id} is {run.state}. Ask again with `run`: {run.id!r}."


def _wanted(request: Mapping[str, Any]) -> str:
    about = request.get("question") or request.get("text") or request.get("name") or request.get("tool") or ""
    return f"{request.get('kind', 'answer')} {about}".strip()
