"""Whose turn it is: how many lines are asked at once, in all and of one model. Nothing is asked while it is closed.

First come, first served, except that a line whose model is full, or busy with callers who wait, lets others pass.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable


class Turns:
    """Turns to ask. `gives_way` says whether a model is busy with calls that go first."""

    def __init__(self, *, gives_way: Callable[[str], bool]) -> None:
        self._gives_way = gives_way
        self._waiting: deque[tuple[str, asyncio.Future[None]]] = deque()
        self._running: Counter[str] = Counter()
        self._most = 0
        self._most_of_one = 0

    def change(self, *, most: int, most_of_one: int) -> None:
        """Have that many lines asked at once, in all and of one model; 0 lets nobody begin."""
        self._most, self._most_of_one = most, most_of_one
        self.hand_out()

    async def take(self, model: str) -> None:
        """Return when it is this line's turn; to be given back."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((model, turn))
        self.hand_out()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(model)
            raise

    def give_back(self, model: str) -> None:
        """The line has been asked."""
        self._running[model] -= 1
        self.hand_out()

    def hand_out(self) -> None:
        """Let begin who may: to be called also now and then, as callers come and go."""
        left: deque[tuple[str, asyncio.Future[None]]] = deque()
        busy: dict[str, bool] = {}
        while self._waiting and self.running < self._most:
            model, turn = self._waiting.popleft()
            if turn.done():  # given up
                continue
            if model not in busy:
                busy[model] = self._gives_way(model)
            if busy[model] or self._running[model] >= self._most_of_one:
                left.append((model, turn))
            else:
                self._running[model] += 1
                turn.set_result(None)
        self._waiting.extendleft(reversed(left))

    @property
    def running(self) -> int:
        return self._running.total()

    @property
    def waiting(self) -> int:
        return sum(not turn.done() for _, turn in self._waiting)
