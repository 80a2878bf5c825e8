"""Requests out, to pages that others write: what a page or its redirects lead to is checked before it is connected to.

A name is resolved once for each hop, every address that it has is judged (`addresses`), and the connection is made to
the address that was judged, under the name that was asked for: what the name resolves to a moment later has no say.
Size, unpacked size, time and the number of redirects are bounded. Hosts are asked one thing at a time. Proxies and
credentials of the environment are not used.
"""

from __future__ import annotations

import asyncio
import http.client
import re
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urljoin, urlsplit
from weakref import WeakValueDictionary

from hanok import __version__
from hanok.errors import DocumentRefused
from hanok.knowledge.sources.addresses import refusal_of
from hanok.knowledge.sources.listing import too_large, without_password

CONNECT_S, SILENCE_S, TOTAL_S = 10.0, 20.0, 60.0
REDIRECTS = 5
_STEP_BYTES = 64 * 1024
_REDIRECTING = (301, 302, 303, 307, 308)
_HEADERS = {"user-agent": f"hanok/{__version__}", "accept": "*/*", "accept-encoding": "gzip, deflate"}
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9a-f:.]+(%[A-Za-z0-9]+)?")
_PLAIN = "/%:@!$&'()*+,;=?~-._[]"
_turns: WeakValueDictionary[tuple[int, str, int], asyncio.Lock] = WeakValueDictionary()

Resolve = Callable[[str, int], Sequence[str]]
Fits = Callable[[str], bool]


def look_up(host: str, port: int) -> list[str]:
    """Every address of a host, as the system resolves it. Raises `OSError`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a server said: `url` is where, after redirects; names of headers are in lower case."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class _Target:
    url: str
    scheme: str
    host: str
    port: int
    path: str


class Web:
    """Asks for pages. With `private`, also in private networks; `resolve` and `tls` are handed in by tests."""

    def __init__(
        self,
        *,
        private: bool = False,
        resolve: Resolve = look_up,
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        total_s: float = TOTAL_S,
    ) -> None:
        self._private = private
        self._resolve = resolve
        self._make_tls = tls
        self._tls: ssl.SSLContext | None = None
        self._total_s = total_s

    async def ask(self, url: str, *, method: str = "GET", limit_bytes: int, within: Fits | None = None) -> Answer:
        """The answer to that request, whatever its status, after redirects that `within` allows.

        Raises `DocumentRefused` when there is none, or it may not be asked for, or is larger than `limit_bytes`.
        """
        key = (id(asyncio.get_running_loop()), *origin_of(url))
        turn = _turns.setdefault(key, asyncio.Lock())
        async with turn:
            return await asyncio.to_thread(self._follow, url, method, limit_bytes, within)

    def _follow(self, url: str, method: str, limit_bytes: int, within: Fits | None) -> Answer:
        until = time.monotonic() + self._total_s
        target = _read_url(url)
        for _ in range(REDIRECTS + 1):
            answer = self._ask_once(target, method, limit_bytes, until)
            place = answer.headers.get("location")
            if answer.status not in _REDIRECTING or not place:
                return answer
            target = _next(target, place, within)
        raise _refused(url, f"redirects more than {REDIRECTS} times")

    def _ask_once(self, target: _Target, method: str, limit_bytes: int, until: float) -> Answer:
        addresses = self._addresses(target)
        try:
            with closing(self._connect(target, addresses, until)) as wire, _cut_at(wire, until):
                if isinstance(wire, ssl.SSLSocket):
                    wire.do_handshake()
                answer = _exchange(wire, target, method, limit_bytes)
                _left(until)  # what was cut ends like an answer of no declared length
                return answer
        except (OSError, http.client.HTTPException, zlib.error, ValueError) as error:
            late = time.monotonic() >= until
            why = f"takes longer than {self._total_s:g} s" if late else f"cannot be read: {_why(error)}"
            raise _refused(target.url, why, code="unreachable") from None

    def _addresses(self, target: _Target) -> Sequence[str]:
        try:
            addresses = self._resolve(target.host, target.port)
        except (OSError, UnicodeError) as error:
            raise _refused(target.url, f"cannot be found: {_why(error)}", code="unreachable") from None
        for address in addresses:
            if reason := refusal_of(address, private=self._private):
                hint = "declare `private: true` if it is yours" if "private" in reason else None
                raise _refused(target.url, f"is not asked: {address} {reason}", code="forbidden_address", hint=hint)
        return addresses

    def _connect(self, target: _Target, addresses: Sequence[str], until: float) -> socket.socket:
        """A connection to the first address that takes one. Raises `OSError`."""
        failed: OSError = OSError("it has no address")
        for address in addresses:
            try:
                wire = socket.create_connection((address, target.port), min(CONNECT_S, _left(until)))
            except OSError as error:
                failed = error
                continue
            wire.settimeout(SILENCE_S)
            return self._wrap(wire, target)
        raise failed

    def _wrap(self, wire: socket.socket, target: _Target) -> socket.socket:
        if target.scheme == "http":
            return wire
        try:
            self._tls = self._tls or self._make_tls()
            return self._tls.wrap_socket(wire, server_hostname=target.host, do_handshake_on_connect=False)
        except (OSError, ValueError):
            wire.close()
            raise


def origin_of(url: str) -> tuple[str, int]:
    """Host and port of a URL. Raises `DocumentRefused` when it is none that may be asked."""
    target = _read_url(url)
    return target.host, target.port


def unpack(data: bytes, limit_bytes: int, url: str) -> bytes:
    """What gzip or zlib packed. Raises `DocumentRefused` when that is larger than `limit_bytes`, or broken."""
    packed, text = _Packed(), bytearray()
    try:
        for start in range(0, len(data), _STEP_BYTES):
            text += packed.feed(data[start : start + _STEP_BYTES], limit_bytes - len(text))
            if len(text) > limit_bytes:
                raise too_large(url, limit_bytes)
        packed.end()
    except (zlib.error, ValueError) as error:
        raise _refused(url, f"cannot be unpacked: {error}", code="unreadable") from None
    return bytes(text)


class _Packed:
    """Bytes in gzip or zlib, or bare deflate, in as many members as they come."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(zlib.MAX_WBITS | 32)
        self._bare = False
        self._begun = False

    def feed(self, data: bytes, limit_bytes: int) -> bytes:
        """What they hold, at most one byte more than the limit."""
        out = b""
        while data and len(out) <= limit_bytes:
            if self._stream.eof:
                self._stream = zlib.decompressobj(zlib.MAX_WBITS | 32)
            out += self._step(data, limit_bytes + 1 - len(out))
            data = self._stream.unused_data
        return out

    def end(self) -> None:
        """Raises `ValueError` when more should have come."""
        if self._begun and not self._stream.eof:
            raise ValueError("it was cut short")

    def _step(self, data: bytes, most: int) -> bytes:
        try:
            return self._stream.decompress(data, most)
        except zlib.error:
            if self._begun:
                raise
            self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
            return self._stream.decompress(data, most)
        finally:
            self._begun = True


