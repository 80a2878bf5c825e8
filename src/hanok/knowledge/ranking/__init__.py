"""Ranking: what words a text is looked up by, and in which order what was found is given.

`terms` runs where documents are ingested and questions asked; the rest where the store is, since it takes numpy, which
is imported when the first question comes. Why the figures are what they are: `docs/notes/retrieval-quality.md`.
"""

from hanok.knowledge.ranking.legs import Candidate, Legs
from hanok.knowledge.ranking.order import rank
from hanok.knowledge.ranking.terms import terms_of, terms_of_question

__all__ = ["Candidate", "Legs", "rank", "terms_of", "terms_of_question"]
