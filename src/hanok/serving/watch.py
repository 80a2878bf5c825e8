"""Looks at every endpoint's health in the background and keeps the fleet's picture true."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from hanok.errors import EngineTimeout, HanokError
from hanok.serving.fleet import Endpoint, Fleet

CHECK_LIMIT_S = 5.0
EVERY_S = 5.0
_log = logging.getLogger(__name__)


class Watch:
    """A watcher for each endpoint, from `begin` to `end`; the first look is at once."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._every_s = EVERY_S
        self._tasks: dict[Endpoint, asyncio.Task[None]] = {}

    def look_every(self, seconds: float) -> None:
        """Look that often from now on."""
        if seconds != self._every_s:
            self._every_s = seconds
            for endpoint in list(self._tasks):
                self.end(endpoint)
                self.begin(endpoint)

    def begin(self, endpoint: Endpoint) -> None:
        """Watch this endpoint."""
        self._tasks[endpoint] = asyncio.create_task(self._watch(endpoint), name=f"watch {endpoint.name}")

    def end(self, endpoint: Endpoint) -> None:
        """Watch it no longer."""
        self._tasks.pop(endpoint).cancel()

    def close(self) -> None:
        """Watch nobody any longer."""
        for endpoint in list(self._tasks):
            self.end(endpoint)

    async def _watch(self, endpoint: Endpoint) -> None:
        while True:
            await look(self._fleet, endpoint)
            await asyncio.sleep(self._every_s if endpoint.state != "starting" else min(self._every_s, 0.2))


async def look(fleet: Fleet, endpoint: Endpoint) -> None:
    """Check one endpoint once. An engine process that is starting or has failed is left to its launcher.

    One that is slow to say how it is while its answers flow is busy, not down: an engine on a CPU has it all at work.
    """
    launched = endpoint.state in ("starting", "failed") and endpoint.kind in LAUNCHED
    if launched:
        return
    limit_s = CHECK_LIMIT_S if endpoint.state != "starting" else 60.0
    pieces = _pieces(endpoint)
    try:
        async with asyncio.timeout(limit_s):
            await endpoint.engine.check()
    except (HanokError, TimeoutError) as error:
        if isinstance(error, TimeoutError | EngineTimeout) and _pieces(endpoint) > pieces:
            _come_up(fleet, endpoint)
            return
        reason = error.message if isinstance(error, HanokError) else f"no health answer in {limit_s:g} s"
        if endpoint.state != "down":
            _log.warning("%s is down: %s", endpoint.name, reason)
        fleet.mark(endpoint, "down", reason)
    except Exception as error:  # noqa: BLE001 - one endpoint's surprise must not end the watch over all
        _log.exception("the health check of %s failed", endpoint.name)
        fleet.mark(endpoint, "down", f"{type(error).__name__}: {error}")
    else:
        _come_up(fleet, endpoint)


def _come_up(fleet: Fleet, endpoint: Endpoint) -> None:
    """Who was told that it is down is told at the same loudness that it is not."""
    if endpoint.state != "up":
        back = endpoint.state == "down"
        _log.log(logging.WARNING if back else logging.INFO, "%s is up%s", endpoint.name, " again" if back else "")
        fleet.mark(endpoint, "up")


def _pieces(endpoint: Endpoint) -> int:
    """How many pieces of answers have come from it, where that is known."""
    pieces: Callable[[], int] | None = getattr(endpoint.engine, "pieces", None)
    return 0 if pieces is None else pieces()


LAUNCHED = frozenset({"llamacpp", "vllm", "sentence-encoder"})
