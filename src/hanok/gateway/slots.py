"""Slots: the room that one model's endpoints have for calls, and the queue of the calls that wait for some.

A call takes a slot before it asks an endpoint and gives it back when its answer is over. A slot that comes back while
calls wait is handed to the next of them there and then, so nobody polls, and no newcomer can take it first. A model
whose endpoints have no `max_in_flight` never has a queue, and pays for none.

A call without features may go anywhere, and goes where least is to do; one with features goes where it may, and there
by the model's policy. Who has waited takes the slot that comes, whatever the policy would rather have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal

import msgspec

from hanok.errors import Forbidden, NoEndpoint, Overloaded, RequestError, UnknownModel
from hanok.gateway.prefixes import Prefixes
from hanok.routing import (
    FairQueue,
    Features,
    by_preference,
    open_to,
    pick_least_busy,
    policy_of,
    will_have_room,
    with_room,
)
from hanok.routing.breaker import abandoned, started
from hanok.routing.policies import busy, in_turn
from hanok.serving.fleet import Endpoint, Fleet
from hanok.spec import Queue, Routing

NOBODY: Collection[Endpoint] = ()
FIRST_GUESS_S = 1.0
LONGEST_GUESS_S = 60.0
LOADING_AGAIN_S = 5.0
"""When to ask again for a model that is still loading."""
START_AGAIN_S = 15.0
"""When to ask again for a model whose engine could not be started."""
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
        self.routing = Routing()
        self.prefixes: Prefixes | None = None
        self.prefill_prefixes: Prefixes | None = None
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

    def open_to(self, features: Features | None) -> Sequence[Endpoint]:
        """The endpoints that may take a call with these features."""
        return self.endpoints if features is None else open_to(features, self.endpoints)

    def require(self, features: Features) -> None:
        """Raise unless an endpoint may take the call, be it up or not."""
        if not open_to(features, self.endpoints) and self.endpoints:
            raise self._not_open(features)

    def take(self, refused: Collection[Endpoint] = NOBODY, features: Features | None = None) -> Slot | None:
        """A slot on an endpoint that is not refused; None when there is none now."""
        if self._queue:
            self.hand_out()
        return self._take(refused) if features is None else self._choose(refused, features)

    def take_prefill(self, features: Features) -> Slot | None:
        """A slot on an endpoint that prefills for others; None when there is none now."""
        self._turn += 1
        candidates = open_to(features, self.endpoints, role="prefill")
        for group in by_preference(candidates):
            if room := with_room(group, tried=NOBODY, now=self._monotonic()):
                return _occupy(self._prefer_prefill(room, features))
        return None

    def will_have_room(self, refused: Collection[Endpoint], features: Features | None = None) -> bool:
        """Whether it makes sense to `wait`."""
        return will_have_room(self.open_to(features), tried=refused, now=self._monotonic())

    async def wait(self, refused: Collection[Endpoint], team: str | None, features: Features | None = None) -> Slot:
        """Stand in the queue for a slot. Raises `Overloaded`, or `NoEndpoint` when nothing is left to wait for."""
        if len(self._queue) >= self._length:
            raise self._overloaded("queue_full")
        loop = asyncio.get_running_loop()
        waiter = _Waiter(loop.create_future(), refused, features)
        self._queue.push(waiter, group=team, weight=self._weights.get(team, 1.0) if team else 1.0)
        timer = loop.call_later(self._wait_s, self._give_up, waiter, team)
        try:
            return await waiter.future
        except asyncio.CancelledError:
            self._leave(waiter, team)
            raise
        finally:
            timer.cancel()

    def let_in(self, asking: int) -> None:
        """Raise `Overloaded` where as many wait for the model to load as may wait for it at all."""
        if asking and asking >= self._length:
            message = f"the model {self._model!r} is still loading, and {asking} calls wait for it"
            raise Overloaded(message, code="queue_full", retry_after_s=LOADING_AGAIN_S)

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
        replicas = self._fleet.replicas.get(self._model)
        if replicas is not None and replicas.stuck:
            return NoEndpoint(
                f"no engine of the model {self._model!r} can be started ({replicas.because})",
                retry_after_s=START_AGAIN_S,
            )
        waits = [1.0 if each.circuit.probing else each.circuit.until - now for each in self.endpoints if _is_open(each)]
        return NoEndpoint(
            f"no endpoint of the model {self._model!r} can answer" + (f" ({reasons})" if reasons else ""),
            retry_after_s=max(min(waits), 1.0) if waits else None,
        )

    def _take(self, refused: Collection[Endpoint]) -> Slot | None:
        self._turn += 1
        endpoint = pick_least_busy(self._fleet.of(self._model), tried=refused, turn=self._turn, now=self._monotonic())
        return None if endpoint is None else _occupy(endpoint)

    def _choose(self, refused: Collection[Endpoint], features: Features) -> Slot | None:
        self._turn += 1
        now = self._monotonic()
        for candidates in by_preference(open_to(features, self.endpoints)):
            if room := with_room(candidates, tried=refused, now=now):
                return _occupy(self._prefer(room, features) if len(room) > 1 else room[0])
        return None

    def _prefer(self, room: Sequence[Endpoint], features: Features) -> Endpoint:
        if self.prefixes is not None:
            return self.prefixes.choose(room, features, self._turn)
        return policy_of(self.routing)(room, features, self._turn, self.routing)

    def _prefer_prefill(self, room: Sequence[Endpoint], features: Features) -> Endpoint:
        if self.prefill_prefixes is not None and features.prompt is not None:
            return self.prefill_prefixes.choose(room, features, self._turn)
        return min(in_turn(room, self._turn), key=busy)

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

    def _not_open(self, features: Features) -> RequestError:
        """Why no endpoint may take the call."""
        if features.tags and open_to(msgspec.structs.replace(features, tags=frozenset()), self.endpoints):
            tags = sorted({tag for each in self.endpoints for tag in each.tags})
            wanted = ", ".join(sorted(features.tags))
            message = f"no endpoint of the model {self._model!r} has all of the tags {wanted}"
            message += f"; its tags: {', '.join(tags) or 'none'}"
            return UnknownModel(message, param="x-hanok-tags", code="no_endpoint_with_tags")
        message = f"no endpoint of the model {self._model!r} is open to {_named(features.team)}"
        return Forbidden(message, param="model", code="no_endpoint_for_team")

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
    """A call that waits, the endpoints that it does not want, and what decides where it may go."""

    __slots__ = ("features", "future", "refused")

    def __init__(self, future: asyncio.Future[Slot], refused: Collection[Endpoint], features: Features | None) -> None:
        self.future = future
        self.refused = refused
        self.features = features

    def takes(self, endpoint: Endpoint) -> bool:
        if endpoint in self.refused or self.future.done():
            return False
        return self.features is None or bool(open_to(self.features, (endpoint,)))


def _occupy(endpoint: Endpoint) -> Slot:
    endpoint.in_flight += 1
    endpoint.calls += 1
    if endpoint.circuit.until == 0.0:
        return Slot(endpoint, False)
    endpoint.circuit = started(endpoint.circuit)
    return Slot(endpoint, True)


def _named(team: str | None) -> str:
    return f"the team {team!r}" if team else "callers without a team"


def _is_open(endpoint: Endpoint) -> bool:
    return endpoint.state in ("up", "down") and endpoint.circuit.until != 0.0


def _reason(endpoint: Endpoint, now: float) -> str:
    if _is_open(endpoint) and endpoint.circuit.until > now:
        return f"{endpoint.name} is left alone for {endpoint.circuit.until - now:.0f} s after it failed"
    return f"{endpoint.name} {endpoint.state}: {endpoint.reason}" if endpoint.reason else ""
