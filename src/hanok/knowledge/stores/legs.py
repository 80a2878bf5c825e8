"""Rows as what a store's two searches hand to ranking."""

from __future__ import annotations

import re

from hanok.knowledge.ranking import Candidate
from hanok.knowledge.values import Hit, Row

_WORD = re.compile(r"\w+")


def words(terms: str) -> list[str]:
    """Terms as the `standard` analyzer of Milvus cuts them: runs of letters, digits and `_`, in lower case."""
    return _WORD.findall(terms.lower())


def as_candidate(row: Row, bm25: float = 0.0) -> Candidate:
    """A row as a candidate."""
    return Candidate(hit=as_hit(row), vector=row.vector, terms=row.terms, bm25=bm25)


def as_hit(row: Row) -> Hit:
    """A row as a hit without scores."""
    return Hit(
        id=row.id,
        document=row.document,
        digest=row.digest,
        ordinal=row.ordinal,
        path=row.path,
        title=row.title,
        text=row.text,
        headings=row.headings,
        page=row.page,
        start=row.start,
        end=row.end,
        reader=row.reader,
        metadata=row.metadata,
        created_at=row.created_at,
        score=0.0,
    )
