"""From what two legs found to what is given: one pure function that every store calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from hanok.knowledge.ranking.diversity import copies_last, diverse
from hanok.knowledge.ranking.fusion import fuse, unit
from hanok.knowledge.ranking.legs import Candidate, Legs
from hanok.knowledge.values import Hit, Query

if TYPE_CHECKING:
    from hanok.knowledge.ranking.fusion import Floats


def rank(legs: Legs, query: Query) -> list[Hit]:
    """The best `query.k` passages, the best first, with their scores, similarities and coverages."""
    found = legs.merged()
    if not found:
        return []
    vectors, question = unit(_rows([each.vector for each in found])), _question(query)
    scores = fuse(_sizes(found), vectors, question, lexical=query.lexical_weight, dense=query.dense_weight)
    pool = max(query.fetch_k, query.k) if query.mmr_lambda < 1 else len(found)
    terms = [frozenset(each.terms.split()) for each in found]
    order = _best(scores, pool)
    chosen = diverse(scores[order], vectors[order], count=len(order), relevance=query.mmr_lambda)
    given = copies_last([order[place] for place in chosen], terms, count=query.k)
    near = vectors @ question if question is not None else None
    return _told(given, found, terms, scores, near, frozenset(query.terms.split()))


def _told(
    given: Sequence[int],
    found: Sequence[Candidate],
    terms: Sequence[frozenset[str]],
    scores: Floats,
    near: Floats | None,
    asked: frozenset[str],
) -> list[Hit]:
    hits: list[Hit] = []
    last = 1.0
    for place in given:
        last = min(last, float(scores[place]))  # who sorts by score keeps the order that diversity made
        similarity = None if near is None else float(near[place])
        coverage = len(asked & terms[place]) / len(asked) if asked else 0.0
        hits.append(replace(found[place].hit, score=last, similarity=similarity, coverage=coverage))
    return hits


def _best(scores: Floats, count: int) -> list[int]:
    return [int(place) for place in (-scores).argsort(kind="stable")[:count]]


def _question(query: Query) -> Floats | None:
    return None if query.vector is None else unit(_rows([query.vector])[0])


def _sizes(found: Sequence[Candidate]) -> Floats:
    import numpy

    return numpy.array([abs(each.bm25) for each in found], dtype=numpy.float32)


def _rows(vectors: Sequence[bytes]) -> Floats:
    """Vectors as rows of a matrix. All have the dimensions of their collection."""
    import numpy

    return numpy.frombuffer(b"".join(vectors), dtype="<f4").reshape(len(vectors), -1)
