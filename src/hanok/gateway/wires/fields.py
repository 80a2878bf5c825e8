"""What the wires share when they make a chat request's fields."""

from __future__ import annotations

from typing import Any

import msgspec

from hanok.errors import RequestError
from hanok.wire import json_bytes

FEW = 5
LONGEST = 64
ENGINES_OWN = (
    "chat_template_kwargs", "frequency_penalty", "logit_bias", "min_p", "presence_penalty", "repetition_penalty",
    "seed",
)  # fmt: skip
"""Settings that engines know and these wires do not: they pass through. Others do not, for they might cost more than
was reserved."""


def raw(**values: Any) -> dict[str, msgspec.Raw]:
    """These fields as JSON, without those that are None."""
    return {name: msgspec.Raw(json_bytes(value)) for name, value in values.items() if value is not None}


def unsupported(param: str, message: str) -> RequestError:
    """What to raise for a field that asks for something that cannot be had here."""
    return RequestError(f"{param}: {message}", param=param, code="unsupported")


def invalid(param: str, message: str) -> RequestError:
    """What to raise for a field that holds the wrong thing."""
    return RequestError(f"{param}: {message}", param=param, code="invalid_value")


def shown(*names: str) -> str:
    """Callers' own words as a message shows them: in quotes, a few of them, and none at any length."""
    few = ", ".join(repr(name if len(name) <= LONGEST else f"{name[:LONGEST]}…") for name in names[:FEW])
    return few if len(names) <= FEW else f"{few} and {len(names) - FEW} more"
