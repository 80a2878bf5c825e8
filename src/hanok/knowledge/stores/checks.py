"""What every store asks of names, shapes and rows before it keeps them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hanok.errors import StoreError
from hanok.knowledge.values import Row, Shape

ID_LIMIT_CHARACTERS = 64
FLOAT_BYTES = 4
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,254}")
_UNIT_TOLERANCE = 0.01
"""How far from 1 the length of a vector may be that was made to have it, in 32 bits or less."""


def check_name(name: str) -> None:
    """Raise `StoreError` unless it can be the name of a collection or an alias."""
    if not _NAME.fullmatch(name):
        raise StoreError(f"{name!r} cannot be a collection's name", hint="use letters, digits and _, a letter first")


def check_same(name: str, there: Shape, wanted: Shape) -> None:
    """Raise `StoreError` when a collection is there that is made otherwise: dimensions, index or metric."""
    if not is_same(there, wanted):
        found, asked = _told(there), _told(wanted)
        raise StoreError(
            f"the collection {name} has {found}, and {asked} is wanted",
            hint="drop it and ingest anew, or give this one another name",
        )


def is_same(there: Shape, wanted: Shape) -> bool:
    """Whether two shapes are alike in what every store keeps of them: not how an index was built."""
    return _told(there) == _told(wanted)


def _told(shape: Shape) -> str:
    return f"{shape.dimensions} dimensions in an index {shape.index.type} by {shape.index.metric}"


def check_rows(rows: Sequence[Row], shape: Shape) -> None:
    """Raise `StoreError` when a row does not fit the shape; none is written then."""
    for row in rows:
        if not 1 <= len(row.id) <= ID_LIMIT_CHARACTERS or not row.id.isascii():
            raise StoreError(f"the id {row.id!r} is not 1 to {ID_LIMIT_CHARACTERS} ASCII characters")
        if row.head is not None and row.ordinal:
            raise StoreError(f"passage {row.ordinal} of {row.path}: a head stands on passage 0, nowhere else")
        if len(row.vector) != shape.dimensions * FLOAT_BYTES:
            raise StoreError(
                f"a vector of {row.path} has {len(row.vector) / FLOAT_BYTES:g} dimensions, "
                f"the collection {shape.dimensions}",
                hint="the model of `embed` makes other vectors than when the collection was made: ingest it anew",
            )
    if rows:
        _check_vectors(rows, shape)


def check_question(name: str, vector: bytes | None, shape: Shape) -> None:
    """Raise `StoreError` when a question's vector cannot be compared with those of the collection."""
    if vector is not None and len(vector) != shape.dimensions * FLOAT_BYTES:
        raise StoreError(
            f"the question's vector has {len(vector) / FLOAT_BYTES:g} dimensions, "
            f"the collection {name} {shape.dimensions}",
            hint="the model of `embed` makes other vectors than when the collection was made: ingest it anew",
        )


def _check_vectors(rows: Sequence[Row], shape: Shape) -> None:
    import numpy

    vectors = numpy.frombuffer(b"".join(row.vector for row in rows), dtype="<f4").reshape(len(rows), -1)
    lengths = numpy.linalg.norm(vectors.astype(numpy.float64), axis=1)
    if (strange := ~numpy.isfinite(lengths)).any():
        path = rows[int(strange.argmax())].path
        raise StoreError(f"a vector of {path} has numbers that are none (NaN or infinite)")
    if shape.index.metric == "IP" and (strange := abs(lengths - 1) > _UNIT_TOLERANCE).any():
        at = int(strange.argmax())
        raise StoreError(
            f"a vector of {rows[at].path} has the length {lengths[at]:.3f}: inner products (IP) are of length 1",
            hint="set `index.metric` to COSINE",
        )
