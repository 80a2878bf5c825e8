"""What an MCP server gives back for a call, as a text for models.

Models here read text: an image, a sound or a file that is not text is named with its type and size. What a tool gives
for machines (`structuredContent`) stands for the text where there is none.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hanok.agents.tool import ToolResult

if TYPE_CHECKING:
    from mcp_types import CallToolResult

NOTHING = "(the tool gave nothing back)"


def result_of(given: CallToolResult, *, data_limit: int) -> ToolResult:
    """The result as agents take it; `structuredContent` beyond `data_limit` characters of JSON is in no `data`."""
    texts = [_text_of(block) for block in given.content]
    structured = given.structured_content
    as_json = None if structured is None else json.dumps(structured, ensure_ascii=False, default=str)
    content = "\n\n".join(text for text in texts if text) or as_json or NOTHING
    data = {"structured": structured} if as_json is not None and len(as_json) <= data_limit else None
    return ToolResult(content=content, failed=given.is_error, data=data)


def _text_of(block: Any) -> str:
    match block.type:
        case "text":
            return block.text
        case "image" | "audio":
            return f"[{block.type}, {block.mime_type}, {_bytes_of(block.data)} bytes: it cannot be shown here]"
        case "resource_link":
            return f"[link to {block.title or block.name}: {block.uri}]"
        case "resource":
            return _resource(block.resource)
        case kind:
            return f"[{kind}: it cannot be shown here]"


def _resource(resource: Any) -> str:
    text = getattr(resource, "text", None)
    if text is not None:
        return f"[{resource.uri}]\n{text}"
    kind = resource.mime_type or "binary"
    return f"[{resource.uri}, {kind}, {_bytes_of(resource.blob)} bytes: it cannot be shown here]"


def _bytes_of(base64: str) -> int:
    return len(base64) * 3 // 4 - base64[-2:].count("=")
