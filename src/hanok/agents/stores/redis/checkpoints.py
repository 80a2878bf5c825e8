"""Checkpoints on a Redis or Valkey server: a saver of LangGraph's that needs no module there. Those of a thread are on
one node of a cluster, `T` being `hanok:{PLATFORM/thread/ID}:agents:`.

| key | kind | what |
|---|---|---|
| `T namespaces` | sorted set | of the graph, which is empty, and of its subgraphs |
| `T ids:NAMESPACE` | sorted set | ids of checkpoints, which sort by time |
| `T checkpoints:NAMESPACE` | hash | by their ids: what LangGraph keeps, and its metadata |
| `T parents:NAMESPACE` | hash | by their ids: the checkpoint before, or nothing |
| `T facts:NAMESPACE` | hash | by their ids: what pruning asks (`retention.Stored`), as JSON |
| `T writes:NAMESPACE:ID` | hash | by task and place: what tasks wrote after a checkpoint |
| `T written` | set | which of those there are |
| `T steps` | number | how often checkpoints and writes were put |

A checkpoint holds what changed, and rests on those before it. A server that crashes may come back without the last of
them (`appendfsync everysec`), while who works on the thread goes on: so what is put says how many steps were seen, and
is refused where there are fewer. The run is led anew then, from what is there.

LangGraph asks an event loop: threads beside it wait for the server, so that what is written is written, also when who
asked for it is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import msgspec
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    PendingWrite,
    get_checkpoint_metadata,
    writes_sort_key,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from hanok.agents.stores.redis import checkpoint_scripts as scripts
from hanok.agents.stores.redis.checkpoint_threads import RedisThreads, packed, prefix_of, unpacked
from hanok.agents.stores.redis.run_rows import each_alone, text_of
from hanok.agents.stores.redis.server import Server
from hanok.agents.stores.redis.worries import worries
from hanok.agents.stores.rows import as_json, read_object
from hanok.errors import KeptUnreachable

T = TypeVar("T")
VERSION = 1
LISTED_AT_ONCE = 50
AT_ONCE = 8
"""Questions of one process."""
MOST_THREADS = 10_000
"""Whose steps are remembered."""
_pack = msgspec.msgpack.Encoder().encode
_unpack_write = msgspec.msgpack.Decoder(tuple[str, str, str, bytes]).decode
_log = logging.getLogger(__name__)


async def open_saver(
    stack: AsyncExitStack, url: str, serde: SerializerProtocol, *, platform: str
) -> tuple[RedisSaver, RedisThreads]:
    """The saver, closed with the stack, and its threads; the log says what may be lost there. Raises `StoreError`."""
    server = Server(url, platform=platform, subject="checkpoints", version=VERSION)
    threads = RedisThreads(server)
    await asyncio.to_thread(server.begin)
    for worry in worries(await asyncio.to_thread(server.told, "persistence", "memory")):
        _log.warning("%s: %s", server.name, worry)
    saver = RedisSaver(server, serde)
    stack.push_async_callback(saver.aclose)
    return saver, threads


class RedisSaver(BaseCheckpointSaver[str]):
    """What LangGraph asks of a saver. Methods without an `a` block."""

    def __init__(self, server: Server, serde: SerializerProtocol) -> None:
        super().__init__(serde=serde)
        self._server = server
        self._threads = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="checkpoints")
        self._steps: dict[str, int] = {}
        self._counting = threading.Lock()

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        thread, namespace, id_ = _place(config)
        steps, row = self._run(scripts.GET, thread, namespace, text_of(id_))
        self._saw(thread, steps)
        return self._tuple(thread, namespace, row) if row else None

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Those of a thread, the latest first, one namespace after the other. Raises `ValueError` where none is
        named: threads may be on different servers."""
        if config is None:
            raise ValueError("a thread must be named to list its checkpoints")
        left = limit
        for found in self._listed(config, None if before is None else _place(before)[2]):
            if left is not None and left <= 0:
                return
            if all(found.metadata.get(key) == value for key, value in (filter or {}).items()):
                left = None if left is None else left - 1
                yield found

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,  # noqa: ARG002 - values are in the checkpoint
    ) -> RunnableConfig:
        thread, namespace, parent = _place(config)
        told: dict[str, Any] = {**get_checkpoint_metadata(config, metadata)}
        kept = packed(*self.serde.dumps_typed(checkpoint), as_json(told))
        self._put(scripts.PUT, thread, namespace, checkpoint["id"], text_of(parent), kept, _facts(checkpoint, told))
        return _config(thread, namespace, checkpoint["id"])

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        thread, namespace, id_ = _place(config)
        fields: list[Any] = []
        for place, (channel, value) in enumerate(writes):
            fields.append(f"{task_id}:{WRITES_IDX_MAP.get(channel, place)}")
            fields.append(_pack((task_path, channel, *self.serde.dumps_typed(value))))
        anew = all(channel in WRITES_IDX_MAP for channel, _ in writes)
        self._put(scripts.PUT_WRITES, thread, namespace, id_, "HSET" if anew else "HSETNX", *each_alone(fields))

    def delete_thread(self, thread_id: str) -> None:
        self._run(scripts.REMOVE, thread_id)

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        thread, namespace, id_ = _place(config)
        rows: Any = self._run(scripts.ABOVE, thread, namespace, text_of(id_), *each_alone(channels))
        found: dict[str, DeltaChannelHistory] = {channel: {"writes": []} for channel in channels}
        missing = set(channels)
        for checkpoint, writes in rows:  # the nearest first
            for write in reversed(self._pending(writes, missing)):
                found[write[1]]["writes"].append(write)
            values = self._values(checkpoint)
            for channel in missing & values.keys():
                found[channel]["seed"] = values[channel]
                missing.discard(channel)
        for each in found.values():
            each["writes"].reverse()
        return found

    def get_next_version(self, current: str | None, channel: None) -> str:  # noqa: ARG002 - LangGraph's
        return f"{1 if current is None else int(current.partition('.')[0]) + 1:032}"

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await self._beside(lambda: self.get_tuple(config))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        found = self.list(config, filter=filter, before=before, limit=limit)
        while (each := await self._beside(lambda: next(found, None))) is not None:
            yield each

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return await self._beside(lambda: self.put(config, checkpoint, metadata, new_versions))

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        await self._beside(lambda: self.put_writes(config, writes, task_id, task_path))

    async def adelete_thread(self, thread_id: str) -> None:
        await self._beside(lambda: self.delete_thread(thread_id))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        return await self._beside(lambda: self.get_delta_channel_history(config=config, channels=channels))

    async def aclose(self) -> None:
        """Wait for what is under way."""
        await asyncio.to_thread(self._threads.shutdown)

    async def _beside(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _run(self, script: scripts.Script, thread: str, *fields: Any) -> Any:
        return self._server.run(script, prefix_of(self._server, thread), *fields)

    def _put(self, script: scripts.Script, thread: str, *fields: Any) -> None:
        """Raises `KeptUnreachable` where it rests on what the server has lost."""
        steps: int = self._run(script, thread, self._steps.get(thread, 0), *fields)
        if not steps:
            self._steps.pop(thread, None)
            raise KeptUnreachable(
                f"{self._server.name} has lost the last steps of thread {thread!r}: they are done again",
                hint="set `appendfsync always` there, or keep agents' runs in PostgreSQL",
            )
        self._saw(thread, steps)

    def _saw(self, thread: str, steps: int) -> None:
        """Keep how many steps it had at least, of the threads that were used last."""
        with self._counting:
            self._steps[thread] = max(steps, self._steps.pop(thread, 0))
            if len(self._steps) > MOST_THREADS:
                del self._steps[next(iter(self._steps))]

    def _listed(self, config: RunnableConfig, before: str | None) -> Iterator[CheckpointTuple]:
        thread, _, id_ = _place(config)
        named = dict[str, Any](config.get("configurable") or {}).get("checkpoint_ns")
        if id_ is not None:
            found = self.get_tuple(config)
            yield from [found] if found and (before is None or id_ < before) else []
            return
        every = [each.decode() for each in self._run(scripts.NAMESPACES, thread)] if named is None else [str(named)]
        for namespace in every:
            bound = text_of(before)
            while rows := self._run(scripts.LIST, thread, namespace, bound, LISTED_AT_ONCE):
                yield from (self._tuple(thread, namespace, row) for row in rows)
                bound = rows[-1][0]

    def _tuple(self, thread: str, namespace: str, row: Sequence[Any]) -> CheckpointTuple:
        id_, kept, parent, writes = row
        type_, blob, told = unpacked(kept)
        metadata: Any = read_object(told.decode())
        return CheckpointTuple(
            config=_config(thread, namespace, id_.decode()),
            checkpoint=self.serde.loads_typed((type_, blob)),
            metadata=metadata,
            parent_config=_config(thread, namespace, parent.decode()) if parent else None,
            pending_writes=self._pending(writes, None),
        )

    def _values(self, checkpoint: bytes) -> dict[str, Any]:
        """Of its channels; none where it was not read."""
        return self.serde.loads_typed(unpacked(checkpoint)[:2])["channel_values"] if checkpoint else {}

    def _pending(self, pairs: Sequence[bytes], channels: set[str] | None) -> list[PendingWrite]:
        """What tasks wrote, of these channels or all, in LangGraph's order."""
        found: list[tuple[tuple[str, str, int], str, str, bytes]] = []
        for where, write in zip(pairs[::2], pairs[1::2], strict=True):
            task, _, place = where.decode().rpartition(":")
            path, channel, type_, blob = _unpack_write(write)
            if channels is None or channel in channels:
                found.append((writes_sort_key(path, task, int(place)), channel, type_, blob))
        found.sort(key=lambda each: each[0])
        return [(key[1], channel, self.serde.loads_typed((type_, blob))) for key, channel, type_, blob in found]


def _place(config: RunnableConfig) -> tuple[str, str, str | None]:
    """A thread, a namespace and a checkpoint."""
    where: dict[str, Any] = config.get("configurable") or {}
    return str(where["thread_id"]), str(where.get("checkpoint_ns", "")), where.get("checkpoint_id")


def _config(thread: str, namespace: str, id_: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": namespace, "checkpoint_id": id_}}


def _facts(checkpoint: Checkpoint, metadata: Mapping[str, Any]) -> str:
    whole = checkpoint["channel_values"].keys()
    parts = checkpoint["channel_versions"].keys() - whole
    counted = list(metadata.get("counters_since_delta_snapshot") or ())
    return as_json({"whole": list(whole), "parts": list(parts), "counted": counted})
