"""Relaying a streamed answer: its chunks as they come, and signs of life while none come.

Proxies and clients give up on connections that are silent. So a timer of the call's own looks twice in `keep_alive_s`
whether anything was sent, and writes an SSE comment, which clients skip, when nothing was. Before the first chunk this
spends the HTTP status: what fails later is told in an event. The timer is one `call_later`; a chunk costs one store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from hanok.gateway.http import Call, Header
from hanok.wire import Answer, Chunk, pour

Given = TypeVar("Given", bound=Answer)
COMMENT = b": keep-alive\n\n"
LOOKS = 2


async def relay(
    call: Call,
    opening: Awaitable[Given],
    *,
    headers: Callable[[Given | None], Sequence[Header]],
    keep_alive_s: float,
    comment: bytes = COMMENT,
) -> None:
    """Await the answer and send it, with a `comment` whenever nothing was sent for `keep_alive_s` seconds at most.

    `headers` gives the response's headers for an answer, or for None when the response must begin without one.
    Raises what the answer raises; the answer is closed in any case.
    """
    pulse = _Pulse(call, headers, keep_alive_s / LOOKS, comment)
    try:
        answer = await opening
        try:
            if not call.begun:
                await call.begin(200, *headers(answer))
            await _send(call, answer, pulse)
        finally:
            await answer.aclose()
    finally:
        pulse.stop()


async def _send(call: Call, answer: Answer, pulse: _Pulse) -> None:
    """Pour the answer into the call, with a break whenever the caller is behind with reading."""

    def send(chunk: Chunk) -> bool:
        pulse.quiet = 0
        if chunk.last:
            call.end_now(chunk.data)
            return False
        return call.more_now(chunk.data) if chunk.data else True

    pulse.quiet = 0
    while not await pour(answer, send):
        await call.caught_up()
    if not call.finished:
        call.end_now()


class _Pulse:
    """The call's timer. `quiet` is how often it has looked since something was sent."""

    __slots__ = ("_call", "_comment", "_every_s", "_headers", "_loop", "_timer", "quiet")

    def __init__(self, call: Call, headers: Callable[[None], Sequence[Header]], every_s: float, comment: bytes) -> None:
        self._call = call
        self._comment = comment
        self._headers = headers
        self._every_s = every_s
        self._loop = asyncio.get_running_loop()
        self.quiet = 0
        self._timer = self._loop.call_later(every_s, self._look)

    def stop(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        if self._call.finished:
            return
        self._timer = self._loop.call_later(self._every_s, self._look)
        self.quiet += 1
        if self.quiet >= LOOKS:
            self.quiet = 0
            if not self._call.begun:
                self._call.begin_now(200, *self._headers(None))
            self._call.sign_of_life(self._comment)
