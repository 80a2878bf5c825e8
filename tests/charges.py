"""Charges for tests of the books."""

from __future__ import annotations

from typing import Any

from hanok.wire.charge import Charge


def charge(number: int, **more: Any) -> Charge:
    """A charge with this id, and whatever else is to differ from the others."""
    known: dict[str, Any] = {
        "id": number,
        "at": 1_795_000_000.0 + number,
        "key_id": "key_1",
        "key_name": "ann",
        "model": "m",
        "endpoint": "m#1",
        "operation": "chat",
        "status": "ok",
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "cached_tokens": 0,
        "estimated": False,
        "cost_nano_usd": 100,
        "latency_ms": 20.0,
        "first_token_ms": 5.0,
    }
    return Charge(**{**known, **more})
