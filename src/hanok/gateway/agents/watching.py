"""A run that is watched: what is told of it, piece by piece. Who goes away leaves the run alone, unless told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from functools import partial
from typing import Any, Self

from hanok.agents.agency import Agency
from hanok.agents.values import Run
from hanok.wire import Chunk

Leave = Callable[[], Coroutine[Any, Any, object]]


class Cancelling:
    """Cancels runs whose watchers go away, where they want that; not while the house is `leaving`: then it is we who
    hang up, and the run goes on at the next start, or in another process."""

    def __init__(self, agency: Agency, leaving: Callable[[], bool]) -> None:
        self._agency = agency
        self._leaving = leaving

    def leave(self, run: Run, wanted: bool) -> Leave | None:
        """What is done when a watcher of the run goes away."""
        return partial(self._cancel, run) if wanted else None

    async def _cancel(self, run: Run) -> None:
        if not self._leaving():
            await self._agency.cancel(run.id, tenant=run.tenant)


class Watched:
    """An answer of these pieces. `leave` is done where its reader goes away before its end."""

    def __init__(self, pieces: AsyncGenerator[bytes], *, name: str, leave: Leave | None = None) -> None:
        self._pieces = pieces
        self._leave = leave
        self._over = False
        self.model = self.endpoint = name

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        try:
            return Chunk(await self._pieces.__anext__())
        except StopAsyncIteration:
            self._over = True
            raise

    async def aclose(self) -> None:
        await self._pieces.aclose()
        if self._leave is not None and not self._over:
            self._over = True
            await asyncio.shield(self._leave())
