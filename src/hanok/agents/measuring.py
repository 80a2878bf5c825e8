"""How long a conversation is: each message is measured once, and the sum goes on with the conversation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hanok.wire import BYTES_PER_TOKEN, json_bytes


class Length:
    """Of a list that only grows. What was measured before is known by its place: where the list is another (it begins
    later, is shorter, or its last measured message is not the same), all of it is measured anew."""

    def __init__(self) -> None:
        self._begin = 0
        self._end = 0
        self._last: Any = None
        self._bytes = 0

    def tokens(self, messages: Sequence[dict[str, Any]], begin: int) -> int:
        """Of the messages from that place on, estimated at four bytes each."""
        known = self._begin == begin and begin < self._end <= len(messages) and messages[self._end - 1] == self._last
        if not known:
            self._begin, self._end, self._bytes = begin, begin, 0
        self._bytes += sum(len(json_bytes(message)) for message in messages[self._end :])
        self._end = len(messages)
        self._last = messages[-1] if messages else None
        return self._bytes // BYTES_PER_TOKEN
