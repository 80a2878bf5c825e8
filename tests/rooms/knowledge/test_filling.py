"""Filling of vector stores that is killed, changed or broken on the way: over a store in memory, without a house."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from hanok.assemble.run import keep_going
from hanok.errors import KeptUnreachable
from hanok.knowledge.ingesting.run import EmbedUnits
from hanok.knowledge.stores.memory import MemoryStore
from hanok.knowledge.values import Entry, Passage
from hanok.knowledge.vector_stores.entries import Attached, VectorStore
from hanok.knowledge.vector_stores.filling import Filler
from hanok.knowledge.vector_stores.keeping import vector_stores_place
from hanok.knowledge.vector_stores.record_store import Records
from hanok.ledger.stores.locked import claim
from hanok.spec import Platform, Recipe
from hanok.wire import ANONYMOUS
from tests.rooms.knowledge.shelves import Letters, lines

MODELS = [{"name": "letters", "type": "embedding", "serve": {"engine": "openai", "url": "http://x/v1"}}]


def declared(**vector_stores: Any) -> Platform:
    return Platform.model_validate({"name": "test", "models": MODELS, "vector_stores": vector_stores})


class Files:
    """Files by id, all of one owner."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    async def filename(self, id_: str, owner: str) -> str:
        return id_

    async def read(self, id_: str, owner: str, limit_bytes: int) -> bytes:
        return self.texts[id_].encode()


class Filling:
    """A filler and all that it works on. Its clock goes on by a minute a look, so that nothing rests for long."""

    def __init__(self, state: Path, store: MemoryStore | None = None, **vector_stores: Any) -> None:
        self.store = store or MemoryStore()
        self.records = Records(state / "vector_stores.db")
        self.letters = Letters()
        self.files = Files()
        self.platform = declared(**vector_stores)
        self.reading = asyncio.Event()
        self.held: asyncio.Event | None = None
        self.now = 0.0
        self.step_s = 60.0
        self.filler = Filler(
            state,
            records=self.records,
            store=self.store,
            models=self.letters,
            files=self.files,
            cut=self._cut,
            terms=lambda text, _: text,
            callers=lambda _: ANONYMOUS,
            platform=self.platform,
            serves=lambda: True,
            wall=lambda: 1000.0,
            monotonic=self._later,
        )

    def _later(self) -> float:
        self.now += self.step_s
        return self.now

    async def _cut(self, entry: Entry, data: bytes, _: Recipe, embed: EmbedUnits) -> tuple[str, Sequence[Passage]]:
        self.reading.set()
        if self.held is not None:
            await self.held.wait()
        return await lines(entry, data)

    def attach(self, *names: str, text: str = "abc") -> None:
        self.records.add_store(VectorStore(id="vs", owner="me", created_at=1, last_active_at=1), most=1)
        self.files.texts |= dict.fromkeys(names, text)
        self.records.attach(
            Attached(file_id=name, store="vs", owner="me", filename=name, key_id="k", created_at=1) for name in names
        )
        self.filler.wake()

    def file(self, name: str) -> Attached:
        found = self.records.file("vs", name, "me")
        assert found is not None
        return found

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not true():
                await asyncio.sleep(0.01)

    async def ended(self, *names: str) -> list[str]:
        await self.until(lambda: all(self.file(name).status != "in_progress" for name in names))
        return [self.file(name).status for name in names]

    async def found(self) -> list[str]:
        alias = vector_stores_place(self.platform, self.platform.vector_stores, "").alias
        return sorted(head.document for head in await self.store.heads(alias, store="vs"))


@contextlib.asynccontextmanager
async def filling(state: Path, **more: Any) -> AsyncGenerator[Filling]:
    made = Filling(state, **more)
    living = asyncio.create_task(made.filler.live())
    try:
        yield made
    finally:
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)
        await made.filler.close()


def test_files_that_are_read_at_once_keep_to_the_limit_of_passages_together(tmp_path: Path) -> None:
    async def run() -> None:
        async with filling(tmp_path, passages_limit=5) as it:
            it.attach("a", "b", "c", "d", text="one\ntwo")
            assert sorted(await it.ended("a", "b", "c", "d")) == ["completed", "completed", "failed", "failed"]

    asyncio.run(run())


@pytest.mark.parametrize("declared_calls", [1, 3])
def test_so_many_calls_of_the_embedder_run_at_once_as_are_declared(tmp_path: Path, declared_calls: int) -> None:
    async def run() -> None:
        async with filling(tmp_path, embed={"concurrency": declared_calls, "batch": 1}) as it:
            names = ("a", "b", "c", "d")
            it.attach(*names, text="\n".join(map(str, range(50))))
            await it.ended(*names)
            assert it.letters.most_at_once <= declared_calls

    asyncio.run(run())


