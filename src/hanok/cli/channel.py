"""How supervisor and worker speak: JSON lines over a pair of sockets, which also tells each that the other ended."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Self

import msgspec

from hanok.serving.fleet import State
from hanok.telemetry.sums import Family

LINE_LIMIT_BYTES = 64 * 1024 * 1024


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's argument: which one it is, where it listens, how it logs, and the descriptor it hears orders on."""

    number: int
    orders: int
    file: str
    host: str
    port: int
    log_level: str
    log_json: bool


class Begin(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """To a worker, first: the platform file's text, so that all work by the same one, and the engines' ports.

    All are built from the text of the supervisor's start, and then take up the one that is in use `now`: so what only
    changes at the next start is the same in all.
    """

    text: str
    now: str
    ports: dict[str, int]


class States(msgspec.Struct, tag=True, frozen=True):
    """To a worker: how the engine processes are, which it does not keep itself; state and reason by endpoint."""

    states: dict[str, tuple[State, str]]


class Workers(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """To a worker: how many are declared, and how many take calls now."""

    declared: int
    running: int


class Tell(msgspec.Struct, tag=True, frozen=True):
    """To a worker: say your metrics."""


class Everyones(msgspec.Struct, tag=True, frozen=True):
    """To a worker: everyone's metrics, that it asked for, in Prometheus' text format."""

    text: str


class Look(msgspec.Struct, tag=True, frozen=True):
    """To a worker: look at the platform file now."""


class Stop(msgspec.Struct, tag=True, frozen=True):
    """To a worker: let running calls end, and end."""


class Listening(msgspec.Struct, tag=True, frozen=True):
    """From a worker: it takes calls."""


class Took(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """From a worker: it has taken up this text of the platform file; running calls now have so long to end."""

    text: str
    drain_s: float


class Ask(msgspec.Struct, tag=True, frozen=True):
    """From a worker: somebody wants everyone's metrics."""


class Mine(msgspec.Struct, tag=True, frozen=True):
    """From a worker: its metrics."""

    families: list[Family]


Message = Begin | States | Workers | Tell | Everyones | Look | Stop | Listening | Took | Ask | Mine
_decode = msgspec.json.Decoder(Message).decode
_encode = msgspec.json.Encoder().encode


class Channel:
    """One end of the line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> Self:
        """Speak over one end of a pair of sockets."""
        end.setblocking(False)
        return cls(*await asyncio.open_connection(sock=end, limit=LINE_LIMIT_BYTES))

    def send(self, message: Message) -> None:
        """Say something. If the other is gone, nobody hears it."""
        if not self._writer.is_closing():
            self._writer.write(_encode(message) + b"\n")

    async def messages(self) -> AsyncIterator[Message]:
        """What the other says, until it ends."""
        while line := await self._read():
            yield _decode(line)

    async def flush(self) -> None:
        """Return when all is sent, or nobody takes it any more."""
        try:
            await self._writer.drain()
            self._writer.write_eof()
        except (OSError, RuntimeError):
            return

    def close(self) -> None:
        self._writer.close()

    async def _read(self) -> bytes:
        try:
            return await self._reader.readline()
        except OSError:
            return b""
