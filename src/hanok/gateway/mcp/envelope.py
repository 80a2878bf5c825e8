"""The envelope of a request, looked at before the SDK is: what that takes for a notification, or tells in words of its
own, is refused as JSON-RPC has it. Ids are those of MCP: texts or whole numbers.

Format: https://www.jsonrpc.org/specification.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from hanok.wire import json_bytes

PARSE_ERROR, INVALID_REQUEST = -32700, -32600


def refusal_of(body: bytes) -> bytes | None:
    """The error to answer with; None for what is a request, a notification or an answer."""
    try:
        read = cast("object", msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _error(PARSE_ERROR, f"the body is not JSON: {error}")
    problem = _problem(cast("dict[str, Any]", read)) if isinstance(read, dict) else "the body is not one JSON object"
    return None if problem is None else _error(INVALID_REQUEST, problem)


def _problem(told: dict[str, Any]) -> str | None:
    if told.get("jsonrpc") != "2.0":
        return '`jsonrpc` must be "2.0"'
    if "id" in told and not _is_id(told["id"]):
        return "`id` must be a text or a whole number; leave it out for a notification"
    if "result" in told or "error" in told:
        return None
    if not isinstance(told.get("method"), str):
        return "`method` must be a text"
    if not isinstance(told.get("params", {}), dict):
        return "`params` must be an object"
    return None


def _is_id(given: object) -> bool:
    return isinstance(given, str | int) and not isinstance(given, bool)


def _error(code: int, message: str) -> bytes:
    return json_bytes({"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}})
