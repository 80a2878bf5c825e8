"""The fleet: every endpoint, what it serves, whether it is up, and how busy it is.

`watch` and `launch` keep it true in the background; the gateway counts calls in and out. No request asks an engine how
it feels.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Literal, Self

import msgspec

from hanok.serving.engine import Engine

State = Literal["starting", "up", "down", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """How an endpoint has fared lately with calls, which may differ from what its health check says.

    `failures` in a row; no calls before `until`, in seconds of the monotonic clock (0: closed, all calls pass);
    `probing` while one call tries whether it works again; `doublings` of the cooldown so far. `routing.breaker` moves
    it.
    """

    failures: int = 0
    until: float = 0.0
    probing: bool = False
    doublings: int = 0

    def but(self, **changes: Any) -> Self:
        """The same circuit with other values."""
        return replace(self, **changes)


CLOSED = Circuit()
RECENT = 0.2
"""How much the newest time to a first token counts in the running mean."""


class Load(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an engine told of itself `at` a moment, in seconds of the monotonic clock.

    `running` and `waiting` are its calls, whoever sent them; `kv_usage` is the share of its key-value cache in use;
    `cache_tokens` is how many tokens that holds, `hit_tokens` of `query_tokens` of prompts were found in it since the
    engine started. None where the engine does not tell.
    """

    at: float
    running: int = 0
    waiting: int = 0
    kv_usage: float | None = None
    cache_tokens: int | None = None
    query_tokens: int | None = None
    hit_tokens: int | None = None


class Pace(msgspec.Struct, frozen=True, gc=False):
    """How soon an endpoint's answers begin: seconds, a mean over recent calls, last heard `at` (monotonic clock)."""

    seconds: float
    at: float


@dataclass(slots=True, eq=False)
class Endpoint:
    """One endpoint now. `failed` means that it will not come up without somebody's help; `reason` says why not up.

    `max_in_flight` calls may run on it at once; None is no limit. What is declared for routing: `weight`, `tags`,
    `teams`, `role`, and `price`, in USD for three million prompt tokens and a million of an answer. `load` is what the
    engine told last; `paces` how soon its answers begin, whole ones and streams; `lives` counts how often it has begun
    anew, its prompt cache empty, which shows when its `query_tokens` fall. `calls` counts those it was ever given.
    """

    name: str
    model: str
    kind: str
    engine: Engine
    state: State = "starting"
    reason: str = ""
    in_flight: int = 0
    max_in_flight: int | None = None
    circuit: Circuit = CLOSED
    weight: float = 1.0
    tags: frozenset[str] = frozenset()
    teams: frozenset[str] = frozenset()
    role: Literal["prefill", "decode"] | None = None
    price: float = 0.0
    load: Load | None = None
    paces: tuple[Pace | None, Pace | None] = (None, None)
    lives: int = 0
    query_tokens: int = 0
    calls: int = 0

    def pace(self, *, stream: bool) -> Pace | None:
        """How soon its answers begin; None when none did yet."""
        return self.paces[stream]

    def heard(self, seconds: float, *, stream: bool, at: float) -> None:
        """An answer began after so long."""
        known = self.paces[stream]
        mean = seconds if known is None else known.seconds + RECENT * (seconds - known.seconds)
        pace = Pace(mean, at)
        self.paces = (self.paces[0], pace) if stream else (pace, self.paces[1])


class Replicas(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How many replicas of a model's engine are asked for now, between which bounds, and why so many.

    `stuck` when another number could not be had, for `because`; it is tried again later.
    """

    count: int
    fewest: int
    most: int
    because: str = "as declared"
    stuck: bool = False


class Fleet:
    """All endpoints, by the model they serve. It is `settled` once none is starting, and stays so when others join.

    `replicas` has the models whose engines are as many as their load wants; `asking` how many calls wait for a model's
    first engine to start.
    """

    def __init__(self, endpoints: Iterable[Endpoint] = ()) -> None:
        self._changed = asyncio.Event()
        self.replicas: dict[str, Replicas] = {}
        self.asking: dict[str, int] = {}
        self.settled = False
        self.replace(endpoints)

    def replace(self, endpoints: Iterable[Endpoint]) -> None:
        """Let these be all, from now on; whoever still goes through the old ones is not disturbed."""
        self.endpoints = list(endpoints)
        self._by_model: dict[str, list[Endpoint]] = {}
        for endpoint in self.endpoints:
            self._by_model.setdefault(endpoint.model, []).append(endpoint)
        self._wake()

    def of(self, model: str) -> list[Endpoint]:
        """The endpoints of a model; empty when no such model is declared."""
        return self._by_model.get(model, [])

    def mark(self, endpoint: Endpoint, state: State, reason: str = "") -> None:
        """Note a change of state and wake whoever waits for one.

        An endpoint that comes up need not wait for its circuit's cooldown: the next call tries whether it works.
        """
        if state == "up" and endpoint.state != "up":
            if endpoint.circuit.until != 0.0:
                endpoint.circuit = endpoint.circuit.but(until=-inf)
            if endpoint.load is None or endpoint.load.query_tokens is None:  # else its own counters tell
                endpoint.lives += 1
        endpoint.state, endpoint.reason = state, reason
        self._wake()

    async def changed(self) -> None:
        """Return when an endpoint's state has changed, or who belongs to the fleet."""
        await self._changed.wait()

    def is_asleep(self, model: str) -> bool:
        """Whether nothing serves the model now, and something will when it is asked."""
        known = self.replicas.get(model)
        return known is not None and known.count == 0 and not known.stuck and not self.of(model)

    def note(self, model: str, replicas: Replicas) -> None:
        """Note how it is with a model's replicas, and wake whoever waits for them."""
        self.replicas[model] = replicas
        self._wake()

    async def wake(self, model: str) -> None:
        """Return when the model is not asleep and has not only endpoints that start.

        Who starts engines sees that a call waits.
        """
        asking = self.asking[model] = self.asking.get(model, 0) + 1
        if asking == 1:  # the others change nothing, and to wake all of them for each is their number squared
            self._wake()
        try:
            while self.is_asleep(model) or (
                self.of(model) and all(each.state == "starting" for each in self.of(model))
            ):
                await self._changed.wait()
        finally:
            self.asking[model] -= 1

    async def wait_started(self, models: Iterable[str]) -> None:
        """Return when none of these models has only endpoints that are still starting."""
        names = list(models)
        while any(all(each.state == "starting" for each in self.of(name)) for name in names if self.of(name)):
            await self._changed.wait()

    def ready(self) -> bool:
        """Whether every model has an endpoint that is up."""
        return all(any(each.state == "up" for each in endpoints) for endpoints in self._by_model.values())

    def _wake(self) -> None:
        self.settled = self.settled or (
            bool(self.endpoints or self.replicas) and all(each.state != "starting" for each in self.endpoints)
        )
        self._changed.set()
        self._changed = asyncio.Event()
