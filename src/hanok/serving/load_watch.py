"""Looks at the metrics of engines whose load routing asks for, in the background, and notes it on their endpoints.

That an engine's metrics cannot be read is no fault of the endpoint: its load is unknown, that is all. One that has none
to show is asked less and less often.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from hanok.errors import EngineError
from hanok.serving.fleet import Endpoint, Load
from hanok.serving.gauges import read_load

LOOK_LIMIT_S = 2.0
STALE_AFTER = 3
"""A load is forgotten after so many looks that told nothing."""
LONGEST_PAUSE_S = 60.0
_log = logging.getLogger(__name__)


class LoadWatch:
    """A watcher for each endpoint that it is told to follow."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._every_s: dict[Endpoint, float] = {}
        self._tasks: dict[Endpoint, asyncio.Task[None]] = {}

    def follow(self, every_s: Mapping[Endpoint, float]) -> None:
        """Look at these endpoints, that often each (seconds), and at no others any longer."""
        for endpoint in self._every_s.keys() - every_s.keys():
            self._tasks.pop(endpoint).cancel()
            endpoint.load = None
        self._every_s = dict(every_s)
        for endpoint in every_s.keys() - self._tasks.keys():
            self._tasks[endpoint] = asyncio.create_task(self._watch(endpoint), name=f"load of {endpoint.name}")

    def close(self) -> None:
        """Look at nobody any longer."""
        self.follow({})

    async def _watch(self, endpoint: Endpoint) -> None:
        missed = 0
        while True:
            every_s = self._every_s[endpoint]
            load = await self._look(endpoint) if endpoint.state == "up" else None
            missed = 0 if load is not None else missed + 1
            if load is not None or missed >= STALE_AFTER:
                note(endpoint, load)
            known = endpoint.load is not None or endpoint.state != "up"
            await asyncio.sleep(every_s if known else min(every_s * 2 ** min(missed, 10), LONGEST_PAUSE_S))

    async def _look(self, endpoint: Endpoint) -> Load | None:
        try:
            async with asyncio.timeout(LOOK_LIMIT_S):
                return read_load(await endpoint.engine.metrics_page(), at=self._monotonic())
        except (EngineError, TimeoutError):
            return None
        except Exception:  # noqa: BLE001 - one page's surprise must not end the watch
            _log.exception("the metrics of %s cannot be read", endpoint.name)
            return None


def note(endpoint: Endpoint, load: Load | None) -> None:
    """Take up an endpoint's load. An engine whose counters went back has begun anew."""
    if load is not None and load.query_tokens is not None:
        if load.query_tokens < endpoint.query_tokens:
            endpoint.lives += 1
        endpoint.query_tokens = load.query_tokens
    endpoint.load = load
