"""Checkpoints in PostgreSQL, beside the runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import psycopg
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.base import SerializerProtocol
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from hanok.agents.stores.checkpoint_threads import Threads
from hanok.agents.stores.postgres import NAMESPACE, PostgresPlace, naming
from hanok.agents.stores.retention import Stored
from hanok.ledger.stores import answering
from hanok.ledger.stores.dialect import Connection
from hanok.ledger.stores.postgres import is_silent, read_url

MOST_CONNECTIONS = 2
"""The saver uses one at a time."""
_HOW: dict[str, Any] = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
"""As the saver wants its connections."""
LENT_WITHIN_S = 10.0
"""Of two, one is free, or is opened; a server that cannot be reached is found out by then."""
_LOCK = 4244
LOOK_AGAIN_S = 0.05
SET_UP_S = 3600.0
"""How long the server may be at a statement that makes a table, or an index of a large one."""


async def open_saver(
    stack: AsyncExitStack, url: str, serde: SerializerProtocol
) -> tuple[AsyncPostgresSaver, PostgresThreads]:
    """The saver, closed with the stack, and its threads. Raises `StoreError`."""
    how = read_url(url, schema=NAMESPACE, whose="the database of agents' runs")
    place = PostgresPlace(url, subject="checkpoints", schema=(), version=1)
    await asyncio.to_thread(_begin, place)
    with naming(how), place.silence.heeded():
        async with await answering.AsyncConnection.connect(**how, **_HOW) as connection:
            connection.longest_s = SET_UP_S
            await _set_up(AsyncPostgresSaver(connection, serde=serde), connection)
        pool = await stack.enter_async_context(_pool(how))
        await pool.wait()
    return Saver(pool, serde, how=how, silence=place.silence), PostgresThreads(place)


Pool = AsyncConnectionPool[answering.AsyncConnection]


class Saver(AsyncPostgresSaver):
    """One that does not wait for ever, and of which whatever is wrong with the server becomes a `StoreError`."""

    def __init__(
        self, pool: Pool, serde: SerializerProtocol, *, how: Mapping[str, Any], silence: answering.Silence
    ) -> None:
        super().__init__(cast("Any", pool), serde=serde)
        self._how = how
        self._silence = silence
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def _cursor(self, *, pipeline: bool = False) -> AsyncGenerator[psycopg.AsyncCursor[DictRow]]:
        with naming(self._how):
            async with self._turn:
                with self._silence.heeded():  # not before: who waited for a turn is refused then, too
                    try:
                        async with super()._cursor(pipeline=pipeline) as cursor:
                            yield cursor
                    except PoolTimeout as error:
                        raise answering.NoAnswer from error


def _begin(place: PostgresPlace) -> None:
    """Have the schema made."""
    with place.reading():
        pass


async def _set_up(saver: AsyncPostgresSaver, connection: answering.AsyncConnection) -> None:
    """Make the tables, one process at a time: who waited in a statement would keep an index from being made."""
    while True:
        found = await connection.execute("SELECT pg_try_advisory_lock(%s) AS mine", (_LOCK,))
        row = await found.fetchone()
        if row and row["mine"]:
            break
        await asyncio.sleep(LOOK_AGAIN_S)
    await saver.setup()  # closing the connection gives the lock back


def _pool(how: Mapping[str, Any]) -> Pool:
    return AsyncConnectionPool(
        connection_class=answering.AsyncConnection,
        kwargs={**how, **_HOW},
        min_size=1,
        max_size=MOST_CONNECTIONS,
        timeout=LENT_WITHIN_S,
        reconnect_timeout=answering.REST_S,
        check=_check,
        open=False,
    )


async def _check(connection: answering.AsyncConnection) -> None:
    """Whether it can still be used, without asking the server."""
    if not is_silent(connection.fileno()):
        await connection.close()  # else the pool takes it for a good one
        raise psycopg.OperationalError("the server has left")


class PostgresThreads(Threads):
    """Tables of `AsyncPostgresSaver`: values that are not plain are in `checkpoint_blobs`, by channel and version."""

    writes = "checkpoint_writes"
    others = ("checkpoint_blobs",)
    write_columns = "checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob"
    checkpoint_columns = "checkpoint_ns, checkpoint_id, type, checkpoint, metadata"
    first = ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",)  # blobs of a checkpoint that comes now are not seen

    def read(self, connection: Connection, thread: str, namespace: str, id_: str) -> tuple[Stored, Mapping[str, Any]]:
        versions, inline, blobs, metadata = connection.execute(
            "SELECT checkpoint -> 'channel_versions', checkpoint -> 'channel_values', ARRAY(SELECT b.channel"
            " FROM jsonb_each_text(c.checkpoint -> 'channel_versions') v JOIN checkpoint_blobs b"
            " ON b.thread_id = c.thread_id AND b.checkpoint_ns = c.checkpoint_ns AND b.channel = v.key"
            " AND b.version = v.value AND b.type <> 'empty'), metadata"
            " FROM checkpoints c WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?",
            (thread, namespace, id_),
        ).fetchone()
        whole = frozenset[str](inline or ()) | frozenset(blobs)
        counted = frozenset(metadata.get("counters_since_delta_snapshot") or ())
        return Stored(counted=counted, whole=whole, parts=frozenset(versions) - whole), metadata

    def tidy(self, connection: Connection, thread: str, namespace: str) -> None:
        connection.execute(
            "DELETE FROM checkpoint_blobs b WHERE thread_id = ? AND checkpoint_ns = ? AND NOT EXISTS"
            " (SELECT 1 FROM checkpoints c WHERE c.thread_id = b.thread_id AND c.checkpoint_ns = b.checkpoint_ns"
            " AND c.checkpoint -> 'channel_versions' ->> b.channel = b.version)",
            (thread, namespace),
        )

    def follow(self, connection: Connection, source: str, to: str, namespace: str) -> None:
        columns = "checkpoint_ns, channel, version, type, blob"
        connection.execute(
            f"INSERT INTO checkpoint_blobs (thread_id, {columns}) SELECT CAST(? AS TEXT), {columns}"  # noqa: S608
            " FROM checkpoint_blobs b WHERE thread_id = ? AND checkpoint_ns = ? AND EXISTS"
            " (SELECT 1 FROM checkpoints c WHERE c.thread_id = ? AND c.checkpoint_ns = b.checkpoint_ns"
            " AND c.checkpoint -> 'channel_versions' ->> b.channel = b.version)",
            (to, source, namespace, to),
        )
