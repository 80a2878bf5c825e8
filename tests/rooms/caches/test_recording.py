"""What a cached model answers is recorded, however whoever asked takes it."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Self

import pytest

from hanok.caches import Cached, Semantics, rules_of
from hanok.caches.stores.memory import MemoryStore
from hanok.spec import Platform
from hanok.wire import Answer, ChatRequest, Chunk, Take, Usage, pour
from tests.engine import DONE, USAGE_EVENT, delta
from tests.rooms.caches.asking import END

USED = Usage(prompt_tokens=7, completion_tokens=2)
SAID = [
    Chunk(delta("one "), 1),
    Chunk(delta("two"), 1),
    Chunk(END, 0),
    Chunk(USAGE_EVENT, 0, USED),
    Chunk(DONE, last=True),
]
ENDLESS = 99


class Model:
    """Always says the same; counts the answers that were poured and those that were opened."""

    def __init__(self) -> None:
        self.opened = self.poured = 0

    async def open(self, request: ChatRequest) -> Answer:
        self.opened += 1
        return _Said(self)

    async def perform(self, request: Any) -> Any:
        raise NotImplementedError


class _Said:
    model, endpoint = "m", "m#1"

    def __init__(self, of: Model) -> None:
        self._of = of
        self._left = [*SAID]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop(0)

    async def pour(self, take: Take) -> bool:
        self._of.poured += 1
        while self._left:
            await asyncio.sleep(0)
            if not take(self._left.pop(0)):
                break
        return not self._left

    async def aclose(self) -> None:
        self._left.clear()


def cached(model: Model) -> Cached:
    declared = {"models": [{"name": "m", "cache": True, "serve": {"engine": "echo"}}]}
    return Cached(
        model,
        rules=rules_of(Platform.model_validate(declared)),
        store=MemoryStore(most_bytes=100_000, wall=time.time),
        semantics=Semantics(),
        wall=time.time,
        is_declared={"m#1"}.__contains__,
    )


def asking(**more: Any) -> ChatRequest:
    asked = ChatRequest.ask("m", [{"role": "user", "content": "hi"}], stream=True)
    return ChatRequest(**{name: getattr(asked, name) for name in asked.__struct_fields__} | more)


async def take_all(answer: Answer, how: str, most: int = ENDLESS) -> list[Chunk]:
    """The chunks that came, `most` at most."""
    chunks: list[Chunk] = []

    def take(chunk: Chunk) -> bool:
        chunks.append(chunk)
        return how == "poured" and len(chunks) < most

    try:
        if how == "iterated":
            async for chunk in answer:
                if not take(chunk) and len(chunks) == most:
                    break
        else:
            while not await pour(answer, take) and len(chunks) < most:
                pass
    finally:
        await answer.aclose()
    return chunks


async def ask_twice(how: str, most: int = ENDLESS, **more: Any) -> tuple[Model, list[Chunk], bytes]:
    model = Model()
    path = cached(model)
    first = await take_all(await path.open(asking(**more)), how, most)
    again = await take_all(await path.open(asking(wants_usage=True)), how)
    return model, first, b"".join(chunk.data for chunk in again)


@pytest.mark.parametrize("wants_usage", [True, False])
def test_a_poured_answer_is_given_and_recorded_as_an_iterated_one(wants_usage: bool) -> None:
    told = [asyncio.run(ask_twice(how, wants_usage=wants_usage)) for how in ("iterated", "poured", "with breaks")]
    assert [model.opened for model, _, _ in told] == [1, 1, 1]
    assert [again for _, _, again in told] == [b"".join(chunk.data for chunk in SAID)] * 3
    given = [chunks for _, chunks, _ in told]
    assert given[0] == given[1] == given[2]
    assert (USAGE_EVENT in b"".join(chunk.data for chunk in given[1])) == wants_usage


def test_a_cached_models_answer_is_poured_through() -> None:
    model, _, _ = asyncio.run(ask_twice("poured"))
    assert model.poured == 1


@pytest.mark.parametrize("how", ["iterated", "poured"])
def test_an_answer_that_was_left_midway_is_not_kept(how: str) -> None:
    model, first, _ = asyncio.run(ask_twice(how, most=2))
    assert (len(first), model.opened) == (2, 2)


def test_an_answer_whose_pouring_is_cancelled_is_not_kept() -> None:
    async def scenario() -> int:
        model = Model()
        path = cached(model)
        answer = await path.open(asking())
        pouring = asyncio.ensure_future(pour(answer, lambda _: pouring.cancel()))
        with pytest.raises(asyncio.CancelledError):
            await pouring
        await answer.aclose()
        await take_all(await path.open(asking()), "poured")
        return model.opened

    assert asyncio.run(scenario()) == 2
