"""Checkpoints in SQLite: `checkpoints.db` in the state folder, for all processes of the folder."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import aiosqlite
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from hanok.agents.batch import Following, tell, tell_all
from hanok.agents.stores.checkpoint_threads import Threads
from hanok.agents.stores.place import Place
from hanok.agents.stores.retention import Stored
from hanok.agents.stores.sqlite import SqlitePlace
from hanok.agents.together import to_its_end
from hanok.errors import KeptUnreachable
from hanok.ledger.stores.dialect import Connection
from hanok.ledger.stores.sqlite import BUSY_TIMEOUT_S

T = TypeVar("T")
GATHER_S = 0.005
"""How long what a task wrote waits for the checkpoint that follows."""
_PUT = (
    "INSERT OR REPLACE INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type,"
    " checkpoint, metadata) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_PUT_WRITES = (
    "INSERT OR {} INTO writes (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, value)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class Saver(AsyncSqliteSaver):
    """A step is one trip to one thread beside the event loop, where LangGraph's own makes seven. While one write is
    under way the next gather, so that two hundred runs share a commit.

    What tasks wrote waits for the checkpoint that follows: all is written in the order in which it came, or nothing
    more is after what failed. Who reads sees all of it. What is written is written, also when who asked for it is
    cancelled.
    """

    def __init__(self, connection: aiosqlite.Connection, place: Place, serde: SerializerProtocol) -> None:
        super().__init__(connection, serde=serde)
        self._place = place
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoints")
        self.follows: Callable[[Following], None] | None = None
        """Has a batch written after what runs have finished; nobody, and it is written beside the event loop."""
        self._waiting: list[_Write] = []
        self._latest: asyncio.Future[None] | None = None
        self._missing: set[str] = set()
        """Threads of which something could not be written, and that nobody was told who goes on."""
        self._writing: asyncio.Task[None] | None = None
        self._soon: asyncio.TimerHandle | None = None

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,  # noqa: ARG002 - values are in the checkpoint
    ) -> RunnableConfig:
        where: dict[str, Any] = config.get("configurable") or {}
        thread, namespace = str(where["thread_id"]), str(where["checkpoint_ns"])
        told = json.dumps(get_checkpoint_metadata(config, metadata), ensure_ascii=False).encode("utf-8", "ignore")
        of = (thread, namespace, checkpoint["id"], where.get("checkpoint_id"))
        await self._flush(self._queue(_PUT, [(*of, *self.serde.dumps_typed(checkpoint), told)], config))
        return {"configurable": {"thread_id": thread, "checkpoint_ns": namespace, "checkpoint_id": checkpoint["id"]}}

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        where: dict[str, Any] = config.get("configurable") or {}
        of = (str(where["thread_id"]), str(where["checkpoint_ns"]), str(where["checkpoint_id"]), task_id, task_path)
        rows = [
            (*of, WRITES_IDX_MAP.get(channel, place), channel, *self.serde.dumps_typed(value))
            for place, (channel, value) in enumerate(writes)
        ]
        anew = all(channel in WRITES_IDX_MAP for channel, _ in writes)
        write = self._queue(_PUT_WRITES.format("REPLACE" if anew else "IGNORE"), rows, config, awaited=anew)
        if anew:  # errors and interrupts: no checkpoint follows
            await self._flush(write)
        elif self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(GATHER_S, self._write_now)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await self._read(lambda saver: saver.get_tuple(config))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        return await self._read(lambda saver: saver.get_delta_channel_history(config=config, channels=channels))

    async def aclose(self) -> None:
        """Write what is left."""
        await self._settle()
        self._thread.shutdown(wait=False)

    async def _read(self, read: Callable[[SqliteSaver], T]) -> T:
        def do() -> T:
            with self._place.reading() as connection:
                saver = SqliteSaver(cast("sqlite3.Connection", connection), serde=self.serde)
                saver.is_setup = True  # by ours
                return read(saver)

        await self._settle()
        return await asyncio.get_running_loop().run_in_executor(self._thread, do)

    async def _settle(self) -> None:
        """Wait until all is written that came before."""
        self._write_now()
        if self._latest is not None and not self._latest.done():
            await asyncio.wait([self._latest])

    def _queue(
        self, statement: str, rows: Sequence[tuple[Any, ...]], config: RunnableConfig, *, awaited: bool = True
    ) -> _Write:
        written = self._latest = asyncio.get_running_loop().create_future()
        where, told = config.get("configurable") or {}, config.get("metadata") or {}
        write = _Write(statement, rows, str(where["thread_id"]), told.get("run"), awaited, written)
        self._waiting.append(write)
        return write

    async def _flush(self, write: _Write) -> None:
        self._write_now()
        try:
            await to_its_end(write.written)
        except Exception:
            self._missing.discard(write.thread)  # whoever leads it knows, and goes on from what is there
            raise

    def _write_now(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        if self._waiting and self.follows is not None:
            self.follows(self._next())
        elif self._waiting and (self._writing is None or self._writing.done()):
            self._writing = asyncio.create_task(self._write_all(), name="checkpoints")

    def _next(self) -> Following:
        batch, self._waiting = self._waiting, []
        awaited = [each.written for each in batch if each.awaited]
        return Following(write=partial(self._commit, batch), heard=partial(self._hear, batch), awaited=awaited)

    async def _write_all(self) -> None:
        while self._waiting:
            batch = self._next()
            failure: Exception | None = None
            try:
                await asyncio.get_running_loop().run_in_executor(self._thread, batch.write, frozenset[str]())
            except asyncio.CancelledError:  # the loop ends
                batch.leave()
                self._next().leave()
                raise
            except Exception as error:  # noqa: BLE001 - whoever waits is told
                failure = error
            await tell_all(batch.outcomes(failure))

    def _hear(self, batch: Sequence[_Write], failure: Exception | None) -> None:
        """What failed, what follows in its thread may need."""
        if failure is not None:
            self._missing |= {each.thread for each in batch}
        for each in batch:
            if not each.awaited:
                tell(each.written, failure)

    def _commit(self, batch: Sequence[_Write], lost: Set[str]) -> None:
        """All of it, but for runs that another process leads now."""
        if missing := self._missing & {each.thread for each in batch}:
            message = f"what came before in thread {min(missing)!r} could not be written"
            raise KeptUnreachable(message, hint="check the state folder's disk")
        with self._place.writing(synced=False) as connection:  # after a power cut, a run goes on from its receipts
            for each in batch:
                if each.run not in lost:
                    for row in each.rows:
                        connection.execute(each.statement, row)


def _begin(place: Place) -> None:
    """Open it now."""
    with place.reading():
        pass


@dataclass(frozen=True)
class _Write:
    """Rows to be written, and who is told."""

    statement: str
    rows: Sequence[tuple[Any, ...]]
    thread: str
    run: str | None
    awaited: bool
    written: asyncio.Future[None]


async def open_saver(
    stack: AsyncExitStack, file: Path, serde: SerializerProtocol
) -> tuple[AsyncSqliteSaver, SqliteThreads]:
    """The saver, closed with the stack, and its threads."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    connection = await stack.enter_async_context(aiosqlite.connect(file, timeout=BUSY_TIMEOUT_S))
    place = SqlitePlace(file, schema=(), version=1)
    stack.callback(place.close)
    await asyncio.to_thread(_begin, place)  # several processes at once may: what follows is refused in a new file
    saver = Saver(connection, place, serde)
    await saver.setup()
    stack.push_async_callback(saver.aclose)
    return saver, SqliteThreads(place, serde)


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
