"""What tests of sources share: open one, list it, read it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hanok.knowledge.source import Opened
from hanok.knowledge.sources.listing import Surroundings
from hanok.knowledge.sources.table import open_source
from hanok.knowledge.values import Entry
from hanok.spec import Source

LIMIT_BYTES = 1024 * 1024


def source_of(**declared: Any) -> Source:
    """A source as platform.yaml declares it."""
    return Source.model_validate(declared)


def around(folder: Path, **more: Any) -> Surroundings:
    """What a source is opened in: a platform in that folder."""
    return Surroundings(folder=folder, state=folder / ".hanok", **more)


async def _list(opened: Opened) -> list[Entry]:
    try:
        return [entry async for entry in opened.entries()]
    finally:
        await opened.aclose()


def entries_of(folder: Path, *, opened: Callable[[Source, Surroundings], Opened] = open_source, **declared: Any) -> Any:
    """What the declared source lists."""
    known = {"known": declared.pop("known")} if "known" in declared else {}
    return asyncio.run(_list(opened(source_of(**declared), around(folder, **known))))


def read_from(
    folder: Path,
    entry: Entry,
    *,
    limit_bytes: int = LIMIT_BYTES,
    opened: Callable[[Source, Surroundings], Opened] = open_source,
    **declared: Any,
) -> bytes:
    """What an entry of the declared source holds."""

    async def read() -> bytes:
        place = opened(source_of(**declared), around(folder))
        try:
            return await place.read(entry, limit_bytes)
        finally:
            await place.aclose()

    return asyncio.run(read())


def write(folder: Path, *paths: str, text: str = "text") -> None:
    """Files with that text at these paths below the folder."""
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, "utf-8")
