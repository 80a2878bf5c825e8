"""Both legs of a search in Milvus Lite, where Lite's own time grows with every row there is.

Lite is asked for what takes care (what a filter means, which rows there are, its HNSW index), and what it does for
each row in Python is left out: telling which rows count (`lite_parts`) and adding up BM25 (`lite_words`). The
expression that limits a search is the one that Lite would be asked with, and Lite evaluates it: who may read what does
not hang on this. It reads what Lite has in memory, so it is for the versions that it was tried with. For all others
there is no `LiteSearch`, and Lite searches itself. Why: `docs/decisions/012`.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hanok.knowledge.ranking import Candidate, Legs
from hanok.knowledge.stores import milvus_schema as schema
from hanok.knowledge.stores.lite_parts import Part, Parts
from hanok.knowledge.stores.lite_words import score as score_words
from hanok.knowledge.values import Query, Shape

if TYPE_CHECKING:
    from hanok.knowledge.stores.lite_parts import Mask

MADE_FOR = ("3.2.2",)
"""Versions of Milvus Lite that `tests/seams/test_lite_search.py` was passed with."""
COMPARED = 1000
"""Where a filter leaves so many rows of a part or fewer, all are compared: the index would miss some."""
_EF_LIMIT = 1024
_FIELDS = [*schema.HIT_FIELDS, "terms"]
_Found = tuple[float, int, int]
"""A distance (or a score below 0), the part's place and the row's."""


class LiteSearch:
    """Searches collections of an open Milvus Lite. For threads."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self._parts: dict[str, Parts] = {}
        self._opening = threading.Lock()

    def search(self, name: str, shape: Shape, query: Query, expression: str) -> Legs:
        """What both legs find in the collection `name` (no alias), which is loaded."""
        parts = self._of(name)
        compiled = parts.collection._compile_filter(expression)
        now = parts.now()
        masks = [part.mask(expression, compiled) for part in now]
        lexical = self._by_words(parts.collection, now, masks, query) if query.terms.strip() else []
        dense = _by_meaning(now, masks, query, shape) if query.vector else []
        return Legs(lexical=_candidates(now, lexical), dense=_candidates(now, [(0.0, at, row) for _, at, row in dense]))

    def _of(self, name: str) -> Parts:
        collection = self._database.get_collection(name)
        with self._opening:
            if name not in self._parts or self._parts[name].collection is not collection:
                self._parts[name] = Parts(collection)
            return self._parts[name]

    def forget(self) -> None:
        """Collections may be gone."""
        with self._opening:
            self._parts = {name: kept for name, kept in self._parts.items() if self._database.has_collection(name)}

    def _by_words(self, collection: Any, parts: Sequence[Part], masks: Sequence[Mask], query: Query) -> list[_Found]:
        terms = schema.cut(query.terms, schema.LIMIT_BYTES)
        (question,) = collection._prepare_sparse_queries([terms], "sparse")
        k1, b = _parameters(collection)
        scores = score_words([part.postings for part in parts], question, k1=k1, b=b)
        each_part = zip(masks, scores, strict=True)
        found = (_highest(mask, scored, query.fetch_k, at) for at, (mask, scored) in enumerate(each_part))
        return _nearest(found, query.fetch_k)


def open_lite_search(uri: str) -> LiteSearch | None:
    """For the Milvus Lite that pymilvus has opened in this process; None where that is of an unknown version."""
    from importlib.metadata import version

    if version("milvus-lite") not in MADE_FOR:
        return None
    manager: Any = importlib.import_module("milvus_lite.server_manager").server_manager_instance
    entry = manager._servers.get(str(Path(uri).absolute()))
    return None if entry is None else LiteSearch(entry[1])


def _parameters(collection: Any) -> tuple[float, float]:
    """k1 and b, as Lite reckons with them: it forgets what an index was made with, and then has its own."""
    told = collection._index_specs["sparse"].build_params
    return float(told.get("bm25_k1", 1.5)), float(told.get("bm25_b", 0.75))


def _highest(mask: Mask, scores: Any, count: int, at: int) -> list[_Found]:
    """The rows of the highest scores above 0; of equal ones, those that were written first."""
    import numpy

    rows = numpy.flatnonzero(mask & (scores > 0))
    if len(rows) > count:
        least = numpy.partition(scores[rows], -count)[-count]
        rows = rows[scores[rows] >= least]
    order = rows[(-scores[rows]).argsort(kind="stable")[:count]]
    return [(-float(scores[row]), at, int(row)) for row in order]


def _by_meaning(parts: Sequence[Part], masks: Sequence[Mask], query: Query, shape: Shape) -> list[_Found]:
    import numpy

    question = numpy.frombuffer(query.vector or b"", dtype="<f4")
    asked = schema.searching(shape.index, ef=query.ef, nprobe=query.nprobe, fetch_k=query.fetch_k)["params"]
    each_part = enumerate(zip(parts, masks, strict=True))
    found = (_near(part, mask, question, asked, shape, query.fetch_k, at) for at, (part, mask) in each_part)
    return _nearest(found, query.fetch_k)


def _near(
    part: Part, mask: Mask, question: Any, asked: dict[str, int], shape: Shape, count: int, at: int
) -> list[_Found]:
    rows = _choose(part, mask, question, asked, shape, count)
    distances = part.away(rows, question, shape.index.metric)
    order = distances.argsort(kind="stable")[:count]
    return [(float(distances[place]), at, int(rows[place])) for place in order]


def _choose(part: Part, mask: Mask, question: Any, asked: dict[str, int], shape: Shape, count: int) -> Any:
    """Rows among which the nearest are: what the index finds, or all where there are few or no index yet."""
    import numpy

    fitting, index = int(mask.sum()), part.index
    if index is None or fitting <= min(COMPARED, len(mask) - 1):
        return numpy.flatnonzero(mask)
    if shape.index.type == "HNSW":
        return _walk(index, mask, question, asked["ef"] * len(mask) // fitting, count)
    (rows,), _ = index.search(question[None], count, valid_mask=None if mask.all() else mask, params=asked)
    return rows[rows >= 0]


def _walk(index: Any, mask: Mask, question: Any, ef: int, count: int) -> Any:
    """Through the graph of HNSW. The fewer rows of it fit, the more of it is looked at (`ef`)."""
    import numpy

    faiss: Any = importlib.import_module("faiss")

    length = float(numpy.linalg.norm(question)) if index.metric == "COSINE" else 1.0
    bits = numpy.packbits(mask, bitorder="little")
    fitting: Any = None if mask.all() else faiss.IDSelectorBitmap(bits)
    parameters = faiss.SearchParametersHNSW(efSearch=min(ef, _EF_LIMIT), sel=fitting)
    _, (rows,) = index._index.search(question[None] / (length or 1.0), count, params=parameters)
    return rows[rows >= 0]


def _nearest(found: Iterable[list[_Found]], count: int) -> list[_Found]:
    return sorted(each for some in found for each in some)[:count]


def _candidates(parts: Sequence[Part], found: Sequence[_Found]) -> list[Candidate]:
    return [_candidate(parts[at], row, score) for score, at, row in found]


def _candidate(part: Part, row: int, score: float) -> Candidate:
    record = part.record(row, _FIELDS)
    vector = part.vectors[row].astype("<f4", copy=False).tobytes()
    return Candidate(hit=schema.as_hit(record), vector=vector, terms=record["terms"], bm25=score)
