"""The tools of MCP servers: servers that are started or reached when a run first needs them.

`McpTools` is one declared server. Its connection (`_Link`) lives in a task of its own, because the SDK's client must be
closed where it was opened; runs share it. A connection that breaks fails the calls that are under way, and the next
call makes another. A server that does not start is waited for once, then left alone a moment.
The SDK speaks the protocol of 2026-07-28, and that of 2025 to servers that know no other.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import anyio
import httpx2
from mcp import Client, MCPError
from mcp.client.session import IncomingMessage
from mcp.client.subscriptions import SubscriptionLost
from mcp_types import (
    CONNECTION_CLOSED,
    REQUEST_TIMEOUT,
    CallToolResult,
    Implementation,
    ToolListChangedNotification,
)
from mcp_types import Tool as McpListed
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import SecretStr, ValidationError

from hanok import __version__
from hanok.agents.tool import Tool, ToolCall, ToolResult, ToolSpec
from hanok.agents.tools.mcp_launch import launched
from hanok.agents.tools.mcp_listing import Listed, Offer, choose
from hanok.agents.tools.mcp_mending import Mended
from hanok.agents.tools.mcp_names import IDEMPOTENCY_KEY, TRACEPARENT
from hanok.agents.tools.mcp_results import result_of
from hanok.agents.tools.mcp_web_client import reached
from hanok.agents.tools.surroundings import Surroundings
from hanok.errors import HanokError, ToolUnavailable
from hanok.spec.tree.tools import McpTool

OPEN_S = 30.0
"""How long a server may take to start or be reached, and again to list its tools."""
REST_S = 5.0
"""How long, at least, a server that could not be opened is left alone: who asks meanwhile is told at once."""
IDLE_S = 600.0
"""How long a connection that nobody uses is held: then what was started ends, until it is needed again."""
MOST_PAGES = 50
MOST_LISTED = 5000
LISTEN_AGAIN_S = 30.0
_SAID_LIMIT = 500
_ASKS_BACK = ("Elicitation not supported", "Sampling not supported", "List roots not supported")
_log = logging.getLogger(__name__)

Connect = Callable[[], AbstractAsyncContextManager[Any]]
"""Opens the streams of a server's messages, as the SDK's transports do."""


class McpTools:
    """The tools of one declared server, as a `Toolbox`.

    `folder` is that of `platform.yaml`, in which a server is started; `state` the state folder, for its log.
    """

    def __init__(
        self,
        declared: McpTool,
        *,
        folder: Path,
        state: Path,
        now: Callable[[], float],
        open_s: float = OPEN_S,
        rest_s: float = REST_S,
        idle_s: float = IDLE_S,
    ) -> None:
        self.declared = declared
        self.notes: list[str] = []
        """What was left out of the last listing, and why."""
        self._log_file = state / "logs" / f"mcp-{declared.name}.log"
        self._folder = folder
        self._now = now
        self._open_s = open_s
        self._rest_s = rest_s
        self._idle_s = idle_s
        self._refused: list[int] = []
        self._link: _Link | None = None
        self._begun = 0.0
        self._linking = asyncio.Lock()
        self._listing: asyncio.Task[tuple[Tool, ...]] | None = None
        self._tools: tuple[Tool, ...] | None = None
        self._failed: tuple[float, ToolUnavailable] | None = None

    async def open(self) -> Sequence[Tool]:
        """The tools as the server lists them now; it is started or reached if need be. Raises `ToolUnavailable`."""
        link = self._link
        if self._tools is not None and link is not None and (link.up or link.rested) and not link.changed:
            return self._tools
        if self._listing is None or self._listing.done():
            self._listing = asyncio.create_task(self._list())
        return await asyncio.shield(self._listing)

    async def aclose(self) -> None:
        """End the server, or the connection to it. It may be opened again."""
        if self._listing is not None and not self._listing.done():
            self._listing.cancel()
            await asyncio.wait([self._listing])
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def call(self, name: str, call: ToolCall, *, safe: bool) -> ToolResult:
        """Call the tool of that name (the server's own). One that may be repeated is, where the connection breaks."""
        more, unheard = self.declared.retries if safe else 0, 1
        while True:
            try:
                link = await self._linked()
                return await self._call_once(link, name, call)
            except ToolUnavailable as error:
                return ToolResult(content=str(error), failed=True)
            except _Refused as error:
                return ToolResult(content=self._said(str(error)), failed=True)
            except _Lost as error:
                more, unheard = more - (not error.unheard), unheard - error.unheard
                if more < 0 or unheard < 0:
                    doubt = "" if error.unheard else "; whether it was done is not known"
                    return ToolResult(content=self._said(f"{error}{doubt}"), failed=True)

    async def _list(self) -> tuple[Tool, ...]:
        link = await self._linked()
        link.changed = False
        try:
            with link.used():
                async with asyncio.timeout(self._open_s):
                    listed = await link.list()
        except TimeoutError:
            raise self._unavailable(f"did not list its tools within {self._open_s:g} s") from None
        except (_Lost, _Refused) as error:
            raise self._unavailable(f"does not list its tools: {error}") from None
        offers, notes = await asyncio.to_thread(choose, listed, self.declared)  # checking schemas takes a while
        if notes != self.notes:
            _log.warning("%s", "\n".join([self._said("has tools that are left out:"), *notes]))
        self.notes = notes
        self._tools = tuple(_Offered(self, offer) for offer in offers)
        return self._tools

    async def _linked(self) -> _Link:
        """A connection that is up. Raises `ToolUnavailable`."""
        async with self._linking:
            if self._link is not None and self._link.up:
                return self._link
            if self._failed is not None and self._now() < self._failed[0]:
                raise self._failed[1]
            link = self._link
            if link is None or not link.opening:  # else somebody has begun, and did not wait
                link = await self._begin_anew()
            try:
                await link.opened()
            except _Lost as error:
                failed, tried_at = self._unavailable(str(error)), self._now()
                self._failed = tried_at + max(self._rest_s, tried_at - self._begun), failed
                raise failed from None
            self._failed = None
            return link

    async def _begin_anew(self) -> _Link:
        if self._link is not None:
            await self._link.close()
        self._refused.clear()
        self._begun = self._now()
        self._link = _Link(self._connect, limit_s=self._open_s, idle_s=self._idle_s)
        return self._link

    async def _call_once(self, link: _Link, name: str, call: ToolCall) -> ToolResult:
        with link.used():
            if not link.listed:  # it was made anew: the SDK must know the tools that it calls
                await self._list()
            given = await link.call(name, call, timeout_s=self.declared.timeout_s)
        return result_of(given, data_limit=self.declared.max_output)

    def _connect(self) -> AbstractAsyncContextManager[Any]:
        declared, limit_bytes = self.declared, self.declared.max_bytes
        if declared.url is None:
            env = {name: _shown(value) for name, value in declared.env.items()}
            return launched(declared.command, env=env, folder=self._folder, log=self._log_file, limit_bytes=limit_bytes)
        headers = {name: _shown(value) for name, value in declared.headers.items()}
        return reached(
            declared.url, headers=headers, private=declared.private, limit_bytes=limit_bytes, refused=self._refused
        )

    def _unavailable(self, why: str) -> ToolUnavailable:
        if self.declared.url is None:
            return ToolUnavailable(self._said(why), hint=f"what it says is in {self._log_file}")
        status = f" (HTTP {self._refused[-1]})" if self._refused else ""
        return ToolUnavailable(f"{self._said(why)}{status}", hint=f"it is to be at {self.declared.url}")

    def _said(self, what: str) -> str:
        return f"the MCP server {self.declared.name!r} {what}"


def open_mcp(declared: McpTool, around: Surroundings) -> McpTools:
    """The tools of a declared server. Nothing is started or reached yet."""
    return McpTools(declared, folder=around.folder, state=around.state, now=time.monotonic)


class _Offered:
    """One tool of a server."""

    def __init__(self, box: McpTools, offer: Offer) -> None:
        self._box = box
        self._offer = offer

    @property
    def spec(self) -> ToolSpec:
        return self._offer.spec

    async def use(self, call: ToolCall) -> ToolResult:
        return await self._box.call(self._offer.name, call, safe=self._offer.spec.safe)


class _Lost(Exception):
    """The connection is no more, or never was; `unheard` says that the server cannot have heard what was asked."""

    def __init__(self, message: str, *, unheard: bool = False) -> None:
        super().__init__(message)
        self.unheard = unheard


class _Refused(Exception):
    """The server answered with an error, or not in time."""


class _Link:
    """One connection, held open by a task of its own until it is closed or breaks."""

    def __init__(self, connect: Connect, *, limit_s: float, idle_s: float) -> None:
        self.changed = False
        """Whether the server has told that its tools are others now."""
        self.listed = False
        self.rested = False
        """Whether it has ended only because nobody used it."""
        self._connect = connect
        self._limit_s = limit_s
        self._idle_s = idle_s
        self._busy = 0
        self._scope = anyio.CancelScope()
        self._client: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._why = "is not connected any more"
        self._task = asyncio.create_task(self._hold())

    @property
    def up(self) -> bool:
        """Whether calls may be made."""
        return self._client.done() and not self._task.done() and not self._scope.cancel_called

    @property
    def opening(self) -> bool:
        """Whether it is being opened."""
        return not self._client.done() and not self._task.done() and not self._scope.cancel_called

    async def opened(self) -> None:
        """Return when calls may be made. Raises `_Lost`."""
        await asyncio.wait([self._client, self._task], return_when=asyncio.FIRST_COMPLETED)
        if not self.up:
            raise _Lost(self._why)

    async def close(self) -> None:
        """End it, and what was started for it."""
        self._scope.cancel()
        await asyncio.wait([self._task])

    @contextmanager
    def used(self) -> Generator[None]:
        """Keep it open. Raises `_Lost`."""
        if not self.up:
            raise _Lost(self._why, unheard=True)
        self._busy += 1
        self._scope.deadline = math.inf
        try:
            yield
        finally:
            self._busy -= 1
            if self._busy == 0:
                self._scope.deadline = anyio.current_time() + self._idle_s

    async def list(self) -> list[Listed]:
        """All that the server lists, page by page, up to a bound. Raises `_Lost`, `_Refused`."""
        client, listed, cursor = self._client.result(), list[Listed](), None
        for _ in range(MOST_PAGES):
            page = await self._asked(client.list_tools(cursor=cursor))
            listed += [_listed(tool) for tool in page.tools]
            cursor = page.next_cursor
            self.listed = True
            if cursor is None or len(listed) > MOST_LISTED:
                break
        return listed

    async def call(self, name: str, call: ToolCall, *, timeout_s: float) -> CallToolResult:
        """Call a tool. Raises `_Lost`, `_Refused`."""
        meta: Any = {IDEMPOTENCY_KEY: call.idempotency_key}
        if call.caller.trace is not None:
            meta[TRACEPARENT] = call.caller.trace
        client, arguments = self._client.result(), dict(call.arguments)
        return await self._asked(client.call_tool(name, arguments, read_timeout_seconds=timeout_s, meta=meta))

    async def _asked(self, asking: Any) -> Any:
        try:
            return await asking
        except MCPError as error:
            raise await self._meant(error) from None
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise _Refused(f"answers against the protocol (at {where}: {error.errors()[0]['msg']})") from None
        except RuntimeError as error:  # the SDK's word for other breaches of the protocol
            raise _Refused(f"answers against the protocol: {str(error)[:_SAID_LIMIT]}") from None

    async def _meant(self, error: MCPError) -> _Lost | _Refused:
        message = error.error.message
        if error.error.code == CONNECTION_CLOSED:
            await asyncio.wait([self._task], timeout=1)  # why it broke is known a moment after it did
            return _Lost(self._why)
        if message == "Session terminated":  # a server of 2025 that was started anew knows no session of before
            self._scope.cancel()
            return _Lost("has forgotten us", unheard=True)
        if error.error.code == REQUEST_TIMEOUT:
            return _Refused("did not answer in time")
        if message in _ASKS_BACK:
            return _Refused("asks for something of its user or of a model, which is not given here")
        return _Refused(f"answers: {message[:_SAID_LIMIT]}")

    async def _hold(self) -> None:
        try:
            with self._scope:
                self._scope.deadline = anyio.current_time() + self._limit_s
                client = Client(
                    _Streams(self._connect),
                    cache=None,
                    client_info=Implementation(name="hanok", version=__version__),
                    message_handler=self._take,
                )
                async with client:
                    self._scope.deadline = anyio.current_time() + self._idle_s
                    self._client.set_result(client)
                    await self._listen(client)
            if not self._client.done():
                self._why = f"did not answer within {self._limit_s:g} s"
            self.rested = self._client.done() and not self.changed
        except Exception as error:  # noqa: BLE001 - whatever a transport raises is why it broke
            self._why = _why(_first(error))

    async def _listen(self, client: Client) -> None:
        """Hear of changes for as long as it lasts: the protocol of 2026 tells of them to who asks."""
        tools = client.server_capabilities.tools
        told = tools is not None and tools.list_changed and client.protocol_version in MODERN_PROTOCOL_VERSIONS
        while told:
            with suppress(MCPError, SubscriptionLost):
                async with client.listen(tools_list_changed=True) as changes:
                    told = bool(changes.honored.tools_list_changed)
                    async for _ in changes:
                        self.changed = True
                self.changed = True  # what happened in between was not told
            await anyio.sleep(LISTEN_AGAIN_S)
        await anyio.sleep_forever()

    async def _take(self, message: IncomingMessage) -> None:
        if isinstance(message, ToolListChangedNotification):
            self.changed = True


class _Streams:
    """A transport that is opened when it is entered: `Client` takes it before."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    async def __aenter__(self) -> Any:
        self._opened = self._connect()
        messages, answers = await self._opened.__aenter__()
        return Mended(messages), answers

    async def __aexit__(self, *error: Any) -> bool | None:
        return await self._opened.__aexit__(*error)


def _listed(tool: McpListed) -> Listed:
    hints = tool.annotations
    return Listed(
        name=tool.name,
        description=tool.description or tool.title or "",
        schema=tool.input_schema,
        repeatable=hints is not None and bool(hints.read_only_hint or hints.idempotent_hint),
    )


def _first(error: BaseException) -> BaseException:
    """The first of what happened at once."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error


def _why(error: BaseException) -> str:
    """What broke it, in a line."""
    if isinstance(error, MCPError):
        return f"answers: {error.error.message[:_SAID_LIMIT]}"
    said = error.message if isinstance(error, HanokError) else str(error)
    line = (said.splitlines() or [type(error).__name__])[0][:_SAID_LIMIT]
    return f"cannot be reached: {line}" if isinstance(error, httpx2.HTTPError) else line


def _shown(value: str | SecretStr) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
