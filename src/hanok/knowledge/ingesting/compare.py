"""Which documents are to be read: what the sources have, held against the heads in the collection. Pure.

A document whose newest whole version has the source's own version is left alone without being read. Versions that are
not whole were left by an ingest that was killed, and are done again.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from hanok.knowledge.sources.listing import place_of
from hanok.knowledge.values import Entry, Head
from hanok.spec import Source
from hanok.wire import json_bytes


@dataclass(frozen=True, kw_only=True)
class Known:
    """What the collection has of one document: its newest whole version, if any, and whether there are others.

    `source` is where it came from, `readers` who may read any of them.
    """

    current: Head | None = None
    others: bool = False
    source: str = ""
    readers: frozenset[str] = frozenset()


NOTHING = Known()


def known_of(heads: Iterable[Head]) -> dict[str, Known]:
    """What is known, by document."""
    grouped: defaultdict[str, list[Head]] = defaultdict(list)
    for head in heads:
        grouped[head.document].append(head)
    return {document: _known(found) for document, found in grouped.items()}


def _known(heads: list[Head]) -> Known:
    whole = [head for head in heads if head.whole]
    current = max(whole, key=lambda head: head.written_at, default=None)
    return Known(
        current=current,
        others=len(heads) > (current is not None),
        source=(current or heads[-1]).source,
        readers=frozenset(head.reader for head in heads),
    )


def is_unchanged(entry: Entry, head: Head | None, source: str) -> bool:
    """Whether a document need not be read: its source says that it is as it was, and all that we say of it holds."""
    return head is not None and bool(entry.version) and entry.version == head.found and is_told(entry, head, source)


def is_told(entry: Entry, head: Head, source: str) -> bool:
    """Whether what is kept besides the text is as it should be."""
    return head.path == entry.path and head.source == source and has_same_marks(entry, head)


def has_same_marks(entry: Entry, head: Head) -> bool:
    """Whether what stands on every passage is the same, as who may read it, and what the document is read as."""
    told = (entry.reader, dict(entry.metadata), entry.path, entry.type, entry.media_type)
    return told == (head.reader, dict(head.metadata), head.path, head.type, head.media_type)


def gone(
    known: dict[str, Known], seen: Collection[str], *, silent: Collection[str], declared: Collection[str]
) -> Iterator[str]:
    """Documents that no source has any more; those from a source that is `silent` may be there still.

    A source that is `declared` no more may be a silent one under the name that it had before a slip of the pen, so its
    documents stay until every source has spoken.
    """
    kept = {each.source for each in known.values() if silent and each.source not in declared}.union(silent)
    return (document for document, each in known.items() if document not in seen and each.source not in kept)


def source_mark(source: Source) -> str:
    """A short word for a source, the same as long as it is the same place."""
    told = [source.kind, place_of(source), source.ref or "", source.subfolder]
    return hashlib.sha256(json_bytes(told)).hexdigest()[:12]
