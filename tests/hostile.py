"""A server on a real socket that does exactly what it is told, however wrong, and what tests need around it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import uvloop

from hanok.serving.client import Pool
from hanok.spec import Timeouts

TEST_LIMIT_S = 10.0
PATIENT = Timeouts(connect_s=5.0, first_byte_s=5.0, idle_s=5.0)
HASTY = Timeouts(connect_s=5.0, first_byte_s=0.3, idle_s=0.3)
NO_TIME = Timeouts(connect_s=0.1, first_byte_s=0.3, idle_s=0.3)

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Script = Talk | Sequence[bytes]


def on_both_loops(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Make an `async def` test a plain one that runs on asyncio's event loop and on uvloop's.

    Fails as well when anything raised where only the event loop could see it.
    """

    @functools.wraps(test)
    def plain(run: Callable[[Any], None], **given: Any) -> None:
        run(within_limits(test(**given)))

    signature = inspect.signature(test)
    first = inspect.Parameter("run", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    plain.__signature__ = signature.replace(parameters=[first, *signature.parameters.values()])
    return BOTH_LOOPS(plain)


BOTH_LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


async def within_limits(coroutine: Awaitable[None]) -> None:
    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    async with asyncio.timeout(TEST_LIMIT_S):
        await coroutine
    assert not problems


# what the server sees


@dataclass(frozen=True)
class Request:
    """A request as it came over the wire."""

    line: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    raw: bytes

    def header(self, name: bytes) -> bytes | None:
        found = [value for key, value in self.headers if key == name]
        assert len(found) < 2, f"{name!r} came {len(found)} times"
        return found[0] if found else None


async def read_request(reader: asyncio.StreamReader) -> Request:
    """Read one request to its end. Raises `IncompleteReadError` when the client leaves."""
    head = await reader.readuntil(b"\r\n\r\n")
    line, *lines = head[:-4].split(b"\r\n")
    headers = [(name.lower(), value.strip()) for name, _, value in (each.partition(b":") for each in lines)]
    size = int(dict(headers).get(b"content-length", b"0"))
    body = await reader.readexactly(size)
    return Request(line, headers, body, head + body)


async def left(reader: asyncio.StreamReader) -> None:
    """Return when the client has closed the connection, gently or not."""
    with contextlib.suppress(ConnectionError):
        while await reader.read(65536):
            pass


# what the server does


async def turns(count: int = 5) -> None:
    """Let the event loop go round, polling its sockets, so that the other side sees what was sent so far."""
    for _ in range(count):
        await asyncio.sleep(0)


async def send(writer: asyncio.StreamWriter, *pieces: bytes) -> None:
    """Send each piece so that it arrives on its own."""
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await turns()


def reset(writer: asyncio.StreamWriter) -> None:
    """Cut the connection with a TCP reset."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def exchanges(*answers: bytes | Sequence[bytes], requests: list[Request] | None = None) -> Talk:
    """A script that answers one request after another, and then waits for the client to leave."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            request = await read_request(reader)
            if requests is not None:
                requests.append(request)
            await send(writer, *([answer] if isinstance(answer, bytes) else answer))
        await left(reader)

    return talk


def forever(answer: bytes) -> Talk:
    """A script that gives the same answer to every request."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(answer)

    return talk


def then_close(*pieces: bytes) -> Talk:
    """A script that takes a request, sends the pieces and closes the connection."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await send(writer, *pieces)

    return talk


def then_reset(*pieces: bytes) -> Talk:
    """A script that takes a request, sends the pieces and resets the connection."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await send(writer, *pieces)
        reset(writer)

    return talk


def then_half_close(*pieces: bytes) -> Talk:
    """A script that takes a request, sends the pieces, closes its own side and waits for the client to leave."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await send(writer, *pieces)
        writer.write_eof()
        await left(reader)

    return talk


def then_wait(*pieces: bytes, gone: asyncio.Event | None = None) -> Talk:
    """A script that takes a request, sends the pieces and falls silent; `gone` is set when the client leaves."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await read_request(reader)
            await send(writer, *pieces)
            await left(reader)
        finally:
            if gone is not None:
                gone.set()

    return talk


class Server:
    """A hostile server while it listens. The n-th connection gets the n-th script, later ones the last."""

    def __init__(self, scripts: Sequence[Script], secure: bool) -> None:
        self._scripts = [script if callable(script) else exchanges(script) for script in scripts]
        self._scheme = "https" if secure else "http"
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._listening: asyncio.Server | None = None
        self.failures: list[Exception] = []
        self.connections = 0
        self.port = 0
        self.host = ""

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self._scheme}://{host}:{self.port}"

    async def refuse(self) -> None:
        """Listen no more: whoever connects from now on is refused."""
        assert self._listening is not None
        self._listening.close()
        await turns()

    async def nobody_is_left(self) -> None:
        """Return when the client has closed every connection (and every script has seen it)."""
        while any(not task.done() for task in self._tasks):
            await asyncio.wait(self._tasks)

    def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = self._scripts[min(self.connections, len(self._scripts) - 1)]
        self.connections += 1
        self._writers.append(writer)
        task = asyncio.get_running_loop().create_task(self._talk(script, reader, writer))
        self._tasks.add(task)

    async def listen(self, host: str, tls: ssl.SSLContext | None) -> None:
        self._listening = await asyncio.start_server(self.meet, host, 0, ssl=tls, backlog=512)
        self.host, self.port = self._listening.sockets[0].getsockname()[:2]

    async def leave(self) -> None:
        assert self._listening is not None
        self._listening.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            with contextlib.suppress(AttributeError):  # asyncio's transports do not all bear this when they are closed
                writer.transport.abort()
        await turns()
        await self._listening.wait_closed()

    async def _talk(self, script: Talk, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left: tests look at that from the client's side
        except Exception as error:  # noqa: BLE001 - told to the test
            self.failures.append(error)
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def hostile(
    *scripts: Script, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Server]:
    """Listen. A script is a coroutine function `(reader, writer)`, or a list of pieces to answer one request with."""
    server = Server(scripts, tls is not None)
    await server.listen(host, tls)
    try:
        yield server
    finally:
        await server.leave()
    for failure in server.failures:
        raise failure


@contextlib.contextmanager
def pool_to(server: Server, timeouts: Timeouts = PATIENT, **more: Any) -> Iterator[Pool]:
    """A pool of connections to the server; its own URL unless `url` is given."""
    pool = Pool(more.pop("url", server.url), timeouts=timeouts, **more)
    try:
        yield pool
    finally:
        pool.close()


# what there is to say


def plain(body: bytes = b"", *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """A right answer whose body has a length."""
    lines = [b"HTTP/1.1 " + status, *headers, b"content-length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(*chunks: bytes, headers: Sequence[bytes] = (), trailers: Sequence[bytes] = ()) -> bytes:
    """A right answer whose body comes in these chunks."""
    lines = [b"HTTP/1.1 200 OK", *headers, b"transfer-encoding: chunked"]
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body + b"\r\n".join([b"0", *trailers]) + b"\r\n\r\n"


def until_eof(body: bytes, *headers: bytes) -> bytes:
    """A right answer whose body ends where the connection ends."""
    return b"\r\n".join([b"HTTP/1.1 200 OK", *headers]) + b"\r\n\r\n" + body


# ports


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """A port that nobody listens on, and that nobody else can take."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


@contextlib.contextmanager
def full_port() -> Iterator[int]:
    """A port that listens and lets nobody in any more; skips the test where there is no such thing."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        for _ in range(16):
            knocking = stack.enter_context(socket.socket())
            knocking.settimeout(0.05)
            try:
                knocking.connect(("127.0.0.1", port))
            except TimeoutError:
                yield port
                return
        pytest.skip("this kernel lets everybody in")
