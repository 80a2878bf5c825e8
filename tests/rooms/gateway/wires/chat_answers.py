"""Chat answers of engines, for tests of the wires."""

from __future__ import annotations

import json
from typing import Any

from tests.engine import DONE, USAGE, Answer, event, status, stream

FULL_USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 10},
    "completion_tokens_details": {"reasoning_tokens": 5},
}


def message(finish: str = "stop", usage: Any = USAGE, choice: Any = None, **said: Any) -> Answer:
    """A whole answer that says this."""
    told = {"index": 0, "message": {"role": "assistant", **said}, "finish_reason": finish, **(choice or {})}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "fake", "choices": [told], "usage": usage}
    return status(200, json.dumps(body).encode())


def piece(finish: str | None = None, choice: Any = None, **said: Any) -> bytes:
    """One event of a stream."""
    told = {"index": 0, "delta": said, "finish_reason": finish, **(choice or {})}
    return event({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "fake", "choices": [told]})


def usage_event(usage: Any = USAGE) -> bytes:
    return event({"id": "c", "object": "chat.completion.chunk", "choices": [], "usage": usage})


def pieces(*events: bytes, usage: Any = USAGE) -> Answer:
    """A stream of these events, with usage and an end."""
    return stream(piece(role="assistant", content=""), *events, usage_event(usage), DONE)


def call_of(index: int, name: str | None = None, arguments: str = "", id: str | None = None) -> dict[str, Any]:  # noqa: A002
    """A streamed piece of a call of a tool."""
    function = {"arguments": arguments, **({"name": name} if name else {})}
    return {"index": index, "function": function, **({"id": id, "type": "function"} if id else {})}


def tool_call(id: str, name: str, arguments: str) -> dict[str, Any]:  # noqa: A002
    """A whole call of a tool."""
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
