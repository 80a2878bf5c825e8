"""Errors as callers see them: OpenAI's envelope `{"error": {message, type, param, code}}` and the right status."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hanok.errors import (
    AgentError,
    BudgetExceeded,
    Draining,
    EngineError,
    EngineRefused,
    KeptUnreachable,
    OverLimit,
    RequestError,
    StoreError,
    WrongMethod,
)
from hanok.wire import json_bytes
from hanok.wire.forms import read_error_message

JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorAnswer:
    """An HTTP answer that says what went wrong."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


def envelope(message: str, kind: str, *, param: str | None = None, code: str | None = None) -> bytes:
    """OpenAI's error envelope."""
    return json_bytes({"error": {"message": message, "type": kind, "param": param, "code": code}})


def answer_error(error: Exception) -> ErrorAnswer:
    """The HTTP answer for anything raised on the model path."""
    if isinstance(error, OverLimit):
        return _over_limit(error)
    if isinstance(error, KeptUnreachable):
        body = envelope(error.message, "server_error", code="store_unreachable")
        return ErrorAnswer(status=503, body=body, headers={"retry-after": "5"})
    if isinstance(error, StoreError):
        message = f"no call can be let in while the books cannot be read: {error.message}"
        body = envelope(message, "server_error", code="books_unreachable")
        return ErrorAnswer(status=503, body=body, headers={"retry-after": "2"})
    if isinstance(error, RequestError):
        headers = {"www-authenticate": "Bearer"} if error.status == 401 else {}
        if isinstance(error, WrongMethod):
            headers = {"allow": error.allow}
        if isinstance(error, Draining):
            headers = {"retry-after": "5"}
        body = envelope(error.message, error.type, param=error.param, code=error.code)
        return ErrorAnswer(status=error.status, body=body, headers=headers)
    if isinstance(error, AgentError):
        return ErrorAnswer(status=503, body=envelope(str(error), "server_error", code="agent_unavailable"))
    if isinstance(error, EngineRefused):
        return _refused(error)
    if isinstance(error, EngineError):
        wait_s = error.retry_after_s or (2 if error.status == 503 else None)
        headers = {"retry-after": str(math.ceil(wait_s))} if wait_s else {}
        body = envelope(str(error), error.type, code=error.code)
        return ErrorAnswer(status=error.status, body=body, headers=headers)
    return ErrorAnswer(status=500, body=envelope("Hanok failed; its log says how", "server_error", code="internal"))


def error_event(failed: ErrorAnswer) -> bytes:
    """The last event of a stream that fails: its status is spent, so the envelope is told as data."""
    return b"data: " + failed.body.replace(b"\n", b" ") + b"\n\n"


def _over_limit(error: OverLimit) -> ErrorAnswer:
    """Spent budgets stay spent: SDKs are told not to try again (`x-should-retry`). Rate limits say when to."""
    spent = isinstance(error, BudgetExceeded)
    headers = {"x-should-retry": "false"} if spent or error.retry_after_s is None else {}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after_s))
        headers["retry-after-ms"] = str(math.ceil(error.retry_after_s * 1000))
    body: dict[str, Any] = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    body["budget" if spent else "limit"] = error.detail
    return ErrorAnswer(status=error.status, body=json_bytes({"error": body}), headers=headers)


def _refused(error: EngineRefused) -> ErrorAnswer:
    """An engine's own error passes on as it came, unless it speaks of *our* credentials, or is not JSON."""
    refusal = error.refusal
    if refusal.status in (401, 403):
        message = f"{error.message}: check the key that platform.yaml gives this endpoint"
        return ErrorAnswer(status=502, body=envelope(message, "engine_error", code="engine_credentials"))
    if read_error_message(refusal.body) is not None:
        return ErrorAnswer(status=refusal.status, body=refusal.body, headers=refusal.headers)
    said = refusal.body[:500].decode("utf-8", "replace").strip()
    message = f"{error.message}: {said}" if said else error.message
    kind = "invalid_request_error" if refusal.status < 500 else "engine_error"
    return ErrorAnswer(status=refusal.status, body=envelope(message, kind, code=error.code), headers=refusal.headers)
