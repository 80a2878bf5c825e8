"""From what a source lists to entries, and from a thread that lists to a loop that takes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from hanok.errors import DocumentRefused, SourceUnreadable
from hanok.knowledge.values import EVERYONE, Entry
from hanok.spec import Source
from hanok.web.place import without_password

AT_ONCE = 200
"""Entries that a thread hands over together."""
MIB = 1024 * 1024


def _every(_path: str) -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a source is opened in.

    `folder` is that of platform.yaml, `state` the state folder; `known` says of a path whether its format can be read;
    files beyond `largest_bytes` need not be fetched, since nobody will read them.
    """

    folder: Path
    state: Path
    known: Callable[[str], bool] = _every
    largest_bytes: int = 50 * MIB


def entry_of(source: Source, *, uri: str, path: str, version: str, media_type: str | None = None) -> Entry:
    """A document of that source, with what is declared for all of them."""
    return Entry(
        uri=uri,
        path=path,
        version=version,
        media_type=media_type,
        type=source.type,
        reader=source.team or EVERYONE,
        metadata=source.metadata,
    )


async def hand_over(source: Source, entries: Iterator[Entry]) -> AsyncIterator[Entry]:
    """What `entries` lists in a thread, some at a time. Raises `SourceUnreadable` beyond `max_documents`."""
    count = 0
    while some := await asyncio.to_thread(lambda: list(islice(entries, AT_ONCE))):
        for entry in some:
            count += 1
            if count > source.max_documents:
                raise too_many(source)
            yield entry


def too_many(source: Source) -> SourceUnreadable:
    """What is said of a source that has more documents than it may."""
    message = f"{source.kind} {place_of(source)} has more than {source.max_documents:,} documents"
    return SourceUnreadable(message, hint="raise its `max_documents`, or take fewer with `include` and `exclude`")


def place_of(source: Source) -> str:
    """Where a source is, as people may be told: without a password."""
    return without_password(source.place)


@contextmanager
def needed_for_the_list() -> Generator[None]:
    """What is refused within makes the source unreadable: its list depends on it."""
    try:
        yield
    except DocumentRefused as error:
        raise SourceUnreadable(error.message, hint=error.hint) from error


def too_large(path: str, limit_bytes: int) -> DocumentRefused:
    """What is said of a document that is larger than allowed."""
    message = f"{path} is larger than {limit_bytes / MIB:,.5g} MiB"
    return DocumentRefused(message, code="too_large", hint="raise `parse: {max_file_mib: …}`, or leave it out")
