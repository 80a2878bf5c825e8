"""The desk for LangGraph's Agent Protocol, below `/agent-protocol`: the base URL that its SDKs are given.

What is served is what an agent here can do: assistants, threads, runs and their streams. Crons and the store are not.
Format: https://langchain-ai.github.io/agent-protocol/ and the paths that `langgraph_sdk` asks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence, Set
from types import MappingProxyType
from typing import Any

import msgspec

from hanok import __version__
from hanok.agents.agency import Agency
from hanok.agents.values import Thread
from hanok.errors import Unknown, WrongMethod
from hanok.gateway.agents.bodies import NewId
from hanok.gateway.agents.protocol.bodies import AssistantsSearch
from hanok.gateway.agents.protocol.forms import assistant_form, graph_form, run_form, schemas_form
from hanok.gateway.agents.protocol.runs import ProtocolRuns, unknown_assistant
from hanok.gateway.agents.protocol.threads import Entered, Threads
from hanok.gateway.bodies import decode_body
from hanok.gateway.envelope import ErrorAnswer, answer_error
from hanok.gateway.giving import JSON_TYPE, Giving
from hanok.gateway.http import Call, no_headers
from hanok.gateway.reception import Reception
from hanok.gateway.replay import Handle
from hanok.spec import Agent
from hanok.wire import json_bytes

ROOT = "/agent-protocol"


class AgentProtocol:
    """The desk. `created` is since when the agents are there, in Unix seconds."""

    paths: Sequence[str] = (ROOT,)
    asks: Set[str] = frozenset(("runs", "stream", "wait"))
    posts: Mapping[str, Handle] = MappingProxyType({})
    also = staticmethod(no_headers)

    def __init__(
        self,
        agency: Agency,
        *,
        reception: Reception,
        giving: Giving,
        new_id: NewId,
        leaving: Callable[[], bool],
        created: float,
    ) -> None:
        self._agency = agency
        self._reception = reception
        self._created = created
        self._threads = Threads(agency, new_id=new_id)
        self._runs = ProtocolRuns(agency, threads=self._threads, giving=giving, new_id=new_id, leaving=leaving)

    async def __call__(self, call: Call) -> None:
        """Answer one call. Raises `RequestError` and what an agency raises."""
        rest = call.path.removeprefix(ROOT).strip("/").split("/")
        if rest in (["ok"], ["info"]) and call.method == "GET":
            await _reply(call, {"ok": True} if rest == ["ok"] else {"version": __version__, "flags": {}})
            return
        key = self._reception.find_key(call)
        entered = self._reception.caller(call, key), self._reception.agents(key)
        match rest:
            case ["assistants", *rest]:
                await self._at_assistants(call, entered, rest)
            case ["threads", *rest]:
                await self._at_threads(call, entered, rest)
            case ["runs", *rest]:
                await self._at_runs(call, entered, rest)
            case _:
                raise _nothing(call)

    def answer_error(self, error: Exception) -> ErrorAnswer:
        """As FastAPI's servers write them, and LangGraph's SDKs read them; `error` is as everywhere here."""
        failed = answer_error(error)
        told = _error_of(failed.body)
        body = {"detail": told.get("message"), **{name: told.get(name) for name in ("code", "param", "type")}}
        return dataclasses.replace(failed, body=json_bytes({**body, "error": told}))

    def error_event(self, failed: ErrorAnswer) -> bytes:
        """What a stream ends with when it fails."""
        told = _error_of(failed.body)
        return b"event: error\ndata: %b\n\n" % json_bytes({"error": told.get("code"), "message": told.get("message")})

    # assistants

    async def _at_assistants(self, call: Call, entered: Entered, rest: list[str]) -> None:
        match call.method, rest:
            case "POST", ["search"]:
                asked = decode_body(await self._reception.body(call), AssistantsSearch)
                found = self._fitting(asked, entered)[asked.offset : asked.offset + asked.limit]
                await _reply(call, [assistant_form(agent, self._created) for agent in found])
            case "POST", ["count"]:
                asked = decode_body(await self._reception.body(call), AssistantsSearch)
                await _reply(call, len(self._fitting(asked, entered)))
            case "GET", [own]:
                await _reply(call, assistant_form(self._assistant(own, entered), self._created))
            case "GET", [own, "graph"]:
                await _reply(call, graph_form(await self._agency.graph(self._assistant(own, entered).name)))
            case "GET", [own, "schemas"]:
                await _reply(call, schemas_form(self._assistant(own, entered)))
            case "GET", [own, "subgraphs", *_]:
                self._assistant(own, entered)
                await _reply(call, {})
            case _, [] | [_]:
                raise WrongMethod(call.path, "GET", "platform.yaml declares agents")
            case _:
                raise _nothing(call)

    def _fitting(self, asked: AssistantsSearch, entered: Entered) -> list[Agent]:
        _, open_to = entered
        found = [agent for agent in self._agency.agents() if agent.name in open_to]
        if asked.metadata and asked.metadata != {"created_by": "system"}:
            return []
        name = (asked.name or "").lower()
        return [agent for agent in found if asked.graph_id in (None, agent.name) and name in agent.name.lower()]

    def _assistant(self, own: str, entered: Entered) -> Agent:
        if own not in entered[1]:
            raise unknown_assistant(own)
        return self._agency.agent(own)

    # threads

    async def _at_threads(self, call: Call, entered: Entered, rest: list[str]) -> None:
        match call.method, rest:
            case "POST", []:
                await _reply(call, await self._threads.create(await self._body(call), entered))
            case "POST", ["search"]:
                await _reply(call, await self._threads.search(await self._body(call), entered))
            case "POST", ["count"]:
                await _reply(call, await self._threads.count(await self._body(call), entered))
            case _, [] | ["search" | "count"]:
                raise WrongMethod(call.path, "POST")
            case "POST", [own, "runs"]:
                await self._runs.create(call, await self._body(call), own, entered)
            case "POST", [own, "runs", "wait"]:
                await self._runs.wait(call, await self._body(call), own, entered)
            case "POST", [own, "runs", "stream"]:
                await self._runs.stream(call, await self._body(call), own, entered)
            case _:
                await self._at_thread(call, await self._threads.find(rest[0], entered), rest[1:])

    async def _at_thread(self, call: Call, thread: Thread, rest: list[str]) -> None:
        match call.method, rest:
            case "GET", []:
                await _reply(call, await self._threads.form(thread))
            case "PATCH", []:
                await _reply(call, await self._threads.change(thread, await self._body(call)))
            case "DELETE", []:
                await self._agency.remove_thread(thread.id, tenant=thread.tenant)
                await call.reply(204, b"")
            case "POST", ["copy"]:
                await _reply(call, await self._threads.copy(thread))
            case "GET", ["state"]:
                await _reply(call, await self._threads.state(thread))
            case "POST", ["state"]:
                await _reply(call, await self._threads.change_state(thread, await self._body(call)))
            case "POST", ["state", "checkpoint"]:
                await _reply(call, await self._threads.state_at(thread, await self._body(call)))
            case "GET", ["state", checkpoint]:
                await _reply(call, await self._threads.state(thread, checkpoint))
            case "POST", ["history"]:
                await _reply(call, await self._threads.history(thread, await self._body(call)))
            case "GET", ["history"]:
                await _reply(call, await self._threads.history_of_query(thread, call))
            case "GET", ["runs"]:
                await _reply(call, await self._runs.list(call, thread))
            case _, ["runs", own, *rest]:
                await self._at_run(call, thread, own, rest)
            case _, []:
                raise WrongMethod(call.path, "GET, PATCH, DELETE")
            case _:
                raise _nothing(call)

    async def _at_run(self, call: Call, thread: Thread, own: str, rest: list[str]) -> None:
        run = await self._runs.find(thread, own)
        match call.method, rest:
            case "GET", []:
                await _reply(call, run_form(run))
            case "POST", ["cancel"]:
                await self._runs.cancel(call, run)
            case "GET", ["join"]:
                await self._runs.join(call, run)
            case "GET", ["stream"]:
                await self._runs.join_stream(call, run)
            case _, []:
                raise WrongMethod(call.path, "GET", "runs are forgotten in time")
            case _:
                raise _nothing(call)

    # runs without a thread of before

    async def _at_runs(self, call: Call, entered: Entered, rest: list[str]) -> None:
        if call.method != "POST":
            raise WrongMethod(call.path, "POST")
        match rest:
            case []:
                await self._runs.create(call, await self._body(call), None, entered)
            case ["wait"]:
                await self._runs.wait(call, await self._body(call), None, entered)
            case ["stream"]:
                await self._runs.stream(call, await self._body(call), None, entered)
            case ["cancel"]:
                await self._runs.cancel_many(await self._body(call), entered)
                await call.reply(204, b"")
            case _:
                raise _nothing(call)

    async def _body(self, call: Call) -> bytes:
        """The body; none where a client sends none, and no type of it."""
        return await self._reception.body(call) if b"content-type" in call.headers else b""


def _error_of(body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(body)
    return found.get("error") or {}


async def _reply(call: Call, form: Any) -> None:
    await call.reply(200, json_bytes(form), JSON_TYPE)


def _nothing(call: Call) -> Unknown:
    return Unknown(f"there is nothing at {call.path}; see docs/agents-http.md", code="not_found")
