"""Remembers and recalls: texts become vectors over the path that charges every call, in the caller's name.

When another model makes the vectors, those of the old one say nothing any more: a recall makes those that it meets
anew, `RENEWED_AT_ONCE` at most, the latest first, and finds the others in the recalls that follow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from hanok.agents.memory.nearness import cosines, unit
from hanok.agents.memory.store import Memories
from hanok.agents.memory.values import Memory, Owner, Vector, cleaned, id_of
from hanok.errors import RequestError
from hanok.knowledge.embedding import embed
from hanok.wire import Caller, ModelPath

RENEWED_AT_ONCE = 64
"""Texts in one call for vectors."""
EXPORTED_AT_ONCE = 1000


class Remembering:
    """The memories of a house. Raises `StoreError`, and what the model's path raises."""

    def __init__(
        self,
        memories: Memories,
        models: ModelPath,
        *,
        clock: Callable[[], float],
        in_thread: Callable[..., Coroutine[Any, Any, Any]] = asyncio.to_thread,
    ) -> None:
        """`models` is what all calls pass, `in_thread` runs what blocks beside the event loop."""
        self._memories = memories
        self._models = models
        self._clock = clock
        self._in_thread = in_thread

    async def remember(
        self,
        owner: Owner,
        text: str,
        *,
        model: str,
        caller: Caller,
        tags: Sequence[str] = (),
        ttl_s: float | None = None,
        limit: int = 1000,
    ) -> Memory:
        """Keep a text for `ttl_s` seconds (or for ever), of at most `limit`; the same text again is kept anew.

        Raises `RequestError` where there is none.
        """
        text = cleaned(text)
        if not text:
            raise RequestError("a memory needs a text", param="text")
        (vector,) = await self._vectors(model, [text], caller)
        now = self._clock()
        memory = Memory(
            id=id_of(owner, text),
            text=text,
            tags=tuple(dict.fromkeys(filter(None, map(cleaned, tags)))),
            created_at=now,
            expires_at=None if ttl_s is None else now + ttl_s,
        )
        await self._in_thread(self._memories.add, owner, memory, vector, limit=limit)
        return memory

    async def recall(self, owner: Owner, query: str, *, k: int, model: str, caller: Caller) -> list[Memory]:
        """The `k` that are nearest to the query in meaning, the nearest first. Asks no model where there are none."""
        query = cleaned(query)
        kept: list[tuple[str, Vector]] = await self._in_thread(self._memories.vectors, owner, now=self._clock())
        if not query or not kept or k < 1:
            return []
        (asked,) = await self._vectors(model, [query], caller)
        known = {id_: vector.data for id_, vector in kept if _agree(vector, asked)}
        if len(known) < len(kept):
            known |= await self._renew(owner, asked, set(known), caller)
        scores = zip(known, cosines(asked.data, list(known.values())), strict=True)
        best = sorted(scores, key=lambda each: (-each[1], each[0]))[:k]
        found = [(await self.memory(owner, id_), score) for id_, score in best]
        return [replace(memory, score=round(score, 4)) for memory, score in found if memory is not None]

    async def memory(self, owner: Owner, id_: str) -> Memory | None:
        """One, if it is the owner's."""
        return await self._in_thread(self._memories.memory, owner, id_, now=self._clock())

    async def memories(self, owner: Owner, *, limit: int = 100, offset: int = 0) -> list[Memory]:
        """The latest first."""
        return await self._in_thread(self._memories.memories, owner, now=self._clock(), limit=limit, offset=offset)

    async def export(self, owner: Owner) -> list[dict[str, Any]]:
        """All that is remembered, as JSON has it, the latest first."""
        found: list[dict[str, Any]] = []
        while part := await self.memories(owner, limit=EXPORTED_AT_ONCE, offset=len(found)):
            found += [memory.form() for memory in part]
        return found

    async def forget(self, owner: Owner, id_: str) -> bool:
        """Whether there was one."""
        return await self._in_thread(self._memories.remove, owner, id_) > 0

    async def forget_all(self, owner: Owner) -> int:
        """How many there were."""
        return await self._in_thread(self._memories.remove, owner)

    async def forget_user(self, tenant: str, user: str) -> int:
        """What all agents of a tenant remember of one user (`values.user_of`); how many there were."""
        return await self._in_thread(self._memories.remove_user, tenant, user)

    async def prune(self) -> int:
        """Forget what has expired; how many there were."""
        return await self._in_thread(self._memories.prune, now=self._clock())

    async def _vectors(self, model: str, texts: Sequence[str], caller: Caller) -> list[Vector]:
        made = await embed(self._models, model, texts, caller=caller)
        return [Vector(model=model, data=unit(data)) for data in made]

    async def _renew(self, owner: Owner, asked: Vector, known: set[str], caller: Caller) -> dict[str, bytes]:
        """What memories whose vectors are another model's mean to this one."""
        stale: list[Memory] = []
        offset = 0
        while len(stale) < RENEWED_AT_ONCE and (part := await self.memories(owner, limit=1000, offset=offset)):
            stale += [memory for memory in part if memory.id not in known]
            offset += len(part)
        stale = stale[:RENEWED_AT_ONCE]
        if not stale:
            return {}
        made = await self._vectors(asked.model, [memory.text for memory in stale], caller)
        vectors = {memory.id: vector for memory, vector in zip(stale, made, strict=True) if _agree(vector, asked)}
        await self._in_thread(self._memories.mean, owner, vectors)
        return {id_: vector.data for id_, vector in vectors.items()}


def _agree(one: Vector, other: Vector) -> bool:
    """Whether they can be compared."""
    return one.model == other.model and len(one.data) == len(other.data)
