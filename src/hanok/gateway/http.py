"""HTTP/1.1 in: connections to calls, for the door.

uvicorn opens the sockets, starts and stops; this is the protocol it is given, on httptools (llhttp). It speaks to the
door directly rather than through ASGI, on the event loop's own thread, because that is measurably faster
(docs/decisions/001), and because it then knows at once when a caller goes away and when one reads too slowly.

A connection carries one exchange at a time; requests that are sent ahead wait their turn. Protocol: RFC 9112. Not
spoken: upgrades, HTTP/2 (put a proxy in front).
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from typing import Any, Protocol, cast
from urllib.parse import unquote

import httptools
import uvicorn
from uvicorn.server import ServerState

from hanok.errors import BodyTooLarge, RequestError
from hanok.gateway.envelope import JSON, envelope

HEADER_LIMIT_BYTES = 64 * 1024
SENT_AHEAD_LIMIT = 16
HEAD_LIMIT_S = 30.0
BODY_LIMIT_S = 60.0
IDLE_LIMIT_S = 75.0
STALLED_LIMIT_S = 300.0
HELD_BYTES = 1024 * 1024
"""What may wait of a body that nobody reads yet, or that is read piece by piece, before its caller is held back."""
LINGER_S = 2.0
SWEEP_EVERY_S = 1.0
_LOOK_S = 0.01
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_NEVER = float("inf")
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}

Header = tuple[bytes, bytes] | bytes
"""A name and a value; or several headers as they are written, CRLF between them."""
Handle = Callable[["Call"], Awaitable[None]]


def no_headers(call: Call) -> Sequence[Header]:  # noqa: ARG001 - the shape of what gives some
    """What answers have besides, where they have nothing."""
    return ()


class Tape(Protocol):
    """Somebody who takes down what is sent."""

    def begin(self, status: int, headers: Sequence[Header], *, streamed: bool) -> None: ...

    def take(self, data: bytes) -> None: ...

    def end(self) -> None: ...


class Call:
    """One HTTP exchange: what came in, and what has been sent. Only the connection makes these.

    Where there is a `tape`, it is told of everything that is sent. `also` are headers of whatever is answered. Whoever
    answers is cancelled when the caller goes away, and when the call is `cut`: then there is somebody to tell.
    """

    __slots__ = (
        "_connection", "_done", "_expects", "_parts", "_pieces", "_size", "_waiter", "also", "begun", "cut", "finished",
        "headers", "keep_alive", "method", "path", "query", "raw_path", "request_id", "tape", "version_1_0",
    )  # fmt: skip

    def __init__(
        self,
        connection: Connection,
        method: str,
        path: str,
        headers: dict[bytes, bytes],
        query: str = "",
        raw_path: str | None = None,
    ) -> None:
        self._connection = connection
        self._parts: list[bytes] = []
        self._size = 0
        self._done = False
        self._expects = b"expect" in headers
        self._waiter: asyncio.Future[None] | None = None
        self._pieces: _Pieces | None = None
        self.method = method
        self.path = path
        self.raw_path = path if raw_path is None else raw_path
        self.query = query
        self.headers = headers
        self.keep_alive = True
        self.version_1_0 = False
        self.begun = False
        self.finished = False
        self.cut = False
        self.tape: Tape | None = None
        self.also: Sequence[Header] = ()
        given = headers.get(b"x-request-id")
        self.request_id = given[:128].decode("ascii") if given and given.isascii() else connection.new_request_id()

    async def body(self) -> bytes:
        """The whole body. Raises `BodyTooLarge` as soon as there is, or will be, more of it than is let in."""
        limit = self._connection.body_limit
        length = self.headers.get(b"content-length")
        if length is not None and int(length) > limit:
            raise _too_large(limit)
        if self._expects and not self._done:
            self._connection.write(_CONTINUE)
        if self._size > HELD_BYTES:
            self._connection.go_on()
        while not self._done:
            if self._size > limit:
                raise _too_large(limit)
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._size > limit:
            raise _too_large(limit)
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    async def pieces(self, limit: int, too_large: Callable[[], RequestError]) -> AsyncGenerator[bytes]:
        """The body piece by piece, as it comes; who sends faster than it is taken is held back. Close the generator.

        Raises `too_large` as soon as there are, or will be, more than `limit` bytes. A caller may take as long as he
        likes in all, but not fall silent.
        """
        length = self.headers.get(b"content-length")
        if length is not None and int(length) > limit:
            raise too_large()
        if self._expects and not self._done:
            self._connection.write(_CONTINUE)
        self._pieces = pieces = _Pieces(limit, waiting=self._size)
        try:
            while True:
                if self._size > limit:
                    raise too_large()
                if self._parts:
                    data, self._parts = b"".join(self._parts), []
                    yield data
                    pieces.waiting -= len(data)
                elif self._done:
                    return
                else:
                    self._connection.go_on()
                    self._waiter = asyncio.get_running_loop().create_future()
                    await self._waiter
        finally:  # what else comes is dropped
            pieces.limit = -1
            self._parts.clear()
            self._connection.go_on()

    async def reply(self, status: int, body: bytes, *headers: Header) -> None:
        """Answer in one piece."""
        if self.tape is not None:
            self.tape.begin(status, headers, streamed=False)
            self.tape.take(body)
            self.tape.end()
        head = self._head(status, (b"content-length", b"%d" % len(body)), *headers)
        self._connection.write(head if self.method == "HEAD" else head + body)
        self._connection.finish(self)

    async def reply_head(self, status: int, *headers: Header) -> None:
        """Answer with a head alone: to HEAD, and where the status has no body (204, 304)."""
        if self.tape is not None:
            self.tape.begin(status, headers, streamed=False)
            self.tape.end()
        self._connection.write(self._head(status, *headers))
        self._connection.finish(self)

    async def begin(self, status: int, *headers: Header) -> None:
        """Begin to answer in pieces."""
        self.begin_now(status, *headers)

    def begin_now(self, status: int, *headers: Header) -> None:
        """As `begin`, for who cannot wait: a timer."""
        if self.tape is not None:
            self.tape.begin(status, headers, streamed=True)
        if self.version_1_0:  # knows no chunks: the end of the connection ends the answer
            self.keep_alive = False
            self._connection.write(self._head(status, *headers))
        else:
            self._connection.write(self._head(status, (b"transfer-encoding", b"chunked"), *headers))

    async def more(self, data: bytes) -> None:
        """Send a piece; return when the caller keeps up."""
        if not self.more_now(data):
            await self.caught_up()

    def more_now(self, data: bytes) -> bool:
        """Send a piece; False when the caller is behind with reading: wait until he has `caught_up`."""
        if self.tape is not None:
            self.tape.take(data)
        self._connection.write(data if self.version_1_0 else b"%x\r\n%b\r\n" % (len(data), data))
        return self._connection.stalled is None

    async def caught_up(self) -> None:
        """Return when the caller has read enough of what was sent."""
        if self._connection.stalled is not None:
            await self._connection.stalled

    async def end(self, data: bytes = b"") -> None:
        """Send the last piece."""
        self.end_now(data)

    def end_now(self, data: bytes = b"") -> None:
        """As `end`, for who cannot wait."""
        if self.tape is not None:
            self.tape.take(data)
            self.tape.end()
        if self.version_1_0:
            self._connection.write(data)
        elif data:
            self._connection.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data))
        else:
            self._connection.write(b"0\r\n\r\n")
        self._connection.finish(self)

    def sign_of_life(self, data: bytes) -> None:
        """Send a piece that says nothing, unless the caller is behind with reading anyway. It is not taped."""
        if self._connection.stalled is None:
            self._connection.write(data if self.version_1_0 else b"%x\r\n%b\r\n" % (len(data), data))

    # what the connection tells

    def take(self, data: bytes) -> None:
        self._size += len(data)
        if self._pieces is not None:
            self._take_piece(self._pieces, data)
        elif self._waiter is None:  # nobody reads it yet
            self._parts.append(data)
            if self._size > HELD_BYTES:
                self._connection.hold_on(True)
        elif self._size <= self._connection.body_limit:
            self._parts.append(data)
        else:
            self._wake()

    def _take_piece(self, pieces: _Pieces, data: bytes) -> None:
        if self._size <= pieces.limit:
            self._parts.append(data)
            pieces.waiting += len(data)
            self._connection.hold_on(pieces.waiting > HELD_BYTES)
        self._wake()

    def taken(self) -> None:
        self._done = True
        self._wake()

    @property
    def peer(self) -> tuple[str, int] | None:
        """Who is at the other end of the connection, as host and port; None where that cannot be told."""
        return self._connection.address("peername")

    @property
    def server(self) -> tuple[str, int] | None:
        """Our end of the connection."""
        return self._connection.address("sockname")

    @property
    def was_held(self) -> bool:
        """Whether there was so much of it that the caller may have been held back."""
        return self._size > HELD_BYTES

    @property
    def is_taken(self) -> bool:
        """Whether the whole request has come."""
        return self._done

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _head(self, status: int, *headers: Header) -> bytes:
        self.begun = True
        if not self._done:  # answered before it was heard out: what still comes must not be taken for a request
            self.keep_alive = False
        lines = [
            _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status,
            b"date: ",
            self._connection.date(),
            b"\r\nx-request-id: ",
        ]
        lines.append(self.request_id.encode())
        for header in (*headers, *self.also):
            if isinstance(header, bytes):
                lines += (b"\r\n", header)
            else:
                lines += (b"\r\n", header[0], b": ", header[1])
        lines.append(b"\r\n\r\n" if self.keep_alive else b"\r\nconnection: close\r\n\r\n")
        return b"".join(lines)


class _Pieces:
    """A body that is taken piece by piece: how many bytes of it are let in, and how many of them wait."""

    __slots__ = ("limit", "waiting")

    def __init__(self, limit: int, *, waiting: int) -> None:
        self.limit = limit
        self.waiting = waiting


class Connection(asyncio.Protocol):
    """One caller's socket. `shared` is what all connections of a server have in common."""

    def __init__(self, shared: _Shared, *, server_state: ServerState, **_: Any) -> None:
        self._shared = shared
        self._state = server_state
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._head_bytes = 0
        self._header_bytes = 0
        self._parsing: Call | None = None
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
        call = Call(self, self._parser.get_method().decode("ascii"), path, self._headers, query, url)
        call.version_1_0 = self._parser.get_http_version() == "1.0"
        call.keep_alive = self._parser.should_keep_alive()
        if self._header_bytes + len(self._url) > HEADER_LIMIT_BYTES:
            self._refuse(431, f"the headers are larger than {HEADER_LIMIT_BYTES} bytes", "headers_too_large")
        elif b"host" not in self._headers and not call.version_1_0:
            self._refuse(400, "a request needs a Host header", "invalid_http")
        else:
            self._let_in(call)

    def _let_in(self, call: Call) -> None:
        """The head of a call has come: answer it when those before it are answered."""
        self._head_bytes = 0
        self._parsing = call
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
            call, self._parsing = self._parsing, None
            call.taken()
            if self.stalled is None:
                self.deadline = _NEVER
            if call.was_held:
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
            head = _STATUS_LINES[status] + b"content-type: " + JSON.encode() + b"\r\nconnection: close\r\n"
            self.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
            self.close()
        else:
            self.abort()
        self._closing = True


