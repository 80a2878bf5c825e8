"""Callers who go away: their handler is cancelled, which closes the answer, which stops the engine.

Watching a connection costs as much as serving a short call, so only calls that have run for a while are watched: one
sweep looks for them a few times a second.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

SWEEP_EVERY_S = 0.2


class Watched(Protocol):
    """A call whose caller may go away."""

    async def wait_gone(self) -> None: ...


class Disconnects:
    """The calls running now, and a watcher on each that has run for a sweep."""

    def __init__(self) -> None:
        self._running: dict[Watched, asyncio.Task[Any]] = {}
        self._watchers: dict[Watched, asyncio.Task[None]] = {}
        self._old: set[Watched] = set()
        self._sweep: asyncio.TimerHandle | None = None

    def watch(self, call: Watched) -> None:
        """Cancel the running task when the caller of `call` goes away, until `leave`."""
        task = asyncio.current_task()
        assert task is not None
        self._running[call] = task
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(SWEEP_EVERY_S, self._look)

    def leave(self, call: Watched) -> None:
        """The call is over."""
        del self._running[call]
        if self._watchers and (watcher := self._watchers.pop(call, None)):
            watcher.cancel()

    def cut(self) -> None:
        """Cancel every call that runs."""
        for task in self._running.values():
            task.cancel()

    def _look(self) -> None:
        self._sweep = None
        for call in self._running.keys() & self._old:
            if call not in self._watchers:
                self._watchers[call] = asyncio.ensure_future(self._cancel_when_gone(call))
        self._old = set(self._running)
        if self._running:
            self._sweep = asyncio.get_running_loop().call_later(SWEEP_EVERY_S, self._look)

    async def _cancel_when_gone(self, call: Watched) -> None:
        await call.wait_gone()
        if task := self._running.get(call):
            task.cancel()
