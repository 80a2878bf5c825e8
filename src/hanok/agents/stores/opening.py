"""Opens what runs are kept in, as `runs` declares: the rows, and the checkpoints of threads."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from hanok.agents.store import RunStore
from hanok.agents.stores.checkpoints import Checkpoints, open_checkpoints
from hanok.agents.stores.sqlite import SqliteRuns
from hanok.errors import StartError
from hanok.spec import Loaded


async def open_all(loaded: Loaded, stack: AsyncExitStack) -> tuple[RunStore, Checkpoints]:
    """Both, closed with the stack. Raises `StoreError`, `StartError` where a package is missing."""
    declared = loaded.platform.runs.database
    url = declared.get_secret_value() if declared is not None else None
    store = await asyncio.to_thread(_open_runs, loaded, url)
    stack.callback(store.close)
    checkpoints = open_checkpoints(loaded.state / "checkpoints.db", database=url)
    return store, await stack.enter_async_context(checkpoints)


def _open_runs(loaded: Loaded, url: str | None) -> RunStore:
    if url is None:
        return SqliteRuns(loaded.state / "agents.db")
    try:
        from hanok.agents.stores.postgres import PostgresRuns
    except ImportError as error:
        message = f"runs in PostgreSQL need a package that is missing: {error.name}"
        raise StartError(message, hint='pip install "hanok[agents,postgres]"') from error
    return PostgresRuns(url)
