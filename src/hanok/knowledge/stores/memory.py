"""Passages in memory: every search looks at every passage. For tests, and to see what the other stores must do.

It needs nothing but numpy, keeps nothing, and answers as Milvus does: by meaning in the collection's metric, by words
with BM25 over the passages that may be read.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import log, sqrt
from operator import mul

from hanok.errors import StoreError
from hanok.knowledge.filters import holds, read_filter
from hanok.knowledge.ranking import Candidate, Legs, rank
from hanok.knowledge.stores.checks import check_name, check_question, check_rows, check_same
from hanok.knowledge.values import Collection, Head, Hit, Query, Row, Shape
from hanok.spec import Metric

_WORD = re.compile(r"\w+")
_K1, _B = 1.2, 0.75
"""BM25's usual constants, which Milvus takes, too."""


class MemoryStore:
    """Collections of passages in this process."""

    def __init__(self) -> None:
        self._shapes: dict[str, Shape] = {}
        self._rows: dict[str, dict[str, Row]] = {}
        self._aliases: dict[str, str] = {}

    async def describe(self, name: str) -> Collection | None:
        name = self._meant(name)
        if name not in self._shapes:
            return None
        return Collection(name=name, shape=self._shapes[name], passages=len(self._rows[name]))

    async def list_collections(self) -> list[str]:
        return sorted(self._shapes)

    async def create(self, name: str, shape: Shape) -> None:
        check_name(name)
        if name in self._aliases:
            raise StoreError(f"{name} is an alias already", hint="give the collection another name")
        check_same(name, self._shapes.setdefault(name, shape), shape)
        self._rows.setdefault(name, {})

    async def drop(self, name: str) -> None:
        self._shapes.pop(name, None)
        self._rows.pop(name, None)
        self._aliases = {alias: meant for alias, meant in self._aliases.items() if meant != name}

    async def point(self, alias: str, name: str) -> None:
        check_name(alias)
        self._existing(name)
        if alias in self._shapes:
            raise StoreError(f"{alias} is a collection already", hint="give the alias another name")
        self._aliases[alias] = self._meant(name)

    async def write(self, name: str, rows: Sequence[Row]) -> None:
        kept = self._existing(name)
        check_rows(rows, self._shapes[self._meant(name)])
        kept.update((row.id, row) for row in rows)

    async def remove(self, name: str, *, document: str, store: str = "", keep: str | None = None) -> None:
        self._remove(name, lambda row: row.document == document and row.store == store and row.digest != keep)

    async def remove_store(self, name: str, store: str) -> None:
        self._remove(name, lambda row: row.store == store)

    async def heads(self, name: str, *, store: str = "") -> list[Head]:
        return [row.head for row in self._kept(name) if row.head is not None and row.store == store]

    async def passages(
        self, name: str, *, document: str, digest: str, first: int, last: int, readers: Sequence[str], store: str = ""
    ) -> list[Hit]:
        found = [
            row
            for row in self._kept(name)
            if row.document == document and row.digest == digest and first <= row.ordinal <= last
            if row.reader in readers and row.store == store
        ]
        return [_as_hit(row) for row in sorted(found, key=lambda row: row.ordinal)]

    async def search(self, name: str, query: Query) -> list[Hit]:
        condition = read_filter(query.filter)
        shape = self._shapes.get(self._meant(name))
        if shape is None:
            return []
        check_question(name, query.vector, shape)
        rows = [
            row
            for row in self._kept(name)
            if row.reader in query.readers and row.store == query.store and holds(condition, row.metadata)
        ]
        dense = _by_meaning(rows, query.vector, shape.index.metric) if query.vector else []
        lexical = _by_words(rows, _words(query.terms))
        best = [_as_candidate(row, bm25) for bm25, row in _best(lexical, query.fetch_k)]
        return rank(Legs(lexical=best, dense=[_as_candidate(row) for _, row in _best(dense, query.fetch_k)]), query)

    async def aclose(self) -> None:
        pass

    def _meant(self, name: str) -> str:
        return self._aliases.get(name, name)

    def _kept(self, name: str) -> Iterable[Row]:
        return list(self._rows.get(self._meant(name), {}).values())

    def _existing(self, name: str) -> dict[str, Row]:
        rows = self._rows.get(self._meant(name))
        if rows is None:
            raise StoreError(f"there is no collection {name}", hint="create it first")
        return rows

    def _remove(self, name: str, meant: Callable[[Row], bool]) -> None:
        rows = self._rows.get(self._meant(name), {})
        for row in [row for row in rows.values() if meant(row)]:
            del rows[row.id]


def _best(scored: Iterable[tuple[float, Row]], count: int) -> list[tuple[float, Row]]:
    return sorted(scored, key=lambda pair: (-pair[0], pair[1].id))[:count]


def _by_meaning(rows: Iterable[Row], vector: bytes, metric: Metric) -> list[tuple[float, Row]]:
    near = {"COSINE": _cosine, "IP": _product, "L2": _nearness}[metric]
    return [(near(row.vector, vector), row) for row in rows]


def _cosine(one: bytes, other: bytes) -> float:
    lengths = sqrt(_product(one, one) * _product(other, other))
    return _product(one, other) / lengths if lengths else 0.0


def _product(one: bytes, other: bytes) -> float:
    return sum(map(mul, array("f", one), array("f", other)))


def _nearness(one: bytes, other: bytes) -> float:
    return -sum((a - b) ** 2 for a, b in zip(array("f", one), array("f", other), strict=True))


def _words(terms: str) -> list[str]:
    """As the `standard` analyzer of Milvus cuts them: runs of letters, digits and `_`, in lower case."""
    return _WORD.findall(terms.lower())


def _by_words(rows: Sequence[Row], asked: Sequence[str]) -> list[tuple[float, Row]]:
    """BM25 (Robertson and Zaragoza 2009, equation 3.15) of the rows that have one of the words or more."""
    counted = [(Counter(_words(row.terms)), row) for row in rows] if asked else []
    lengths = sum(counts.total() for counts, _ in counted) / len(counted) if counted else 0.0
    rarity = {word: _rarity(sum(word in counts for counts, _ in counted), len(counted)) for word in asked}
    scored = [(sum(rarity[word] * _weight(counts, word, lengths) for word in asked), row) for counts, row in counted]
    return [(score, row) for score, row in scored if score > 0]


def _rarity(having: int, of: int) -> float:
    return log(1 + (of - having + 0.5) / (having + 0.5))


def _weight(counts: Counter[str], word: str, usual_length: float) -> float:
    often = counts[word]
    return often * (_K1 + 1) / (often + _K1 * (1 - _B + _B * counts.total() / usual_length)) if often else 0.0


def _as_candidate(row: Row, bm25: float = 0.0) -> Candidate:
    return Candidate(hit=_as_hit(row), vector=row.vector, terms=row.terms, bm25=bm25)


def _as_hit(row: Row) -> Hit:
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
