"""An engine for tests: a real HTTP server that answers as it is told and remembers what it was asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


@dataclass
class Asked:
    """One request as the engine saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    reader: asyncio.StreamReader

    async def gone(self) -> None:
        """Return when the caller has closed the connection."""
        while not self.reader.at_eof() and self.reader.exception() is None:
            await asyncio.sleep(0.01)
        raise ConnectionResetError

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Answer = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class FakeEngine:
    """What it listens on, what it was asked, and how it answers now."""

    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    answer: Answer | None = None
    get: Answer | None = None
    gone: threading.Event = field(default_factory=threading.Event)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def calls(self) -> list[Asked]:
        """What it was asked, health checks left out."""
        return [each for each in self.asked if each.method == "POST"]


def whole(text: str = "hello there friend", **more: Any) -> Answer:
    """Answer with one JSON body."""
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "fake",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": USAGE,
        **more,
    }
    return status(200, json.dumps(body).encode())


def status(code: int, body: bytes, headers: str = "content-type: application/json\r\n") -> Answer:
    """Answer with this status and body."""

    async def answer(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {code} X\r\n{headers}content-length: {len(body)}\r\n\r\n".encode() + body)

    return answer


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def delta(text: str) -> bytes:
    return event({"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}}]})


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
USAGE_EVENT = event({"id": "c", "object": "chat.completion.chunk", "choices": [], "usage": USAGE})
DONE = b"data: [DONE]\n\n"


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def stream(*events: bytes, end: bytes = b"0\r\n\r\n") -> Answer:
    """Answer with these events, each in a write of its own."""

    async def answer(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        for each in events:
            writer.write(chunk(each))
            await writer.drain()
        writer.write(end)

    return answer


def cut(*events: bytes) -> Answer:
    """Answer with these events, and close the connection in the middle."""
    begin = stream(*events, end=b"")

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await begin(asked, writer)
        raise ConnectionResetError

    return answer


async def _serve(engine: FakeEngine, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    engine.connections += 1
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, path, _ = head[0].split(" ")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            asked = Asked(method, path, headers, body, reader)
            engine.asked.append(asked)
            told = engine.answer if method == "POST" else engine.get
            answer = told or whole()
            await answer(asked, writer)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        engine.gone.set()
    finally:
        writer.close()


@contextlib.contextmanager
def fake_engine(answer: Answer | None = None, *, port: int = 0) -> Iterator[FakeEngine]:
    """Run a fake engine in a thread of its own; on that port, else on a free one."""
    engine = FakeEngine(answer=answer)
    started = threading.Event()
    loop = asyncio.new_event_loop()
    stopping = asyncio.Event()

    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await _serve(engine, reader, writer)
            except asyncio.CancelledError:  # the test is over, perhaps with bytes that nobody has read
                writer.transport.abort()

        server = await asyncio.start_server(serve, "127.0.0.1", port)
        engine.port = server.sockets[0].getsockname()[1]
        started.set()
        await stopping.wait()
        server.close()
        await asyncio.sleep(0)  # a connection that was just accepted begins, so that cancelling it closes its socket
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def body() -> None:
        with contextlib.closing(loop):
            loop.run_until_complete(main())

    thread = threading.Thread(target=body)
    thread.start()
    started.wait(5)
    try:
        yield engine
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join(10)
