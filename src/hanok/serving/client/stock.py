"""What connections to an endpoint there are: which are busy, which rest, and how long each may.

A single sweep looks after all of them, so no exchange costs a timer.
"""

from __future__ import annotations

import asyncio
import time

from hanok.serving.client.connection import Connection
from hanok.serving.client.origin import Origin
from hanok.spec import Timeouts

IDLE_CONNECTIONS = 512
SWEEP_EVERY_S = 0.1


class Stock:
    """Busy connections and idle ones. `timeouts` may be exchanged while they are used."""

    def __init__(self, origin: Origin, timeouts: Timeouts) -> None:
        self.origin = origin
        self.timeouts = timeouts
        self.closed = False
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._pieces = 0
        self._sweep: asyncio.TimerHandle | None = None

    def take_idle(self) -> Connection | None:
        """The connection that was used last, of those that can still be used."""
        now = time.monotonic()
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed and now - connection.idle_since < connection.idle_limit_s:
                return connection
            connection.abort()
        return None

    def set_busy(self, connection: Connection) -> None:
        """An exchange begins on this connection: from now on its time is limited."""
        self._busy.add(connection)
        if self._sweep is None:
            self._keep_sweeping()

    def expect_more(self, connection: Connection) -> None:
        """Somebody waits for the next bytes of a body."""
        connection.wait_until(time.monotonic() + self.timeouts.idle_s, "more")

    def give_back(self, connection: Connection) -> None:
        """Take a connection back after an exchange: keep it if it can be used again, cut it otherwise."""
        self._busy.discard(connection)
        self._pieces += connection.pieces
        connection.pieces = 0
        if connection.reusable() and not self.closed and len(self._idle) < IDLE_CONNECTIONS:
            connection.rest(time.monotonic())
            self._idle.append(connection)
        else:
            connection.abort()

    def close(self) -> None:
        """Cut every connection."""
        self.closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in [*self._idle, *self._busy]:
            connection.abort()
        self._idle.clear()

    def counts(self) -> tuple[int, int]:
        """How many connections are busy and idle."""
        return len(self._busy), len(self._idle)

    def pieces(self) -> int:
        """How many pieces of bodies have come, ever."""
        return self._pieces + sum(each.pieces for each in self._busy)

    def _keep_sweeping(self) -> None:
        if not self.closed:
            self._sweep = asyncio.get_running_loop().call_later(SWEEP_EVERY_S, self._sweep_now)

    def _sweep_now(self) -> None:
        self._sweep = None
        now = time.monotonic()
        self._end_late(now)
        self._end_rested(now)
        if self._busy or self._idle:
            self._keep_sweeping()

    def _end_late(self, now: float) -> None:
        for connection in [each for each in self._busy if now > each.deadline]:
            awaits_first = connection.waits_for == "first byte"
            connection.expire(self.timeouts.first_byte_s if awaits_first else self.timeouts.idle_s)

    def _end_rested(self, now: float) -> None:
        fresh: list[Connection] = []
        for connection in self._idle:
            if connection.closed or now - connection.idle_since >= connection.idle_limit_s:
                connection.abort()
            else:
                fresh.append(connection)
        self._idle = fresh
