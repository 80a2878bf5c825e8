"""Looks at every endpoint's health in the background and keeps the fleet's picture true."""

from __future__ import annotations

import asyncio
import logging

from hanok.errors import HanokError
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
    """Check one endpoint once. An engine process that is starting or has failed is left to its launcher."""
    launched = endpoint.state in ("starting", "failed") and endpoint.kind in LAUNCHED
    if launched:
        return
    limit_s = CHECK_LIMIT_S if endpoint.state != "starting" else 60.0
    try:
        async with asyncio.timeout(limit_s):
            await endpoint.engine.check()
    except (HanokError, TimeoutError) as error:
        reason = error.message if isinstance(error, HanokError) else f"no health answer in {limit_s:g} s"
        if endpoint.state != "down":
            _log.warning("%s is down: %s", endpoint.name, reason)
        fleet.mark(endpoint, "down", reason)
    except Exception as error:  # noqa: BLE001 - one endpoint's surprise must not end the watch over all
        _log.exception("the health check of %s failed", endpoint.name)
        fleet.mark(endpoint, "down", f"{type(error).__name__}: {error}")
    else:
        if endpoint.state != "up":
            _log.info("%s is up", endpoint.name)
            fleet.mark(endpoint, "up")


LAUNCHED = frozenset({"llamacpp", "vllm", "sentence-encoder"})
