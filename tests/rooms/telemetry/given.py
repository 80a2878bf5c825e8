"""Calls as a test gives them."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from hanok.telemetry import continue_trace
from hanok.wire import Caller, Charge, ChatRequest, TaskRequest, json_bytes

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = TRACE[:-1] + "0"


def charge(**more: Any) -> Charge:
    """A call that went well."""
    values: dict[str, Any] = {
        "id": 1, "at": 1_800_000_000.25, "key_id": "k1", "key_name": "ann", "model": "smart", "endpoint": "smart#1",
        "operation": "chat", "status": "ok", "prompt_tokens": 1200, "completion_tokens": 340, "cached_tokens": 0,
        "estimated": False, "cost_nano_usd": 0, "latency_ms": 1500.0, "first_token_ms": 250.0,
    }  # fmt: skip
    return Charge(**{**values, **more})


def caller(**more: Any) -> Caller:
    return Caller(**{"key_id": "k1", "key_name": "ann", "trace": TRACE, **more})


def fresh_caller(**more: Any) -> Caller:
    """A caller with a trace of its own, sampled."""
    return caller(trace=continue_trace(None, random_bits=random.getrandbits, sample=1.0).trace, **more)


def chat(by: Caller | None = None, *, stream: bool = False, operation: Any = "chat", **fields: Any) -> ChatRequest:
    """A request with these fields in its body."""
    raw = {name: msgspec.Raw(json_bytes(value)) for name, value in fields.items()}
    return ChatRequest("smart", raw, operation, stream=stream, caller=by or caller())


def embedding(by: Caller | None = None, **fields: Any) -> TaskRequest:
    raw = {name: msgspec.Raw(json_bytes(value)) for name, value in fields.items()}
    return TaskRequest("smart", raw, caller=by or caller())
