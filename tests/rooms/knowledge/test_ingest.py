"""An ingest brings a collection up to its sources, at the cost of what has changed."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import sys
import threading
from array import array
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from hanok.errors import EngineUnreachable, KnowledgeError, StoreError
from hanok.knowledge.ingesting import Busy, EmbedUnits, Ingest, Notes, Report
from hanok.knowledge.ingesting.report import RefusedDocument
from hanok.knowledge.ingesting.rows import row_of, with_head
from hanok.knowledge.store import Store
from hanok.knowledge.stores.memory import MemoryStore
from hanok.knowledge.values import Entry, Passage, Query, Shape
from tests.rooms.knowledge.shelves import Base, Letters, Texts, counts, lines, refusal

THREE = {"a.txt": "one a\ntwo b", "b.txt": "three c", "c.txt": "four d\nfive e\nsix f"}
MANY = {f"{number}.txt": "\n".join(f"line {line} of {number}" for line in range(number)) for number in range(1, 60)}


def test_documents_become_passages_and_the_report_counts_them(tmp_path: Path) -> None:
    base = Base(tmp_path, Texts(THREE))
    report = base.run()
    assert counts(report) == {"added": 3}
    assert (report.passages, report.tokens, report.state) == (6, 7, "done")  # one token for the probe
    assert report.bytes == sum(len(text) for text in THREE.values())
    assert base.texts() == base.wants()
    assert base.rows() == 6


def test_documents_are_read_and_embedded_while_a_new_collection_is_being_made(tmp_path: Path) -> None:
    is_embedding = asyncio.Event()

    class Slow(MemoryStore):
        async def create(self, name: str, shape: Shape) -> None:
            async with asyncio.timeout(10):
                await is_embedding.wait()
            await super().create(name, shape)

    def notice(texts: list[str]) -> None:
        if "four d" in texts:
            is_embedding.set()

    base = Base(tmp_path, Texts(THREE), store=Slow())
    base.letters.fail = notice
    assert counts(base.run()) == {"added": 3}
    assert base.texts() == base.wants()


def test_a_collection_that_cannot_be_made_ends_the_ingest_with_the_reason(tmp_path: Path) -> None:
    class Full(MemoryStore):
        async def create(self, name: str, shape: Shape) -> None:
            raise StoreError(f"{name} and {shape.dimensions}: the disk is full")

    with pytest.raises(StoreError, match="the disk is full"):
        Base(tmp_path, Texts(THREE), store=Full()).run()


def test_a_survey_tells_what_was_refused_from_what_is_new(tmp_path: Path) -> None:
    source = Texts({**THREE, "bad.txt": "UNREADABLE"})
    base = Base(tmp_path, source)
    base.run()
    source.texts |= {"d.txt": "new"}
    found = base.survey()
    assert (found.new, found.refused, found.unchanged) == (1, 1, 3)
    source.texts["bad.txt"] = "UNREADABLE again"
    assert base.survey().new == 2
    base.declare(parse={"max_file_mib": 1})
    assert base.survey().refused == 0


def test_what_has_not_changed_is_neither_read_nor_embedded_and_needs_no_model(tmp_path: Path) -> None:
    source = Texts(THREE)
    base = Base(tmp_path, source)
    base.run()
    source.reads.clear()
    opened = base.opened
    report = base.run()
    assert counts(report) == {"unchanged": 3}
    assert (source.reads, base.opened) == ([], opened)


def test_a_changed_document_is_written_anew_and_its_old_passages_go(tmp_path: Path) -> None:
    source = Texts(THREE)
    base = Base(tmp_path, source)
    base.run()
    source.texts["c.txt"] = "seven g"
    assert counts(base.run()) == {"changed": 1, "unchanged": 2}
    assert base.texts() == base.wants()
    assert base.rows() == 4


def test_a_document_that_was_only_touched_is_read_but_not_embedded_again(tmp_path: Path) -> None:
    source = Texts(THREE)
    base = Base(tmp_path, source)
    base.run()
    source.touched["c.txt"] = 1
    base.letters.texts.clear()
    assert counts(base.run()) == {"noted": 1, "unchanged": 2}
    assert base.letters.texts == ["Hanok", "four d"]
    assert base.texts() == base.wants()
    assert counts(base.run()) == {"unchanged": 3}


def test_a_source_that_does_not_tell_versions_is_read_and_compared(tmp_path: Path) -> None:
    source = Texts(THREE, versions=False)
    base = Base(tmp_path, source)
    base.run()
    source.texts["b.txt"] = "other"
    assert counts(base.run()) == {"changed": 1, "noted": 2}
    assert base.texts() == base.wants()


def test_a_document_that_is_gone_is_removed(tmp_path: Path) -> None:
    source = Texts(THREE)
    base = Base(tmp_path, source)
    base.run()
    del source.texts["a.txt"]
    assert counts(base.run()) == {"removed": 1, "unchanged": 2}
    assert base.texts() == base.wants()


def test_a_source_that_cannot_be_listed_keeps_its_documents_and_another_does_not(tmp_path: Path) -> None:
    one, two = Texts({"a.txt": "a", "b.txt": "b"}), Texts({"c.txt": "c", "d.txt": "d"})
    base = Base(tmp_path, one, two)
    base.run()
    one.unreadable = "the folder is not there"
    one.texts.clear()
    del two.texts["d.txt"]
    report = base.run()
    assert counts(report) == {"unchanged": 1, "removed": 1}
    assert [(each.source, each.message) for each in report.silent] == [("texts 0", "the folder is not there")]
    assert sorted(base.texts()) == ["a.txt", "b.txt", "c.txt"]


def test_a_first_ingest_that_could_list_no_source_is_a_failure_and_leaves_no_base(tmp_path: Path) -> None:
    one, two = Texts({}), Texts({})
    one.unreadable, two.unreadable = "the folder is not there", "the site does not answer"
    base = Base(tmp_path, one, two, sources=[{"path": "."}, {"path": "two"}])
    with pytest.raises(KnowledgeError, match=r"nothing was read into 'docs'.*not there; .*does not answer"):
        base.run()
    report = Notes(tmp_path, "docs").last()
    assert report is not None and (report.state, report.completed_at) == ("failed", 0.0)
    assert asyncio.run(base.store.describe(base.alias)) is None
    two.unreadable, two.texts = "", {"b.txt": "b"}
    assert counts(base.run()) == {"added": 1}


def test_a_source_declared_by_a_mistyped_place_loses_nothing_before_all_can_be_listed(tmp_path: Path) -> None:
    source, other = Texts(THREE), Texts({"d.txt": "d"})
    base = Base(tmp_path, source, other)
    base.run()
    source.moved, source.unreadable, source.texts = "mistyped", "the folder is not there", {}
    assert counts(base.run()) == {"unchanged": 1}
    assert sorted(base.texts()) == ["a.txt", "b.txt", "c.txt", "d.txt"]
    source.unreadable = ""
    assert counts(base.run()) == {"unchanged": 1, "removed": 3}


def test_another_declared_type_splits_documents_anew(tmp_path: Path) -> None:
    source = Texts(THREE)
    base = Base(tmp_path, source)
    base.run()
    base.parsed.clear()
    source.type = "code"
    assert counts(base.run()) == {"changed": 3}
    assert (sorted(base.parsed), base.rows()) == (sorted(THREE), 6)
    assert base.texts() == base.wants()
    assert counts(base.run()) == {"unchanged": 3}


def test_who_may_read_is_changed_on_every_passage(tmp_path: Path) -> None:
    source = Texts(THREE)
    base = Base(tmp_path, source)
    base.run()
    source.reader = "team-a"
    assert counts(base.run()) == {"changed": 3}
    assert base.texts("*") == {path: [] for path in THREE}
    assert base.texts("team-a") == base.wants()


@pytest.fixture(params=["memory", "lite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "memory":
        return MemoryStore()
    pytest.importorskip("milvus_lite", reason='knowledge is not installed: pip install "hanok[rag]"')
    from hanok.knowledge.stores.milvus import MilvusStore

    return MilvusStore(str(tmp_path / "milvus.db"))


async def all_of(base: Base, reader: str) -> list[str]:
    """Every passage that a reader can find, whatever version it is of."""
    vector = array("f", [1.0, 0.0, 0.0, 0.0]).tobytes()
    found = await base.store.search(base.alias, Query(readers=(reader,), vector=vector, k=100, fetch_k=100))
    return sorted(hit.text for hit in found)


def test_a_document_that_is_cut_into_fewer_passages_for_other_readers_leaves_none_behind(
    tmp_path: Path, store: Store
) -> None:
    source = Texts({"c.txt": "four d\nfive e\nsix f"})
    base = Base(tmp_path, source, store=store)

    async def ingest_twice() -> None:
        source.reader = "team-a"
        await base.ingest()
        assert await all_of(base, "team-a") == ["five e", "four d", "six f"]
        source.reader, source.type = "team-b", "table"
        assert counts(await base.ingest()) == {"changed": 1}
        assert await all_of(base, "team-a") == []
        assert await all_of(base, "team-b") == ["four d\nfive e\nsix f"]
        await store.aclose()

    asyncio.run(ingest_twice())


def test_a_document_of_another_type_is_cut_anew_without_being_touched(tmp_path: Path, store: Store) -> None:
    source = Texts({"c.txt": "four d\nfive e\nsix f"})
    base = Base(tmp_path, source, store=store)

    async def ingest_often() -> None:
        await base.ingest()
        source.type = "table"
        assert counts(await base.ingest()) == {"changed": 1}
        assert await all_of(base, "*") == ["four d\nfive e\nsix f"]
        assert counts(await base.ingest()) == {"unchanged": 1}
        source.type = "text"
        assert counts(await base.ingest()) == {"changed": 1}
        assert await all_of(base, "*") == ["five e", "four d", "six f"]
        await store.aclose()

    asyncio.run(ingest_often())


def test_an_ingest_that_ended_midway_leaves_nothing_when_the_parser_cuts_otherwise_then(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = Base(tmp_path, Texts({"c.txt": "four d\nfive e\nsix f"}), store=store)
    cut = base._read  # pyright: ignore[reportPrivateUsage]

    async def otherwise(entry: Entry, data: bytes, embed: EmbedUnits) -> tuple[str, Sequence[Passage]]:
        return await cut(msgspec.structs.replace(entry, type="table"), data, embed)

    async def ingest_twice() -> None:
        await base.ingest()
        [head] = await store.heads(base.alias)
        [row] = await store.passages(
            base.alias, document=head.document, digest=head.digest, first=0, last=0, readers=["*"]
        )
        half = msgspec.structs.replace(head, whole=False)
        first = row_of(
            Entry(uri=head.document, path=head.path),
            Passage(text=row.text, start=0, end=6),
            digest=head.digest,
            ordinal=0,
            title=head.title,
            terms="",
            vector=array("f", [1.0, 0.0, 0.0, 0.0]).tobytes(),
            now=1,
        )
        await store.write(base.alias, [with_head(first, half, whole=False)])
        monkeypatch.setattr(base, "_read", otherwise)
        assert counts(await base.ingest()) == {"added": 1}
        assert await all_of(base, "*") == ["four d\nfive e\nsix f"]
        await store.aclose()

    asyncio.run(ingest_twice())


def test_a_document_that_is_refused_is_not_left_to_those_who_may_no_longer_read_it(tmp_path: Path) -> None:
    source = Texts({"a.txt": "one a"})
    base = Base(tmp_path, source)
    base.run()
    source.reader, source.texts["a.txt"] = "team-a", "UNREADABLE"
    assert [each.code for each in base.run().refused] == ["damaged"]
    assert base.rows() == 0


def test_another_type_is_another_chance_for_refused_documents(tmp_path: Path) -> None:
    source = Texts({"bad.txt": "UNREADABLE"})
    base = Base(tmp_path, source)
    base.run()
    base.parsed.clear()
    source.type = "table"
    base.run()
    assert base.parsed == ["bad.txt"]


@pytest.mark.parametrize("declared", [{"m": 32}, {"ef_construction": 64}, {"type": "IVF_FLAT", "nlist": 16}])
def test_an_index_that_is_not_built_as_usual_is_ingested_into_again(
    tmp_path: Path, store: Store, declared: dict[str, object]
) -> None:
    source = Texts({"a.txt": "one a"})
    base = Base(tmp_path, source, store=store, index=declared)

    async def ingest_twice() -> None:
        await base.ingest()
        source.texts["a.txt"] = "two b"
        assert counts(await base.ingest()) == {"changed": 1}
        await store.aclose()

    asyncio.run(ingest_twice())


def test_another_prefix_of_questions_leaves_what_is_there(tmp_path: Path) -> None:
    base = Base(tmp_path, Texts(THREE))
    base.run()
    base.declare(embed={"query_prefix": "query: "})
    assert counts(base.run()) == {"unchanged": 3}


def test_who_looks_whether_a_base_is_ingested_is_in_nobodys_way(tmp_path: Path) -> None:
    notes = Notes(tmp_path, "docs")
    notes.claim()
    notes.release()
    with (notes.folder / "lock").open() as looked_at:
        fcntl.flock(looked_at, fcntl.LOCK_SH)
        assert not notes.is_claimed()
        threading.Timer(0.01, fcntl.flock, (looked_at, fcntl.LOCK_UN)).start()
        notes.claim()
    assert Notes(tmp_path, "docs").is_claimed()
    with pytest.raises(Busy):
        Notes(tmp_path, "docs").claim()
    notes.release()


def test_a_lock_that_cannot_be_had_for_another_reason_does_not_say_that_somebody_ingests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StoreError, match="No locks available"):
        Notes(tmp_path, "docs").claim()


def test_what_was_refused_is_written_only_when_it_has_changed(tmp_path: Path) -> None:
    notes = Notes(tmp_path, "docs")
    notes.folder.mkdir(parents=True)
    report = Report(base="docs", refused=[RefusedDocument(path="a.txt", code="damaged", message="a.txt is damaged")])
    notes.keep(report)
    (notes.folder / "last_refused.json").unlink()
    report.added = 1
    notes.keep(report)
    assert not (notes.folder / "last_refused.json").exists()
    report.refused.append(RefusedDocument(path="b.txt", code="damaged", message="b.txt is damaged"))
    notes.keep(report)
    assert Notes(tmp_path, "docs").last() == report


def test_an_ingest_whose_progress_cannot_be_kept_for_a_while_tells_it_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[Ingest.__module__], "KEEP_EVERY_S", 0.001)
    base = Base(tmp_path, Texts(THREE))
    keep, told, kept = Notes.keep, asyncio.Event(), 0

    def keep_at_times(notes: Notes, report: Report) -> None:
        nonlocal kept
        kept += 1
        if kept in (2, 3):
            raise StoreError("the disk is full")
        keep(notes, report)
        if kept > 3:
            told.set()

    async def read(entry: Entry, data: bytes, _: EmbedUnits) -> tuple[str, Sequence[Passage]]:
        await told.wait()
        return await lines(entry, data)

    monkeypatch.setattr(Notes, "keep", keep_at_times)
    monkeypatch.setattr(base, "_read", read)
    assert counts(base.run()) == {"added": 3}


def test_metadata_that_changed_is_written(tmp_path: Path) -> None:
    source = Texts(THREE)
    base = Base(tmp_path, source)
    base.run()
    source.metadata = {"lang": "ko"}
    assert counts(base.run()) == {"changed": 3}
    assert {head.metadata["lang"] for head in base.heads().values()} == {"ko"}


def test_documents_are_refused_one_by_one_and_not_tried_again_before_they_change(tmp_path: Path) -> None:
    source = Texts({**THREE, "bad.txt": "UNREADABLE"})
    base = Base(tmp_path, source)
    report = base.run()
    assert [(each.path, each.code) for each in report.refused] == [("bad.txt", "damaged")]
    assert counts(report) == {"added": 3}
    base.parsed.clear()
    source.reads.clear()
    assert [each.path for each in base.run().refused] == ["bad.txt"]
    assert (base.parsed, source.reads) == ([], [])
    source.touched["bad.txt"] = 1
    assert [each.path for each in base.run().refused] == ["bad.txt"]
    assert (base.parsed, source.reads) == ([], ["bad.txt"])
    source.texts["bad.txt"] = "good"
    report = base.run()
    assert (report.refused, counts(report)) == ([], {"added": 1, "unchanged": 3})


def test_other_limits_are_another_chance_for_refused_documents(tmp_path: Path) -> None:
    base = Base(tmp_path, Texts({"bad.txt": "UNREADABLE"}))
    base.run()
    base.parsed.clear()
    base.declare(parse={"max_file_mib": 1})
    base.run()
    assert base.parsed == ["bad.txt"]


def test_a_version_that_is_refused_leaves_the_one_before(tmp_path: Path) -> None:
    source = Texts(THREE)
    base = Base(tmp_path, source)
    base.run()
    source.texts["a.txt"] = "UNREADABLE"
    base.run()
    assert base.texts()["a.txt"] == ["one a", "two b"]


def test_a_document_that_was_emptied_loses_its_passages(tmp_path: Path) -> None:
    source = Texts(THREE)
    base = Base(tmp_path, source)
    base.run()
    source.texts["a.txt"] = ""
    assert [each.code for each in base.run().refused] == ["empty"]
    assert "a.txt" not in base.texts()


def test_a_passage_that_the_model_does_not_take_refuses_its_document_alone(tmp_path: Path) -> None:
    base = Base(tmp_path, Texts({**MANY, "long.txt": "short\n" * 40 + "too long\n" + "short\n" * 300}))

    def fail(texts: list[str]) -> None:
        if "too long" in texts:
            raise refusal(400, "maximum context length is 512 tokens")

    base.letters.fail = fail
    report = base.run()
    [refused] = report.refused
    assert refused.path == "long.txt"
    assert "maximum context length is 512 tokens" in refused.message
    assert report.added == len(MANY)
    wanted = base.wants()
    del wanted["long.txt"]
    assert base.texts() == wanted
    assert base.rows() == sum(map(len, wanted.values()))


def test_a_model_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    base = Base(tmp_path, Texts(THREE))
    failures = [EngineUnreachable("not yet"), refusal(503), refusal(429)]

    def fail(_: list[str]) -> None:
        if failures:
            raise failures.pop()

    base.letters.fail = fail
    assert counts(base.run()) == {"added": 3}


def test_a_model_that_stays_away_ends_the_ingest_with_its_words(tmp_path: Path) -> None:
    base = Base(tmp_path, Texts(THREE))

    def fail(_: list[str]) -> None:
        raise EngineUnreachable("nobody listens on port 1")

    base.letters.fail = fail
    with pytest.raises(KnowledgeError, match="'letters' does not embed: nobody listens on port 1"):
        base.run()
    last = Notes(tmp_path, "docs").last()
    assert last is not None
    assert (last.state, "nobody listens" in last.error) == ("failed", True)


def test_a_budget_that_is_spent_is_not_waited_for(tmp_path: Path) -> None:
    base = Base(tmp_path, Texts(THREE))

    def fail(_: list[str]) -> None:
        error = refusal(429)
        body = json.dumps({"error": {"message": "the budget is spent", "type": "insufficient_quota"}}).encode()
        error.refusal = type(error.refusal)(status=429, body=body)
        raise error

    base.letters.fail = fail
    with pytest.raises(KnowledgeError, match="the budget is spent"):
        base.run()


def test_a_model_of_other_dimensions_is_noticed_before_anything_is_written(tmp_path: Path) -> None:
    source = Texts(THREE)
    base = Base(tmp_path, source)
    base.run()
    base.letters = Letters(dimensions=6)
    source.texts["d.txt"] = "new"
    with pytest.raises(KnowledgeError, match="6 dimensions, and those in 'docs' have 4") as caught:
        base.run()
    assert caught.value.hint == "make it anew: hanok knowledge ingest docs --rebuild"
    assert counts(base.run(rebuild=True)) == {"added": 4}
    assert base.texts() == base.wants()
    assert len(asyncio.run(base.store.list_collections())) == 1


def test_vectors_that_are_not_of_length_one_do_not_go_with_the_inner_product(tmp_path: Path) -> None:
    base = Base(tmp_path, Texts(THREE), index={"metric": "IP"})
    with pytest.raises(KnowledgeError, match=r"vectors of length 1\.\d+, and the metric IP takes those of 1"):
        base.run()


def test_another_recipe_is_filled_beside_and_the_old_one_answers_until_then(tmp_path: Path) -> None:
    base = Base(tmp_path, Texts(THREE))
    base.run()
    before = base.texts()
    base.declare(embed={"passage_prefix": "passage: "})
    base.letters.fail = _fail_after(base.letters, "five e")
    with pytest.raises(KnowledgeError):
        base.run()
    assert base.texts() == before
    base.letters.fail = lambda _: None
    assert base.run().state == "done"
    assert base.texts() == base.wants()
    assert all(text.startswith("passage: ") for text in base.letters.texts[-3:])
    assert len(asyncio.run(base.store.list_collections())) == 1


def _fail_after(letters: Letters, text: str):
    def fail(texts: list[str]) -> None:
        if any(text in each for each in texts):
            raise refusal(401)

    return fail


def test_a_base_is_not_changed_over_while_a_source_is_silent(tmp_path: Path) -> None:
    source = Texts(THREE)
    base = Base(tmp_path, source)
    base.run()
    base.declare(embed={"passage_prefix": "passage: "})
    source.unreadable = "no network"
    with pytest.raises(KnowledgeError, match="no network"):
        base.run()
    assert base.texts() == base.wants()


class Broken(MemoryStore):
    """A store that ends after so many writes, as a process that is killed does."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 1_000_000

    async def write(self, name: str, rows: object) -> None:
        if not self.left:
            raise StoreError("killed")
        self.left -= 1
        await super().write(name, rows)  # type: ignore[arg-type]

    async def remove(self, name: str, **what: object) -> None:
        if not self.left:
            raise StoreError("killed")
        self.left -= 1
        await super().remove(name, **what)  # type: ignore[arg-type]


