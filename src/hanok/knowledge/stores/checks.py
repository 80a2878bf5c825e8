"""What every store asks of names and rows before it keeps them."""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from math import isfinite, sqrt
from operator import mul

from hanok.errors import StoreError
from hanok.knowledge.values import Row, Shape

ID_LIMIT_CHARACTERS = 64
FLOAT_BYTES = 4
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,254}")


def check_name(name: str) -> None:
    """Raise `StoreError` unless it can be the name of a collection or an alias."""
    if not _NAME.fullmatch(name):
        raise StoreError(f"{name!r} cannot be a collection's name", hint="use letters, digits and _, a letter first")


def check_rows(rows: Sequence[Row], shape: Shape) -> None:
    """Raise `StoreError` when a row does not fit the shape; none is written then."""
    for row in rows:
        if not 1 <= len(row.id) <= ID_LIMIT_CHARACTERS or not row.id.isascii():
            raise StoreError(f"the id {row.id!r} is not 1 to {ID_LIMIT_CHARACTERS} ASCII characters")
        if len(row.vector) != shape.dimensions * FLOAT_BYTES:
            raise StoreError(
                f"a vector of {row.path} has {len(row.vector) / FLOAT_BYTES:g} dimensions, "
                f"the collection {shape.dimensions}",
                hint="the model of `embed` makes other vectors than when the collection was made: ingest it anew",
            )
        if row.head is not None and row.ordinal:
            raise StoreError(f"passage {row.ordinal} of {row.path}: a head stands on passage 0, nowhere else")
        _check_vector(row, shape)


def _check_vector(row: Row, shape: Shape) -> None:
    vector = array("f", row.vector)
    length = sqrt(sum(map(mul, vector, vector)))
    if not isfinite(length):
        raise StoreError(f"a vector of {row.path} has numbers that are none (NaN or infinite)")
    if shape.index.metric == "IP" and abs(length - 1.0) > 0.01:
        raise StoreError(
            f"a vector of {row.path} has the length {length:.3f}: inner products (IP) compare vectors of length 1",
            hint="set `index.metric` to COSINE",
        )
