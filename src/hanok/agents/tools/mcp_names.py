"""Names that both sides of MCP agree on here: of tools, and in `_meta`. Needs no SDK."""

from __future__ import annotations

import hashlib
import re

NAME_LIMIT = 64
"""What every provider takes as a function's name: https://platform.openai.com/docs/api-reference/chat/create."""
IDEMPOTENCY_KEY = "hanok/idempotency-key"
"""In a call's `_meta`: the same when the call is repeated after a crash."""
TRACEPARENT = "traceparent"
"""Likewise: the span that the call belongs to, as in the header of that name (W3C Trace Context)."""
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]")


def fit_name(name: str, prefix: str | None) -> str:
    """A name that every provider takes: `PREFIX__name`, at most 64 characters of `[A-Za-z0-9_-]`."""
    fit = _NO_NAME.sub("_", name)
    whole = f"{prefix}__{fit}" if prefix else fit if fit[:1].isalpha() or fit[:1] == "_" else f"_{fit}"
    return whole if len(whole) <= NAME_LIMIT else with_mark(whole, name)


def with_mark(name: str, own: str) -> str:
    """That name with a mark of the server's own, so that two that are cut alike are told apart, always in one way."""
    mark = hashlib.sha256(own.encode()).hexdigest()[:8]
    return f"{name[: NAME_LIMIT - 9]}_{mark}"
