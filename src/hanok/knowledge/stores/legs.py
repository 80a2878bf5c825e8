"""What a store's two searches found, handed to ranking: candidates with all that ranking looks at."""

from __future__ import annotations

import re

import msgspec

from hanok.knowledge.values import Hit, Row

_WORD = re.compile(r"\w+")


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A passage that may be given: as a hit without scores, and what is compared: its vector and its terms."""

    hit: Hit
    terms: str
    vector: bytes
    bm25: float = 0.0


class Legs(msgspec.Struct, frozen=True, kw_only=True):
    """What was found by meaning and by words, each the best first, at most `fetch_k`."""

    lexical: list[Candidate] = []
    dense: list[Candidate] = []


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
