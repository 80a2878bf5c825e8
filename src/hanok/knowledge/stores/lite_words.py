"""BM25 over the sparse vectors that Milvus Lite keeps, on arrays.

Lite's own (`SparseInvertedIndex`) adds up scores posting by posting in Python and reckons how rare a term is for each
segment by itself. Here a term's postings are one slice, and what is rare is so among all segments, as on a server.
The formula is Lite's and Lucene's: idf = ln(1 + (N - n + ½) / (n + ½)), and a term counts f (k1 + 1) / (f + k1 (1 - b +
b · length / mean length)).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Floats = NDArray[numpy.float32]
    Integers = NDArray[Any]

_PAIR_BYTES = 8


@dataclass(frozen=True, kw_only=True)
class Postings:
    """Which rows have which term, and how often: `starts[i]` to `starts[i + 1]` are the postings of `terms[i]`.

    `lengths` are the rows' numbers of terms.
    """

    terms: Integers
    starts: Integers
    rows: Integers
    counts: Floats
    lengths: Floats

    def of(self, asked: Integers) -> list[slice]:
        """Where each term's postings are. Terms as they are kept: of another type, all of ours would be converted."""
        places = self.terms.searchsorted(asked)
        return [
            slice(int(self.starts[place]), int(self.starts[place + 1]))
            if place < len(self.terms) and self.terms[place] == term
            else slice(0, 0)
            for place, term in zip(places, asked, strict=True)
        ]


def read_postings(sparse: Any) -> Postings:
    """Of an Arrow array of binaries: pairs of a term (uint32) and its count (float32), little-endian."""
    import numpy

    _, offsets_buffer, pairs_buffer = sparse.buffers()
    offsets = numpy.frombuffer(offsets_buffer, dtype="<i4")[sparse.offset : sparse.offset + len(sparse) + 1]
    data = memoryview(pairs_buffer or b"")[int(offsets[0]) : int(offsets[-1])]
    pairs = numpy.frombuffer(data, dtype=[("term", "<u4"), ("count", "<f4")])
    rows = numpy.repeat(numpy.arange(len(sparse), dtype=numpy.int32), numpy.diff(offsets) // _PAIR_BYTES)
    order = pairs["term"].argsort(kind="stable")
    terms, starts = numpy.unique(pairs["term"][order], return_index=True)
    lengths = numpy.bincount(rows, weights=pairs["count"], minlength=len(sparse)).astype(numpy.float32)
    return Postings(
        terms=terms,
        starts=numpy.append(starts, len(pairs)),
        rows=rows[order],
        counts=pairs["count"][order],
        lengths=lengths,
    )


def score(parts: Sequence[Postings], question: Mapping[int, float], *, k1: float, b: float) -> list[Floats]:
    """BM25 of every row of every part for a question, which is terms and how often each is asked; 0 without any."""
    import numpy

    rows = sum(len(part.lengths) for part in parts)
    mean = sum(float(part.lengths.sum()) for part in parts) / rows if rows else 0.0
    scores = [numpy.zeros(len(part.lengths), dtype=numpy.float32) for part in parts]
    norms = [k1 * (1 - b + b * part.lengths / (mean or 1.0)) for part in parts]
    terms = numpy.fromiter(question, dtype="<u4", count=len(question))
    each_term = zip(*(part.of(terms) for part in parts), strict=True)
    for asked, slices in zip(question.values(), each_term, strict=False):  # no parts, no slices
        found = sum(each.stop - each.start for each in slices)
        weight = asked * (k1 + 1) * math.log(1 + (rows - found + 0.5) / (found + 0.5))
        for part, each, norm, total in zip(parts, slices, norms, scores, strict=True):
            having, counts = part.rows[each], part.counts[each]
            total[having] += weight * counts / (counts + norm[having])
    return scores
