"""What is done with whole threads, which savers do not do, or not as a whole: prune, copy and remove them.

Each is one transaction in the saver's own tables, beside it and safe while it writes: what is deleted is older than
what stays, and a new checkpoint's parent is the latest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from hanok.agents.stores.place import Place
from hanok.agents.stores.retention import Stored, has_gone, is_call, kept, needed
from hanok.ledger.stores.dialect import Connection

DELETED_AT_ONCE = 500
_OF = "thread_id = ? AND checkpoint_ns = ?"


class Threads(ABC):
    """A saver's threads. Methods block; all raise `StoreError`."""

    writes: str
    """The table of what tasks wrote after a checkpoint."""
    others: tuple[str, ...] = ()
    """More tables with rows of threads."""
    write_columns: str
    """Its columns but for the thread's id."""
    checkpoint_columns: str
    """Those of `checkpoints` but for the ids of the thread and of the parent."""
    first: tuple[str, ...] = ()
    """Statements that begin a transaction."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def prune(self, thread: str, keep: int) -> int:
        """Forget all but the latest checkpoints and what they are made of; how many went."""
        if self._has_few(thread, keep):
            return 0
        with self._place.writing() as connection:
            for each in self.first:
                connection.execute(each)
            roots, gone = set[str](), 0
            for namespace in _namespaces(connection, thread):
                parents = _parents(connection, thread, namespace)
                if is_call(namespace) and self._has_gone(connection, thread, namespace, roots):
                    ids = set[str]()
                else:
                    ids = kept(parents, keep, self._reader(connection, thread, namespace))
                roots = ids if namespace == "" else roots
                gone += self._delete(connection, thread, namespace, parents.keys() - ids)
            return gone

    def _has_few(self, thread: str, keep: int) -> bool:
        """Whether there is nothing to prune; nobody is kept from writing meanwhile."""
        asked = "SELECT count(*) FROM (SELECT 1 FROM checkpoints WHERE thread_id = ? LIMIT ?) AS few"
        with self._place.reading() as connection:
            return connection.execute(asked, (thread, keep + 1)).fetchone()[0] <= keep

    def copy(self, source: str, to: str, checkpoint: str | None) -> str | None:
        """Begin `to` with what `source` was at that checkpoint; its id, None where there is none."""
        with self._place.writing() as connection:
            for each in self.first:
                connection.execute(each)
            head = _head(connection, source, "", checkpoint)
            if head is None or head != (checkpoint or head):
                return None
            for namespace in _namespaces(connection, source):
                if not is_call(namespace):
                    self._copy(connection, source, to, namespace, _head(connection, source, namespace, head))
            return head

    def remove(self, thread: str) -> None:
        """Forget all of a thread."""
        with self._place.writing() as connection:
            for table in ("checkpoints", self.writes, *self.others):
                connection.execute(f"DELETE FROM {table} WHERE thread_id = ?", (thread,))  # noqa: S608

    def close(self) -> None:
        self._place.close()

    @abstractmethod
    def read(self, connection: Connection, thread: str, namespace: str, id_: str) -> tuple[Stored, Mapping[str, Any]]:
        """A checkpoint that is there, and its metadata."""

    @abstractmethod
    def tidy(self, connection: Connection, thread: str, namespace: str) -> None:
        """Forget what no checkpoint needs any more."""

    @abstractmethod
    def follow(self, connection: Connection, source: str, to: str, namespace: str) -> None:
        """Copy what the checkpoints of `to` need beside themselves."""

    def _reader(self, connection: Connection, thread: str, namespace: str) -> Callable[[str], Stored]:
        @cache
        def read(id_: str) -> Stored:
            return self.read(connection, thread, namespace, id_)[0]

        return read

    def _has_gone(self, connection: Connection, thread: str, namespace: str, roots: set[str]) -> bool:
        """Whether the checkpoint from which a subgraph was called has gone, rather than not come yet."""
        head = _head(connection, thread, namespace, None)
        if head is None:
            return True
        return has_gone(self.read(connection, thread, namespace, head)[1], roots)

    def _delete(self, connection: Connection, thread: str, namespace: str, ids: Iterable[str]) -> int:
        every = list(ids)
        for start in range(0, len(every), DELETED_AT_ONCE):
            part = every[start : start + DELETED_AT_ONCE]
            values, marks = [thread, namespace, *part], ", ".join("?" * len(part))
            for table in (self.writes, "checkpoints"):
                connection.execute(f"DELETE FROM {table} WHERE {_OF} AND checkpoint_id IN ({marks})", values)  # noqa: S608
            orphaned = f"{_OF} AND parent_checkpoint_id IN ({marks})"
            connection.execute(f"UPDATE checkpoints SET parent_checkpoint_id = NULL WHERE {orphaned}", values)  # noqa: S608
        if every:
            self.tidy(connection, thread, namespace)
        return len(every)

    def _copy(self, connection: Connection, source: str, to: str, namespace: str, head: str | None) -> None:
        if head is None:
            return
        parents = _parents(connection, source, namespace)
        before = needed(head, parents, self._reader(connection, source, namespace))
        columns = self.checkpoint_columns
        for id_ in (head, *before):
            parent = parents[id_] if parents[id_] in before else None
            connection.execute(
                f"INSERT INTO checkpoints (thread_id, parent_checkpoint_id, {columns})"  # noqa: S608
                f" SELECT CAST(? AS TEXT), CAST(? AS TEXT), {columns} FROM checkpoints WHERE {_OF}"
                " AND checkpoint_id = ?",
                (to, parent, source, namespace, id_),
            )
        self._copy_writes(connection, source, to, namespace, before)
        self.follow(connection, source, to, namespace)

    def _copy_writes(
        self, connection: Connection, source: str, to: str, namespace: str, checkpoints: Sequence[str]
    ) -> None:
        for id_ in checkpoints:
            connection.execute(
                f"INSERT INTO {self.writes} (thread_id, {self.write_columns})"  # noqa: S608
                f" SELECT CAST(? AS TEXT), {self.write_columns} FROM {self.writes} WHERE {_OF} AND checkpoint_id = ?",
                (to, source, namespace, id_),
            )


def _namespaces(connection: Connection, thread: str) -> list[str]:
    """The graph's own, `""`, first."""
    asked = "SELECT DISTINCT checkpoint_ns FROM checkpoints WHERE thread_id = ? ORDER BY checkpoint_ns"
    return [row[0] for row in connection.execute(asked, (thread,)).fetchall()]


def _parents(connection: Connection, thread: str, namespace: str) -> dict[str, str | None]:
    """Each checkpoint's id, with that of the one before it."""
    asked = f"SELECT checkpoint_id, parent_checkpoint_id FROM checkpoints WHERE {_OF}"  # noqa: S608
    return dict(connection.execute(asked, (thread, namespace)).fetchall())


def _head(connection: Connection, thread: str, namespace: str, until: str | None) -> str | None:
    """The latest checkpoint, or the latest that is not after that one."""
    bound = "" if until is None else " AND checkpoint_id <= ?"
    found = connection.execute(
        f"SELECT max(checkpoint_id) FROM checkpoints WHERE {_OF}{bound}",  # noqa: S608
        [thread, namespace, *([] if until is None else [until])],
    ).fetchone()
    return found[0]
