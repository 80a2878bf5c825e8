"""What Milvus Lite's store does while something else happens: forgotten answers, and writers nobody waits for."""

from __future__ import annotations

import asyncio
import threading
from array import array
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hanok.knowledge.stores.milvus import MilvusStore
from hanok.knowledge.values import EVERYONE, Head, Query, Row, Shape
from hanok.spec.tree import Index

pytest.importorskip("pymilvus", reason="pymilvus is not installed")
SHAPE = Shape(dimensions=2, index=Index())
OF_2024 = msgspec.Raw(b'{"type": "eq", "key": "year", "value": 2024}')


def row(name: str, *, store: str = "", year: int = 2024) -> Row:
    plain: dict[str, Any] = {"document": name, "digest": "d", "ordinal": 0, "path": name, "title": name}
    head = Head(document=name, path=name, title=name, digest="d", passages=1, bytes=1)
    vector = array("f", [1.0, 0.5]).tobytes()
    metadata = {"year": year}
    return Row(**plain, id=name, text=name, terms="alpha", vector=vector, store=store, metadata=metadata, head=head)


class Held:
    """Holds up the first thread that asks Milvus for something, after it was answered, until told to go on."""

    def __init__(self, store: MilvusStore, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.come, self.go = threading.Event(), threading.Event()
        real = getattr(store, what)

        def ask(*told: Any) -> Any:
            found = real(*told)
            if not self.come.is_set():
                self.come.set()
                assert self.go.wait(20)
            return found

        monkeypatch.setattr(store, what, ask)

    async def has_come(self) -> None:
        assert await asyncio.to_thread(self.come.wait, 20)


def test_what_is_forgotten_while_it_is_looked_up_is_looked_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def search() -> list[str]:
        first = MilvusStore(str(tmp_path / "passages.db"))
        await first.create("one", SHAPE)
        await first.write("one", [row("p1")])
        await first.aclose()
        store = MilvusStore(str(tmp_path / "passages.db"))  # it has written nothing itself
        query = Query(readers=(EVERYONE,), terms="alpha", filter=OF_2024)
        held = Held(store, "_all", monkeypatch)
        early = asyncio.create_task(store.search("one", query))
        await held.has_come()
        await store.drop("another")
        held.go.set()
        await early
        found = [hit.id for hit in await store.search("one", query)]
        await store.aclose()
        return found

    assert asyncio.run(search()) == ["p1"]


def test_an_alias_that_moves_while_it_is_asked_for_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def search() -> list[str]:
        store = MilvusStore(str(tmp_path / "passages.db"))
        for name, year in (("one", 1999), ("two", 2024)):
            await store.create(name, SHAPE)
            await store.write(name, [row(name, year=year)])
        await store.point("docs", "one")
        query = Query(readers=(EVERYONE,), terms="alpha", filter=OF_2024)
        held = Held(store, "_is_alias", monkeypatch)
        early = asyncio.create_task(store.search("docs", query))
        await held.has_come()
        await store.point("docs", "two")
        held.go.set()
        await early
        found = [hit.id for hit in await store.search("docs", query)]
        await store.aclose()
        return found

    assert asyncio.run(search()) == ["two"]


def test_a_write_that_nobody_waits_for_ends_before_the_next_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def write() -> tuple[bool, list[str]]:
        store = MilvusStore(str(tmp_path / "passages.db"))
        await store.create("one", SHAPE)
        held = Held(store, "_write", monkeypatch)
        left = asyncio.create_task(store.write("one", [row("p1")]))
        await held.has_come()
        left.cancel()
        await asyncio.wait([left])
        following = asyncio.create_task(store.remove("one", document="p1"))
        await store.list_collections()  # who only reads does not wait
        early = following.done()
        held.go.set()
        await following
        found = [hit.id for hit in await store.search("one", Query(readers=(EVERYONE,), terms="alpha"))]
        await store.aclose()
        return early, found

    assert asyncio.run(write()) == (False, [])
