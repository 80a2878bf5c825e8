"""The order of candidates by reciprocal rank fusion, without diversity."""

from __future__ import annotations

from array import array
from math import sqrt
from operator import mul

import msgspec

from hanok.knowledge.stores.legs import Candidate, Legs, words
from hanok.knowledge.values import Hit, Query

_K = 60


def rank(legs: Legs, query: Query) -> list[Hit]:
    """The best `k` of both legs."""
    scores: dict[str, float] = {}
    found: dict[str, Candidate] = {}
    for leg, weight in ((legs.dense, query.dense_weight), (legs.lexical, query.lexical_weight)):
        for place, candidate in enumerate(leg, 1):
            found[candidate.hit.id] = candidate
            scores[candidate.hit.id] = scores.get(candidate.hit.id, 0.0) + weight / (_K + place)
    most = (query.dense_weight * bool(query.vector) + query.lexical_weight * bool(query.terms)) / (_K + 1) or 1.0
    best = sorted(found.values(), key=lambda each: (-scores[each.hit.id], each.hit.id))[: query.k]
    return [_as_hit(each, query, scores[each.hit.id] / most) for each in best]


def _as_hit(candidate: Candidate, query: Query, score: float) -> Hit:
    asked = set(words(query.terms))
    coverage = len(asked & set(words(candidate.terms))) / len(asked) if asked else 0.0
    similarity = cosine(candidate.vector, query.vector) if query.vector else None
    return msgspec.structs.replace(candidate.hit, score=score, similarity=similarity, coverage=coverage)


def cosine(one: bytes, other: bytes) -> float:
    """The cosine of two vectors; 0 where one has no length."""
    first, second = array("f", one), array("f", other)
    lengths = sqrt(sum(map(mul, first, first)) * sum(map(mul, second, second)))
    return sum(map(mul, first, second)) / lengths if lengths else 0.0
