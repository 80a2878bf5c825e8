"""What is done beside one another: for ever, none of which goes on alone, or to its end, whoever is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


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


async def to_its_end(work: asyncio.Future[T]) -> T:
    """What comes of it. Who is cancelled meanwhile waits for it, however often, and is cancelled then."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return work.result()
