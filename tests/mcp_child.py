"""`python tests/mcp_child.py`: an MCP server for tests, as the official SDK makes them, over standard streams."""

from __future__ import annotations

import os
import threading
from typing import Any

import anyio
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import BaseModel

WAITING = threading.Event()


class Colour(BaseModel):
    """What a person is asked."""

    colour: str


def make_server() -> MCPServer[Any]:
    """A server with tools of every kind."""
    server: MCPServer[Any] = MCPServer("tests")

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @server.tool()
    def environment() -> dict[str, str]:
        """All variables, and the process."""
        return {**os.environ, "PID": str(os.getpid())}

    @server.tool()
    def sent(context: Context[Any, Any]) -> dict[str, str]:
        """The headers of this call."""
        return dict(context.headers or {})

    @server.tool()
    async def key(context: Context[Any, Any]) -> str:
        """The idempotency key of this call."""
        meta = context.request_context.meta or {}
        return " ".join(str(dict(meta).get(name)) for name in ("hanok/idempotency-key", "traceparent"))

    @server.tool(name="delete everything!")
    def delete() -> str:
        """A name that no model takes."""
        return "gone"

    @server.tool()
    def fail() -> str:
        """Fail."""
        raise ToolError("the disk is full")

    @server.tool()
    async def wait() -> str:
        """Never end."""
        WAITING.set()
        await anyio.sleep_forever()
        return ""

    @server.tool()
    async def ask(context: Context[Any, Any]) -> str:
        """Ask a person."""
        answer = await context.elicit("Which colour?", Colour)
        return str(answer)

    @server.tool()
    async def grow(context: Context[Any, Any]) -> str:
        """Offer one more tool."""
        server.add_tool(lambda: "new", name="grown", description="Was not there before.")
        await context.notify_tools_changed()
        return "grown"

    return server


if __name__ == "__main__":
    make_server().run("stdio")
