"""The MCP server behind the desk, by the official SDK: each request stands for itself, nothing is kept between two.

It speaks the protocol of 2026-07-28, and that of 2025 to clients that know no other. Imported when it is first asked.
"""

from __future__ import annotations

from typing import Any, cast

from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from hanok import __version__
from hanok.agents.tools.mcp_names import IDEMPOTENCY_KEY
from hanok.errors import HanokError
from hanok.gateway.asgi import App
from hanok.gateway.mcp.tools import Asked, McpTools, Offer, Told, failure_of

LONGEST_KEY = 255
_INSTRUCTIONS = "`search_*` find passages in knowledge bases; `ask_*` give tasks to agents."


def make_app(tools: McpTools, *, body_limit: int) -> App:
    """The server as an ASGI application, whose `state` has the `key` and `caller` of each request."""
    server: Server[Any] = Server(
        "hanok",
        version=__version__,
        instructions=_INSTRUCTIONS,
        on_list_tools=_Answers(tools).list,
        on_call_tool=_Answers(tools).call,
    )
    manager = StreamableHTTPSessionManager(app=server, stateless=True, max_request_body_size=body_limit)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _live(manager, receive, send)
        else:
            await manager.handle_request(scope, receive, send)

    return app


async def _live(manager: StreamableHTTPSessionManager, receive: Any, send: Any) -> None:
    await receive()
    async with manager.run():
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})


class _Answers:
    """What the server says to requests."""

    def __init__(self, tools: McpTools) -> None:
        self._tools = tools

    async def list(self, ctx: Any, params: PaginatedRequestParams | None) -> ListToolsResult:
        """The tools that the key may use, on one page: nobody was given a cursor."""
        if params is not None and params.cursor is not None:
            raise MCPError(code=INVALID_PARAMS, message="cursor: not one that was given here")
        offers = self._tools.open_to(_state(ctx)["key"])
        return ListToolsResult(tools=[_listed(offer) for offer in offers.values()])

    async def call(self, ctx: Any, params: CallToolRequestParams) -> CallToolResult:
        """Use one. What is not open is not there."""
        state = _state(ctx)
        offer = self._tools.open_to(state["key"]).get(params.name)
        if offer is None:
            raise MCPError(code=INVALID_PARAMS, message=f"there is no tool {params.name[:100]!r}; see tools/list")

        async def progress(step: int, message: str) -> None:
            await ctx.session.report_progress(step, None, message)

        asked = Asked(
            caller=state["caller"],
            once=_once(ctx),
            progress=progress,
            cancels=ctx.protocol_version in MODERN_PROTOCOL_VERSIONS,
        )
        try:
            return _result(await offer.use(params.arguments or {}, asked))
        except HanokError as error:
            return _result(failure_of(error))


def _state(ctx: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", ctx.request.scope["state"])


def _once(ctx: Any) -> bytes | None:
    """Raises `MCPError` for a key that is none: a call that is repeated would begin another run."""
    given = dict(ctx.meta or {}).get(IDEMPOTENCY_KEY)
    if given is None or given == "":
        return None
    if not isinstance(given, str) or len(key := given.encode()) > LONGEST_KEY:
        raise MCPError(code=INVALID_PARAMS, message=f"{IDEMPOTENCY_KEY}: a text of at most {LONGEST_KEY} bytes")
    return key


def _listed(offer: Offer) -> Tool:
    hints = ToolAnnotations(read_only_hint=offer.reads_only, destructive_hint=False if offer.reads_only else None)
    return Tool(
        name=offer.name,
        title=offer.title,
        description=offer.description,
        input_schema=dict(offer.parameters),
        annotations=hints,
    )


def _result(told: Told) -> CallToolResult:
    return CallToolResult(
        content=[TextContent(type="text", text=told.text)],
        structured_content=told.data or None,
        is_error=told.failed,
    )
