"""Streams relayed as bytes: however an engine's events come together, the same is counted and passed on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st

from hanok.serving.client import Response
from hanok.serving.engines.answers import RelayedAnswer

TEXTS = ("Han", "ok", ' said "yes"', "한옥", "", "\\", "data: [DONE]", '"role":', "}]}\n\ndata:", "a" * 300)


class Engine:
    """An engine's response that comes in these pieces."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = list(pieces)

    async def read(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    tells_its_end = True

    async def finish(self) -> None: ...

    def close(self) -> None: ...


def event(text: str | None, **delta: str) -> bytes:
    choice = {"index": 0, "delta": delta if text is None else {"content": text}, "finish_reason": None}
    return b"data: " + json.dumps({"id": "c1", "choices": [choice]}, separators=(",", ":")).encode() + b"\n\n"


def relayed(pieces: Sequence[bytes]) -> tuple[bytes, int]:
    """What was passed on, and how many events were said to carry text."""
    return asyncio.run(_relayed(pieces))


async def _relayed(pieces: Sequence[bytes]) -> tuple[bytes, int]:
    answer = RelayedAnswer(cast("Response", Engine(pieces)), wants_usage=True, model="m", endpoint="e")
    await answer.begin()
    chunks = [chunk async for chunk in answer]
    await answer.aclose()
    return b"".join(chunk.data for chunk in chunks), sum(chunk.events for chunk in chunks)


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(st.sampled_from(TEXTS), min_size=1, max_size=12), sizes=st.lists(st.integers(1, 5), min_size=12))
def test_events_that_come_together_are_counted_one_by_one(texts: list[str], sizes: list[int]) -> None:
    events = [event(None, role="assistant"), *map(event, texts), b"data: [DONE]\n\n"]
    together: list[bytes] = []
    rest = list(events)
    for size in sizes:
        together.append(b"".join(rest[:size]))
        del rest[:size]
    together += rest
    alone = relayed(events)
    assert relayed([piece for piece in together if piece]) == alone
    assert alone[0] == b"".join(events)


def test_events_alike_are_counted_though_they_come_by_the_dozen() -> None:
    events = [event(text) for text in ("one", "two", "three", "four")]
    data, count = relayed([events[0], b"".join(events), events[1] + events[2], b"data: [DONE]\n\n"])
    assert count == 7
    assert data.count(b'"content"') == 7
