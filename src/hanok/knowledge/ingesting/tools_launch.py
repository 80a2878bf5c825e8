"""The sources of a base, opened, and parser processes for their documents."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from functools import partial

from hanok.errors import DocumentRefused, SourceUnreadable
from hanok.knowledge.ingesting.compare import source_mark
from hanok.knowledge.ingesting.ingest import Tools
from hanok.knowledge.ingesting.run import MIB, EmbedUnits, OpenSource
from hanok.knowledge.parsing.client import Parsers
from hanok.knowledge.parsing.kinds import is_known
from hanok.knowledge.source import Opened
from hanok.knowledge.sources.listing import Surroundings, place_of
from hanok.knowledge.sources.table import open_source
from hanok.knowledge.values import Entry, Passage
from hanok.spec import Knowledge, Loaded, Source

PARSERS = 2
"""Parser processes: more than a model on the same machine can keep up with."""


@contextlib.asynccontextmanager
async def open_tools(loaded: Loaded, base: Knowledge) -> AsyncGenerator[Tools]:
    """What an ingest of that base works with; closed on the way out. A source that cannot be opened is silent."""
    around = Surroundings(
        folder=loaded.folder,
        state=loaded.state,
        known=is_known,
        largest_bytes=int(base.parse.max_file_mib * MIB),
    )
    async with contextlib.AsyncExitStack() as stack:
        parsers = Parsers(processes=PARSERS)
        stack.push_async_callback(parsers.aclose)
        sources = [_open(source, around) for source in base.sources]
        for source in sources:
            stack.push_async_callback(source.opened.aclose)
        reading = partial(_passages, parsers, base)
        yield Tools(sources=sources, read_passages=reading, readers=PARSERS + 1, warm=parsers.warm)


def _open(source: Source, around: Surroundings) -> OpenSource:
    try:
        opened: Opened = open_source(source, around)
    except SourceUnreadable as error:
        opened = _Closed(error)
    return OpenSource(mark=source_mark(source), name=f"{source.kind} {place_of(source)}", opened=opened)


async def _passages(
    parsers: Parsers, base: Knowledge, entry: Entry, data: bytes, embed: EmbedUnits
) -> tuple[str, Sequence[Passage]]:
    parted = await parsers.parse_and_split(entry, data, base.parse, base.splits)
    return parted.title, await parted.passages(embed)


class _Closed:
    """A source that cannot be opened as declared."""

    def __init__(self, error: SourceUnreadable) -> None:
        self._error = error

    async def entries(self) -> AsyncIterator[Entry]:
        raise self._error
        yield  # an iterator that ends before it begins

    async def read(self, entry: Entry, limit_bytes: int) -> bytes:  # noqa: ARG002
        raise DocumentRefused(f"{entry.path}: {self._error.message}", code="source")

    async def aclose(self) -> None:
        pass
