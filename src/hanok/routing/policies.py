"""Policies: which of the endpoints that can take a call now is given it.

A policy only chooses. What every policy has in common (nobody who was tried, up before down, circuits, room) is done
before, in `pick.with_room`; so a policy is a function of a few lines that cannot break a promise. Chance is an
argument: `turn` counts a model's calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from math import inf, log
from typing import Protocol, TypeVar

from hanok.routing.features import Features
from hanok.serving.fleet import Load, Pace
from hanok.spec import Routing

GOLDEN = 0.6180339887498949
"""Multiples of the golden ratio, less their whole part, fall evenly between 0 and 1, any number of them."""
_MASK = (1 << 64) - 1


class Choosable(Protocol):
    """What policies look at."""

    @property
    def name(self) -> str: ...

    @property
    def in_flight(self) -> int: ...

    @property
    def weight(self) -> float: ...

    @property
    def price(self) -> float: ...

    @property
    def load(self) -> Load | None: ...

    def pace(self, *, stream: bool) -> Pace | None: ...


Candidate = TypeVar("Candidate", bound=Choosable)


class Policy(Protocol):
    """From those with room (one at least), the call's features, its turn and the options to who takes the call."""

    def __call__(self, room: Sequence[Candidate], features: Features, turn: int, routing: Routing, /) -> Candidate: ...


def policy_of(routing: Routing) -> Policy:
    """The policy as it is declared; `prefix` alone knows more than these and is least busy here."""
    return POLICIES.get(routing.policy, least_busy)


def busy(candidate: Choosable) -> int:
    """Calls on the endpoint: ours, or all that its engine tells of where others ask it too."""
    load = candidate.load
    return candidate.in_flight if load is None else max(candidate.in_flight, load.running + load.waiting)


def in_turn(room: Sequence[Candidate], turn: int) -> Sequence[Candidate]:
    """The same endpoints, beginning with the one whose turn it is, so that ties go round."""
    start = turn % len(room)
    return [*room[start:], *room[:start]] if start else room


def least_busy(room: Sequence[Candidate], _features: Features, turn: int, _routing: Routing) -> Candidate:
    """The one with the fewest calls of ours."""
    return min(in_turn(room, turn), key=lambda each: each.in_flight)


def round_robin(room: Sequence[Candidate], _features: Features, turn: int, _routing: Routing) -> Candidate:
    """One after the other."""
    return room[turn % len(room)]


def weighted(room: Sequence[Candidate], _features: Features, turn: int, _routing: Routing) -> Candidate:
    """By weight, evenly spread: of any 100 calls in a row an endpoint with a tenth of the weight gets about 10.

    Where no weight is left (tags led to endpoints that have none) all count alike.
    """
    weights = [each.weight for each in room]
    total = sum(weights)
    if total <= 0.0:
        return round_robin(room, _features, turn, _routing)
    point = turn * GOLDEN % 1.0 * total
    for each, weight in zip(room, weights, strict=True):
        point -= weight
        if point < 0.0:
            return each
    return next(each for each in reversed(room) if each.weight > 0.0)  # what is left is rounding


def latency(room: Sequence[Candidate], features: Features, turn: int, routing: Routing) -> Candidate:
    """The one whose answers begin soonest, by its mean and the calls that run there.

    One not heard of yet is asked first, with one call at a time. Every `explore_every` calls the one heard of longest
    ago is asked, so that one that was slow is found out to be fast again. (Finagle's "peak EWMA" weighs the same way.)
    """
    if routing.explore_every and turn % routing.explore_every == 0:
        return min(in_turn(room, turn), key=lambda each: _heard_at(each, features))
    return min(in_turn(room, turn), key=lambda each: _delay(each, features))


def cost(room: Sequence[Candidate], _features: Features, turn: int, _routing: Routing) -> Candidate:
    """The cheapest of those in whose engine nobody waits, as far as engines tell; of several the least busy."""
    at_once = [each for each in room if each.load is None or each.load.waiting == 0]
    return min(in_turn(at_once or room, turn), key=lambda each: (each.price, busy(each)))


def session(room: Sequence[Candidate], features: Features, _turn: int, routing: Routing) -> Candidate:
    """The session's home, as long as it is there and not much busier than the others; else the next in its order.

    The order is one of all endpoints, by a hash of session and endpoint: nothing is remembered, every process finds the
    same, and when endpoints come and go only their own sessions move. (Rendezvous hashing: Thaler and Ravishankar,
    1998; weights after Schindelhauer and Schomaker, 2005.)
    """
    limit = min(map(busy, room)) + routing.overload
    mark = _hash(features.session)
    return max((each for each in room if busy(each) < limit), key=lambda each: _affinity(mark, each))


def _affinity(mark: int, candidate: Choosable) -> float:
    """How much a session is drawn to an endpoint: each wins by its share of the weights."""
    share = (_mixed(mark ^ _hash(candidate.name)) + 1) / (_MASK + 2)
    return -candidate.weight / log(share) if candidate.weight > 0.0 else share - 1.0


@lru_cache(maxsize=4096)
def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _mixed(number: int) -> int:
    """Spread 64 bits over 64 bits (the finalizer of splitmix64)."""
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    number = (number ^ number >> 27) * 0x94D049BB133111EB & _MASK
    return number ^ number >> 31


def _delay(candidate: Choosable, features: Features) -> float:
    pace = candidate.pace(stream=features.stream)
    if pace is None:
        return inf if candidate.in_flight else -1.0
    return pace.seconds * (candidate.in_flight + 1)


def _heard_at(candidate: Choosable, features: Features) -> float:
    pace = candidate.pace(stream=features.stream)
    return -inf if pace is None else pace.at


POLICIES: Mapping[str, Policy] = {
    "least-busy": least_busy,
    "round-robin": round_robin,
    "weighted": weighted,
    "latency": latency,
    "cost": cost,
    "session": session,
}
