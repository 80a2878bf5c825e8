"""Opens what agents keep, as `runs` declares: the rows of runs, the checkpoints of threads, and memories."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from hanok.agents.memory.remembering import Remembering
from hanok.agents.memory.store import Memories
from hanok.agents.store import RunStore
from hanok.agents.stores.checkpoints import Checkpoints, open_checkpoints
from hanok.agents.stores.drivers import kind_of, needing
from hanok.agents.stores.memories import SCHEMA, VERSION, MemoryTables
from hanok.agents.stores.sqlite import SqlitePlace, SqliteRuns
from hanok.agents.tools.memory import LongTermMemory
from hanok.spec import Loaded, Platform
from hanok.wire import ModelPath


async def open_all(loaded: Loaded, stack: AsyncExitStack) -> tuple[RunStore, Checkpoints]:
    """Both, closed with the stack. Raises `StoreError`, `StartError` where a package is missing."""
    url, platform = _database(loaded), loaded.platform.name
    store = await asyncio.to_thread(open_runs, loaded.state, url, platform=platform)
    stack.callback(store.close)
    checkpoints = open_checkpoints(loaded.state / "checkpoints.db", database=url, platform=platform)
    return store, await stack.enter_async_context(checkpoints)


def open_memory(
    loaded: Loaded, stack: AsyncExitStack, *, models: ModelPath, platform: Callable[[], Platform]
) -> LongTermMemory:
    """What agents remember beyond their threads, closed with the stack; `platform` gives what is declared now.

    Nothing is made or reached before something is remembered. Raises as `open_all` does.
    """
    memories = open_memories(loaded.state, _database(loaded), platform=loaded.platform.name)
    stack.callback(memories.close)
    return LongTermMemory(Remembering(memories, models, clock=time.time), platform)


def open_runs(state: Path, url: str | None, *, platform: str = "") -> RunStore:
    """In the state folder, or in the database of this address, where Redis keeps several platforms apart.

    Raises `StoreError`, `StartError`.
    """
    kind = kind_of(url)
    if url is None:
        return SqliteRuns(state / "agents.db")
    with needing("runs", kind):
        if kind == "Redis":
            from hanok.agents.stores.redis.runs import RedisRuns

            return RedisRuns(url, platform=platform)
        from hanok.agents.stores.postgres import PostgresRuns

        return PostgresRuns(url)


def open_memories(state: Path, url: str | None, *, platform: str = "") -> Memories:
    """The same for memories."""
    kind = kind_of(url)
    if url is None:
        return MemoryTables(SqlitePlace(state / "memories.db", schema=SCHEMA, version=VERSION))
    with needing("memories", kind):
        if kind == "Redis":
            from hanok.agents.stores.redis.memories import RedisMemories

            return RedisMemories(url, platform=platform)
        from hanok.agents.stores.postgres import PostgresPlace

        return MemoryTables(PostgresPlace(url, subject="memories", schema=SCHEMA, version=VERSION))


def _database(loaded: Loaded) -> str | None:
    declared = loaded.platform.runs.database
    return None if declared is None else declared.get_secret_value()
