"""Opened answers: a whole body, and a stream relayed event by event as the engine wrote it."""

from __future__ import annotations

import re
from typing import Self

import msgspec

from hanok.errors import EngineBroken, EngineRefused, Refusal
from hanok.serving.client import Response
from hanok.wire import Chunk, Take, Usage
from hanok.wire.forms import DONE, read_event_usage, split_events

EVENT_LIMIT_BYTES = 8 * 1024 * 1024
_TEXT = re.compile(rb'"(?:content|text)": ?"([^"\\]*)"')
_ENDED = re.compile(rb'"finish_reason": ?"')
_NOTHING_LIKE = (b"", b"")


class RelayedAnswer:
    """A stream of server-sent events from an engine's response, passed on as bytes.

    Only events that report usage are parsed. The usage event itself is kept back from callers who did not ask for it.
    `_like` is what the event before had round its text: most events differ from it in their text alone, and need not
    be searched for anything else.
    """

    __slots__ = (
        "_done", "_error", "_first", "_like", "_over", "_response", "_rest", "_trim_start", "_wants_usage", "endpoint",
        "model",
    )  # fmt: skip

    def __init__(
        self, response: Response, *, wants_usage: bool, model: str, endpoint: str, trim_start: bool = False
    ) -> None:
        self._response = response
        self._trim_start = trim_start
        self._first: Chunk | None = None
        self._error: EngineRefused | None = None
        self._wants_usage = wants_usage
        self._rest = b""
        self._like = _NOTHING_LIKE
        self._done = False
        self._over = False
        self.model = model
        self.endpoint = endpoint

    async def begin(self) -> None:
        """Wait for the first chunk, so that an engine that fails before it can still be replaced."""
        try:
            self._first = await self._next()
        except BaseException:
            self._response.close()
            raise

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        if self._first is not None:
            chunk, self._first = self._first, None
            return chunk
        if self._error is not None:
            raise self._error
        if self._done:
            raise StopAsyncIteration
        return await self._next()

    async def pour(self, take: Take) -> bool:
        wanted = True

        def pass_on(data: bytes) -> bool:
            nonlocal wanted
            if (chunk := self._cut(data)) is not None:
                wanted = take(chunk)
            return wanted and not self._done and self._error is None

        if self._first is not None:
            chunk, self._first = self._first, None
            wanted = take(chunk)
        while wanted and not self._done:
            if self._error is not None:
                raise self._error
            if await self._response.pour(pass_on) and not self._done:
                wanted = take(self._end())
        return self._done

    async def _next(self) -> Chunk:
        while data := await self._response.read():
            if (chunk := self._cut(data)) is not None:
                return chunk
        return self._end()

    def _cut(self, data: bytes) -> Chunk | None:
        """The events that are whole now, if any are to be passed on."""
        if self._rest or not data.endswith(b"\n\n"):
            data, self._rest = split_events(self._rest + data)
            if len(self._rest) > EVENT_LIMIT_BYTES:
                raise EngineBroken(f"{self.endpoint} sent an event of more than {EVENT_LIMIT_BYTES} bytes")
        return self._chunk(data) if data else None

    async def aclose(self) -> None:
        if self._done:
            await self._response.finish()
        else:
            self._response.close()

    def _chunk(self, events: bytes) -> Chunk | None:
        if alike := self._alike(events):
            return Chunk(events, alike)
        usage = None
        if b'{"error"' in events and (b'data: {"error"' in events or b'data:{"error"' in events):
            events = self._keep_error(events)
        if b'"usage"' in events and (b'"usage":{' in events or b'"usage": {' in events):
            events, usage = self._without_usage(events)
        if self._trim_start and (b'"content":"' in events or b'"text":"' in events):
            events, self._trim_start = trim_first_space(events), False
        self._over = self._over or _ENDED.search(events) is not None
        self._done = b"[DONE]" in events and events.rstrip().endswith((b"data: [DONE]", b"data:[DONE]"))
        if not events and usage is None:
            return None
        chunk = Chunk(events, _with_text(events), usage, self._done)
        if chunk.events and usage is None and not self._done:
            self._like = _round_its_text(_last_of(events))
        return chunk

    def _alike(self, events: bytes) -> int:
        """How many events these are, where each differs from the one before in its text alone; else 0."""
        begin, end = self._like
        if not begin or not events.startswith(begin) or not events.endswith(end):
            return 0
        between = events[len(begin) : -len(end)]
        if b'"' not in between:
            return 1
        seam = end + begin
        texts = between.replace(seam, b"")
        return 0 if b'"' in texts else 1 + (len(between) - len(texts)) // len(seam)

    def _keep_error(self, events: bytes) -> bytes:
        """The events before the engine's error; the error itself is raised in its turn."""
        start = min(at for name in (b'data: {"error"', b'data:{"error"') if (at := events.find(name)) >= 0)
        body = events[start:].split(b"\n", 1)[0].removeprefix(b"data:").strip()
        self._error = EngineRefused(f"{self.endpoint} failed midway", refusal=Refusal(status=502, body=body))
        if start == 0:
            raise self._error
        return events[:start]

    def _without_usage(self, events: bytes) -> tuple[bytes, Usage | None]:
        kept: list[bytes] = []
        usage = None
        for event in events.replace(b"\r\n", b"\n").split(b"\n\n"):
            if not event:
                continue
            if b'"usage":' in event and event.startswith(b"data:"):
                found, alone = _read_usage(event, self.endpoint)
                usage = found or usage
                if found and alone and not self._wants_usage:
                    continue
            kept.append(event + b"\n\n")
        return b"".join(kept), usage

    def _end(self) -> Chunk:
        """The response ended without `[DONE]`: some engines do; anything half-said means that it was cut.

        So does an end that looks like a death, where no event has told why the text ended.
        """
        self._done = True
        rest = self._rest.strip()
        if rest and rest not in (b"data: [DONE]", b"data:[DONE]"):
            raise EngineBroken(f"{self.endpoint} ended its stream in the middle of an event")
        if not rest and not self._over and not self._response.tells_its_end:
            raise EngineBroken(f"{self.endpoint} closed its connection before it said that its stream was over")
        return Chunk(DONE, 0, None, True)


