"""Whether what was found has to do with the question at all; if not, no model is asked."""

from __future__ import annotations

from collections.abc import Sequence

from hanok.knowledge.values import Hit


def relevance(hits: Sequence[Hit]) -> float:
    """How near the nearest hit is, 0 to 1: by its meaning or by its words, whichever says more.

    What a base should ask for (`answer.min_relevance`) depends on its embedder: see docs/knowledge-answers.md.
    """
    return max((max(hit.similarity or 0.0, hit.coverage) for hit in hits), default=0.0)


def is_relevant(hits: Sequence[Hit], least: float) -> bool:
    """Whether an answer can be hoped for."""
    return bool(hits) and relevance(hits) >= least
