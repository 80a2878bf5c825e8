"""Picking an endpoint. Nothing here knows a clock, a socket or a random number."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol, TypeVar

from hanok.routing.breaker import admits
from hanok.serving.fleet import Circuit


class HasLoad(Protocol):
    """What picking looks at: whether the endpoint is up, how many calls run on it and may, and how it has fared."""

    @property
    def state(self) -> str: ...

    @property
    def in_flight(self) -> int: ...

    @property
    def max_in_flight(self) -> int | None: ...

    @property
    def circuit(self) -> Circuit: ...


Candidate = TypeVar("Candidate", bound=HasLoad)


def pick_least_busy(
    candidates: Sequence[Candidate], *, tried: Collection[Candidate], turn: int, now: float
) -> Candidate | None:
    """The endpoint with the fewest running calls, among those up and not yet tried; ties go round by `turn`.

    When none is up, one that is marked down is given a chance: its mark may be old. None when nothing is left, or when
    what is left is full (`will_have_room` tells which). `now` is in seconds, on the clock of the endpoints' circuits.
    """
    count = len(candidates)
    if count == 1:  # the common case, and the hot path
        only = candidates[0]
        if only.circuit.until != 0.0 or only.max_in_flight is not None or only.state not in ("up", "down"):
            return only if _can(only, now) and not _full(only) and only not in tried else None
        return None if tried and only in tried else only
    best: Candidate | None = None
    for offset in range(count):
        candidate = candidates[(turn + offset) % count]
        if candidate in tried or not _can(candidate, now):
            continue
        if best is None or _rank(candidate) < _rank(best):
            best = candidate
    return None if best is None or _full(best) else best


def with_room(candidates: Sequence[Candidate], *, tried: Collection[Candidate], now: float) -> list[Candidate]:
    """Those that a policy may choose from: up, not tried, not left alone, not full. The same promises as above.

    Those marked down stand in only where none is up, be it full.
    """
    usable = [each for each in candidates if each not in tried and _can(each, now)]
    up = [each for each in usable if each.state == "up"]
    return [each for each in up or usable if not _full(each)]


def will_have_room(candidates: Sequence[Candidate], *, tried: Collection[Candidate], now: float) -> bool:
    """Whether an endpoint could take a call if only it were not full."""
    return any(_full(each) and _can(each, now) and each not in tried for each in candidates)


def _can(candidate: HasLoad, now: float) -> bool:
    return candidate.state in ("up", "down") and (candidate.circuit.until == 0.0 or admits(candidate.circuit, now))


def _full(candidate: HasLoad) -> bool:
    return candidate.max_in_flight is not None and candidate.in_flight >= candidate.max_in_flight


def _rank(candidate: HasLoad) -> tuple[bool, bool, int]:
    """Up before down, even when full: a call rather waits for an engine that works than tries one that does not."""
    return (candidate.state != "up", _full(candidate), candidate.in_flight)
