"""HTTP/1.1 to engines: a lean client on httptools, with a pool of kept-alive connections for each endpoint.

One connection carries one exchange at a time. Bytes go from the parser's callbacks straight to whoever reads the body;
when the reader is slower than the engine, the socket is paused. A single sweep a pool enforces all time limits, so no
exchange costs a timer. A connection that is not left exactly at the end of a response is never used again.

Protocol: RFC 9112. Not spoken: pipelining, upgrades, content codings (identity is asked for).
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Self, cast
from urllib.parse import quote, urlsplit

import httptools

from hanok.errors import EngineBroken, EngineError, EngineTimeout, EngineUnreachable
from hanok.spec import Timeouts
from hanok.wire import ANONYMOUS, Caller

HEADER_LIMIT_BYTES = 64 * 1024
BUFFER_HIGH_BYTES = 256 * 1024
IDLE_LIMIT_S = 60.0
IDLE_CONNECTIONS = 512
SWEEP_EVERY_S = 0.1
FINISH_S = 0.05
_HOST = re.compile(r"[A-Za-z0-9._:%-]+")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
Take = Callable[[bytes], bool]
"""Takes a piece of a body and says whether it wants the next one now."""
_PATH_SAFE = "/%:@!$&'()*+,;=~-._"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where an endpoint is: scheme, host, port, and the path its URL begins with."""

    secure: bool
    host: str
    port: int
    prefix: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """Take an `http(s)://` URL apart. Raises `ValueError` when it is none, or holds more than we could send."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not an http URL")
        if parts.query or parts.fragment or parts.username or parts.password is not None or parts.port == 0:
            raise ValueError(f"{url!r} holds more than a host, a port and a path")
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode("ascii")
        if not _HOST.fullmatch(host) or ".." in host:
            raise ValueError(f"{url!r} has no host that could be asked")
        return cls(secure=secure, host=host, port=port, prefix=quote(parts.path.rstrip("/"), safe=_PATH_SAFE))

    @property
    def authority(self) -> str:
        """The Host header: the port only when it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{'https' if self.secure else 'http'}://{self.authority}{self.prefix}"


class _Connection(asyncio.Protocol):
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


class Response:
    """A response whose head has arrived. Read it to its end or close it; either way the connection is taken care of."""

    __slots__ = ("_connection", "_failure", "_pool", "headers", "status")

    def __init__(self, connection: _Connection, pool: Pool) -> None:
        self._connection: _Connection | None = connection
        self._pool = pool
        self._failure: EngineError | None = None
        self.status = connection.status
        self.headers = connection.headers

    @property
    def tells_its_end(self) -> bool:
        """Whether its end can be told from an engine's death: not where the end of the connection is its end."""
        return b"content-length" in self.headers or b"transfer-encoding" in self.headers

    def header(self, name: str) -> str | None:
        value = self.headers.get(name.encode())
        return value.decode("latin-1") if value is not None else None

    async def read(self) -> bytes:
        """The next bytes of the body, as they came; empty at its end. Raises `EngineError` when it is cut short."""
        connection = self._connection
        if connection is None:
            if self._failure is not None:
                raise self._failure
            return b""
        self._pool.expect_more(connection)
        try:
            data = await connection.read()
        except BaseException as error:
            self._failure = error if isinstance(error, EngineError) else None
            self.close()
            raise
        if not data:
            self._finish(connection)
        return data

    async def pour(self, take: Take) -> bool:
        """Hand the bytes of the body to `take` the moment they come, until it wants no more; True at the body's end.

        Raises as `read` does, and what `take` raises.
        """
        connection = self._connection
        if connection is None:
            if self._failure is not None:
                raise self._failure
            return True
        try:
            over = await connection.pour(take, self._pool.idle_s)
        except BaseException as error:
            self._failure = error if isinstance(error, EngineError) else None
            self.close()
            raise
        if over:
            self._finish(connection)
        return over

    async def whole(self, limit_bytes: int) -> bytes:
        """The body in one piece. Raises `EngineBroken` when it is larger than `limit_bytes`."""
        if self._connection is not None and self._connection.complete:  # it came with the head: the common case
            data = self._connection.take()
            self._finish(self._connection)
            if len(data) > limit_bytes:
                raise _too_much(self._pool.origin, limit_bytes)
            return data
        parts: list[bytes] = []
        size = 0
        while data := await self.read():
            parts.append(data)
            size += len(data)
            if size > limit_bytes:
                self.close()
                raise _too_much(self._pool.origin, limit_bytes)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self.read():
            yield data

    async def finish(self) -> None:
        """Read on to the end if it is near, so that the connection can be kept; close otherwise."""
        if self._connection is None:
            return
        try:
            async with asyncio.timeout(FINISH_S):
                while await self.read():
                    pass
        except (TimeoutError, EngineError):
            self.close()

    def close(self) -> None:
        """Stop reading. Unless the response had ended the connection is cut, which tells the engine to stop."""
        if self._connection is not None:
            self._finish(self._connection)

    def _finish(self, connection: _Connection) -> None:
        self._connection = None
        self._pool.give_back(connection)


