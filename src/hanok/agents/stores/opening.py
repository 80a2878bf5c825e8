"""Opens what runs are kept in, as `runs` declares: the rows, and the checkpoints of threads."""

from __future__ import annotations

import asyncio

from hanok.agents.checkpoints import Checkpoints, open_checkpoints
from hanok.agents.store import RunStore
from hanok.agents.stores.sqlite import SqliteRuns
from hanok.spec import Loaded


async def open_all(loaded: Loaded) -> tuple[RunStore, Checkpoints]:
    """Both. Raises `StoreError`."""
    store = await asyncio.to_thread(lambda: SqliteRuns(loaded.state / "agents.db"))
    return store, await open_checkpoints(loaded.state)
