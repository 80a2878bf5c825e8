"""One score of two: how well the words fit, and how near the meaning is.

Scores are mixed, not places, since how far the best is ahead says much (Bruch, Gai and Ingber, *An Analysis of Fusion
Functions for Hybrid Retrieval*, ACM TOIS 2023); reciprocal ranks lost to words alone wherever we measured. Two things
make the mix insensitive to weights. Every candidate's vector is compared with the question's, also where only the words
found it. And the question is asked twice: the second time its vector stands half-way to those passages that came first
(Rocchio's relevance feedback; for vectors, Li et al., *Pseudo Relevance Feedback with Deep Language Models and Dense
Retrievers*, ACM TOIS 2023).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Floats = NDArray[numpy.floating[Any]]

FEEDBACK = 0.5
"""How far the question's vector moves to the mean of what came first."""
FEEDBACK_PASSAGES = 3


def fuse(bm25: Floats, vectors: Floats, question: Floats | None, *, lexical: float, dense: float) -> Floats:
    """Scores from 0 to 1 of candidates: `bm25` (n), unit `vectors` (n × dimensions), a unit `question`, two weights.

    Without a question's vector only words count. A candidate that words did not find has 0 there.
    """
    words = _of_best(bm25)
    if question is None or not dense:
        return words
    if not lexical or not bm25.any():
        return _spread(vectors @ question)
    share = lexical / (lexical + dense)
    first = share * words + (1 - share) * _spread(vectors @ question)
    return share * words + (1 - share) * _spread(vectors @ _moved(question, vectors, first))


def _moved(question: Floats, vectors: Floats, scores: Floats) -> Floats:
    best = (-scores).argsort(kind="stable")[:FEEDBACK_PASSAGES]
    return (1 - FEEDBACK) * question + FEEDBACK * unit(vectors[best].mean(axis=0))


def _of_best(scores: Floats) -> Floats:
    """Shares of the best: no word in common is 0 for BM25, wherever the last candidate stands."""
    size = abs(scores)
    return size / size.max() if size.any() else size


def _spread(scores: Floats) -> Floats:
    """From 0 for the lowest to 1 for the best: what cosines are low and high differs from embedder to embedder."""
    low, high = scores.min(), scores.max()
    return (scores - low) / (high - low) if high > low else scores * 0 + 1


def unit(vectors: Floats) -> Floats:
    """Of length 1, along the last axis; what has no length stays."""
    import numpy

    length = numpy.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / numpy.where(length > 0, length, 1)
