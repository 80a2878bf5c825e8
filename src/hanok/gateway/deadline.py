"""The moment at which a call's time is up, whatever it is doing then: one timer a call, none a chunk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from hanok.errors import EngineTimeout

Result = TypeVar("Result")


class Deadline:
    """`total_s` seconds from now. What runs within it is cancelled when they have passed; stop it when all is done."""

    __slots__ = ("_expired", "_model", "_task", "_timer", "_total_s")

    def __init__(self, model: str, total_s: float) -> None:
        self._model = model
        self._total_s = total_s
        self._task: asyncio.Task[Any] | None = None
        self._expired = False
        self._timer = asyncio.get_running_loop().call_later(total_s, self._expire)

    async def within(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """Do it. Raises `EngineTimeout` when the time is up, before or meanwhile."""
        if self._expired:
            raise self._timeout()
        task = self._task = asyncio.current_task()
        assert task is not None
        cancels = task.cancelling()
        try:
            return await work()
        except asyncio.CancelledError:  # ours, or that of somebody who also wants the call to end
            if self._expired and task.uncancel() <= cancels:
                raise self._timeout() from None
            raise
        finally:
            self._task = None

    def stop(self) -> None:
        self._timer.cancel()

    def _expire(self) -> None:
        self._expired = True
        if self._task is not None:
            self._task.cancel()

    def _timeout(self) -> EngineTimeout:
        return EngineTimeout(f"the call to {self._model!r} took longer than {self._total_s:g} s in all")