def _read_url(url: str) -> _Target:
    try:
        parts = urlsplit(url)
        port = parts.port
        host = _host(parts)
    except ValueError:
        raise _refused(url, "is no URL", code="forbidden_address") from None
    if parts.scheme not in ("http", "https"):
        raise _refused(url, "is neither http nor https", code="forbidden_address")
    if "@" in parts.netloc:
        raise _refused(url, "has a name or password in it", code="forbidden_address")
    if not _HOST.fullmatch(host) or port == 0:
        raise _refused(url, "names no host that can be asked", code="forbidden_address")
    path = quote(parts.path or "/", safe=_PLAIN) + (f"?{quote(parts.query, safe=_PLAIN)}" if parts.query else "")
    return _Target(url=url, scheme=parts.scheme, host=host, port=port or _usual(parts.scheme), path=path)


def _host(parts: SplitResult) -> str:
    """The host in ASCII. Raises `ValueError`."""
    host = parts.hostname or ""
    return host if host.isascii() else host.encode("idna").decode("ascii")


def _usual(scheme: str) -> int:
    return 443 if scheme == "https" else 80


def _next(target: _Target, place: str, within: Fits | None) -> _Target:
    """Where a redirect leads."""
    try:
        followed = _read_url(urljoin(target.url, place).partition("#")[0])
    except ValueError:
        raise _refused(target.url, "redirects to what is no URL", code="forbidden_address") from None
    if target.scheme == "https" and followed.scheme == "http":
        raise _refused(target.url, "redirects from https to http", code="forbidden_address")
    if within and not within(followed.url):
        raise _refused(target.url, f"redirects to another host: {followed.host}", code="moved")
    return followed


def _exchange(wire: socket.socket, target: _Target, method: str, limit_bytes: int) -> Answer:
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.default_port = _usual(target.scheme)  # else the port would stand in `host`
    connection.sock = wire
    connection.request(method, target.path, headers={**_HEADERS, "connection": "close"})
    with connection.getresponse() as response:
        body = b"" if response.status in _REDIRECTING else _body(response, limit_bytes, target.url)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(url=target.url, status=response.status, headers=headers, body=body)


def _body(response: http.client.HTTPResponse, limit_bytes: int, url: str) -> bytes:
    """All of it, unpacked. Raises `DocumentRefused` when that is too much, `ValueError` when it is not all there."""
    if (response.length or 0) > limit_bytes:
        raise too_large(url, limit_bytes)
    packed, text = _packed(response, url), bytearray()
    came = 0
    while len(text) <= limit_bytes and (some := response.read(_STEP_BYTES)):
        came += len(some)
        text += packed.feed(some, limit_bytes - len(text)) if packed else some
        if came > limit_bytes:
            break
    if len(text) > limit_bytes or came > limit_bytes:
        raise too_large(url, limit_bytes)
    if response.length:
        raise ValueError("it was cut short")
    if packed:
        packed.end()
    return bytes(text)


def _packed(response: http.client.HTTPResponse, url: str) -> _Packed | None:
    encoding = (response.headers.get("content-encoding") or "identity").strip().lower()
    if encoding in ("gzip", "x-gzip", "deflate"):
        return _Packed()
    if encoding != "identity":
        raise _refused(url, f"comes packed as {encoding!r}, which was not asked for", code="unreadable")
    return None


@contextmanager
def _cut_at(wire: socket.socket, until: float) -> Generator[None]:
    """End the connection then, from outside: a server that sends a byte now and then never lets a read time out."""
    timer = threading.Timer(_left(until), _cut, [wire])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _cut(wire: socket.socket) -> None:
    with suppress(OSError):
        socket.socket.shutdown(wire, socket.SHUT_RDWR)  # not TLS's own, which another thread is using


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _refused(url: str, why: str, *, code: str = "unreachable", hint: str | None = None) -> DocumentRefused:
    return DocumentRefused(f"{without_password(url)} {why}", code=code, hint=hint)


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
