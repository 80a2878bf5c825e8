"""Giving answers: a model path's answer as an HTTP response, with headers that say who gave it and what is left.

What went in by whichever desk goes out here, so that all answers tell the same of themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from hanok.gateway.given import Given, Models
from hanok.gateway.http import Call, Header
from hanok.gateway.relay import relay
from hanok.gateway.standing import standing_lines
from hanok.ledger import MeteredResult
from hanok.wire import ChatRequest, Kept, TaskRequest

JSON_TYPE: Header = (b"content-type", b"application/json")
EVENTS: Sequence[Header] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)


class Giving:
    """Asks `models` and gives the answer. `keep_alive_s` is the longest silence in a stream; `wall`: Unix seconds."""

    def __init__(self, models: Models, *, wall: Callable[[], float], keep_alive_s: float) -> None:
        self.models = models
        self.keep_alive_s = keep_alive_s
        self._wall = wall

    async def answer(self, call: Call, request: ChatRequest) -> None:
        """Ask for text and give it, streamed or whole."""
        opening = self.models.open(request)
        if request.stream:
            headers = partial(self.stream_headers, request.model)
            await relay(call, opening, headers=headers, keep_alive_s=self.keep_alive_s)
        else:
            await self._give_whole(call, request, await opening)

    async def result(self, call: Call, request: TaskRequest) -> None:
        """Ask for a task and give what came of it."""
        result = await self.models.perform(request)
        await call.reply(200, result.data, JSON_TYPE, *self.about(request.model, result))

    async def _give_whole(self, call: Call, request: ChatRequest, answer: Given) -> None:
        try:
            chunk = await answer.__anext__()
            await call.reply(200, chunk.data, JSON_TYPE, *self.about(request.model, answer))
        finally:
            await answer.aclose()

    def stream_headers(self, asked: str, answer: Given | None) -> list[Header]:
        """Headers of a stream; of one that begins before its answer, when that is None."""
        return [*EVENTS] if answer is None else [*EVENTS, *self.about(asked, answer)]

    def about(self, asked: str, answer: Given | MeteredResult) -> list[Header]:
        """Headers of an answer: who gives it, and what is left to the caller."""
        headers: list[Header] = [(b"x-hanok-endpoint", answer.endpoint.encode("ascii"))]
        if answer.model != asked:
            headers.append((b"x-hanok-model", answer.model.encode("ascii")))
        if (kept := answer.kept) is not None:
            headers += _kept_headers(kept)
        if answer.tier is not None:
            headers.append((b"x-hanok-tier", answer.tier.name.encode("ascii")))
        if answer.hold is not None and (lines := standing_lines(answer.hold.accounts, self._wall())):
            headers.append(lines)
        return headers


def _kept_headers(kept: Kept) -> list[Header]:
    """Whether the answer is one that we had, and for how many seconds."""
    found = (b"x-hanok-cache", kept.how.encode())
    return [found] if kept.how == "miss" else [found, (b"age", b"%d" % kept.age_s)]
