"""Where memories are kept: the seam. Tables (`stores/memories.py`) and Redis (`stores/redis/memories.py`) implement it.

Methods block, for milliseconds, and each is of one owner where it takes one. All raise `StoreError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from hanok.agents.memory.values import Memory, Owner, Vector


class Memories(Protocol):
    """What is remembered, with what it means to a model."""

    def add(self, owner: Owner, memory: Memory, vector: Vector, *, limit: int) -> None:
        """Keep a memory, in the place of the one of its id; of more than `limit` the oldest go."""
        ...

    def memory(self, owner: Owner, id_: str, *, now: float) -> Memory | None: ...

    def memories(self, owner: Owner, *, now: float, limit: int, offset: int = 0) -> list[Memory]:
        """The latest first."""
        ...

    def vectors(self, owner: Owner, *, now: float) -> list[tuple[str, Vector]]:
        """Of all of the owner's memories, with their ids."""
        ...

    def mean(self, owner: Owner, vectors: Mapping[str, Vector]) -> None:
        """Keep what memories mean to another model than before."""
        ...

    def remove(self, owner: Owner, id_: str | None = None) -> int:
        """Forget a memory, or all; how many there were."""
        ...

    def remove_user(self, tenant: str, user: str) -> int:
        """Forget what all agents of a tenant remember of a user (`values.user_of`); how many there were."""
        ...

    def prune(self, *, now: float) -> int:
        """Forget what has expired; how many there were."""
        ...

    def close(self) -> None: ...
