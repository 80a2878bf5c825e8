"""Opens what agents keep, as `runs` declares: the rows of runs, the checkpoints of threads, and memories."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

from hanok.agents.memory.remembering import Remembering
from hanok.agents.store import RunStore
from hanok.agents.stores.checkpoints import Checkpoints, open_checkpoints
from hanok.agents.stores.memories import open_memories
from hanok.agents.stores.sqlite import SqliteRuns
from hanok.agents.tools.memory import LongTermMemory
from hanok.errors import StartError
from hanok.spec import Loaded, Platform
from hanok.wire import ModelPath


async def open_all(loaded: Loaded, stack: AsyncExitStack) -> tuple[RunStore, Checkpoints]:
    """Both, closed with the stack. Raises `StoreError`, `StartError` where a package is missing."""
    url = _database(loaded)
    store = await asyncio.to_thread(_open_runs, loaded, url)
    stack.callback(store.close)
    checkpoints = open_checkpoints(loaded.state / "checkpoints.db", database=url)
    return store, await stack.enter_async_context(checkpoints)


def open_memory(
    loaded: Loaded, stack: AsyncExitStack, *, models: ModelPath, platform: Callable[[], Platform]
) -> LongTermMemory:
    """What agents remember beyond their threads, closed with the stack; `platform` gives what is declared now.

    Nothing is made or reached before something is remembered. Raises as `open_all` does.
    """
    memories = open_memories(loaded.state, _database(loaded))
    stack.callback(memories.close)
    return LongTermMemory(Remembering(memories, models, clock=time.time), platform)


def _database(loaded: Loaded) -> str | None:
    declared = loaded.platform.runs.database
    return None if declared is None else declared.get_secret_value()


def _open_runs(loaded: Loaded, url: str | None) -> RunStore:
    if url is None:
        return SqliteRuns(loaded.state / "agents.db")
    try:
        from hanok.agents.stores.postgres import PostgresRuns
    except ImportError as error:
        message = f"runs in PostgreSQL need a package that is missing: {error.name}"
        raise StartError(message, hint='pip install "hanok[agents,postgres]"') from error
    return PostgresRuns(url)
