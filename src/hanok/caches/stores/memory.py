"""Kept answers in this process's memory: bounded in bytes; what was used longest ago goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping

from hanok.caches.entry import Entry
from hanok.caches.store import StoreCounts


class MemoryStore:
    """A `Store` of at most `most_bytes`. `wall` gives Unix seconds. It never waits."""

    def __init__(self, *, most_bytes: int, wall: Callable[[], float]) -> None:
        self._most_bytes = most_bytes
        self._wall = wall
        self._kept: OrderedDict[bytes, Entry] = OrderedDict()
        self._counts: dict[str, tuple[int, int]] = {}
        self._bytes = 0

    async def find(self, model: str, key: bytes) -> Entry | None:  # noqa: ARG002 - the key is enough
        entry = self._kept.get(key)
        if entry is None:
            return None
        if entry.until <= self._wall():
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return entry

    def keep(self, key: bytes, entry: Entry) -> None:
        if key in self._kept:
            self._drop(key)
        if entry.size > self._most_bytes:
            return
        self._kept[key] = entry
        self._account(entry, 1)
        self._make_room()

    def change(self, *, most_bytes: int) -> None:
        """Go on with more or less room."""
        self._most_bytes = most_bytes
        self._make_room()

    async def clear(self, model: str | None = None) -> int:
        keys = [key for key, entry in self._kept.items() if model in (None, entry.model)]
        for key in keys:
            self._drop(key)
        return len(keys)

    async def count(self) -> Mapping[str, StoreCounts]:
        return self.count_now()

    def count_now(self) -> Mapping[str, StoreCounts]:
        """What is held, by model."""
        return {model: StoreCounts(*counts) for model, counts in self._counts.items()}

    async def aclose(self) -> None:
        """Memory holds nothing open."""

    def _make_room(self) -> None:
        while self._bytes > self._most_bytes:
            _, entry = self._kept.popitem(last=False)
            self._account(entry, -1)

    def _drop(self, key: bytes) -> None:
        self._account(self._kept.pop(key), -1)

    def _account(self, entry: Entry, more: int) -> None:
        entries, size = self._counts.get(entry.model, (0, 0))
        self._bytes += more * entry.size
        if entries + more:
            self._counts[entry.model] = (entries + more, size + more * entry.size)
        else:
            del self._counts[entry.model]
