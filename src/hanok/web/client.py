"""Requests out, to servers that others run: what a URL or its redirects lead to is checked before it is connected to.

A name is resolved once for each hop, every address that it has is judged (`addresses`), and the connection is made to
the address that was judged, under the name that was asked for: what the name resolves to a moment later has no say.
Size, unpacked size, time and the number of redirects are bounded, and a connection serves one request. Proxies and
credentials of the environment are not used. Whoever stops waiting ends the connection.

Protocol: RFC 9112; redirects: RFC 9110, section 15.4.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

import httptools

from hanok import __version__
from hanok.errors import WebError
from hanok.web.addresses import refusal_of
from hanok.web.packing import Packed
from hanok.web.place import Place, followed, place_of, refused

CONNECT_S, TOTAL_S = 10.0, 60.0
REDIRECTS = 5
HEAD_LIMIT_BYTES = 64 * 1024
_STEP_BYTES = 64 * 1024
_FRAMING = 8
"""Bytes on the wire for one of the body, at most: chunks of one byte take six."""
_REDIRECTING = (301, 302, 303, 307, 308)
_BODILESS = (204, 304)
_USUAL = {"user-agent": f"hanok/{__version__}", "accept": "*/*", "accept-encoding": "gzip, deflate"}
_HOP = ("connection", "keep-alive", "upgrade", "expect", "te", "trailer", "transfer-encoding", "proxy-connection")
_OURS = frozenset((*_HOP, "host", "content-length", "accept-encoding", "proxy-authorization"))
"""Headers that say how a message is sent, and so are not the caller's to give."""
_HARMLESS = frozenset(("user-agent", "accept", "accept-language", "content-type"))
"""Those that another server may see when it is redirected to; any other may be a credential."""
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

Resolve = Callable[[str, int], Sequence[str]]
Fits = Callable[[Place], bool]


