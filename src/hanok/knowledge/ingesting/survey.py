"""What an ingest would find to do: sources held against the collection, nothing read."""

from __future__ import annotations

import msgspec

from hanok.errors import SourceUnreadable
from hanok.knowledge.embedding import embedder_of
from hanok.knowledge.ingesting.compare import NOTHING, gone, is_unchanged, known_of
from hanok.knowledge.ingesting.ingest import OpenTools, remembered_refusals
from hanok.knowledge.ingesting.notes_store import Notes
from hanok.knowledge.ingesting.refusals import Refusals
from hanok.knowledge.ingesting.report import SilentSource
from hanok.knowledge.recipe import alias_of, digest_of
from hanok.knowledge.store import Store
from hanok.knowledge.values import Entry, Head
from hanok.spec import Knowledge, Loaded


class Survey(msgspec.Struct, kw_only=True):
    """Numbers of documents. `unsure` are those whose source does not tell versions: they would have to be read.
    `refused` are those that were refused and have not changed since: they would not be tried again.

    `documents` and `passages` are what is in the base, `exists` says whether it was ever filled.
    """

    exists: bool = False
    documents: int = 0
    passages: int = 0
    new: int = 0
    changed: int = 0
    unsure: int = 0
    refused: int = 0
    unchanged: int = 0
    gone: int = 0
    silent: list[SilentSource] = []


async def survey(loaded: Loaded, base: Knowledge, store: Store, tools: OpenTools) -> Survey:
    """Raises `StoreError`."""
    alias = alias_of(loaded.platform.name, base.name)
    heads = await store.heads(alias)
    whole = [head for head in heads if head.whole]
    known = known_of(heads)
    found = Survey(
        exists=await store.describe(alias) is not None,
        documents=len({head.document for head in whole}),
        passages=sum(head.passages for head in whole),
    )
    refusals = _refusals(loaded, base)
    seen: set[str] = set()
    silent: set[str] = set()
    async with tools(loaded, base) as opened:
        declared = {source.mark for source in opened.sources}
        for source in opened.sources:
            try:
                async for entry in source.opened.entries():
                    if entry.uri not in seen:
                        seen.add(entry.uri)
                        _count(found, entry, known.get(entry.uri, NOTHING).current, source.mark, refusals)
            except SourceUnreadable as error:
                silent.add(source.mark)
                found.silent.append(SilentSource(source=source.name, message=error.message, hint=error.hint or ""))
    found.gone = sum(1 for _ in gone(known, seen, silent=silent, declared=declared))
    return found


def _refusals(loaded: Loaded, base: Knowledge) -> Refusals:
    digest = digest_of(base, embedder_of(loaded.platform, base))
    return remembered_refusals(base, digest, Notes(loaded.state, base.name).refusals())


def _count(found: Survey, entry: Entry, current: Head | None, source: str, refusals: Refusals) -> None:
    if is_unchanged(entry, current, source):
        found.unchanged += 1
    elif refusals.of_version(entry) is not None:
        found.refused += 1
    elif current is None:
        found.new += 1
    elif entry.version:
        found.changed += 1
    else:
        found.unsure += 1
