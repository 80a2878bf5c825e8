"""What one collection of Milvus Lite holds at a moment, and which of its rows count.

Lite finds out in every search, row by row, which rows were replaced or deleted since. But its segments never change,
and a row that was replaced or deleted once is so for good: so that is found out once for each segment, and then only
for what is new. What its log holds besides (at most some thousand rows) is one more part, made anew after each write.

This reads what Milvus Lite has in memory (`MADE_FOR`), not what it promises; see `lite_search`.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from hanok.knowledge.stores.lite_words import Postings, read_postings

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Mask = NDArray[numpy.bool_]

_MASKS = 16
"""Of expressions that were asked last, kept for each segment: a byte a row."""
_JSON = ("headings", "metadata")


class Part:
    """Rows in Arrow that do not change, but may come to be hidden. `places` tells a row by its primary key."""

    def __init__(self, table: Any, *, places: Mapping[str, int], seqs: Any, vectors: Any, segment: Any = None) -> None:
        import numpy

        self.vectors = vectors
        self.seqs = seqs
        self.live: Mask = numpy.ones(len(places), dtype=bool)
        self._table = table
        self._places = places
        self._segment = segment
        self._masks: dict[str, Mask] = {}

    @property
    def index(self) -> Any:
        """Lite's index of the vectors; None while Lite has not built one."""
        return None if self._segment is None else self._segment.indexes.get("embedding")

    @cached_property
    def postings(self) -> Postings:
        return read_postings(self._table.column("sparse").combine_chunks())

    def mask(self, expression: str, compiled: Any) -> Mask:
        """The rows that count and for which the expression holds, as Lite itself evaluates it."""
        evaluate_mask: Any = importlib.import_module("milvus_lite.search.filter").evaluate_mask

        if expression not in self._masks:
            while len(self._masks) >= _MASKS:
                self._masks.pop(next(iter(self._masks)), None)
            self._masks[expression] = evaluate_mask(compiled, self._table)
        return self._masks[expression] & self.live

    def record(self, row: int, fields: list[str]) -> dict[str, Any]:
        """The row's values of these fields."""
        found = {name: self._columns[name][row].as_py() for name in fields}
        return found | {name: msgspec.json.decode(found[name]) for name in _JSON if name in found}

    def away(self, rows: Any, question: Any, metric: str) -> Any:
        """How far these rows' vectors are from the question's: 32-bit floats that order rows, no more."""
        near = self.vectors[rows] @ question
        if metric == "IP":
            return -near
        return self._squares[rows] - 2 * near if metric == "L2" else -near / self._lengths[rows]

    @cached_property
    def _columns(self) -> dict[str, Any]:
        return dict(zip(self._table.column_names, self._table.columns, strict=True))

    @cached_property
    def _squares(self) -> Any:
        import numpy

        return numpy.einsum("ij,ij->i", self.vectors, self.vectors)

    @cached_property
    def _lengths(self) -> Any:
        """Of vectors; what has none is as far as what stands at a right angle."""
        import numpy

        return numpy.sqrt(numpy.where(self._squares > 0, self._squares, numpy.inf))

    def hide_replaced(self, other: Part) -> None:
        """Rows that stand in another part, too, count in the later one; where they are the same, in that other one."""
        for key in self._places.keys() & other._places.keys():
            here, there = self._places[key], other._places[key]
            if self.seqs[here] > other.seqs[there]:
                other.live[there] = False
            else:
                self.live[here] = False

    def hide_deleted(self, deleted: Mapping[str, int]) -> None:
        """Rows that were deleted after they were written: `deleted` tells when, in Lite's count of writes."""
        for key in self._places.keys() & deleted.keys():
            if deleted[key] > self.seqs[self._places[key]]:
                self.live[self._places[key]] = False


class Parts:
    """The parts of one collection, brought up to date before each search. For threads."""

    def __init__(self, collection: Any) -> None:
        self.collection = collection
        self._lock = threading.Lock()
        self._segments: dict[Any, Part] = {}
        self._version = -1
        self._log: Any = None
        self._log_size: tuple[int, ...] = ()
        self._logged: Part | None = None
        self._deletes: Mapping[str, int] = {}

    def now(self) -> list[Part]:
        with self._lock:
            self._read_log()
            logged = [] if self._logged is None else [self._logged]
            return [*self._segments.values(), *logged]

    def _read_log(self) -> None:
        """The log first: what is moved from it into a segment meanwhile stands twice, never nowhere."""
        log = self.collection._memtable
        with log._lock:
            size = (len(log._insert_batches), len(log._pk_index), len(log._delete_index))
            same = log is self._log and size == self._log_size  # writes make the first larger, deletes the last
            read = None if same else (log.to_search_snapshot(None, include_table=True), log.delete_index_snapshot())
        moved = log is not self._log
        fresh = self._read_segments() if moved or self.collection._manifest.version != self._version else False
        if read is not None:
            (keys, seqs, _, _, table), deletes = read
            self._logged = _part_of(keys, seqs, table) if keys else None
            self._deletes = {key: seq for key, (seq, _) in deletes.items()}
            self._log, self._log_size = log, size
        if read is not None or fresh:
            self._hide_by_log()

    def _hide_by_log(self) -> None:
        for part in self._segments.values():
            part.hide_deleted(self._deletes)
            if self._logged is not None:
                self._logged.hide_replaced(part)

    def _read_segments(self) -> bool:
        """Take in what Lite flushed or compacted. Lite changes both under this lock of its own."""
        with self.collection._maintenance_lock:
            version = self.collection._manifest.version
            segments, deleted = self.collection._read_snapshot()
        if version == self._version:
            return False
        known, self._segments = self._segments, {}
        for segment in sorted(segments, key=lambda each: each not in known):
            part = known.get(segment) or _part_of_segment(segment)
            if segment not in known:
                for other in self._segments.values():
                    part.hide_replaced(other)
            self._segments[segment] = part
        for part in self._segments.values():
            part.hide_deleted(deleted._map)
        self._version = version
        return True


def _part_of_segment(segment: Any) -> Part:
    return Part(segment.table, places=segment.pk_to_row, seqs=segment.seqs, vectors=segment.vectors, segment=segment)


def _part_of(keys: list[str], seqs: Any, table: Any) -> Part:
    from milvus_lite.storage.segment import _extract_vector_array  # pyright: ignore

    vectors, _ = _extract_vector_array(table.column("embedding"))
    return Part(table, places={key: place for place, key in enumerate(keys)}, seqs=seqs, vectors=vectors)
