"""What an MCP server says, made fit for the SDK, which refuses a whole list of tools for one that is wrong.

Tools that are no tools are taken out of the list. So are schemas of results: they say nothing to models, and the SDK
would check results against them, whose patterns may be made to take for ever.
"""

from __future__ import annotations

import logging
from typing import Any, cast

from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCResponse, Tool
from pydantic import ValidationError

_log = logging.getLogger(__name__)


class Mended:
    """A stream of a server's messages, with its lists of tools mended."""

    def __init__(self, messages: Any) -> None:
        self._messages = messages

    @property
    def last_context(self) -> Any:
        """As the SDK's own streams have it: where the message was sent from."""
        return getattr(self._messages, "last_context", None)

    async def receive(self) -> SessionMessage | Exception:
        """The next message."""
        return _mend(await self._messages.receive())

    def __aiter__(self) -> Mended:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        return _mend(await self._messages.__anext__())

    async def aclose(self) -> None:
        """Close the stream below."""
        await self._messages.aclose()

    async def __aenter__(self) -> Mended:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _mend(item: SessionMessage | Exception) -> SessionMessage | Exception:
    if isinstance(item, SessionMessage) and isinstance(item.message, JSONRPCResponse):
        result = item.message.result
        if isinstance(tools := result.get("tools"), list):
            result["tools"] = [mended for tool in cast("list[object]", tools) if (mended := _mend_tool(tool))]
    return item


def _mend_tool(tool: object) -> dict[str, Any] | None:
    if not isinstance(tool, dict):
        return None
    given = {key: value for key, value in cast("dict[str, Any]", tool).items() if key != "outputSchema"}
    try:
        schema = Tool.model_validate(given, by_name=False).input_schema
    except ValidationError:
        schema = {}
    if schema.get("type") != "object":
        _log.warning("an MCP tool is not offered: its schema is not that of an object: %.80r", given.get("name"))
        return None
    return given
