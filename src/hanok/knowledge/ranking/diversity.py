"""Not the same twice among what is given.

Copies (nearly the same words, as in two versions of a page) stand behind everything else, always: that costs nothing.
Beyond that there is maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998), as declared: the next passage is
the one with the most of λ · score − (1 − λ) · its highest cosine to those before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hanok.knowledge.ranking.fusion import Floats

COPY = 0.9
"""The share of common terms (of all that two passages have: Jaccard's) from which on they are copies."""


def diverse(scores: Floats, vectors: Floats, *, count: int, relevance: float) -> list[int]:
    """Places of the candidates in order, `count` of them; `relevance` is λ. Vectors have length 1."""
    rest = [int(place) for place in (-scores).argsort(kind="stable")]
    if relevance >= 1:
        return rest[:count]
    near = vectors @ vectors.T
    worth = relevance * scores
    taken: list[int] = []
    while rest and len(taken) < count:
        marginal = worth[rest] - (1 - relevance) * near[rest][:, taken].max(axis=1) if taken else worth[rest]
        taken.append(rest.pop(int(marginal.argmax())))
    return taken


def copies_last(order: Sequence[int], terms: Sequence[frozenset[str]], *, count: int) -> list[int]:
    """The first `count` of that order that are no copies of one before them, filled up with copies."""
    kept: list[int] = []
    copies: list[int] = []
    for place in order:
        if len(kept) == count:
            break
        (copies if any(_same(terms[place], terms[other]) for other in kept) else kept).append(place)
    return [*kept, *copies][:count]


def _same(one: frozenset[str], other: frozenset[str]) -> bool:
    if not COPY * len(one) <= len(other) <= len(one) / COPY:  # then they cannot be
        return False
    common = len(one & other)
    return common > 0 and common >= COPY * (len(one) + len(other) - common)
