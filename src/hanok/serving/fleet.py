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


@dataclass(slots=True, eq=False)
class Endpoint:
    """One endpoint now. `failed` means that it will not come up without somebody's help; `reason` says why not up.

    `max_in_flight` calls may run on it at once; None is no limit.
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


class Fleet:
    """All endpoints, by the model they serve. It is `settled` once none is starting, and stays so when others join."""

    def __init__(self, endpoints: Iterable[Endpoint] = ()) -> None:
        self._changed = asyncio.Event()
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
        if state == "up" and endpoint.state != "up" and endpoint.circuit.until != 0.0:
            endpoint.circuit = endpoint.circuit.but(until=-inf)
        endpoint.state, endpoint.reason = state, reason
        self._wake()

    async def changed(self) -> None:
        """Return when an endpoint's state has changed, or who belongs to the fleet."""
        await self._changed.wait()

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
            bool(self.endpoints) and all(each.state != "starting" for each in self.endpoints)
        )
        self._changed.set()
        self._changed = asyncio.Event()
