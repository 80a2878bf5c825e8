"""Protobuf's wire format, as far as spans need it (https://protobuf.dev/programming-guides/encoding/).

An attribute is a prefix and a value, and the prefix depends on the value's size alone. So prefixes are made once for a
size and kept, and a value that goes out under several names is one `value.join(prefixes)`.

Numbers of fields are those of opentelemetry-proto 1.x: `KeyValue` {key 1, value 2}, `AnyValue` {string 1, bool 2,
int 3, double 4, array 5}.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from functools import lru_cache

SPAN_ATTRIBUTES = 9
RESOURCE_ATTRIBUTES = 1
_LENGTH_DELIMITED = 2
_KEPT_SIZES = 256
_UINT64 = 2**64 - 1
_LEAST = -(2**63)
_POSITIVE_BYTES = 9
_double = struct.Struct("<d").pack


@lru_cache(16_384)
def varint(number: int) -> bytes:
    """A number of 0 to 2⁶⁴−1, seven bits a byte, the lowest first."""
    parts = bytearray()
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def field(number: int, data: bytes) -> bytes:
    """A field of bytes, text or a message."""
    return varint(number << 3 | _LENGTH_DELIMITED) + varint(len(data)) + data


def utf8(text: str) -> bytes:
    """Text as protobuf wants it; what has no UTF-8 form becomes a question mark."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


class Attribute:
    """One attribute under every name that it goes out by. Without a name, all its forms are empty."""

    __slots__ = ("_doubles", "_keys", "_tag", "_texts", "_wholes")

    def __init__(self, *names: str, of: int = SPAN_ATTRIBUTES) -> None:
        self._tag = varint(of << 3 | _LENGTH_DELIMITED)
        self._keys = [field(1, name.encode()) for name in names]
        self._texts: dict[int, tuple[bytes, ...]] = {}
        self._wholes = [self._prefixes(b"\x18", size) for size in range(11)]
        self._doubles = self._prefixes(b"\x21", 8)

    def text(self, value: str) -> bytes:
        return self.utf8(utf8(value))

    def utf8(self, value: bytes) -> bytes:
        """As `text`, for what is UTF-8 already."""
        prefixes = self._texts.get(len(value))
        return value.join(prefixes if prefixes is not None else self._text_prefixes(len(value)))

    def whole(self, value: int) -> bytes:
        """A number of 64 bits with sign; nothing when it is larger."""
        data = varint(value) if value >= 0 else varint(value & _UINT64)
        if len(data) > _POSITIVE_BYTES and not _LEAST <= value < 0:
            return b""
        return data.join(self._wholes[len(data)])

    def number(self, value: float) -> bytes:
        return _double(value).join(self._doubles)

    def truth(self, value: bool) -> bytes:
        data = b"\x01" if value else b"\x00"
        return data.join(self._prefixes(b"\x10", 1))

    def texts(self, values: Iterable[str]) -> bytes:
        """A list of texts."""
        data = b"".join(field(1, field(1, utf8(value))) for value in values)
        return data.join(self._prefixes(b"\x2a" + varint(len(data)), len(data)))

    def _text_prefixes(self, size: int) -> tuple[bytes, ...]:
        prefixes = self._prefixes(b"\x0a" + varint(size), size)
        if size < _KEPT_SIZES:
            self._texts[size] = prefixes
        return prefixes

    def _prefixes(self, head: bytes, size: int) -> tuple[bytes, ...]:
        """What stands before a value of that size, for every name; and the nothing that ends the last one."""
        value = b"\x12" + varint(len(head) + size) + head
        prefixes = [self._tag + varint(len(key) + len(value) + size) + key + value for key in self._keys]
        return (*prefixes, b"")


def read_fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message, by number: varints as numbers, all else as bytes.

    Raises `ValueError` when `data` is no message.
    """
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        if tag & 7 == 0:
            value, at = _read_varint(data, at)
            yield tag >> 3, value
            continue
        size, at = _read_size(data, at, tag & 7)
        if at + size > len(data):
            raise ValueError("the message is cut short")
        yield tag >> 3, data[at : at + size]
        at += size


def _read_size(data: bytes, at: int, wire_type: int) -> tuple[int, int]:
    if wire_type == _LENGTH_DELIMITED:
        return _read_varint(data, at)
    if wire_type not in (1, 5):
        raise ValueError("a group, or no message at all")
    return 8 if wire_type == 1 else 4, at


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = 0
    for index, byte in enumerate(data[at : at + 10]):
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return number, at + index + 1
    raise ValueError("a number does not end")
