"""Whether what was found has to do with the question at all; if not, no model is asked."""

from __future__ import annotations

from collections.abc import Sequence

from hanok.knowledge.values import Hit


def relevance(hits: Sequence[Hit]) -> float:
    """How near the nearest hit is, 0 to 1: its meaning (cosine), or halfway to its words (coverage) if that is more.

    Words alone do not say it, as unrelated questions share some with long documents; without any there is still the
    meaning: a question may be in another language than the documents. `answer.min_relevance` is measured in
    docs/knowledge-answers.md.
    """
    return max(map(_near, hits), default=0.0)


def is_relevant(hits: Sequence[Hit], least: float) -> bool:
    """Whether an answer can be hoped for."""
    return bool(hits) and relevance(hits) >= least


def _near(hit: Hit) -> float:
    if hit.similarity is None:
        return hit.coverage
    meaning = max(0.0, hit.similarity)
    return max(meaning, (meaning + hit.coverage) / 2)
