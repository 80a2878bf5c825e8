"""Agents of the running server, asked over HTTP with this machine's own key."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from hanok.cli.agents_reach import RESTS, Form
from hanok.cli.state import own_secret
from hanok.errors import EngineError, StartError
from hanok.wire import json_bytes

if TYPE_CHECKING:
    from hanok.serving.client import Pool, Response
    from hanok.spec import Loaded

LONGEST_ANSWER_BYTES = 64 * 1024 * 1024
SILENCE_S = 120.0
"""Streams say something within this time, if only that they are there."""
TRIES, BETWEEN_S = 20, 0.5
"""A stream that breaks off is asked for again: a server may restart, and its runs go on."""


@contextlib.asynccontextmanager
async def served(loaded: Loaded, url: str) -> AsyncGenerator[There]:
    """The agents of the server at this URL."""
    from hanok.serving.client import Pool
    from hanok.spec import Timeouts

    secret = await asyncio.to_thread(own_secret, loaded)
    pool = Pool(url, timeouts=Timeouts(idle_s=SILENCE_S), headers={"authorization": f"Bearer {secret}"})
    try:
        yield There(pool)
    finally:
        pool.close()


class There:
    """Agents behind a URL."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def graph(self, name: str) -> str:
        form = await self._ask("GET", f"/v1/agents/{quote(name)}")
        if form.get("graph") is None:
            raise StartError(form.get("problem") or f"the server tells no graph of {name!r}")
        return str(form["graph"])

    async def start(self, name: str, order: Form) -> Form:
        return await self._ask("POST", f"/v1/agents/{quote(name)}/runs", {**_given(order), "wait": 0})

    async def run(self, id_: str) -> Form:
        return await self._ask("GET", _run(id_))

    async def runs(self, **wanted: Any) -> list[Form]:
        return (await self._ask("GET", f"/v1/agent-runs?{urlencode(_given(wanted))}"))["data"]

    async def events(self, id_: str, *, after: int = 0, wait: bool = True) -> AsyncGenerator[Form]:
        if not wait:
            page = await self._ask("GET", f"{_run(id_)}/events?after={after}")
            for event in page["data"]:
                yield event
            if page["has_more"]:
                async for event in self.events(id_, after=page["last_seq"], wait=False):
                    yield event
            return
        left = TRIES
        while left:
            try:
                async with contextlib.aclosing(self._stream(f"{_run(id_)}/events?stream=true&after={after}")) as events:
                    async for event in events:
                        after, left = event["seq"], TRIES
                        yield event
                if (await self.run(id_))["state"] in RESTS:
                    return
            except StartError:
                if left == 1:
                    raise
            left -= 1
            await asyncio.sleep(BETWEEN_S)

    async def answer(self, id_: str, answers: dict[str, Form]) -> Form:
        return await self._ask("POST", f"{_run(id_)}/answers", {"answers": answers})

    async def wish(self, id_: str, wish: str) -> Form:
        return await self._ask("POST", f"{_run(id_)}/{wish}", {})

    async def fork(self, id_: str, order: Form) -> Form:
        return await self._ask("POST", f"{_run(id_)}/fork", {**_given(order), "wait": 0})

    async def checkpoints(self, id_: str, *, limit: int) -> list[Form]:
        return (await self._ask("GET", f"{_run(id_)}/checkpoints?limit={limit}"))["data"]

    async def threads(self, *, agent: str | None, limit: int, below: bool = False) -> list[Form]:
        found = await self._ask("POST", "/agent-protocol/threads/search", {"limit": limit, "below": below})
        threads = [_thread_form(each) for each in found]
        return [each for each in threads if agent in (None, each["agent"])]

    async def memories(self, agent: str, *, user: str | None) -> list[Form]:
        found: list[Form] = []
        while part := (await self._ask("GET", _memories(agent, user, offset=len(found))))["data"]:
            found += part
        return found

    async def forget(self, agent: str, *, user: str | None, memory: str | None) -> int:
        return int((await self._ask("DELETE", _memories(agent, user, memory=memory)))["deleted"])

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        response = await self._sent(method, path, b"" if body is None else json_bytes(body), "application/json")
        return json.loads(await response.whole(LONGEST_ANSWER_BYTES))

    async def _stream(self, path: str) -> AsyncGenerator[Form]:
        response = await self._sent("GET", path, b"", "text/event-stream")
        rest = b""
        try:
            async for piece in response:
                *events, rest = (rest + piece).split(b"\n\n")
                for event in events:
                    if said := _data(event):
                        yield json.loads(said)
        except EngineError as error:
            raise StartError(f"the server broke off: {error}") from error
        finally:
            response.close()

    async def _sent(self, method: str, path: str, body: bytes, accept: str) -> Response:
        try:
            response = await self._pool.request(method, path, body, accept=accept)
            if response.status < 400:
                return response
            said = _message(await response.whole(LONGEST_ANSWER_BYTES))
        except EngineError as error:
            raise StartError(f"the server at {self._pool.origin} does not answer: {error}") from error
        raise StartError(f"{said} (status {response.status})")


def _run(id_: str) -> str:
    return f"/v1/agent-runs/{quote(id_, safe='')}"


def _given(fields: Form) -> Form:
    return {name: value for name, value in fields.items() if value is not None}


def _data(event: bytes) -> bytes:
    return b"".join(line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:"))


def _message(body: bytes) -> str:
    """The message in an error envelope."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace")


def _thread_form(thread: Form) -> Form:
    """A thread of the Agent Protocol in our form."""
    metadata: Form = thread.get("metadata") or {}
    return {
        "id": thread["thread_id"],
        "agent": metadata.get("graph_id"),
        "metadata": metadata,
        "created_at": datetime.fromisoformat(thread["created_at"]).timestamp(),
        "used_at": datetime.fromisoformat(thread["updated_at"]).timestamp(),
    }


def _memories(agent: str, user: str | None, *, memory: str | None = None, offset: int = 0) -> str:
    asked = {"limit": 1000, "offset": offset} | ({} if user is None else {"user": user})
    path = f"/v1/agents/{quote(agent, safe='')}/memories" + (f"/{quote(memory, safe='')}" if memory else "")
    return f"{path}?{urlencode(asked)}"
