"""Passages with their vectors as rows of a collection. Pure.

Ids say which passage of which version of which document it is, so that writing one again writes over it: an ingest that
was killed can begin anew without duplicates. A version is named after its passages, too: a document that is cut into
others, or that others may read, is another version, and no passage of the one before can hide among its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from hanok.knowledge.values import Entry, Head, Passage, Row

ID_DIGITS = 40


def id_of(*, document: str, digest: str, ordinal: int, store: str = "") -> str:
    """At most 64 characters."""
    version = hashlib.sha256("\0".join((store, document, digest)).encode("utf-8", "surrogatepass")).hexdigest()
    return f"{version[:ID_DIGITS]}-{ordinal}"


def version_of(entry: Entry, content: str, title: str, passages: Sequence[Passage]) -> str:
    """SHA-256 in hex of all that is kept of a version but its vectors. `content` is that of its bytes."""
    marks = (entry.path, entry.reader, entry.type, entry.media_type, sorted(entry.metadata.items()))
    digest = hashlib.sha256(repr((content, marks, title)).encode())  # `repr` has a form for names that are not Unicode
    for passage in passages:
        digest.update(repr(passage).encode())
    return digest.hexdigest()


def row_of(
    entry: Entry,
    passage: Passage,
    *,
    digest: str,
    ordinal: int,
    title: str,
    terms: str,
    vector: bytes,
    now: int,
    store: str = "",
) -> Row:
    """One passage, without a head. `now` is in Unix seconds."""
    return Row(
        id=id_of(document=entry.uri, digest=digest, ordinal=ordinal, store=store),
        document=entry.uri,
        digest=digest,
        ordinal=ordinal,
        path=entry.path,
        title=title,
        text=passage.text,
        terms=terms,
        vector=vector,
        headings=passage.headings,
        page=passage.page,
        start=passage.start,
        end=passage.end,
        reader=entry.reader,
        store=store,
        metadata=entry.metadata,
        created_at=now,
    )


def head_of(
    entry: Entry,
    first: Passage,
    *,
    digest: str,
    title: str,
    passages: int,
    size: int,
    source: str,
    now: int,
    content: str = "",
    store: str = "",
) -> Head:
    """What the first passage says of a whole version. `size` is that of its file, in bytes."""
    return Head(
        document=entry.uri,
        path=entry.path,
        title=title,
        digest=digest,
        passages=passages,
        bytes=size,
        content=content,
        found=entry.version,
        source=source,
        type=entry.type,
        media_type=entry.media_type,
        prefixed=first.prefixed,
        reader=entry.reader,
        store=store,
        metadata=entry.metadata,
        written_at=now,
    )


def with_head(row: Row, head: Head, *, whole: bool) -> Row:
    """The first passage with its head."""
    return msgspec.structs.replace(row, head=msgspec.structs.replace(head, whole=whole))
