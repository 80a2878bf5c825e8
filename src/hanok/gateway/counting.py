"""Counting a prompt's tokens: an endpoint of the model is asked, the least busy one that is up and open to the caller.

It is no model call: nothing is generated, charged, queued or retried. Where no engine says in time, nobody does. A
prompt goes to no endpoint that the call's own tags, or its team, keep it from.
"""

from __future__ import annotations

import asyncio
import logging

from hanok.errors import EngineError
from hanok.routing import features_of, open_to
from hanok.serving import Fleet
from hanok.wire import ChatRequest

PATIENCE_S = 10.0
_log = logging.getLogger(__name__)


class Counting:
    """Asks the fleet's engines."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def count(self, request: ChatRequest) -> int | None:
        """How many tokens the prompt has as an engine counts them; None where none can say."""
        known = open_to(features_of(request), self._fleet.of(request.model))
        up = [endpoint for endpoint in known if endpoint.state == "up"]
        if not up:
            return None
        endpoint = min(up, key=lambda each: each.in_flight)
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await endpoint.engine.count_prompt(request)
        except (EngineError, TimeoutError) as error:
            _log.info("%s could not count tokens: %s", endpoint.name, error)
            return None
