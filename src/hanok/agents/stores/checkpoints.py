"""LangGraph's checkpoints: the saver of a house, in SQLite, PostgreSQL or Redis, and what savers do not do.

A checkpoint is read as plain data: nothing stored in one makes the reader import or call anything but a few types of
Python and LangGraph. Threads are pruned, copied and removed in the saver's own tables (of `langgraph-checkpoint-sqlite`
3 and `-postgres` 3), each in one transaction beside the saver.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from hanok.agents.batch import Following
from hanok.agents.stores.drivers import kind_of, needing

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

_PLAIN = ("null", "bytes", "bytearray", "msgpack")


class PlainSerializer(JsonPlusSerializer):
    """MessagePack of plain data. LangGraph's older JSON, which may name classes, and pickles are refused."""

    def __init__(self) -> None:
        super().__init__(pickle_fallback=False, allowed_json_modules=None, allowed_msgpack_modules=None)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        if data[0] not in _PLAIN:
            raise NotImplementedError(f"a checkpoint holds {data[0]!r}, which is not read: it may name code to run")
        return super().loads_typed(data)


@runtime_checkable
class Follower(Protocol):
    """A saver that can write when others have."""

    follows: Callable[[Following], None] | None


class Threads(Protocol):
    """A saver's threads, as `Checkpoints` says of them. Methods block; all raise `StoreError`."""

    def prune(self, thread: str, keep: int) -> int: ...

    def copy(self, source: str, to: str, checkpoint: str | None) -> str | None: ...

    def remove(self, thread: str) -> None: ...

    def close(self) -> None: ...


class Checkpoints:
    """The `saver` that graphs are compiled with, and its threads. For one event loop."""

    def __init__(self, saver: BaseCheckpointSaver[str], threads: Threads) -> None:
        self.saver = saver
        self._threads = threads

    def follow(self, order: Callable[[Following], None] | None) -> bool:
        """Write checkpoints of runs where that has them written, after what is kept of their runs; by ourselves again
        where it is None. Whether that can be, and nobody else's are followed."""
        if not isinstance(self.saver, Follower):
            return False
        if order is not None and self.saver.follows is not None:
            return False
        self.saver.follows = order
        return True

    async def prune(self, thread: str, *, keep: int) -> int:
        """Forget all but the latest `keep` checkpoints of a thread and what they are made of; how many went.

        Safe while the thread runs. Raises `StoreError`.
        """
        return await asyncio.to_thread(self._threads.prune, thread, keep)

    async def remove(self, thread: str) -> None:
        """Forget a thread's checkpoints. Raises `StoreError`."""
        await asyncio.to_thread(self._threads.remove, thread)

    async def copy(self, source: str, to: str, *, checkpoint: str | None = None) -> str | None:
        """Begin the thread `to`, which has no checkpoints, with what `source` was at that checkpoint (the latest):
        the checkpoint's id, which stays the same; None where there is none.

        What had begun after it is not copied: it is done again there. Raises `StoreError`.
        """
        return await asyncio.to_thread(self._threads.copy, source, to, checkpoint)


@asynccontextmanager
async def open_checkpoints(
    file: Path, *, database: str | None = None, platform: str = ""
) -> AsyncGenerator[Checkpoints]:
    """Those of a file, which is made, or of the database of this address, where Redis keeps several platforms apart.

    Raises `StoreError`, `StartError` where a package is missing.
    """
    async with AsyncExitStack() as stack:
        if database is None:
            saver, threads = await _open_sqlite(stack, file)
        elif kind_of(database) == "Redis":
            saver, threads = await _open_redis(stack, database, platform)
        else:
            saver, threads = await _open_postgres(stack, database)
        stack.callback(threads.close)
        yield Checkpoints(saver, threads)


async def _open_sqlite(stack: AsyncExitStack, file: Path) -> tuple[BaseCheckpointSaver[str], Threads]:
    from hanok.agents.stores.checkpoints_sqlite import open_saver

    return await open_saver(stack, file, PlainSerializer())


async def _open_postgres(stack: AsyncExitStack, url: str) -> tuple[BaseCheckpointSaver[str], Threads]:
    with needing("checkpoints", "PostgreSQL"):
        from hanok.agents.stores.checkpoints_postgres import open_saver
    return await open_saver(stack, url, PlainSerializer())


async def _open_redis(stack: AsyncExitStack, url: str, platform: str) -> tuple[BaseCheckpointSaver[str], Threads]:
    with needing("checkpoints", "Redis"):
        from hanok.agents.stores.redis.checkpoints import open_saver
    return await open_saver(stack, url, PlainSerializer(), platform=platform)
