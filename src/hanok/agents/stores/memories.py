"""Memories in tables: `memories.db` in the state folder, or beside the runs in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from hanok.agents.memory.values import Memory, Owner, Vector
from hanok.agents.stores.place import Place
from hanok.agents.stores.rows import as_json
from hanok.ledger.stores.dialect import Connection

VERSION = 1
MOST_THAT_GO = 100_000
"""At once, where there are more than there may be: a limit that was lowered."""
SCHEMA = (
    "CREATE TABLE memories (tenant TEXT NOT NULL, agent TEXT NOT NULL, owner TEXT NOT NULL, id TEXT NOT NULL,"
    " text TEXT NOT NULL, tags TEXT NOT NULL, created_at REAL NOT NULL, expires_at REAL, model TEXT NOT NULL,"
    " vector BLOB NOT NULL, PRIMARY KEY (tenant, agent, owner, id))",
    "CREATE INDEX memories_of ON memories (tenant, agent, owner, created_at DESC, id)",
    "CREATE INDEX memories_of_user ON memories (tenant, owner)",
    "CREATE INDEX memories_expiring ON memories (expires_at) WHERE expires_at IS NOT NULL",
)
_COLUMNS = "id, text, tags, created_at, expires_at"
_OF = "tenant = ? AND agent = ? AND owner = ?"
_SELECT = f"SELECT {_COLUMNS} FROM memories WHERE {_OF}"  # noqa: S608
_SELECT_VECTORS = f"SELECT id, model, vector FROM memories WHERE {_OF}"  # noqa: S608
_ALIVE = "(expires_at IS NULL OR expires_at > ?)"
_read_tags = msgspec.json.Decoder(tuple[str, ...]).decode


class MemoryTables:
    """`Memories` in the tables of a place: each method is one transaction."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def add(self, owner: Owner, memory: Memory, vector: Vector, *, limit: int) -> None:
        with self._place.writing() as connection:
            connection.execute(
                f"INSERT INTO memories (tenant, agent, owner, {_COLUMNS}, model, vector)"  # noqa: S608
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, agent, owner, id) DO UPDATE SET"
                " tags = excluded.tags, created_at = excluded.created_at, expires_at = excluded.expires_at,"
                " model = excluded.model, vector = excluded.vector",
                (
                    *_of(owner), memory.id, memory.text, as_json(memory.tags), memory.created_at, memory.expires_at,
                    vector.model, vector.data,
                ),
            )  # fmt: skip
            _make_room(connection, owner, limit)

    def memory(self, owner: Owner, id_: str, *, now: float) -> Memory | None:
        rows = self._ask(f"{_SELECT} AND id = ? AND {_ALIVE}", *_of(owner), id_, now)
        return _memory(rows[0]) if rows else None

    def memories(self, owner: Owner, *, now: float, limit: int, offset: int = 0) -> list[Memory]:
        rows = self._ask(
            f"{_SELECT} AND {_ALIVE} ORDER BY created_at DESC, id LIMIT ? OFFSET ?",
            *_of(owner), now, limit, offset,
        )  # fmt: skip
        return [_memory(row) for row in rows]

    def vectors(self, owner: Owner, *, now: float) -> list[tuple[str, Vector]]:
        rows = self._ask(f"{_SELECT_VECTORS} AND {_ALIVE}", *_of(owner), now)
        return [(id_, Vector(model=model, data=bytes(data))) for id_, model, data in rows]

    def mean(self, owner: Owner, vectors: Mapping[str, Vector]) -> None:
        with self._place.writing() as connection:
            for id_, vector in vectors.items():
                connection.execute(
                    f"UPDATE memories SET model = ?, vector = ? WHERE {_OF} AND id = ?",  # noqa: S608
                    (vector.model, vector.data, *_of(owner), id_),
                )

    def remove(self, owner: Owner, id_: str | None = None) -> int:
        also, more = ("", ()) if id_ is None else (" AND id = ?", (id_,))
        with self._place.writing() as connection:
            return connection.execute(f"DELETE FROM memories WHERE {_OF}{also}", (*_of(owner), *more)).rowcount  # noqa: S608

    def remove_user(self, tenant: str, user: str) -> int:
        with self._place.writing() as connection:
            return connection.execute("DELETE FROM memories WHERE tenant = ? AND owner = ?", (tenant, user)).rowcount

    def prune(self, *, now: float) -> int:
        with self._place.writing() as connection:
            return connection.execute("DELETE FROM memories WHERE expires_at <= ?", (now,)).rowcount

    def close(self) -> None:
        self._place.close()

    def _ask(self, statement: str, *values: Any) -> list[Any]:
        with self._place.reading() as connection:
            return connection.execute(statement, values).fetchall()


def _make_room(connection: Connection, owner: Owner, limit: int) -> None:
    of = _of(owner)
    connection.execute(
        f"DELETE FROM memories WHERE {_OF} AND id IN"  # noqa: S608
        f" (SELECT id FROM memories WHERE {_OF} ORDER BY created_at DESC, id LIMIT ? OFFSET ?)",
        (*of, *of, MOST_THAT_GO, limit),
    )


def _of(owner: Owner) -> tuple[str, str, str]:
    return owner.tenant, owner.agent, owner.user


def _memory(row: Sequence[Any]) -> Memory:
    id_, text, tags, created_at, expires_at = row
    return Memory(id=id_, text=text, tags=_read_tags(tags), created_at=created_at, expires_at=expires_at)
