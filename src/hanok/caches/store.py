"""The seam of stores: where kept answers are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from hanok.caches.entry import Entry


class StoreCounts(msgspec.Struct, frozen=True):
    """What a store holds of one model."""

    entries: int = 0
    bytes: int = 0


class Store(Protocol):
    """Keeps entries by their keys. Nothing here raises: a store that is away has nothing, and keeps nothing."""

    async def find(self, model: str, key: bytes) -> Entry | None:
        """The entry of that key, if there is one whose time is not over."""
        ...

    def keep(self, key: bytes, entry: Entry) -> None:
        """Keep the entry until its time is over, or room is needed. May happen a moment later."""
        ...

    async def clear(self, model: str | None = None) -> int | None:
        """Forget all entries, or those of a model, and say how many; None when the store is away."""
        ...

    async def count(self) -> Mapping[str, StoreCounts] | None:
        """What is held, by model; None when the store is away."""
        ...

    async def aclose(self) -> None:
        """Let go of what the store holds open."""
        ...
