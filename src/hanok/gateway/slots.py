"""Slots: the room that one model's endpoints have for calls, and the queue of the calls that wait for some.

A call takes a slot before it asks an endpoint and gives it back when its answer is over. A slot that comes back while
calls wait is handed to the next of them there and then, so nobody polls, and no newcomer can take it first. A model
whose endpoints have no `max_in_flight` never has a queue, and pays for none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal

import msgspec

from hanok.errors import NoEndpoint, Overloaded
from hanok.routing import FairQueue, pick_least_busy, will_have_room
from hanok.routing.breaker import abandoned, started
from hanok.serving.fleet import Endpoint, Fleet
from hanok.spec import Queue

NOBODY: Collection[Endpoint] = ()
FIRST_GUESS_S = 1.0
LONGEST_GUESS_S = 60.0
RECENT = 0.2
"""How much the newest gap between two ends counts in the running mean."""


class Slot(msgspec.Struct, frozen=True, gc=False):
    """The right to ask this endpoint now; `probe` when the call tries out whether it works again."""

    endpoint: Endpoint
    probe: bool


class Slots:
    """One model's slots. `weights` are the shares of teams in the queue; 1 when a team is not named."""

    def __init__(
        self, fleet: Fleet, model: str, *, queue: Queue, weights: Mapping[str, float], monotonic: Callable[[], float]
    ) -> None:
        self._fleet = fleet
        self._model = model
        self.change(queue, weights)
        self._monotonic = monotonic
        self._turn = 0
        self._queue: FairQueue[str | None, _Waiter] = FairQueue()
        self._gap_s = FIRST_GUESS_S
        self._last_end = 0.0

    def change(self, queue: Queue, weights: Mapping[str, float]) -> None:
        """Take other lengths of the queue and of the wait in it, and other shares, from the next call on."""
        self._length = queue.length
        self._wait_s = queue.wait_s
        self._weights = weights

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        return self._fleet.of(self._model)

    def waiting(self) -> int:
        """How many calls wait."""
        return len(self._queue)

    def take(self, refused: Collection[Endpoint] = NOBODY) -> Slot | None:
        """A slot on the least busy endpoint that is not refused; None when there is none now."""
        if self._queue:
            self.hand_out()
        return self._take(refused)

    def will_have_room(self, refused: Collection[Endpoint]) -> bool:
        """Whether it makes sense to `wait`."""
        return will_have_room(self.endpoints, tried=refused, now=self._monotonic())

    async def wait(self, refused: Collection[Endpoint], team: str | None) -> Slot:
        """Stand in the queue for a slot. Raises `Overloaded`, or `NoEndpoint` when nothing is left to wait for."""
        if len(self._queue) >= self._length:
            raise self._overloaded("queue_full")
        loop = asyncio.get_running_loop()
        waiter = _Waiter(loop.create_future(), refused)
        self._queue.push(waiter, group=team, weight=self._weights.get(team, 1.0) if team else 1.0)
        timer = loop.call_later(self._wait_s, self._give_up, waiter, team)
        try:
            return await waiter.future
        except asyncio.CancelledError:
            self._leave(waiter, team)
            raise
        finally:
            timer.cancel()

    def give_back(self, endpoint: Endpoint) -> None:
        """A call is over: its slot goes to the next who waits."""
        endpoint.in_flight -= 1
        if endpoint.max_in_flight is not None:
            self._note_end()
            if self._queue:
                self.hand_out()

    def hand_out(self) -> None:
        """Give every slot that is free to whom it is due. When nothing is left to wait for, tell those who wait."""
        unwanted: list[Endpoint] = []
        while self._queue and (slot := self._take(unwanted)) is not None:
            waiter = self._queue.pop(lambda each, endpoint=slot.endpoint: each.takes(endpoint))
            if waiter is not None:
                waiter.future.set_result(slot)
            else:
                self._put_back(slot)
                unwanted.append(slot.endpoint)
        if self._queue and not self.will_have_room(NOBODY):
            for waiter in self._queue.drain():
                if not waiter.future.done():
                    waiter.future.set_exception(self.no_endpoint())

    def no_endpoint(self) -> NoEndpoint:
        """Why nobody can be asked, and when to come back: when the first circuit lets a call pass."""
        now = self._monotonic()
        reasons = "; ".join(said for each in self.endpoints if (said := _reason(each, now)))
        waits = [1.0 if each.circuit.probing else each.circuit.until - now for each in self.endpoints if _is_open(each)]
        return NoEndpoint(
            f"no endpoint of the model {self._model!r} can answer" + (f" ({reasons})" if reasons else ""),
            retry_after_s=max(min(waits), 1.0) if waits else None,
        )

    def _take(self, refused: Collection[Endpoint]) -> Slot | None:
        self._turn += 1
        endpoint = pick_least_busy(self._fleet.of(self._model), tried=refused, turn=self._turn, now=self._monotonic())
        if endpoint is None:
            return None
        endpoint.in_flight += 1
        if endpoint.circuit.until == 0.0:
            return Slot(endpoint, False)
        endpoint.circuit = started(endpoint.circuit)
        return Slot(endpoint, True)

    def _put_back(self, slot: Slot) -> None:
        """Undo `_take`: nobody used the slot."""
        slot.endpoint.in_flight -= 1
        slot.endpoint.circuit = abandoned(slot.endpoint.circuit, probe=slot.probe)

    def _give_up(self, waiter: _Waiter, team: str | None) -> None:
        """The waiter's time is up, unless an endpoint has come up, or out of its cooldown, and nobody has noticed."""
        self.hand_out()
        if self._queue.remove(waiter, group=team) and not waiter.future.done():
            waiter.future.set_exception(self._overloaded("queue_timeout"))

    def _leave(self, waiter: _Waiter, team: str | None) -> None:
        """The caller is gone. A slot that came in the same moment goes on to the next."""
        if self._queue.remove(waiter, group=team) or waiter.future.cancelled():
            return
        if waiter.future.exception() is None:
            self._put_back(waiter.future.result())
            self.hand_out()

    def _overloaded(self, code: Literal["queue_full", "queue_timeout"]) -> Overloaded:
        waiting = len(self._queue)
        seconds = min(max((waiting + 1) * self._gap_s, 1.0), LONGEST_GUESS_S)
        if code == "queue_full":
            message = f"the model {self._model!r} is busy, and {waiting} calls wait for it"
        else:
            message = f"the model {self._model!r} is busy: there was no room in {self._wait_s:g} s"
        return Overloaded(message, code=code, retry_after_s=seconds)

    def _note_end(self) -> None:
        """Learn how fast calls end while others wait: what a guess at a waiting time is made of."""
        now = self._monotonic()
        if self._queue and self._last_end:
            self._gap_s += RECENT * (now - self._last_end - self._gap_s)
        self._last_end = now


class _Waiter:
    """A call that waits, and the endpoints that it does not want."""

    __slots__ = ("future", "refused")

    def __init__(self, future: asyncio.Future[Slot], refused: Collection[Endpoint]) -> None:
        self.future = future
        self.refused = refused

    def takes(self, endpoint: Endpoint) -> bool:
        return endpoint not in self.refused and not self.future.done()


def _is_open(endpoint: Endpoint) -> bool:
    return endpoint.state in ("up", "down") and endpoint.circuit.until != 0.0


def _reason(endpoint: Endpoint, now: float) -> str:
    if _is_open(endpoint) and endpoint.circuit.until > now:
        return f"{endpoint.name} is left alone for {endpoint.circuit.until - now:.0f} s after it failed"
    return f"{endpoint.name} {endpoint.state}: {endpoint.reason}" if endpoint.reason else ""
