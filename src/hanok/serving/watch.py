"""Looks at every endpoint's health in the background and keeps the fleet's picture true."""

from __future__ import annotations

import asyncio
import logging

from hanok.errors import HanokError
from hanok.serving.fleet import Endpoint, Fleet

CHECK_LIMIT_S = 5.0
_log = logging.getLogger(__name__)


async def watch(fleet: Fleet, *, every_s: float) -> None:
    """Check all endpoints for ever, each `every_s` seconds, the first time at once."""
    async with asyncio.TaskGroup() as tasks:
        for endpoint in fleet.endpoints:
            tasks.create_task(_watch_one(fleet, endpoint, every_s))


async def _watch_one(fleet: Fleet, endpoint: Endpoint, every_s: float) -> None:
    while True:
        await look(fleet, endpoint)
        await asyncio.sleep(every_s if endpoint.state != "starting" else min(every_s, 0.2))


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
