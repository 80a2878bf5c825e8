"""Where documents come from: the seam. `sources/` has one for each kind of place."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from hanok.knowledge.values import Entry


class Opened(Protocol):
    """A source that can be listed and read."""

    def entries(self) -> AsyncIterator[Entry]:
        """Every document that it has now. Raises `SourceUnreadable` when it cannot say: then none is taken for gone."""
        ...

    async def read(self, entry: Entry, limit_bytes: int) -> bytes:
        """A document's bytes. Raises `DocumentRefused` when it is larger than that, gone, or cannot be read."""
        ...

    async def aclose(self) -> None:
        """Let go of connections and folders made for it."""
        ...
