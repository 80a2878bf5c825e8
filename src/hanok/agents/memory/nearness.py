"""How near texts are in meaning: the cosine of their vectors, by numpy where it is there.

An owner has a thousand memories or so, and each is looked at: an index would have to be kept for each owner, and finds
no sooner what a millisecond finds.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Sequence
from operator import mul
from typing import Any

try:
    import numpy
except ImportError:
    numpy: Any = None


def unit(data: bytes) -> bytes:
    """A vector of 32-bit floats (little-endian) at length 1; one of length 0, or with no numbers in it, all zeros."""
    values = _read(data)
    length = math.sqrt(sum(map(mul, values, values)))
    if not length or not math.isfinite(length):
        return bytes(len(data))
    return _write(array("f", (value / length for value in values)))


def cosines(query: bytes, vectors: Sequence[bytes]) -> list[float]:
    """Of a vector and others, all of length 1 and as long as one another."""
    if not vectors:
        return []
    if numpy is not None:
        rows = numpy.frombuffer(b"".join(vectors), dtype="<f4").reshape(len(vectors), -1)
        return (rows @ numpy.frombuffer(query, dtype="<f4")).tolist()
    asked = _read(query)
    return [sum(map(mul, asked, _read(vector))) for vector in vectors]


def _read(data: bytes) -> array[float]:
    values = array("f", data)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _write(values: array[float]) -> bytes:
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()
