"""What is kept of an answer."""

from __future__ import annotations

from typing import Literal

import msgspec

from hanok.wire import Usage

OVERHEAD_BYTES = 700
"""What an entry takes in memory besides its data: objects, its key, its place in tables."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as it came: a whole body, or a stream's events without `[DONE]`, its usage event beside them.

    `at` and `until` are Unix seconds; `usage` is what the answer used when it was made.
    """

    model: str
    form: Literal["whole", "stream"]
    data: bytes
    usage: Usage
    at: float
    until: float
    usage_event: bytes = b""

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return len(self.data) + len(self.usage_event) + OVERHEAD_BYTES
