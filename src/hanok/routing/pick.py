"""Picking an endpoint. Nothing here knows a clock, a socket or a random number."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol, TypeVar


class HasLoad(Protocol):
    """What picking looks at: whether the endpoint is up, and how many calls run on it."""

    @property
    def state(self) -> str: ...

    @property
    def in_flight(self) -> int: ...


Candidate = TypeVar("Candidate", bound=HasLoad)


def pick_least_busy(candidates: Sequence[Candidate], *, tried: Collection[Candidate], turn: int) -> Candidate | None:
    """The endpoint with the fewest running calls, among those up and not yet tried; ties go round by `turn`.

    When none is up, one that is marked down is given a chance: its mark may be old. None when nothing is left.
    """
    count = len(candidates)
    if count == 1:  # the common case, and the hot path
        only = candidates[0]
        return only if only not in tried and only.state in ("up", "down") else None
    best: Candidate | None = None
    for offset in range(count):
        candidate = candidates[(turn + offset) % count]
        if candidate in tried or candidate.state not in ("up", "down"):
            continue
        if best is None or _rank(candidate) < _rank(best):
            best = candidate
    return best


def _rank(candidate: HasLoad) -> tuple[bool, int]:
    return (candidate.state != "up", candidate.in_flight)
