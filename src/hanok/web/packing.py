"""Bytes in gzip or zlib, unpacked no further than a limit."""

from __future__ import annotations

import zlib

_STEP_BYTES = 64 * 1024


def unpack(data: bytes, limit_bytes: int) -> bytes:
    """What gzip or zlib packed, at most one byte more than the limit. Raises `ValueError` when it is broken."""
    packed, text = Packed(), bytearray()
    for start in range(0, len(data), _STEP_BYTES):
        text += packed.feed(data[start : start + _STEP_BYTES], limit_bytes - len(text))
        if len(text) > limit_bytes:
            return bytes(text)
    packed.end()
    return bytes(text)


class Packed:
    """Bytes in gzip or zlib, or bare deflate, in as many members as they come."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(zlib.MAX_WBITS | 32)
        self._begun = False

    def feed(self, data: bytes, limit_bytes: int) -> bytes:
        """What they hold, at most one byte more than the limit. Raises `ValueError` when they are broken."""
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
        except zlib.error as error:
            if self._begun:
                raise ValueError(f"it cannot be unpacked: {error}") from None
            return self._bare(data, most)
        finally:
            self._begun = True

    def _bare(self, data: bytes, most: int) -> bytes:
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            return self._stream.decompress(data, most)
        except zlib.error as error:
            raise ValueError(f"it cannot be unpacked: {error}") from None
