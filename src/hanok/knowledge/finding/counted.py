"""What a search asks of models, counted: the calls are charged one by one, and an answer tells what all took together.

What a call has cost is known where it was metered: its result, or its answer when that is over, then says so.
"""

from __future__ import annotations

from typing import Self

import msgspec

from hanok.wire import Answer, ChatRequest, Chunk, ModelPath, TaskRequest, TaskResult, Usage


class Counted:
    """A model path whose calls are counted: `usage` is None while nothing was, `cost_nano_usd` is for all of them."""

    def __init__(self, models: ModelPath) -> None:
        self.usage: Usage | None = None
        self.cost_nano_usd = 0
        self._models = models

    async def open(self, request: ChatRequest) -> Answer:
        return _CountedAnswer(await self._models.open(request), self)

    async def perform(self, request: TaskRequest) -> TaskResult:
        result = await self._models.perform(request)
        self.count(result.usage, result)
        return result

    def count(self, usage: Usage | None, metered: object) -> None:
        self.cost_nano_usd += int(getattr(metered, "cost_nano_usd", 0))
        if usage is not None:
            self.usage = usage if self.usage is None else _sum(self.usage, usage)


class _CountedAnswer:
    """An answer that is counted once, when it is closed."""

    def __init__(self, answer: Answer, counted: Counted) -> None:
        self.model, self.endpoint = answer.model, answer.endpoint
        self._answer = answer
        self._counted: Counted | None = counted
        self._usage: Usage | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        chunk = await self._answer.__anext__()
        self._usage = chunk.usage or self._usage
        return chunk

    async def aclose(self) -> None:
        await self._answer.aclose()
        counted, self._counted = self._counted, None
        if counted is not None:
            counted.count(self._usage, self._answer)


def _sum(one: Usage, other: Usage) -> Usage:
    return msgspec.structs.replace(
        one,
        prompt_tokens=one.prompt_tokens + other.prompt_tokens,
        completion_tokens=one.completion_tokens + other.completion_tokens,
    )
