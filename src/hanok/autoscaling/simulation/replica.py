"""One replica as a simulated engine: continuous batching with chunked prefill, by the roofline's times.

The idea that makes it fast: between two events all calls that are being answered get tokens at the same pace, so the
replica counts steps, not tokens. A call that needs n more tokens ends n steps from now, whatever a step takes then.
Prompts are read one after another, in chunks; while one is read, the others get a token with each chunk. A call is let
in when all of its tokens will fit into the cache, so none is ever preempted, and no prompt is found in the cache.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass

from hanok.autoscaling.simulation.hardware import Hardware
from hanok.autoscaling.trace import Call

NEARLY = 1e-6
"""Of a step: what rounding may leave of it, after days of seconds."""


@dataclass(slots=True, eq=False)
class Asked:
    """A call on its way: when its prompt began to be read, its first token came, and its last."""

    call: Call
    begun_s: float = math.nan
    first_s: float = math.nan
    ended_s: float = math.nan


class Replica:
    """One engine. `advance` moves it to a moment; `next_s` is when something of it happens next."""

    def __init__(self, hardware: Hardware, *, up_at_s: float, number: int) -> None:
        self.hardware = hardware
        self.up_at_s = up_at_s
        self.number = number
        self.draining = False
        self.version = 0
        """Changes whenever `next_s` may have, so that what was foreseen before is known to be old."""
        self.next_s = math.inf
        """When a prompt is read or an answer ends; infinite while there is nothing to do."""
        self._queue: deque[Asked] = deque()
        self._reading: Asked | None = None
        self._answering: list[tuple[float, int, Asked]] = []
        self._now = up_at_s
        self._steps = 0.0
        self._pace = 0.0
        """Steps a second."""
        self._read_at_s = math.inf
        self._reserved = 0
        self._kept = 0.0
        """Tokens in the cache, less the steps that each call that is answered has made: see `kv_used`."""

    @property
    def running(self) -> int:
        return len(self._answering) + (self._reading is not None)

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def in_flight(self) -> int:
        return len(self._answering) + (self._reading is not None) + len(self._queue)

    @property
    def kv_used(self) -> float:
        """Tokens in its cache now."""
        reading = self._reading.call.prompt if self._reading else 0
        return self._kept + len(self._answering) * self._steps + reading

    @property
    def kv_share(self) -> float:
        return min(1.0, self.kv_used / self.hardware.kv_tokens)

    def take(self, asked: Asked, now: float) -> list[Asked]:
        """A call more. Gives those that have ended meanwhile."""
        ended = self.advance(now)
        self._queue.append(asked)
        self._settle()
        return ended

    def advance(self, now: float) -> list[Asked]:
        """Let everything happen until a moment. Gives the calls that have ended."""
        ended: list[Asked] = []
        while self.next_s <= now:
            moment = self.next_s
            self._move(moment)
            if moment >= self._read_at_s:
                self._read(ended)
            while self._answering and self._answering[0][0] <= self._steps + NEARLY:
                self._end(heapq.heappop(self._answering)[2], ended)
            self._settle()
        self._move(now)
        return ended

    def _move(self, now: float) -> None:
        if now > self._now:
            self._steps += (now - self._now) * self._pace
            self._now = now

    def _read(self, ended: list[Asked]) -> None:
        """The prompt is read, and so its call's first token is there."""
        asked, self._reading, self._read_at_s = self._reading, None, math.inf
        assert asked is not None
        asked.first_s = self._now
        left = asked.call.output - 1
        self._kept += asked.call.prompt - self._steps
        if left:
            heapq.heappush(self._answering, (self._steps + left, id(asked), asked))
        else:
            self._kept += self._steps - asked.call.prompt
            self._release(asked, ended)

    def _end(self, asked: Asked, ended: list[Asked]) -> None:
        begun = self._steps - (asked.call.output - 1)
        self._kept -= asked.call.prompt - begun
        self._release(asked, ended)

    def _release(self, asked: Asked, ended: list[Asked]) -> None:
        asked.ended_s = self._now
        self._reserved -= asked.call.tokens
        if not self._answering:
            self._kept = 0.0  # exactly: what rounding leaves would look as if somebody asked
        ended.append(asked)

    def _settle(self) -> None:
        """Begin the next prompt where there is room, and find the pace from here on."""
        if self._reading is None and self._queue and self._has_room(self._queue[0]):
            self._begin(self._queue.popleft())
        elif self._reading is None:
            self._pace = 1.0 / self._step_s() if self._answering else 0.0
        self.version += 1
        self.next_s = self._read_at_s
        if self._answering and self._pace:
            left = max(0.0, self._answering[0][0] - self._steps)
            self.next_s = min(self.next_s, self._now + left / self._pace)

    def _begin(self, asked: Asked) -> None:
        pace, prompt = self.hardware.pace, asked.call.prompt
        self._reading, asked.begun_s = asked, self._now
        self._reserved += asked.call.tokens
        pieces = pace.pieces(prompt)
        lasts = pace.prompt_s(prompt) + (pieces * self._step_s() if self._answering else 0.0)
        self._read_at_s = self._now + lasts
        self._pace = pieces / lasts if lasts else 0.0

    def _has_room(self, asked: Asked) -> bool:
        fits = self._reserved + asked.call.tokens <= self.hardware.kv_tokens
        return fits and len(self._answering) < self.hardware.most_calls

    def _step_s(self) -> float:
        calls = len(self._answering)
        return self.hardware.pace.step_s(calls, max(0.0, self._kept + calls * self._steps))
