"""Things that are done for ever beside one another, none of which goes on alone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def live_together(*lives: Coroutine[Any, Any, None]) -> None:
    """Until the first of them ends, and the others with it. Raises what that one raised."""
    tasks = [asyncio.create_task(life) for life in lives]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in ended:
        task.result()
