"""A request's body as it comes: taken whole or piece by piece, and its sender held back where it is too much."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Protocol

from hanok.errors import BodyTooLarge, RequestError

HELD_BYTES = 1024 * 1024
"""What may wait of a body that nobody reads yet, or that is read piece by piece, before its caller is held back."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Inlet(Protocol):
    """A connection as a body sees it."""

    body_limit: int

    def write(self, data: bytes) -> None: ...

    def hold_on(self, full: bool) -> None: ...

    def go_on(self) -> None: ...


class Body:
    """What comes of one request's body. Only the connection makes these, and tells them what has come."""

    __slots__ = ("_expects", "_inlet", "_length", "_parts", "_pieces", "_size", "_waiter", "complete")

    def __init__(self, inlet: Inlet, headers: Mapping[bytes, bytes]) -> None:
        self._inlet = inlet
        self._length = headers.get(b"content-length")
        self._expects = b"expect" in headers
        self._parts: list[bytes] = []
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None
        self._pieces: _Pieces | None = None
        self.complete = False

    async def whole(self) -> bytes:
        """The whole body. Raises `BodyTooLarge` as soon as there is, or will be, more of it than is let in."""
        limit = self._inlet.body_limit
        if self._length is not None and int(self._length) > limit:
            raise _too_large(limit)
        if self._expects and not self.complete:
            self._inlet.write(_CONTINUE)
        if self._size > HELD_BYTES:
            self._inlet.go_on()
        while not self.complete:
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
        if self._length is not None and int(self._length) > limit:
            raise too_large()
        if self._expects and not self.complete:
            self._inlet.write(_CONTINUE)
        self._pieces = pieces = _Pieces(limit, waiting=self._size)
        try:
            while True:
                if self._size > limit:
                    raise too_large()
                if self._parts:
                    data, self._parts = b"".join(self._parts), []
                    yield data
                    pieces.waiting -= len(data)
                elif self.complete:
                    return
                else:
                    self._inlet.go_on()
                    self._waiter = asyncio.get_running_loop().create_future()
                    await self._waiter
        finally:  # what else comes is dropped
            pieces.limit = -1
            self._parts.clear()
            self._inlet.go_on()

    # what the connection tells

    def take(self, data: bytes) -> None:
        self._size += len(data)
        if self._pieces is not None:
            self._take_piece(self._pieces, data)
        elif self._waiter is None:  # nobody reads it yet
            self._parts.append(data)
            if self._size > HELD_BYTES:
                self._inlet.hold_on(True)
        elif self._size <= self._inlet.body_limit:
            self._parts.append(data)
        else:
            self._wake()

    def _take_piece(self, pieces: _Pieces, data: bytes) -> None:
        if self._size <= pieces.limit:
            self._parts.append(data)
            pieces.waiting += len(data)
            self._inlet.hold_on(pieces.waiting > HELD_BYTES)
        self._wake()

    def end(self) -> None:
        self.complete = True
        self._wake()

    @property
    def was_held(self) -> bool:
        """Whether there was so much of it that the caller may have been held back."""
        return self._size > HELD_BYTES

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class _Pieces:
    """A body that is taken piece by piece: how many bytes of it are let in, and how many of them wait."""

    __slots__ = ("limit", "waiting")

    def __init__(self, limit: int, *, waiting: int) -> None:
        self.limit = limit
        self.waiting = waiting


def _too_large(limit: int) -> RequestError:
    message = f"the body is larger than {limit / 1024**2:g} MiB, the limit set by gateway.body_limit_mib"
    return BodyTooLarge(message, code="body_too_large")
