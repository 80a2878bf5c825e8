"""An engine's response, read as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from hanok.errors import EngineBroken, EngineError
from hanok.serving.client.connection import Connection, Take
from hanok.serving.client.origin import Origin
from hanok.serving.client.stock import Stock

FINISH_S = 0.05


class Response:
    """A response whose head has arrived. Read it to its end or close it; either way the connection is taken care of."""

    __slots__ = ("_connection", "_failure", "_stock", "headers", "status")

    def __init__(self, connection: Connection, stock: Stock) -> None:
        self._connection: Connection | None = connection
        self._stock = stock
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
        self._stock.expect_more(connection)
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
            over = await connection.pour(take, self._stock.timeouts.idle_s)
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
                raise _too_much(self._stock.origin, limit_bytes)
            return data
        parts: list[bytes] = []
        size = 0
        while data := await self.read():
            parts.append(data)
            size += len(data)
            if size > limit_bytes:
                self.close()
                raise _too_much(self._stock.origin, limit_bytes)
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

    def _finish(self, connection: Connection) -> None:
        self._connection = None
        self._stock.give_back(connection)


def _too_much(origin: Origin, limit_bytes: int) -> EngineBroken:
    return EngineBroken(f"{origin} answers with more than {limit_bytes} bytes")
