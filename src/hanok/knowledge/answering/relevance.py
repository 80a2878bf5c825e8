"""Whether what was found has to do with the question at all; if not, no model is asked."""

from __future__ import annotations

from collections.abc import Sequence

from hanok.knowledge.values import Hit


def relevance(hits: Sequence[Hit]) -> float:
    """How near the nearest hit is, 0 to 1: halfway between its meaning (cosine) and its words (coverage).

    Neither says it alone: unrelated questions share words with long documents, and embedders find something alike in
    everything. What a base should ask for (`answer.min_relevance`) is measured in docs/knowledge-answers.md.
    """
    return max(map(_near, hits), default=0.0)


def is_relevant(hits: Sequence[Hit], least: float) -> bool:
    """Whether an answer can be hoped for."""
    return bool(hits) and relevance(hits) >= least


def _near(hit: Hit) -> float:
    return hit.coverage if hit.similarity is None else (max(0.0, hit.similarity) + hit.coverage) / 2