class _Shared:
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


class HttpServer:
    """Listens, and hands calls to `handle` until it is stopped."""

    def __init__(
        self,
        handle: Handle,
        *,
        host: str,
        port: int,
        body_limit: int,
        new_request_id: Callable[[], str],
        listener: socket.socket | None = None,
    ) -> None:
        """Listens at `host` and `port`, or on the `listener` that is bound to them."""
        self._listener = listener
        shared = self._shared = _Shared(handle, body_limit, new_request_id)
        config = uvicorn.Config(
            _no_app,
            host=host,
            port=port,
            http=cast("Any", partial(Connection, shared)),
            ws="none",
            lifespan="off",
            interface="asgi3",
            proxy_headers=False,
            log_config=None,
            access_log=False,
            backlog=2048,
        )
        self._server = _Server(config)

    async def serve(self) -> None:
        """Serve until `stop`, then let running calls end."""
        await self._server.serve(None if self._listener is None else [self._listener])

    def busy(self) -> int:
        """How many connections have a call running, or an answer not yet sent."""
        return sum(cast("Connection", each).busy for each in self._server.server_state.connections)

    @property
    def listening(self) -> bool:
        return self._server.started

    def change(self, *, body_limit: int) -> None:
        """Let in bodies of that many bytes, from the next request on, on every connection."""
        self._shared.body_limit = body_limit
        for connection in self._server.server_state.connections:
            cast("Connection", connection).body_limit = body_limit

    def stop(self) -> None:
        """Take no more connections, and return from `serve` when the running calls are over."""
        self._server.should_exit = True
        self._server.ending.set()

    def cut(self) -> None:
        """End every running call now, each with a last word to its caller."""
        for connection in list(self._server.server_state.connections):
            cast("Connection", connection).cut()


class _Server(uvicorn.Server):
    """uvicorn's server, which leaves signals to whoever starts it, and ends at once instead of after 0.2 s."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ending = asyncio.Event()

    async def main_loop(self) -> None:
        await self.ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, and wait until those that there are have ended their calls."""
        for listener in (*self.servers, *(sockets or ())):
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await asyncio.sleep(_LOOK_S)  # who was let in just now is a connection then
        while self.server_state.connections:
            await asyncio.sleep(_LOOK_S)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def _no_app(scope: Any, receive: Any, send: Any) -> None:
    """uvicorn wants an ASGI application; our protocol never asks it."""
    del scope, receive, send


def _too_large(limit: int) -> RequestError:
    message = f"the body is larger than {limit / 1024**2:g} MiB, the limit set by gateway.body_limit_mib"
    return BodyTooLarge(message, code="body_too_large")