def test_where_nothing_waits_no_rows_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with filling(tmp_path) as it:
            it.attach("a")
            await it.ended("a")
            it.step_s = 0.0
            looks: list[str] = []
            marks = it.records.mark
            open_files = it.records.open_files
            monkeypatch.setattr(it.records, "mark", lambda: looks.append("mark") or marks())
            monkeypatch.setattr(it.records, "open_files", lambda: looks.append("rows") or open_files())
            for seen in (5, 10, 15):
                it.filler.wake()
                await it.until(lambda seen=seen: it.filler.wake() or looks.count("mark") >= seen)
            assert looks.count("rows") <= 2
            it.attach("b")
            assert await it.ended("b") == ["completed"]

    asyncio.run(run())


def test_filling_goes_on_after_an_error_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = [OSError("the disk is away")]

    def claim_or_fail(file: Path) -> int:
        if errors:
            raise errors.pop()
        return claim(file)

    monkeypatch.setattr("hanok.knowledge.vector_stores.filling.claim", claim_or_fail)

    async def run() -> None:
        async with filling(tmp_path) as it:
            it.attach("a")
            assert await it.ended("a") == ["completed"]

    asyncio.run(run())
    assert not errors


def test_a_file_that_fails_in_a_way_that_nobody_foresaw_is_given_up_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []

    async def cut(_self: Filling, entry: Entry, *_: Any) -> tuple[str, Sequence[Passage]]:
        if entry.path != "bad":
            return await lines(entry, b"one")
        tries.append(entry.path)
        raise KeyError("a table without a header")

    monkeypatch.setattr(Filling, "_cut", cut)

    async def run() -> None:
        async with filling(tmp_path) as it:
            it.attach("bad", "good")
            assert await it.ended("bad", "good") == ["failed", "completed"]
            assert it.file("bad").error_code == "server_error"
            assert "3 times" in it.file("bad").error_message and "without a header" in it.file("bad").error_message
            assert tries == ["bad"] * 3
            assert await it.found() == ["good"]

    asyncio.run(run())


def test_what_runs_beside_calls_goes_on_after_what_nobody_foresaw(caplog: pytest.LogCaptureFixture) -> None:
    met: list[BaseException] = [ExceptionGroup("several", [OSError("disk")]), ValueError("a bug")]

    async def live() -> None:
        if met:
            raise met.pop()

    async def run() -> None:
        await keep_going("filling", live, rest_s=0)

    asyncio.run(run())
    assert [record.message for record in caplog.records] == ["filling met an error; going on"] * 2


class FailsToPoint(MemoryStore):
    """A store whose first pointing of an alias fails, as it does when it is killed then."""

    failed = 0

    async def point(self, alias: str, name: str) -> None:
        self.failed += 1
        if self.failed == 1:
            raise KeptUnreachable("the store was killed")
        await super().point(alias, name)


def test_a_collection_that_was_made_but_not_pointed_at_is_pointed_at_later(tmp_path: Path) -> None:
    async def run() -> None:
        async with filling(tmp_path, store=FailsToPoint()) as it:
            it.attach("a")
            await it.ended("a")
            assert await it.found() == ["a"]

    asyncio.run(run())


def test_a_live_change_of_recipe_loses_no_file_that_is_being_read(tmp_path: Path) -> None:
    async def run() -> None:
        async with filling(tmp_path) as it:
            it.attach("before")
            await it.ended("before")
            it.held = asyncio.Event()
            it.reading.clear()
            it.attach("during")
            await it.reading.wait()
            it.reading.clear()
            it.platform = declared(embed={"passage_prefix": "other: "})
            it.filler.change(it.platform)
            await it.reading.wait()
            it.held.set()
            await it.ended("before", "during")
            place = vector_stores_place(it.platform, it.platform.vector_stores, "")
            assert await it.store.list_collections() == [place.collection]
            assert await it.found() == ["before", "during"]

    asyncio.run(run())


def test_files_being_read_go_on_through_a_change_of_other_settings(tmp_path: Path) -> None:
    async def run() -> None:
        async with filling(tmp_path) as it:
            it.held = asyncio.Event()
            it.attach("a")
            await it.reading.wait()
            it.reading.clear()
            it.filler.change(declared(passages_limit=7))
            it.attach("b")
            await it.reading.wait()
            it.held.set()
            await it.ended("a", "b")
            assert (it.file("a").attempt, it.file("b").attempt) == (1, 1)

    asyncio.run(run())
