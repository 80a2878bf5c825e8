"""`/v1/agents/NAME/memories`: what an agent remembers of whoever calls, read and forgotten.

A key that acts for a user sees that user's memories; any other names the user (`?user=ann`), or sees its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import msgspec

from hanok.agents.memory.values import Owner, owner_of
from hanok.errors import Forbidden, RequestError, Unknown, WrongMethod
from hanok.gateway.http import Call
from hanok.spec import Agent
from hanok.wire import Caller

if TYPE_CHECKING:
    from hanok.agents.memory.remembering import Remembering  # which brings numpy, where that is installed

MOST = 1000


class Memories:
    """Answers below an agent's path: the desk has found the key, and that the agent is open to it."""

    def __init__(self, remembering: Remembering) -> None:
        self._remembering = remembering

    async def answer(self, call: Call, agent: Agent, caller: Caller, rest: list[str]) -> dict[str, Any]:
        """What to reply. Raises `RequestError`, `StoreError`."""
        owner = _owner(call, agent, caller)
        match call.method, rest:
            case "GET", []:
                return await self._list(call, owner)
            case "DELETE", []:
                return {"object": "list.deleted", "deleted": await self._remembering.forget_all(owner)}
            case "GET", [id_]:
                return await self._show(owner, id_)
            case "DELETE", [id_]:
                if not await self._remembering.forget(owner, id_):
                    raise _nothing(id_)
                return {"id": id_, "object": "agent.memory.deleted", "deleted": True}
            case _, [] | [_]:
                raise WrongMethod(call.path, "GET, DELETE")
            case _:
                raise Unknown(f"there is nothing at {call.path}; see /openapi.json", code="not_found")

    async def _list(self, call: Call, owner: Owner) -> dict[str, Any]:
        limit, offset = _number(call, "limit", 100, most=MOST), _number(call, "offset", 0, most=10**9)
        found = await self._remembering.memories(owner, limit=limit, offset=offset)
        return {"object": "list", "data": [{**memory.form(), "object": "agent.memory"} for memory in found]}

    async def _show(self, owner: Owner, id_: str) -> dict[str, Any]:
        memory = await self._remembering.memory(owner, id_)
        if memory is None:
            raise _nothing(id_)
        return {**memory.form(), "object": "agent.memory"}


def _owner(call: Call, agent: Agent, caller: Caller) -> Owner:
    """Raises `Unknown` where the agent remembers nothing beyond threads, `Forbidden` for another user."""
    if agent.memory.long_term is None:
        message = f"agent {agent.name!r} remembers nothing beyond its threads (`memory.long_term`)"
        raise Unknown(message, code="no_memory")
    user = _asked(call).get("user")
    if user is not None and caller.user not in (None, user):
        raise Forbidden(f"this key acts for {caller.user!r}, not for {user!r}", param="user")
    return owner_of(msgspec.structs.replace(caller, user=user or caller.user), agent.name, agent.memory.long_term.scope)


def _asked(call: Call) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(call.query).items()}


def _number(call: Call, name: str, default: int, *, most: int) -> int:
    text = _asked(call).get(name, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 10 or int(text) > most:
        raise RequestError(f"`{name}` is a number up to {most:,}", param=name, code="invalid_value")
    return int(text)


def _nothing(id_: str) -> Unknown:
    return Unknown(f"there is no memory {id_!r}", param="memory", code="memory_not_found")