@pytest.mark.parametrize("writes", range(14))
def test_an_ingest_that_ended_anywhere_is_taken_up_without_loss_or_duplicates(tmp_path: Path, writes: int) -> None:
    store = Broken()
    long = {"long.txt": "\n".join(f"line {number}" for number in range(700))}
    source = Texts({**MANY, **long})
    base = Base(tmp_path, source, store=store)
    base.run()
    source.texts = {path: text + "\nand more" for path, text in source.texts.items() if path != "7.txt"}
    store.left = writes
    with pytest.raises(StoreError, match="killed"):
        base.run()
    store.left = 1_000_000
    source.texts["long.txt"] += "\nonce more"
    base.run()
    assert base.texts() == base.wants()
    assert base.rows() == sum(map(len, base.wants().values()))


def test_several_batches_are_embedded_at_once(tmp_path: Path) -> None:
    base = Base(tmp_path, Texts(MANY), embed={"batch": 8, "concurrency": 3})
    base.run()
    assert base.letters.most_at_once == 3
    assert base.texts() == base.wants()


def test_rows_wait_for_others_no_longer_than_a_kill_may_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = {path: text for path, text in MANY.items() if len(text) < 200}
    writes = []
    for linger_s in (60.0, 0.0):  # the clock is the event loop's own
        monkeypatch.setattr("hanok.knowledge.ingesting.run.WRITE_LINGER_S", linger_s)
        store = Broken()
        Base(tmp_path / str(linger_s), Texts(few), store=store, embed={"batch": 4}).run()
        writes.append(1_000_000 - store.left)
    assert writes[0] == 1
    assert writes[1] > 5


def test_a_second_ingest_of_a_base_says_who_runs(tmp_path: Path) -> None:
    base = Base(tmp_path, Texts(THREE))
    base.run()
    other = Notes(tmp_path, "docs")
    other.claim()
    with pytest.raises(Busy, match=r"'docs' is being ingested already in process \d+; 3 of 3 documents are done"):
        base.run()
    other.release()
    assert base.run().state == "done"


def test_what_two_sources_have_is_taken_once(tmp_path: Path) -> None:
    base = Base(tmp_path, Texts({"a.txt": "from the first"}), Texts({"a.txt": "from the second"}))
    assert counts(base.run()) == {"added": 1}
    assert base.texts() == {"a.txt": ["from the first"]}
