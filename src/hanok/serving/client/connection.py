"""One socket to an engine: the parser's callbacks, who waits for them, and until when."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from typing import cast

import httptools

from hanok.errors import EngineBroken, EngineTimeout
from hanok.serving.client.origin import Origin

HEADER_LIMIT_BYTES = 64 * 1024
BUFFER_HIGH_BYTES = 256 * 1024
IDLE_LIMIT_S = 60.0
Take = Callable[[bytes], bool]
"""Takes a piece of a body and says whether it wants the next one now."""


class Connection(asyncio.Protocol):
    """One socket to an engine, and the response being read from it."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._parts: deque[bytes] = deque()
        self._buffered = 0
        self._waiter: asyncio.Future[None] | None = None
        self._pouring: Take | None = None
        self._idle_s = 0.0
        self._paused = False
        self._head_bytes = 0
        self._unparsed = 0
        self._early = 0
        self._error: Exception | None = None
        self.closed = False
        self.exchanges = 0
        self.pieces = 0
        self.deadline = 0.0
        self.waits_for = ""
        self.idle_since = 0.0
        self.idle_limit_s = IDLE_LIMIT_S
        self._reset()

    def _reset(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.begun = False  # any byte of the response came
        self.head_done = False
        self.complete = False
        self._keep_alive = False
        self._head_bytes = 0
        self._unparsed = 0
        self._early = 0

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.deadline == 0.0:  # nobody is waiting for anything: an engine that speaks unasked is out of step
            self.abort()
            return
        self.begun = True
        self._unparsed += len(data)
        self._early += 0 if self.head_done else len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(EngineBroken(f"{self._origin} wants to switch protocols"))
        except httptools.HttpParserError as error:
            self._fail(EngineBroken(f"{self._origin} does not answer in HTTP/1.1: {error}"))
        # A line without an end becomes neither header nor body, and early answers (1xx) may come without end.
        if self._unparsed > HEADER_LIMIT_BYTES or (not self.head_done and self._early > HEADER_LIMIT_BYTES):
            self._error = self._error or self._too_many_headers()
        if self._error is not None:
            self.abort()
        if self._pouring is not None and self._parts:
            self._pour_on(self._pouring)
        else:
            self._wake()

    def eof_received(self) -> bool:
        """A half-closed engine is done with this connection, so we are too, even with a request half sent."""
        if self.head_done and not self.complete and self._reads_to_end():
            self.complete = True
        self._note_loss(None)
        self.abort()
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._note_loss(exc)
        self._wake()

    # what httptools calls

    def on_message_begin(self) -> None:
        if self.complete:
            self._error = EngineBroken(f"{self._origin} answers more than it was asked")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._unparsed = 0
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > HEADER_LIMIT_BYTES:
            self._error = self._error or self._too_many_headers()
        elif not self.head_done:  # what comes later is a trailer: counted, not kept
            name, value = name.lower(), value.strip()
            if name == b"transfer-encoding" and value.lower() != b"chunked":
                self._error = EngineBroken(f"{self._origin} answers in a transfer coding that was not asked for")
            self.headers[name] = value

    def on_headers_complete(self) -> None:
        self._unparsed = 0
        if self.complete or self._error is not None:
            return
        self.status = self._parser.get_status_code()
        if self._parser.get_http_version() not in ("1.0", "1.1"):
            self._error = EngineBroken(f"{self._origin} answers in HTTP/{self._parser.get_http_version()}")
        elif self.status >= 200:
            self.head_done = True

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        self.pieces += 1
        if self.complete:
            return
        self._parts.append(body)
        self._buffered += len(body)
        if self._buffered > BUFFER_HIGH_BYTES and not self._paused and self._transport and not self.closed:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self.status < 200:  # 100 Continue, 103 Early Hints: the answer is still to come
            self.headers = {}
            return
        self.complete = True
        self._keep_alive = self._parser.should_keep_alive()  # the parser knows only now

    # what an exchange calls

    def send(self, message: bytes, now: float, first_byte_s: float) -> None:
        """Write a whole request and begin to wait for its response."""
        self._reset()
        self.exchanges += 1
        self.wait_until(now + first_byte_s, "first byte")
        assert self._transport is not None
        self._transport.write(message)

    def wait_until(self, deadline: float, waits_for: str) -> None:
        self.deadline = deadline
        self.waits_for = waits_for

    async def head(self) -> None:
        """Return when status and headers are there."""
        while not self.head_done:
            if self._error is not None:
                raise self._error
            await self._wait()
        self.deadline = math.inf

    async def read(self) -> bytes:
        """The next bytes of the body; empty at its end."""
        while not self._parts:
            if self.complete:
                return b""
            if self._error is not None:
                raise self._error
            await self._wait()
        self.deadline = math.inf  # while the reader is busy with these bytes, the engine is not at fault
        return self.take()

    async def pour(self, take: Take, idle_s: float) -> bool:
        """Hand the body's bytes to `take` the moment they come, until it wants no more; True when the body is over."""
        self._idle_s = idle_s
        self.wait_until(time.monotonic() + idle_s, "more")
        try:
            while True:
                if self._parts:
                    if not self._hand_over(take):
                        return False
                elif self.complete:
                    return True
                elif self._error is not None:
                    raise self._error
                elif not await self._wait_pouring(take):
                    return False
        finally:
            self.deadline = math.inf

    async def _wait_pouring(self, take: Take) -> bool:
        """Return when something came that was not handed over; False when no more is wanted."""
        self._pouring = take
        try:
            await self._wait()
            return self._pouring is not None
        finally:
            self._pouring = None

    def _pour_on(self, take: Take) -> None:
        """Bytes have come for who waits in `pour`: wake him only when it ends there."""
        assert self._waiter is not None
        if self._waiter.done():
            return
        try:
            if not self._hand_over(take):
                self._pouring = None
        except Exception as error:  # noqa: BLE001 - it is for whoever waits
            self._waiter.set_exception(error)
        if self._pouring is None or self.complete or self._error is not None:
            self._wake()

    def _hand_over(self, take: Take) -> bool:
        go_on = take(self.take())
        self.deadline = time.monotonic() + self._idle_s
        return go_on

    def take(self) -> bytes:
        """The bytes of the body that are here."""
        if not self._parts:
            return b""
        data = self._parts.popleft() if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self._buffered = 0
        if self._paused and self._transport and not self.closed:
            self._paused = False
            self._transport.resume_reading()
        return data

    def expire(self, seconds: float) -> None:
        """End the exchange because its time is up."""
        what = "did not begin to answer" if self.waits_for == "first byte" else "fell silent in the middle of an answer"
        self._error = self._error or EngineTimeout(f"{self._origin} {what} for {seconds:g} s")
        self.abort()
        self._wake()

    def reusable(self) -> bool:
        """Whether the connection stands exactly between two exchanges."""
        return (
            self.complete
            and not self.closed
            and not self._parts
            and self._error is None
            and self._keep_alive
            and self._transport is not None
            and not self._transport.is_closing()
            and not self._transport.get_write_buffer_size()  # an engine may answer before it has heard all
        )

    def rest(self, now: float) -> None:
        """Wait idle for the next exchange."""
        self.deadline = 0.0
        self.idle_since = now
        if hint := self.headers.get(b"keep-alive"):
            self.idle_limit_s = _keep_alive_s(hint)

    def abort(self) -> None:
        if self._transport is not None and not self.closed:
            self._transport.abort()

    def _fail(self, error: Exception) -> None:
        self._error = error
        self.abort()

    def _note_loss(self, exc: Exception | None) -> None:
        if not self.complete and self._error is None:
            what = "in the middle of an answer" if self.begun else "without an answer"
            reason = f": {exc}" if exc else ""
            self._error = EngineBroken(f"{self._origin} closed the connection {what}{reason}")

    def _too_many_headers(self) -> EngineBroken:
        return EngineBroken(f"{self._origin} answers with more than {HEADER_LIMIT_BYTES} bytes of headers")

    def _reads_to_end(self) -> bool:
        return b"content-length" not in self.headers and b"transfer-encoding" not in self.headers

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _keep_alive_s(header: bytes) -> float:
    """The seconds an engine says it keeps an idle connection (`Keep-Alive: timeout=5`), less one to be safe."""
    for part in header.split(b","):
        name, _, value = part.strip().partition(b"=")
        if name.strip().lower() == b"timeout" and value.strip().isdigit() and len(value) < 10:
            return max(0.0, min(IDLE_LIMIT_S, int(value) - 1.0))
    return IDLE_LIMIT_S