def _with_text(events: bytes) -> int:
    """How many of these events carry text: not those that tell the role, the end, or `[DONE]`.

    What a text itself says of these things is not counted: JSON has no line ends, nor quotes, within a text.
    """
    count = events.count
    bare = count(b"[DONE]\n") + count(b"[DONE]\r") + count(b'"role":')
    bare += count(b'"finish_reason":"') + count(b'"finish_reason": "')
    return max(0, events.startswith(b"data:") + count(b"\ndata:") - bare)


def _last_of(events: bytes) -> bytes:
    """The last of whole events."""
    return events[events.rfind(b"\n\n", 0, -2) + 2 :] if events.find(b"\n\n") < len(events) - 2 else events


def _round_its_text(event: bytes) -> tuple[bytes, bytes]:
    """What stands before and after the text of an event; nothing where there is none, or not as one string."""
    found = _TEXT.search(event)
    return (event[: found.start(1)], event[found.end(1) :]) if found else _NOTHING_LIKE


def _read_usage(event: bytes, endpoint: str) -> tuple[Usage | None, bool]:
    try:
        return read_event_usage(event[5:])
    except (msgspec.DecodeError, RecursionError) as error:
        raise EngineBroken(f"{endpoint} sent an event that is not JSON: {error}") from None


def trim_first_space(data: bytes) -> bytes:
    """The same JSON, its first text without the space it begins with."""
    for name in (b'"content":"', b'"text":"'):
        if name in data:
            return data.replace(name + b" ", name, 1)
    return data
