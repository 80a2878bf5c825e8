"""The two legs of a search: passages that have the question's words, and passages that mean something near."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hanok.knowledge.values import Hit


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A passage that a leg found. `terms` and `vector` are those of its `Row`; what `hit` says of scores is not read.

    `bm25` is the words' leg's own score, 0 in the other leg. Only its size counts: Milvus Lite tells it negative, a
    server positive. It is never held against a score of another collection, whose statistics are others.
    """

    hit: Hit
    terms: str
    vector: bytes
    bm25: float = 0.0


class Legs(msgspec.Struct, frozen=True, kw_only=True):
    """What each leg found, at most `Query.fetch_k`; a passage may be in both. A leg that was not asked is empty."""

    lexical: Sequence[Candidate] = ()
    dense: Sequence[Candidate] = ()

    def merged(self) -> list[Candidate]:
        """Every passage once, by `id`, so that equals stand in one order, and as the words' leg has it."""
        found = {each.hit.id: each for each in self.dense} | {each.hit.id: each for each in self.lexical}
        return [found[name] for name in sorted(found)]
