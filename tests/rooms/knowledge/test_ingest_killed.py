"""An ingest into Milvus Lite that is killed again and again ends as one that was not."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from hanok.knowledge.recipe import alias_of
from hanok.knowledge.store import Store
from hanok.knowledge.stores.milvus import MilvusStore
from tests.rooms.knowledge.ingest_to_kill import texts
from tests.rooms.knowledge.shelves import Base, Texts

pytest.importorskip("pymilvus", reason='Milvus is not installed: pip install "hanok[rag]"')
pytest.importorskip("milvus_lite", reason='Milvus Lite is not installed: pip install "hanok[rag]"')
KILLS = ((1, 1), (1, 7), (2, 3), (2, 40), (3, 6))
"""Which edition is killed, after how many lines of its process."""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_ingest_that_is_killed_again_and_again_loses_nothing_and_writes_nothing_twice(tmp_path: Path) -> None:
    for edition, lines in KILLS:
        ingest(tmp_path, edition, kill_after=lines)
    ingest(tmp_path, 3, kill_after=None)
    base = Base(tmp_path, Texts(texts(3)))
    base.run()
    assert asyncio.run(kept(tmp_path)) == asyncio.run(contents(base.store))


def ingest(folder: Path, edition: int, *, kill_after: int | None) -> None:
    command = [sys.executable, "-m", "tests.rooms.knowledge.ingest_to_kill", str(folder), str(edition)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        said: list[str] = []
        for line in process.stdout:
            said.append(line)
            if len(said) == kill_after:
                process.kill()
        assert ("done\n" in said) == (kill_after is None)


async def kept(folder: Path) -> tuple[int, dict[str, list[str]]]:
    store = MilvusStore(str(folder / "passages.db"))
    try:
        return await contents(store)
    finally:
        await store.aclose()


async def contents(store: Store) -> tuple[int, dict[str, list[str]]]:
    """The number of rows, and every passage's id and text by document."""
    alias = alias_of("test", "docs")
    found = await store.describe(alias)
    heads = await store.heads(alias)
    assert found is not None
    assert all(head.whole for head in heads)
    return found.passages, {
        head.path: [
            f"{hit.id} {hit.text}"
            for hit in await store.passages(
                alias, document=head.document, digest=head.digest, first=0, last=10_000, readers=("*",)
            )
        ]
        for head in heads
    }
