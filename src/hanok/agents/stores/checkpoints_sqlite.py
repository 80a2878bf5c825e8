"""Checkpoints in SQLite: `checkpoints.db` in the state folder, for all processes of the folder."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from hanok.agents.stores.checkpoint_threads import Threads
from hanok.agents.stores.place import Place
from hanok.agents.stores.retention import Stored
from hanok.agents.stores.sqlite import SqlitePlace
from hanok.ledger.stores.dialect import Connection
from hanok.ledger.stores.sqlite import BUSY_TIMEOUT_S

T = TypeVar("T")


class Saver(AsyncSqliteSaver):
    """Who is cancelled while it writes has it written: else the transaction would stay open, and all others wait."""

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return await _to_its_end(super().aput(config, checkpoint, metadata, new_versions))

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        await _to_its_end(super().aput_writes(config, writes, task_id, task_path))


async def open_saver(
    stack: AsyncExitStack, file: Path, serde: SerializerProtocol
) -> tuple[AsyncSqliteSaver, SqliteThreads]:
    """The saver, closed with the stack, and its threads."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    connection = await stack.enter_async_context(aiosqlite.connect(file, timeout=BUSY_TIMEOUT_S))
    saver = Saver(connection, serde=serde)
    await saver.setup()
    await connection.execute("PRAGMA synchronous = NORMAL")  # after a power cut, a run goes on from its receipts
    return saver, SqliteThreads(SqlitePlace(file, schema=(), version=1), serde)


async def _to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """What comes of it; who is cancelled meanwhile waits for it."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


class SqliteThreads(Threads):
    """Tables of `AsyncSqliteSaver`: a checkpoint has its channels' values in itself."""

    writes = "writes"
    write_columns = "checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, value"
    checkpoint_columns = "checkpoint_ns, checkpoint_id, type, checkpoint, metadata"

    def __init__(self, place: Place, serde: SerializerProtocol) -> None:
        super().__init__(place)
        self._serde = serde

    def read(self, connection: Connection, thread: str, namespace: str, id_: str) -> tuple[Stored, Mapping[str, Any]]:
        type_, blob, written = connection.execute(
            "SELECT type, checkpoint, metadata FROM checkpoints"
            " WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?",
            (thread, namespace, id_),
        ).fetchone()
        checkpoint = self._serde.loads_typed((type_, blob))
        metadata: dict[str, Any] = json.loads(written or b"{}")
        whole = frozenset(checkpoint["channel_values"])
        counted = frozenset(metadata.get("counters_since_delta_snapshot") or ())
        return Stored(counted=counted, whole=whole, parts=frozenset(checkpoint["channel_versions"]) - whole), metadata

    def tidy(self, connection: Connection, thread: str, namespace: str) -> None:
        pass

    def follow(self, connection: Connection, source: str, to: str, namespace: str) -> None:
        pass
