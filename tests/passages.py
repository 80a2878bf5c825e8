"""Puts passages into a running house's knowledge, without parsing or sources."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hanok.knowledge.embedding import embed, embedder_of
from hanok.knowledge.ranking.terms import terms_of
from hanok.knowledge.recipe import alias_of, collection_of, digest_of
from hanok.knowledge.values import EVERYONE, Head, Passage, Row, Shape
from hanok.wire import ANONYMOUS
from tests.conftest import RunningHouse

EMBED = {"name": "embed", "type": "embedding", "serve": {"engine": "sentence-encoder"}}


@dataclass(frozen=True, kw_only=True)
class Paper:
    """A document in passages."""

    path: str
    passages: Sequence[str]
    reader: str = EVERYONE
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    headings: tuple[str, ...] = ()


def fill(running: RunningHouse, base: str, *papers: Paper) -> None:
    """Write these into a declared base, as ingesting does."""
    asyncio.run_coroutine_threadsafe(_fill(running, base, papers), running.loop).result(120)


async def _fill(running: RunningHouse, base: str, papers: Sequence[Paper]) -> None:
    platform, library = running.house.loaded.platform, running.house.library
    declared = library.base(base)
    embedder = embedder_of(platform, declared)
    alias = alias_of(platform.name, base)
    name = collection_of(alias, digest_of(declared, embedder))
    rows = [row for paper in papers for row in _rows(paper)]
    vectors = await embed(running.house.tiered, embedder.name, [row.text for row in rows], caller=ANONYMOUS)
    await library.store.create(name, Shape(dimensions=len(vectors[0]) // 4, index=declared.index))
    await library.store.write(name, [_with_vector(row, vector) for row, vector in zip(rows, vectors, strict=True)])
    await library.store.point(alias, name)


def _rows(paper: Paper) -> list[Row]:
    digest = hashlib.sha256("".join(paper.passages).encode()).hexdigest()
    uri = f"file:///{paper.path}"
    rows: list[Row] = []
    start = 0
    for ordinal, text in enumerate(paper.passages):
        passage = Passage(text=text, start=start, end=start + len(text), headings=paper.headings)
        head = Head(
            document=uri, path=paper.path, title=paper.path, digest=digest, passages=len(paper.passages), bytes=1
        )
        rows.append(
            Row(
                id=f"{digest[:20]}-{ordinal}",
                document=uri,
                digest=digest,
                ordinal=ordinal,
                path=paper.path,
                title=paper.path,
                text=text,
                terms=terms_of(passage.read()),
                vector=b"",
                headings=paper.headings,
                start=start,
                end=start + len(text),
                reader=paper.reader,
                metadata=paper.metadata,
                head=head if ordinal == 0 else None,
            )
        )
        start += len(text) + 1
    return rows


def _with_vector(row: Row, vector: bytes) -> Row:
    import msgspec

    return msgspec.structs.replace(row, vector=vector)
