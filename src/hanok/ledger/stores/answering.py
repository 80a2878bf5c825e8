"""PostgreSQL's connections, of which none waits for ever.

libpq waits for an answer as long as the server's machine takes packets, be the server itself stopped, or something
between them stuck. So where nothing came for a while another connection asks whether the server is at our question. If
it is, that is waited for, since some questions take long; if not, the connection is closed, which takes back what it
had begun.

Of a server that does not answer at all one question is asked at a time, and none for a moment after it; all others are
refused at once: they share a few threads and locks, and would wait behind one another.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo
from psycopg.errors import ConnectionTimeout
from psycopg.rows import DictRow, TupleRow

RV = TypeVar("RV")
PATIENCE_S = 5.0
"""How long nothing may come before somebody looks, and how long whoever looks waits."""
LONGEST_S = 60.0
"""How long a server that answers others may be at one question, where the connection says nothing else."""
REST_S = 1.0
"""After a question without an answer nobody asks for so long: whoever waited for their turn is refused."""
_AT_IT = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND state NOT LIKE 'idle%%'"


class NoAnswer(psycopg.OperationalError):
    """The server answers nobody."""

    def __init__(self) -> None:
        super().__init__("it does not answer")


class GivenUp(psycopg.OperationalError):
    """The server answers others, but not this question."""


class Connection(psycopg.Connection[TupleRow]):
    """One that is given up where its server is silent. `longest_s` may be changed."""

    longest_s = LONGEST_S

    def wait(self, gen: PQGen[RV], *how: Any, **more: Any) -> RV:
        try:
            return super().wait(_watched(gen, self._is_at_it, self.longest_s), *how, **more)
        except (NoAnswer, GivenUp):
            self.pgconn.finish()
            raise

    def _is_at_it(self) -> bool:
        return _is_at_it(_asked(self.pgconn))


class AsyncConnection(psycopg.AsyncConnection[DictRow]):
    """The same for an event loop. It looks in a thread."""

    longest_s = LONGEST_S

    async def wait(self, gen: PQGen[RV], *how: Any, **more: Any) -> RV:
        looking: list[asyncio.Task[bool]] = []

        def is_at_it() -> bool | None:
            if not looking:
                looking.append(task := asyncio.create_task(asyncio.to_thread(_is_at_it, _asked(self.pgconn))))
                task.add_done_callback(lambda done: done.cancelled() or done.exception())  # maybe nobody asks
            return looking.pop().result() if looking[0].done() else None

        try:
            return await super().wait(_watched(gen, is_at_it, self.longest_s), *how, **more)
        except (NoAnswer, GivenUp):
            self.pgconn.finish()
            raise
        finally:
            for each in looking:
                each.cancel()


class Silence:
    """Whether a server has fallen silent. Safe to use from several threads, and in an event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._is_there = False
        self._rests_until = 0.0
        self._asking = threading.Lock()

    @contextmanager
    def heeded(self) -> Generator[None]:
        """Ask the server inside. Raises `NoAnswer` where it gave none, and where another finds out if it does."""
        again = self._is_there
        if again and (self._clock() < self._rests_until or not self._asking.acquire(blocking=False)):
            raise NoAnswer
        try:
            yield
            self._is_there = False
        except (NoAnswer, ConnectionTimeout) as error:
            self._rests_until = self._clock() + REST_S
            self._is_there = True
            raise error if isinstance(error, NoAnswer) else NoAnswer from error
        except Exception:
            self._is_there = False
            raise
        finally:
            if again:
                self._asking.release()


def _watched(gen: PQGen[RV], is_at_it: Callable[[], bool | None], longest_s: float) -> PQGen[RV]:
    """What a connection asks its socket, until nothing comes for too long. `is_at_it` tells None until it knows."""
    began = heard = time.monotonic()
    missed = False
    try:
        wants = next(gen)
        while True:
            ready = yield wants
            if ready:
                heard = time.monotonic()
            elif (now := time.monotonic()) - heard > PATIENCE_S and (found := is_at_it()) is not None:
                if not found and missed:  # twice: the first time its answer may have been on the way
                    raise GivenUp("a question, or its answer, was lost on the way")
                if found and now - began > longest_s:
                    raise GivenUp(f"what it was asked is not done after {longest_s:g} seconds")
                missed, heard = not found, time.monotonic() if found else heard
            wants = gen.send(ready)
    except StopIteration as done:
        return done.value


def _asked(connection: psycopg.pq.abc.PGconn) -> tuple[str, int]:
    """How to connect to the same server, and which of its processes was asked."""
    how = {each.keyword.decode(): each.val.decode() for each in connection.info if each.val}
    return make_conninfo(**{**how, "connect_timeout": str(math.ceil(PATIENCE_S))}), connection.backend_pid


def _is_at_it(asked: tuple[str, int]) -> bool:
    """Whether the server works on what it was asked there. Raises `NoAnswer`."""
    where, process = asked
    try:
        with _Look.connect(where) as connection:
            found = connection.execute(_AT_IT, (process,)).fetchone()
    except psycopg.Error as error:
        if "FATAL:" in str(error):  # it has no room for another, say: it answers
            return True
        raise NoAnswer from None
    return found is not None and found[0] > 0


class _Look(psycopg.Connection[TupleRow]):
    """One that gives up when nothing came for a while."""

    def wait(self, gen: PQGen[RV], *how: Any, **more: Any) -> RV:
        return super().wait(_watched(gen, _refuse, PATIENCE_S), *how, **more)


def _refuse() -> bool:
    raise NoAnswer
