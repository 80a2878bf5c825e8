"""Milvus Lite is searched by our own loop over its rows: it finds what Lite itself finds, whatever was written when."""

from __future__ import annotations

import asyncio
import contextlib
import random
from array import array
from collections.abc import Coroutine, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from hanok.knowledge.stores import lite_search
from hanok.knowledge.stores.memory import MemoryStore
from hanok.knowledge.stores.milvus import MilvusStore
from hanok.knowledge.values import EVERYONE, Hit, Query, Row, Shape
from hanok.spec import Index

pytest.importorskip("pymilvus", reason="pymilvus is not installed")

T = TypeVar("T")
DIMENSIONS = 16
WORDS = [f"word{n}" for n in range(60)]
READERS = (EVERYONE, "team-a", "team-b")


class Opened:
    """A store, and the event loop that its calls run on."""

    def __init__(self, store: MilvusStore, runner: asyncio.Runner) -> None:
        self.store = store
        self._runner = runner

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def found(self, **query: Any) -> list[Hit]:
        return self.run(self.store.search("base", Query(**{"readers": (EVERYONE,), **query})))

    def ids(self, **query: Any) -> set[str]:
        return {hit.id for hit in self.found(**{"k": 1000, "fetch_k": 1000, **query})}


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Opened]:
    with asyncio.Runner() as runner:
        store = MilvusStore(str(folder / "passages.db"))
        try:
            yield Opened(store, runner)
        finally:
            runner.run(store.aclose())


def shape(kind: Any = "HNSW", metric: Any = "COSINE") -> Shape:
    return Shape(dimensions=DIMENSIONS, index=Index(type=kind, metric=metric, nlist=4))


def vector(chance: random.Random) -> bytes:
    numbers = [chance.gauss(0, 1) for _ in range(DIMENSIONS)]
    length = sum(number * number for number in numbers) ** 0.5
    return array("f", [number / length for number in numbers]).tobytes()


def row(name: str, chance: random.Random, **more: Any) -> Row:
    terms = " ".join(chance.choices(WORDS, weights=range(len(WORDS), 0, -1), k=chance.randint(3, 20)))
    plain: dict[str, Any] = {
        "id": name,
        "document": name,
        "digest": "1",
        "ordinal": 0,
        "path": name,
        "title": "",
        "text": terms,
        "terms": terms,
        "headings": ("Guide", name),
        "vector": vector(chance),
        "metadata": {"year": chance.choice([2025, 2026])},
    }
    return Row(**{**plain, **more})


def test_lite_is_of_a_version_that_this_was_tried_with() -> None:
    assert version("milvus-lite") in lite_search.MADE_FOR


@pytest.mark.parametrize(("kind", "metric"), [("HNSW", "COSINE"), ("FLAT", "IP"), ("FLAT", "L2")])
def test_it_finds_what_lite_itself_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, metric: Any
) -> None:
    chance = random.Random(7)
    rows = [row(f"p{n}", chance) for n in range(300)]  # of one reader, so that all are in one segment
    some = msgspec.Raw(b'{"type": "eq", "key": "year", "value": 2026}')
    asked = [
        Query(readers=READERS, terms=" ".join(words), vector=vector(chance), k=10, ef=512, filter=only)
        for only in (None, some)
        for words in (chance.choices(WORDS, k=4) for _ in range(10))
    ]

    def answers(folder: Path) -> list[list[Hit]]:
        with opened(folder) as bench:
            bench.run(bench.store.create("base", shape(kind, metric)))
            bench.run(bench.store.write("base", rows))
            bench.run(bench.store._flush_all())  # pyright: ignore[reportPrivateUsage]
            return [bench.run(bench.store.search("base", each)) for each in asked]

    ours = answers(tmp_path / "ours")
    monkeypatch.setattr(lite_search, "MADE_FOR", ())
    theirs = answers(tmp_path / "theirs")
    for mine, its in zip(ours, theirs, strict=True):
        assert [hit.id for hit in mine] == [hit.id for hit in its]
        assert [hit.score for hit in mine] == pytest.approx([hit.score for hit in its], abs=1e-4)
        assert [(hit.headings, dict(hit.metadata), hit.text) for hit in mine] == [
            (hit.headings, dict(hit.metadata), hit.text) for hit in its
        ]


def test_what_is_written_over_moved_and_removed_is_found_as_it_is_now(tmp_path: Path) -> None:
    """Any order of writes, removals, flushes (and what Lite compacts of them) and restarts, beside a plain list."""
    chance = random.Random(11)
    plain = MemoryStore()
    with contextlib.ExitStack() as stack:
        bench = stack.enter_context(opened(tmp_path))
        for store in (bench.store, plain):
            bench.run(store.create("base", shape("FLAT")))
        for step in range(60):
            match chance.randrange(10):
                case 0 | 1:
                    document = f"p{chance.randrange(60)}"
                    for store in (bench.store, plain):
                        bench.run(store.remove("base", document=document))
                case 2 | 3:
                    bench.run(bench.store._flush_all())  # pyright: ignore[reportPrivateUsage]
                case 4 if step % 3 == 0:
                    stack.close()
                    bench = stack.enter_context(opened(tmp_path))
                case _:
                    names = chance.sample(range(60), k=5)
                    rows = [row(f"p{name}", chance, reader=chance.choice(READERS)) for name in names]
                    for store in (bench.store, plain):
                        bench.run(store.write("base", rows))
            for readers in (READERS[:1], READERS[1:2], READERS):
                for query in ({"terms": "word0 word7"}, {"vector": vector(chance)}):
                    more: dict[str, Any] = {"k": 1000, "fetch_k": 1000, **query}
                    asked = Query(readers=readers, **more)
                    expected = {(hit.id, hit.text) for hit in bench.run(plain.search("base", asked))}
                    found = bench.run(bench.store.search("base", asked))
                    assert {(hit.id, hit.text) for hit in found} == expected, (step, readers, query)


def test_a_reader_of_a_few_passages_among_many_finds_them_all(tmp_path: Path) -> None:
    chance = random.Random(3)
    with opened(tmp_path) as bench:
        bench.run(bench.store.create("base", shape()))
        rows = [row(f"p{n}", chance, reader="team-a" if n % 50 == 0 else "team-b") for n in range(1500)]
        bench.run(bench.store.write("base", rows))
        mine = {each.id for each in rows if each.reader == "team-a"}
        assert bench.ids(readers=("team-a",), vector=vector(chance), fetch_k=100) == mine


def test_how_rare_a_word_is_does_not_depend_on_when_passages_were_written(tmp_path: Path) -> None:
    chance = random.Random(5)
    rows = [row(f"p{n}", chance) for n in range(200)]
    scores: list[list[tuple[str, float]]] = []
    for parts in (1, 4):
        with opened(tmp_path / str(parts)) as bench:
            bench.run(bench.store.create("base", shape()))
            for part in range(parts):
                bench.run(bench.store.write("base", rows[part::parts]))
                bench.run(bench.store._flush_all())  # pyright: ignore[reportPrivateUsage]
            hits = bench.found(terms="word1 word40 word58", k=20)
            scores.append(sorted((hit.id, round(hit.score, 4)) for hit in hits))
    assert scores[0] == scores[1]


def test_another_version_of_lite_searches_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lite_search, "MADE_FOR", ())
    with opened(tmp_path) as bench:
        bench.run(bench.store.create("base", shape()))
        bench.run(bench.store.write("base", [row("p1", random.Random(1), terms="alpha")]))
        assert bench.ids(terms="alpha") == {"p1"}
        assert lite_search.open_lite_search(str(tmp_path / "passages.db")) is None
