"""Whole threads of checkpoints on a Redis or Valkey server: pruned, copied and removed, each thread in one step.

What is pruned was looked at a moment before: it is older than what stays, and a new checkpoint's parent is the latest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from hanok.agents.stores.redis import checkpoint_scripts as scripts
from hanok.agents.stores.redis.run_rows import each_alone, several
from hanok.agents.stores.redis.server import Script, Server
from hanok.agents.stores.retention import Stored, has_gone, is_call, kept, needed
from hanok.agents.stores.rows import read_object

DELETED_AT_ONCE = 500
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[str, bytes, bytes]).decode


class _Facts(msgspec.Struct):
    whole: frozenset[str]
    parts: frozenset[str]
    counted: frozenset[str]


_read_facts = msgspec.json.Decoder(_Facts).decode


class RedisThreads:
    """A saver's threads. Methods block; all raise `StoreError`."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def prune(self, thread: str, keep: int) -> int:
        """Forget all but the latest checkpoints and what they are made of; how many went."""
        if self._run(scripts.COUNT, thread) <= keep:
            return 0
        roots, gone = set[str](), 0
        for namespace in self._namespaces(thread):
            shape = _Shape(self._run(scripts.SHAPE, thread, namespace))
            called_off = is_call(namespace) and has_gone(shape.metadata, roots)
            ids = set[str]() if called_off else kept(shape.parents, keep, shape.stored)
            roots = ids if namespace == "" else roots
            old = sorted(shape.parents.keys() - ids)
            for start in range(0, len(old), DELETED_AT_ONCE):
                part = old[start : start + DELETED_AT_ONCE]
                self._run(scripts.DELETE, thread, namespace, *each_alone(part))
            gone += len(old)
        return gone

    def copy(self, source: str, to: str, checkpoint: str | None) -> str | None:
        """Begin `to` with what `source` was at that checkpoint; its id, None where there is none."""
        head = _Shape(self._run(scripts.SHAPE, source, "")).head(checkpoint)
        if head is None or head != (checkpoint or head):
            return None
        copied: list[Sequence[Any]] = []
        for namespace in self._namespaces(source):
            if not is_call(namespace):
                copied += self._copied(source, namespace, head)
        self._run(scripts.BEGIN, to, *several(copied))
        return head

    def remove(self, thread: str) -> None:
        """Forget all of a thread."""
        self._run(scripts.REMOVE, thread)

    def close(self) -> None:
        self._server.close()

    def _copied(self, source: str, namespace: str, until: str) -> list[Sequence[Any]]:
        """The latest checkpoint until that one, and what it is made of, as `BEGIN` takes them."""
        shape = _Shape(self._run(scripts.SHAPE, source, namespace))
        head = shape.head(until)
        if head is None:
            return []
        before = needed(head, shape.parents, shape.stored)
        rows = self._run(scripts.SOME, source, namespace, *each_alone([head, *before]))
        return [_fields(namespace, row, head, before) for row in rows]

    def _namespaces(self, thread: str) -> list[str]:
        """The graph's own, `""`, first."""
        return [each.decode() for each in self._run(scripts.NAMESPACES, thread)]

    def _run(self, script: Script, thread: str, *fields: Any) -> Any:
        return self._server.run(script, prefix_of(self._server, thread), *fields)


def _fields(namespace: str, row: Sequence[Any], head: str, before: Sequence[str]) -> Sequence[Any]:
    """A checkpoint of a copy: what tasks wrote after the latest is done again there."""
    id_, checkpoint, parent, writes, facts = row
    above = parent if parent.decode() in before else b""
    told = each_alone([] if id_.decode() == head else writes)
    return namespace, id_, above, checkpoint, facts, *told


class _Shape:
    """The checkpoints of a namespace: each one's parent, what is stored of it, and the latest one's metadata."""

    def __init__(self, row: Sequence[Any]) -> None:
        parents, facts, latest = row
        self.parents = {id_: parent or None for id_, parent in _texts(parents)}
        self._facts = dict(_texts(facts))
        self.metadata: dict[str, Any] = read_object(unpacked(latest)[2].decode()) if latest else {}

    def head(self, until: str | None) -> str | None:
        """The latest checkpoint, or the latest that is not after that one."""
        return max((id_ for id_ in self.parents if until is None or id_ <= until), default=None)

    def stored(self, id_: str) -> Stored:
        found = _read_facts(self._facts[id_])
        return Stored(counted=found.counted, whole=found.whole, parts=found.parts)


def prefix_of(server: Server, thread: str) -> str:
    """What the keys of a thread begin with."""
    return server.prefix("thread", thread)


def packed(type_: str, blob: bytes, metadata: str) -> bytes:
    """A checkpoint as it is kept: LangGraph's, and its metadata as JSON."""
    return _pack((type_, blob, metadata.encode()))


def unpacked(value: bytes) -> tuple[str, bytes, bytes]:
    """Its parts."""
    return _unpack(value)


def _texts(pairs: Sequence[bytes]) -> list[tuple[str, str]]:
    return [(name.decode(), value.decode()) for name, value in zip(pairs[::2], pairs[1::2], strict=True)]
