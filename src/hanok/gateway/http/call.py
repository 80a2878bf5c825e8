"""One HTTP exchange as those who answer it see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from http import HTTPStatus
from typing import Any, Protocol

from hanok.errors import RequestError
from hanok.gateway.http.body import Body

STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}

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


class Outlet(Protocol):
    """A connection as a call sees it."""

    stalled: asyncio.Future[None] | None
    new_request_id: Callable[[], str]

    def write(self, data: bytes) -> None: ...

    def finish(self, call: Call) -> None: ...

    def date(self) -> bytes: ...

    def address(self, which: str) -> tuple[str, int] | None: ...


class Call:
    """One HTTP exchange: what came in, and what has been sent. Only the connection makes these.

    Where there is a `tape`, it is told of everything that is sent. `also` are headers of whatever is answered. Whoever
    answers is cancelled when the caller goes away, and when the call is `cut`: then there is somebody to tell.
    """

    __slots__ = (
        "_body", "_outlet", "also", "begun", "cut", "finished", "headers", "keep_alive", "method", "path", "query",
        "raw_path", "request_id", "tape", "version_1_0",
    )  # fmt: skip

    def __init__(
        self,
        outlet: Outlet,
        body: Body,
        method: str,
        path: str,
        raw_path: str,
        query: str,
        headers: dict[bytes, bytes],
    ) -> None:
        self._outlet = outlet
        self._body = body
        self.method = method
        self.path = path
        self.raw_path = raw_path
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
        self.request_id = given[:128].decode("ascii") if given and given.isascii() else outlet.new_request_id()

    def body(self) -> Coroutine[Any, Any, bytes]:
        """The whole body. Raises `BodyTooLarge` as soon as there is, or will be, more of it than is let in."""
        return self._body.whole()

    def pieces(self, limit: int, too_large: Callable[[], RequestError]) -> AsyncGenerator[bytes]:
        """The body piece by piece, as `Body.pieces` gives it. Close the generator."""
        return self._body.pieces(limit, too_large)

    async def reply(self, status: int, body: bytes, *headers: Header) -> None:
        """Answer in one piece."""
        if self.tape is not None:
            self.tape.begin(status, headers, streamed=False)
            self.tape.take(body)
            self.tape.end()
        head = self._head(status, (b"content-length", b"%d" % len(body)), *headers)
        self._outlet.write(head if self.method == "HEAD" else head + body)
        self._outlet.finish(self)

    async def reply_head(self, status: int, *headers: Header) -> None:
        """Answer with a head alone: to HEAD, and where the status has no body (204, 304)."""
        if self.tape is not None:
            self.tape.begin(status, headers, streamed=False)
            self.tape.end()
        self._outlet.write(self._head(status, *headers))
        self._outlet.finish(self)

    async def begin(self, status: int, *headers: Header) -> None:
        """Begin to answer in pieces."""
        self.begin_now(status, *headers)

    def begin_now(self, status: int, *headers: Header) -> None:
        """As `begin`, for who cannot wait: a timer."""
        if self.tape is not None:
            self.tape.begin(status, headers, streamed=True)
        if self.version_1_0:  # knows no chunks: the end of the connection ends the answer
            self.keep_alive = False
            self._outlet.write(self._head(status, *headers))
        else:
            self._outlet.write(self._head(status, (b"transfer-encoding", b"chunked"), *headers))

    async def more(self, data: bytes) -> None:
        """Send a piece; return when the caller keeps up."""
        if not self.more_now(data):
            await self.caught_up()

    def more_now(self, data: bytes) -> bool:
        """Send a piece; False when the caller is behind with reading: wait until he has `caught_up`."""
        if self.tape is not None:
            self.tape.take(data)
        self._outlet.write(data if self.version_1_0 else b"%x\r\n%b\r\n" % (len(data), data))
        return self._outlet.stalled is None

    async def caught_up(self) -> None:
        """Return when the caller has read enough of what was sent."""
        if self._outlet.stalled is not None:
            await self._outlet.stalled

    async def end(self, data: bytes = b"") -> None:
        """Send the last piece."""
        self.end_now(data)

    def end_now(self, data: bytes = b"") -> None:
        """As `end`, for who cannot wait."""
        if self.tape is not None:
            self.tape.take(data)
            self.tape.end()
        if self.version_1_0:
            self._outlet.write(data)
        elif data:
            self._outlet.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data))
        else:
            self._outlet.write(b"0\r\n\r\n")
        self._outlet.finish(self)

    def sign_of_life(self, data: bytes) -> None:
        """Send a piece that says nothing, unless the caller is behind with reading anyway. It is not taped."""
        if self._outlet.stalled is None:
            self._outlet.write(data if self.version_1_0 else b"%x\r\n%b\r\n" % (len(data), data))

    @property
    def peer(self) -> tuple[str, int] | None:
        """Who is at the other end of the connection, as host and port; None where that cannot be told."""
        return self._outlet.address("peername")

    @property
    def server(self) -> tuple[str, int] | None:
        """Our end of the connection."""
        return self._outlet.address("sockname")

    @property
    def is_taken(self) -> bool:
        """Whether the whole request has come."""
        return self._body.complete

    def _head(self, status: int, *headers: Header) -> bytes:
        self.begun = True
        if (
            not self._body.complete
        ):  # answered before it was heard out: what still comes must not be taken for a request
            self.keep_alive = False
        lines = [
            STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status,
            b"date: ",
            self._outlet.date(),
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