class Pool:
    """The connections to one endpoint."""

    def __init__(
        self,
        url: str,
        *,
        timeouts: Timeouts,
        headers: Mapping[str, str] | None = None,
        verify_tls: bool = True,
        ca_file: str | None = None,
    ) -> None:
        self.origin = Origin.parse(url)
        self._timeouts = timeouts
        self._tls = _tls_context(verify_tls, ca_file) if self.origin.secure else None
        self._heads: dict[tuple[str, str, str], bytes] = {}  # a few: paths are ours, not callers'
        self._idle: list[_Connection] = []
        self._busy: set[_Connection] = set()
        self._pieces = 0
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False
        lines = {"host": self.origin.authority, "accept-encoding": "identity", "user-agent": "hanok"}
        lines |= {name.lower(): value for name, value in (headers or {}).items()}
        self._common = "".join(f"{_token(name)}: {_clean(value)}\r\n" for name, value in lines.items()).encode(
            "latin-1"
        )

    async def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        accept: str = "application/json",
        caller: Caller = ANONYMOUS,
    ) -> Response:
        """Send a request and wait for the head of its response.

        `path` is added to the path of the pool's URL; the caller's request id and trace are sent along. A kept
        connection that the engine closed just as we used it, with nothing answered, is replaced once. Raises
        `EngineUnreachable`, `EngineTimeout` or `EngineBroken`.
        """
        message = self._message(method, path, body, accept, caller)
        connection = self._take_idle()
        if connection is not None:
            try:
                return await self._exchange(connection, message)
            except EngineBroken:
                if connection.begun or self._closed:
                    raise
        return await self._exchange(await self._connect(), message)

    @property
    def idle_s(self) -> float:
        """The longest silence in an answer, in seconds."""
        return self._timeouts.idle_s

    def expect_more(self, connection: _Connection) -> None:
        connection.wait_until(time.monotonic() + self._timeouts.idle_s, "more")

    def give_back(self, connection: _Connection) -> None:
        """Take a connection back after an exchange: keep it if it can be used again, cut it otherwise."""
        self._busy.discard(connection)
        self._pieces += connection.pieces
        connection.pieces = 0
        if connection.reusable() and not self._closed and len(self._idle) < IDLE_CONNECTIONS:
            connection.rest(time.monotonic())
            self._idle.append(connection)
        else:
            connection.abort()

    def adjust(self, timeouts: Timeouts) -> None:
        """Wait that long from now on."""
        self._timeouts = timeouts

    def close(self) -> None:
        """Cut every connection."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in [*self._idle, *self._busy]:
            connection.abort()
        self._idle.clear()

    def connections(self) -> tuple[int, int]:
        """How many connections are busy and idle."""
        return len(self._busy), len(self._idle)

    def pieces(self) -> int:
        """How many pieces of bodies have come, ever: it grows while answers flow."""
        return self._pieces + sum(each.pieces for each in self._busy)

    async def _exchange(self, connection: _Connection, message: bytes) -> Response:
        self._busy.add(connection)
        self._keep_sweeping()
        connection.send(message, time.monotonic(), self._timeouts.first_byte_s)
        try:
            await connection.head()
        except BaseException:
            self.give_back(connection)
            raise
        return Response(connection, self)

    def _message(self, method: str, path: str, body: bytes, accept: str, caller: Caller) -> bytes:
        head = self._heads.get((method, path, accept))
        if head is None:
            line = f"{_token(method)} {self.origin.prefix}{_target(path)} HTTP/1.1\r\naccept: {_clean(accept)}\r\n"
            head = self._heads[(method, path, accept)] = line.encode("latin-1") + self._common
        tail = f"x-request-id: {_clean(caller.request_id)}\r\n" if caller.request_id else ""
        if caller.trace:
            tail += f"traceparent: {_clean(caller.trace)}\r\n"
            if caller.trace_state:
                tail += f"tracestate: {_clean(caller.trace_state)}\r\n"
        if body or method == "POST":
            tail += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        return b"".join((head, tail.encode("latin-1"), b"\r\n", body))

    def _take_idle(self) -> _Connection | None:
        now = time.monotonic()
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed and now - connection.idle_since < connection.idle_limit_s:
                return connection
            connection.abort()
        return None

    async def _connect(self) -> _Connection:
        self._refuse_if_closed()
        loop = asyncio.get_running_loop()
        seconds = self._timeouts.connect_s
        try:
            async with asyncio.timeout(seconds):
                _, connection = await loop.create_connection(
                    lambda: _Connection(self.origin),
                    self.origin.host,
                    self.origin.port,
                    ssl=self._tls,
                    server_hostname=self.origin.host if self._tls else None,
                )
        except TimeoutError:
            raise EngineUnreachable(f"{self.origin} did not accept a connection for {seconds:g} s") from None
        except ssl.SSLError as error:
            raise EngineUnreachable(f"{self.origin} failed the TLS handshake: {error.reason or error}") from None
        except (OSError, UnicodeError) as error:  # UnicodeError: a name too long to be looked up
            reason = _reason(error) if isinstance(error, OSError) else str(error)
            raise EngineUnreachable(f"{self.origin} cannot be reached: {reason}") from None
        if self._closed:
            connection.abort()
            self._refuse_if_closed()
        return connection

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise EngineUnreachable(f"the connections to {self.origin} were closed")

    def _keep_sweeping(self) -> None:
        if self._sweep is None and not self._closed:
            self._sweep = asyncio.get_running_loop().call_later(SWEEP_EVERY_S, self._sweep_now)

    def _sweep_now(self) -> None:
        self._sweep = None
        now = time.monotonic()
        for connection in [each for each in self._busy if now > each.deadline]:
            limit = self._timeouts.first_byte_s if connection.waits_for == "first byte" else self._timeouts.idle_s
            connection.expire(limit)
        fresh: list[_Connection] = []
        for connection in self._idle:
            if connection.closed or now - connection.idle_since >= connection.idle_limit_s:
                connection.abort()
            else:
                fresh.append(connection)
        self._idle = fresh
        if self._busy or self._idle:
            self._keep_sweeping()


def _tls_context(verify: bool, ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _too_much(origin: Origin, limit_bytes: int) -> EngineBroken:
    return EngineBroken(f"{origin} answers with more than {limit_bytes} bytes")


def _reason(error: OSError) -> str:
    """Why a connection failed: asyncio words it around the number, uvloop gives the plain reason."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)


def _token(name: str) -> str:
    """A method or a header's name, which may hold nothing but token characters (RFC 9110 section 5.6.2)."""
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} cannot stand in a request")
    return name


def _target(path: str) -> str:
    """A request's path, which may hold nothing that would end it."""
    if not path.isascii() or not path.isprintable() or " " in path:
        raise ValueError(f"{path!r} cannot stand in a request")
    return path


def _keep_alive_s(header: bytes) -> float:
    """The seconds an engine says it keeps an idle connection (`Keep-Alive: timeout=5`), less one to be safe."""
    for part in header.split(b","):
        name, _, value = part.strip().partition(b"=")
        if name.strip().lower() == b"timeout" and value.strip().isdigit() and len(value) < 10:
            return max(0.0, min(IDLE_LIMIT_S, int(value) - 1.0))
    return IDLE_LIMIT_S


def _clean(value: str) -> str:
    """A header's value without anything that could end it."""
    if value.isascii() and value.isprintable():
        return value
    return "".join(character for character in value if character.isprintable() and character < "\u0100")
