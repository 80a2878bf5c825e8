"""Messages to and from processes of our own: frames, each with its length (32 bits, big-endian) before it."""

from __future__ import annotations

import asyncio
from typing import BinaryIO

from hanok.errors import StoreError

LIMIT_BYTES = 2**32 - 1
"""The longest content that a length can tell."""
_LENGTH_BYTES = 4


class TooLong(StoreError):
    """A frame longer than it may be."""


def frame(content: bytes, limit_bytes: int = LIMIT_BYTES) -> bytes:
    """The content with its length before it. Raises `TooLong`."""
    if len(content) > limit_bytes:
        raise TooLong(f"a message of {len(content):,} bytes is longer than {limit_bytes:,}")
    return len(content).to_bytes(_LENGTH_BYTES) + content


async def read_frame(reader: asyncio.StreamReader, limit_bytes: int = LIMIT_BYTES) -> bytes:
    """The next frame's content. Raises `asyncio.IncompleteReadError` at the end, `TooLong` for one beyond the limit."""
    length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES))
    if length > limit_bytes:
        raise TooLong(f"a message of {length:,} bytes is longer than {limit_bytes:,}")
    return await reader.readexactly(length)


def take_frame(file: BinaryIO) -> bytes | None:
    """The next frame's content of a file that blocks; None at its end."""
    head = file.read(_LENGTH_BYTES)
    return file.read(int.from_bytes(head)) if head else None
