"""One caller's socket: bytes to calls, their answers in turn, and an end in time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from email.utils import formatdate
from typing import Any, cast
from urllib.parse import unquote

import httptools
from uvicorn.server import ServerState

from hanok.gateway.envelope import JSON, envelope
from hanok.gateway.http.body import Body
from hanok.gateway.http.call import STATUS_LINES, Call, Handle

HEADER_LIMIT_BYTES = 64 * 1024
SENT_AHEAD_LIMIT = 16
HEAD_LIMIT_S = 30.0
BODY_LIMIT_S = 60.0
IDLE_LIMIT_S = 75.0
STALLED_LIMIT_S = 300.0
LINGER_S = 2.0
SWEEP_EVERY_S = 1.0
_NEVER = float("inf")


class Connection(asyncio.Protocol):
    """One caller's socket. `shared` is what all connections of a server have in common."""

    def __init__(self, shared: Shared, *, server_state: ServerState, **_: Any) -> None:
        self._shared = shared
        self._state = server_state
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._head_bytes = 0
        self._header_bytes = 0
        self._parsing: Body | None = None
        self._calls: deque[Call] = deque()
        self._task: asyncio.Task[None] | None = None
        self._resting: asyncio.Future[None] | None = None
        self._closing = False
        self.body_limit = shared.body_limit
        self.new_request_id = shared.new_request_id
        self.stalled: asyncio.Future[None] | None = None
        self.deadline = time.monotonic() + HEAD_LIMIT_S

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._state.connections.add(cast("Any", self))
        self._shared.keep_sweeping(self._state)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        if self._parsing is None:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # the request itself is whole; we just do not switch
            if self._calls:
                self._calls[-1].keep_alive = False
        except httptools.HttpParserError as error:
            self._refuse(400, f"this is not HTTP/1.1: {error}", "invalid_http")
        if self._parsing is None and self._head_bytes > HEADER_LIMIT_BYTES:
            self._refuse(431, f"the headers are larger than {HEADER_LIMIT_BYTES} bytes", "headers_too_large")

    def eof_received(self) -> None:
        return None  # a caller who has closed his side is gone

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._closing = True
        self._state.connections.discard(cast("Any", self))
        if self.stalled is not None and not self.stalled.done():
            self.stalled.set_result(None)
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self.stalled = self._loop.create_future()
        self.deadline = time.monotonic() + STALLED_LIMIT_S

    def resume_writing(self) -> None:
        stalled, self.stalled = self.stalled, None
        self.deadline = _NEVER if self._calls else time.monotonic() + IDLE_LIMIT_S
        if stalled is not None and not stalled.done():
            stalled.set_result(None)

    # what httptools calls

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = {}
        self._header_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value) + 4
        if self._parsing is None and self._header_bytes <= HEADER_LIMIT_BYTES:  # after the body comes a trailer
            self._headers[name.lower()] = value.strip()

    def on_headers_complete(self) -> None:
        if self._closing:
            return
        url, _, query = self._url.decode("latin-1").partition("?")
        path = url if "%" not in url else unquote(url)
        body = Body(self, self._headers)
        call = Call(self, body, self._parser.get_method().decode("ascii"), path, url, query, self._headers)
        call.version_1_0 = self._parser.get_http_version() == "1.0"
        call.keep_alive = self._parser.should_keep_alive()
        if self._header_bytes + len(self._url) > HEADER_LIMIT_BYTES:
            self._refuse(431, f"the headers are larger than {HEADER_LIMIT_BYTES} bytes", "headers_too_large")
        elif b"host" not in self._headers and not call.version_1_0:
            self._refuse(400, "a request needs a Host header", "invalid_http")
        else:
            self._let_in(call, body)

    def _let_in(self, call: Call, body: Body) -> None:
        """The head of a call has come: answer it when those before it are answered."""
        self._head_bytes = 0
        self._parsing = body
        self._calls.append(call)
        if len(self._calls) > SENT_AHEAD_LIMIT and self._transport is not None:
            self._transport.pause_reading()
        else:
            if len(self._calls) == 1:
                self.deadline = time.monotonic() + BODY_LIMIT_S
            if self._task is None:
                self._task = self._loop.create_task(self._serve())
            elif self._resting is not None:  # else it may still be closing the answer before
                self._end_rest()

    def on_body(self, body: bytes) -> None:
        if self._parsing is not None:
            self._parsing.take(body)

    def on_message_complete(self) -> None:
        if self._parsing is not None:
            body, self._parsing = self._parsing, None
            body.end()
            if self.stalled is None:
                self.deadline = _NEVER
            if body.was_held:
                self.go_on()

    # what a call does

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._closing:
            self._transport.write(data)

    def hold_on(self, full: bool) -> None:
        """A piece of a long body has come: there is time for the next, which is not read yet where there is no room."""
        self.deadline = _NEVER if full else time.monotonic() + BODY_LIMIT_S
        if full and self._transport is not None:
            self._transport.pause_reading()

    def go_on(self) -> None:
        """Read on."""
        if self._transport is not None and not self._closing and len(self._calls) <= SENT_AHEAD_LIMIT:
            if self._parsing is not None:
                self.deadline = time.monotonic() + BODY_LIMIT_S
            self._transport.resume_reading()

    def date(self) -> bytes:
        return self._shared.date

    def address(self, which: str) -> tuple[str, int] | None:
        """The host and port of one end (`peername`, `sockname`) of a TCP connection."""
        name: object = None if self._transport is None else self._transport.get_extra_info(which)
        return cast("tuple[str, int]", name[:2]) if isinstance(name, tuple) else None

    def finish(self, call: Call) -> None:
        """The call's answer is written whole."""
        call.finished = True
        self._calls.popleft()
        if self._closing or not call.keep_alive:
            self._end(call)
        elif self._calls and self._transport is not None:
            if not self._calls[0].is_taken:
                self.deadline = time.monotonic() + BODY_LIMIT_S
            self._transport.resume_reading()
        elif self.stalled is None:
            self.deadline = time.monotonic() + IDLE_LIMIT_S

    def _end(self, call: Call) -> None:
        """Close after the last answer. What the caller still sends is read and dropped for a while (RFC 9112 9.6):

        closing with bytes unread would make the system tell him of a reset, and take the answer from him.
        """
        if call.is_taken or self._closing or self._transport is None or not self._transport.can_write_eof():
            self.close()
            return
        self._closing = True
        self._transport.resume_reading()
        self._transport.write_eof()
        self.deadline = time.monotonic() + LINGER_S

    # the server's

    async def _serve(self) -> None:
        """Let the door answer one call after another. One task for all of them: making one costs microseconds."""
        try:
            while not self._closing:
                if not self._calls:
                    self._resting = self._loop.create_future()
                    await self._resting
                    continue
                call = self._calls[0]
                await self._shared.handle(call)
                if not call.finished:  # half an answer: whatever followed would be taken for its rest
                    self.abort()
                    return
        finally:
            self._task = None

    def _end_rest(self) -> None:
        resting, self._resting = self._resting, None
        if resting is not None and not resting.done():
            resting.set_result(None)

    @property
    def busy(self) -> bool:
        return bool(self._calls) or bool(self._transport and self._transport.get_write_buffer_size())

    def shutdown(self) -> None:
        """End when the running call is over: what uvicorn asks for when it stops."""
        if self._calls:
            self._calls[-1].keep_alive = False
        else:
            self.close()

    def close(self) -> None:
        self._closing = True
        self.deadline = time.monotonic() + STALLED_LIMIT_S
        if self._transport is not None:
            self._transport.close()

    def cut(self) -> None:
        """End the running call now, with a last word; without one, the connection."""
        if self._task is None or not self._calls:
            self.abort()
            return
        self._calls[0].cut, self._calls[0].keep_alive = True, False
        self._task.cancel()

    def abort(self) -> None:
        """Cut the connection; a running call is cancelled."""
        if self._transport is not None:
            self._transport.abort()

    def _refuse(self, status: int, message: str, code: str) -> None:
        """Answer what cannot be let in, unless something else is being answered, and close."""
        if (self._task is None or self._resting is not None) and not self._closing:
            body = envelope(message, "invalid_request_error", code=code)
            head = STATUS_LINES[status] + b"content-type: " + JSON.encode() + b"\r\nconnection: close\r\n"
            self.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
            self.close()
        else:
            self.abort()
        self._closing = True


class Shared:
    """What all connections of a server have in common: who handles calls, the limits, the date, one sweep."""

    def __init__(self, handle: Handle, body_limit: int, new_request_id: Callable[[], str]) -> None:
        self.handle = handle
        self.body_limit = body_limit
        self.new_request_id = new_request_id
        self.date = formatdate(usegmt=True).encode()
        self._sweep: asyncio.TimerHandle | None = None

    def keep_sweeping(self, state: ServerState) -> None:
        """Enforce time limits while there are connections."""
        if self._sweep is None:
            self.date = formatdate(usegmt=True).encode()
            self._sweep = asyncio.get_running_loop().call_later(SWEEP_EVERY_S, self._look, state)

    def _look(self, state: ServerState) -> None:
        self._sweep = None
        now = time.monotonic()
        for connection in [cast("Connection", each) for each in state.connections]:
            if now > connection.deadline:
                connection.abort()
        if state.connections:
            self.keep_sweeping(state)
