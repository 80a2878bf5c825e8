"""Errors as Anthropic's clients expect them: `{"type": "error", "error": {type, message}}`, beside what we tell more.

https://docs.claude.com/en/api/errors. The status is the one that the chat path has for the same error.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hanok.gateway.envelope import ErrorAnswer, answer_error
from hanok.wire import json_bytes

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    409: "invalid_request_error",
    413: "request_too_large",
    415: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_TOLD = ("param", "code", "budget", "limit")


class _Envelope(msgspec.Struct):
    error: dict[str, Any]


def answer_anthropic_error(error: Exception) -> ErrorAnswer:
    """The HTTP answer for anything raised on the model path, in Anthropic's envelope."""
    plain = answer_error(error)
    return ErrorAnswer(status=plain.status, body=_in_envelope(plain), headers=plain.headers)


def anthropic_error_event(failed: ErrorAnswer) -> bytes:
    """The last event of a stream that fails."""
    return b"event: error\ndata: %b\n\n" % failed.body.replace(b"\n", b" ")


def _in_envelope(plain: ErrorAnswer) -> bytes:
    said = _read(plain.body)
    form = {"type": _TYPES.get(plain.status, "api_error"), "message": str(said.get("message") or "the engine failed")}
    told = {name: said[name] for name in _TOLD if said.get(name) is not None}
    return json_bytes({"type": "error", "error": {**form, **told}})


def _read(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=_Envelope).error
    except (msgspec.DecodeError, RecursionError):
        return {"message": body[:500].decode("utf-8", "replace")}