def look_up(host: str, port: int) -> list[str]:
    """Every address of a host, as the system resolves it. Raises `OSError`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked. Its headers go to servers of its own origin alone, but for those that tell nothing."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a server said: `url` is where, after redirects; names of headers are in lower case."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


class Web:
    """Asks servers. With `private`, also in private networks; `resolve` and `tls` are handed in by tests."""

    def __init__(
        self,
        *,
        private: bool = False,
        resolve: Resolve = look_up,
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
    ) -> None:
        self._private = private
        self._resolve = resolve
        self._make_tls = tls
        self._tls: ssl.SSLContext | None = None

    async def ask(
        self, request: Request, *, limit_bytes: int, within: Fits | None = None, total_s: float = TOTAL_S
    ) -> Answer:
        """The answer to that request, whatever its status, after redirects that `within` allows.

        The body of an error (a status from 400 on) is cut at `limit_bytes`. Raises `WebError` when there is no answer,
        or it may not be asked for, or is larger than that; `sent` says whether a server may have got the request.
        """
        asking = _Asking(request=request, within=within, limit_bytes=limit_bytes)
        clock = asyncio.timeout(total_s)
        try:
            async with clock:
                return await self._follow(asking)
        except TimeoutError:
            if not clock.expired():
                raise
            raise refused(request.url, f"takes longer than {total_s:g} s", code="timeout", sent=asking.sent) from None
        except WebError as error:
            error.sent = asking.sent
            raise

    async def addresses(self, place: Place) -> Sequence[str]:
        """The addresses of a place, each of which may be asked. Raises `WebError`."""
        try:
            addresses = await asyncio.to_thread(self._resolve, place.host, place.port)
        except (OSError, UnicodeError) as error:
            raise refused(place.url, f"cannot be found: {_why(error)}", code="unreachable") from None
        for address in addresses:
            if reason := refusal_of(address, private=self._private):
                hint = "declare `private: true` if it is yours" if "private" in reason else None
                raise refused(place.url, f"is not asked: {address} {reason}", code="forbidden_address", hint=hint)
        return addresses

    async def _follow(self, asking: _Asking) -> Answer:
        request, place = asking.request, place_of(asking.request.url)
        for _ in range(REDIRECTS + 1):
            answer = await self._ask_once(asking, request, place)
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTING or not location:
                return answer
            led = followed(place, location)
            if asking.within and not asking.within(led):
                raise refused(place.url, f"redirects to another host: {led.host}", code="moved")
            request, place = _redirected(request, answer.status, same=led.origin == place.origin), led
        raise refused(asking.request.url, f"redirects more than {REDIRECTS} times", code="unreachable")

    async def _ask_once(self, asking: _Asking, request: Request, place: Place) -> Answer:
        head = _head(request, place)
        addresses = await self.addresses(place)
        try:
            async with self._connected(place, addresses) as (reader, writer):
                asking.sent = True
                with suppress(ConnectionError):  # a server may answer before it has read all
                    writer.write(head + request.body)
                    await writer.drain()
                reading = _Reading(request.method, asking.limit_bytes)
                await _receive(reader, reading)
                return Answer(url=place.url, status=reading.status, headers=reading.headers, body=bytes(reading.body))
        except _TooLarge:
            raise refused(place.url, f"answers more than {asking.limit_bytes:,} bytes", code="too_large") from None
        except _Unexpected as error:
            raise refused(place.url, str(error), code="unreadable") from None
        except (OSError, ValueError) as error:
            raise refused(place.url, f"cannot be read: {_why(error)}", code="unreachable") from None

    @asynccontextmanager
    async def _connected(
        self, place: Place, addresses: Sequence[str]
    ) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection to the first address that takes one. Raises `OSError`."""
        reader, writer = await self._connect(place, addresses)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    async def _connect(
        self, place: Place, addresses: Sequence[str]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        failed: OSError = OSError("it has no address")
        tls = self._context() if place.scheme == "https" else None
        name = place.host if tls else None
        for address in addresses:
            try:
                async with asyncio.timeout(CONNECT_S):
                    return await asyncio.open_connection(address, place.port, ssl=tls, server_hostname=name)
            except OSError as error:  # TimeoutError among them
                failed = error
        raise failed

    def _context(self) -> ssl.SSLContext:
        self._tls = self._tls or self._make_tls()
        return self._tls


@dataclass(kw_only=True)
class _Asking:
    """One request with its redirects; `sent` once a server may have got it."""

    request: Request
    within: Fits | None
    limit_bytes: int
    sent: bool = False


class _TooLarge(Exception):
    """More than may be read."""


class _Unexpected(Exception):
    """An answer that is not as it was asked for."""


class _Reading:
    """An answer as it is read; httptools calls the `on_` methods. What they find wrong is raised by `feed`."""

    def __init__(self, method: str, limit_bytes: int) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._method = method
        self._limit_bytes = limit_bytes
        self._packed: Packed | None = None
        self._came = 0
        self._wrong: Exception | None = None
        self._head_done = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.done = False

    def feed(self, data: bytes) -> None:
        """Read on. Raises `_TooLarge`, `_Unexpected`, and `ValueError` where it is no HTTP."""
        self._came += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.done and not self._wrong:
                raise ValueError(f"it does not answer in HTTP/1.1: {error}") from None
        if self._wrong and not self.done:
            raise self._wrong
        if not self._head_done and self._came > HEAD_LIMIT_BYTES:
            raise ValueError(f"its headers are longer than {HEAD_LIMIT_BYTES // 1024} KiB")
        if not self.done and self._came > HEAD_LIMIT_BYTES + _FRAMING * (self._limit_bytes + _STEP_BYTES):
            raise _TooLarge

    def end(self) -> None:
        """The connection has ended. Raises `ValueError` when more should have come."""
        framed = "content-length" in self.headers or "transfer-encoding" in self.headers
        if not self._head_done or framed:
            raise ValueError("it was cut short")
        self._finish()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_done:  # a trailer
            return
        key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip()
        self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        if self.done:  # more than one answer was asked for by nobody
            return
        self.status = self._parser.get_status_code()
        if self.status < 200:
            return
        self._head_done = True
        self.done = self._method == "HEAD" or self.status in (*_REDIRECTING, *_BODILESS)
        if not self.done:
            self._open_body()

    def on_body(self, body: bytes) -> None:
        if self._wrong or self.done:
            return
        try:
            self.body += self._packed.feed(body, self._limit_bytes - len(self.body)) if self._packed else body
        except ValueError as error:
            self._wrong = error
        if len(self.body) > self._limit_bytes:
            self._overflow()

    def on_message_complete(self) -> None:
        if self.status < 200:  # 100 Continue, 103 Early Hints: the answer is still to come
            self.headers = {}
        elif not self.done and not self._wrong:
            try:
                self._finish()
            except ValueError as error:
                self._wrong = error

    def _open_body(self) -> None:
        encoding = self.headers.get("content-encoding", "identity").lower() or "identity"
        if encoding in ("gzip", "x-gzip", "deflate"):
            self._packed = Packed()
        elif encoding != "identity":
            self._wrong = _Unexpected(f"comes packed as {encoding!r}, which was not asked for")
        told = self.headers.get("content-length", "")
        if told.isdecimal() and int(told[:20]) > self._limit_bytes and self.status < 400:
            self._wrong = _TooLarge()

    def _overflow(self) -> None:
        if self.status < 400:
            self._wrong = _TooLarge()
            return
        del self.body[self._limit_bytes :]
        self.done = True

    def _finish(self) -> None:
        if self._packed:
            self._packed.end()
        self.done = True


def check_headers(url: str, headers: Mapping[str, str]) -> dict[str, str]:
    """The headers, names in lower case. Raises `WebError` where one cannot be sent, or is not the caller's to give."""
    given = {name.lower(): value for name, value in headers.items()}
    for name, value in given.items():
        if name in _OURS or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise refused(url, f"cannot be asked with a header {name[:80]!r} like that", code="forbidden_header")
    return given


async def _receive(reader: asyncio.StreamReader, reading: _Reading) -> None:
    while not reading.done:
        if data := await reader.read(_STEP_BYTES):
            reading.feed(data)
        else:
            reading.end()


def _head(request: Request, place: Place) -> bytes:
    """The request's line and headers. Raises `WebError` where a header cannot be sent as one."""
    given = check_headers(place.url, request.headers)
    length = {"content-length": str(len(request.body))} if request.body or request.method in ("POST", "PUT") else {}
    headers = {"host": place.authority, **_USUAL, **given, **length, "connection": "close"}
    lines = (f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{request.method} {place.path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode("latin-1")


def _redirected(request: Request, status: int, *, same: bool) -> Request:
    """The request that follows a redirect: without what may be a credential where it goes to another server."""
    headers = {name: value for name, value in request.headers.items() if same or name.lower() in _HARMLESS}
    to_get = (status in (301, 302) and request.method == "POST") or (status == 303 and request.method != "HEAD")
    if not to_get:
        return replace(request, headers=headers)
    headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
    return replace(request, method="GET", headers=headers, body=b"")


def _why(error: Exception) -> str:
    """What the system says went wrong, without addresses."""
    if isinstance(error, (ssl.SSLError, socket.gaierror)):
        return error.strerror or str(error)
    if isinstance(error, TimeoutError):
        return "it takes no connection in time"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
