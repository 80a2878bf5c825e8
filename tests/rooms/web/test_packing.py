"""What was packed is unpacked no further than it may be."""

from __future__ import annotations

import gzip

import pytest

from hanok.web.packing import Packed, unpack

BOMB = gzip.compress(bytes(5_000_000))


def test_a_bomb_is_left_packed_beyond_the_limit() -> None:
    assert unpack(BOMB, 1000) == bytes(1001)
    assert Packed().feed(BOMB, 1000) == bytes(1001)
    assert unpack(gzip.compress(b"text"), 4) == b"text"


def test_what_is_cut_short_or_broken_is_told() -> None:
    with pytest.raises(ValueError, match="it was cut short"):
        unpack(BOMB[:-9], 6_000_000)
    with pytest.raises(ValueError, match="it cannot be unpacked"):
        unpack(b"\x1f\x8bno gzip", 1000)
