"""MCP servers for tests: declared as a platform does, opened, and asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import uvicorn

from hanok.agents.tool import Tool, ToolCall, ToolResult
from hanok.agents.tools.mcp_client import McpTools
from hanok.spec.tree.tools import McpTool
from hanok.wire import Caller
from tests.conftest import free_port

CHILD = Path(__file__).with_name("mcp_child.py")
HOSTILE = Path(__file__).with_name("mcp_hostile.py")
Result = TypeVar("Result")


class Box:
    """A toolbox on an event loop in a thread of its own."""

    def __init__(
        self, folder: Path, loop: asyncio.AbstractEventLoop, *, patience: Mapping[str, float], **declared: Any
    ) -> None:
        self.folder = folder
        self.patience = patience
        self.loop = loop
        self.tool = McpTool.model_validate({"name": "srv", "type": "mcp", **declared})
        self.tools: McpTools = self.run(self._made())

    async def _made(self) -> McpTools:
        return McpTools(self.tool, folder=self.folder, state=self.folder, now=time.monotonic, **self.patience)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def open(self) -> Sequence[Tool]:
        return self.run(self._open())

    async def _open(self) -> Sequence[Tool]:
        return await self.tools.open()

    def names(self) -> list[str]:
        return [tool.spec.name for tool in self.open()]

    def use(self, name: str, **arguments: Any) -> ToolResult:
        return self.run(self.using(name, **arguments))

    async def using(self, name: str, **arguments: Any) -> ToolResult:
        tool = {tool.spec.name: tool for tool in await self.tools.open()}[f"srv__{name}"]
        return await tool.use(call(name, **arguments))

    def close(self) -> None:
        self.run(self.tools.aclose())


def call(name: str, **arguments: Any) -> ToolCall:
    return ToolCall(
        id="call_1",
        name=name,
        arguments=arguments,
        caller=Caller(key_id="", key_name="", trace="00-1-2-01"),
        run="run_1",
        thread="thread_1",
        step=1,
        idempotency_key="run_1/1/call_1",
    )


@contextlib.contextmanager
def loop_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@contextlib.contextmanager
def opened(folder: Path, loop: asyncio.AbstractEventLoop, **declared: Any) -> Iterator[Box]:
    """A toolbox of that declared server, closed in the end."""
    patience = {name: declared.pop(name) for name in ("open_s", "idle_s") if name in declared}
    box = Box(folder, loop, patience=patience, **declared)
    try:
        yield box
    finally:
        box.close()


def started(script: Path, *arguments: str) -> list[str]:
    """The command that starts one of the servers of the tests."""
    bare = ["-I", "-S"] if script is HOSTILE else []
    return [sys.executable, *bare, str(script), *arguments]


class Reached:
    """An MCP server behind a port, on the same loop; it may be stopped and started anew. By default the SDK's."""

    def __init__(self, loop: asyncio.AbstractEventLoop, app: Any = None) -> None:
        self.loop = loop
        self.app = app
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        self.start()

    def start(self) -> None:
        from tests.mcp_child import make_server

        app = self.app or make_server().streamable_http_app()
        self.server = uvicorn.Server(uvicorn.Config(app, port=self.port, log_level="error", ws="none"))
        self.serving = asyncio.run_coroutine_threadsafe(self.server.serve(), self.loop)
        while not self.server.started:
            threading.Event().wait(0.005)

    def stop(self) -> None:
        self.server.force_exit = self.server.should_exit = True
        self.loop.call_soon_threadsafe(self._cut)
        self.serving.result(10)

    def _cut(self) -> None:
        for connection in tuple(self.server.server_state.connections):
            connection.transport.abort()


class Forgetful:
    """A server of 2025 with sessions, as an ASGI application; `sessions` may be cleared, as by a start anew."""

    def __init__(self) -> None:
        self.sessions: set[str] = set()
        self.begun = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = (await receive())["body"]
        message = json.loads(body) if scope["method"] == "POST" else {}
        shown = dict(scope["headers"]).get(b"mcp-session-id", b"").decode()
        headers = [(b"content-type", b"application/json")]
        match message.get("method"):
            case "initialize":
                self.begun += 1
                self.sessions.add(f"session-{self.begun}")
                headers.append((b"mcp-session-id", f"session-{self.begun}".encode()))
                about = {"name": "forgetful", "version": "1"}
                version = message["params"]["protocolVersion"]
                result: Any = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about}
                await _answer(send, 200, headers, {"jsonrpc": "2.0", "id": message["id"], "result": result})
            case None:
                await _answer(send, 405, headers, {})
            case "server/discover":
                await _answer(send, 400, headers, {})
            case _ if shown not in self.sessions:
                await _answer(send, 404, headers, {})
            case "notifications/initialized":
                await _answer(send, 202, headers, {})
            case "tools/list":
                result = {"tools": [{"name": "count", "inputSchema": {"type": "object"}}]}
                await _answer(send, 200, headers, {"jsonrpc": "2.0", "id": message["id"], "result": result})
            case _:
                result = {"content": [{"type": "text", "text": shown}]}
                await _answer(send, 200, headers, {"jsonrpc": "2.0", "id": message["id"], "result": result})


async def _answer(send: Any, status: int, headers: list[tuple[bytes, bytes]], form: Any) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(form).encode()})
