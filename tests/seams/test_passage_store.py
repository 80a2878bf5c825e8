"""One text for all stores of passages: memory, Milvus Lite here and behind a server, and the librarian."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import subprocess
import sys
from array import array
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanok.errors import RequestError, StoreError
from hanok.knowledge.children.calls import Settings
from hanok.knowledge.client import LibrarianStore
from hanok.knowledge.filters import holds, read_filter
from hanok.knowledge.store import Store
from hanok.knowledge.stores.memory import MemoryStore
from hanok.knowledge.stores.milvus import MilvusStore
from hanok.knowledge.values import EVERYONE, Head, Hit, Query, Row, Shape
from hanok.spec.tree import Index
from tests.conftest import free_port, wait_until

T = TypeVar("T")
DIMENSIONS = 4
SHAPE = Shape(dimensions=DIMENSIONS, index=Index())
_names = (f"base_{number}" for number in itertools.count())


class Bench:
    """A store, and the event loop that all its calls run on."""

    def __init__(self, store: Store, runner: asyncio.Runner) -> None:
        self.store = store
        self._runner = runner

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def made(self, *rows: Row, shape: Shape = SHAPE) -> str:
        """A new collection with these rows."""
        name = next(_names)
        self.run(self.store.create(name, shape))
        self.run(self.store.write(name, rows))
        return name

    def found(self, name: str, **query: Any) -> list[Hit]:
        return self.run(self.store.search(name, Query(**{"readers": (EVERYONE,), **query})))

    def ids(self, name: str, **query: Any) -> set[str]:
        return {hit.id for hit in self.found(name, **{"k": 100, "fetch_k": 100, **query})}


@contextlib.contextmanager
def lite_server(folder: Path) -> Iterator[str]:
    """Milvus Lite behind a port of its own, as a server would be: its URL."""
    port = free_port()
    command = [sys.executable, "-m", "milvus_lite", "server", "--data-dir", str(folder), "--port", str(port)]
    process = subprocess.Popen([*command, "--host", "127.0.0.1"], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _listens(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def opened(kind: str, folder: Path) -> Iterator[Store]:
    match kind:
        case "memory":
            yield MemoryStore()
        case "lite":
            yield MilvusStore(str(folder / "passages.db"))
        case "server":
            with lite_server(folder / "server.db") as url:
                yield MilvusStore(url)
        case _:
            yield LibrarianStore(folder, Settings(uri=str(folder / "passages.db")))


@pytest.fixture(scope="module", params=["memory", "lite", "server", "librarian"])
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    if request.param != "memory":
        pytest.importorskip("pymilvus", reason="pymilvus is not installed")
    with asyncio.Runner() as runner, opened(request.param, tmp_path_factory.mktemp("store")) as store:
        yield Bench(store, runner)
        runner.run(store.aclose())


def vector(*numbers: float) -> bytes:
    return array("f", [*numbers, *[0.0] * (DIMENSIONS - len(numbers))]).tobytes()


def row(name: str, terms: str = "", *, at: bytes | None = None, **more: Any) -> Row:
    plain: dict[str, Any] = {"document": "a.md", "digest": "d1", "ordinal": 0, "path": "a.md", "title": "A"}
    return Row(**{**plain, "id": name, "text": terms or name, "terms": terms, "vector": at or vector(1.0), **more})


def head(document: str = "a.md", digest: str = "d1", **more: Any) -> Head:
    return Head(
        **{"document": document, "path": document, "title": "A", "digest": digest, "passages": 2, "bytes": 9, **more}
    )


def filtered(kind: str, key: str, value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode({"type": kind, "key": key, "value": value}))


def test_what_was_written_is_found_with_all_that_was_said_of_it(bench: Bench) -> None:
    kept = row(
        "p1",
        "시크 크릿 secret",
        text='시크릿 "quoted" \\ line\nline',
        ordinal=3,
        headings=("Guide", "비밀"),
        page=7,
        start=10,
        end=40,
        metadata={"team": "sre", "year": 2026, "draft": False, "weight": 0.5},
        created_at=1_790_000_000,
    )
    (hit,) = bench.found(bench.made(kept), terms="시크", vector=vector(1.0, 1.0))
    for field in ("id", "document", "digest", "ordinal", "path", "title", "text", "headings", "page", "start", "end"):
        assert getattr(hit, field) == getattr(kept, field), field
    assert (hit.reader, dict(hit.metadata), hit.created_at) == (EVERYONE, kept.metadata, 1_790_000_000)
    assert hit.similarity == pytest.approx(0.7071, abs=1e-3)
    assert hit.coverage == 1.0


def test_a_row_of_the_same_id_is_written_over_also_when_others_read_it(bench: Bench) -> None:
    name = bench.made(row("p1", "alpha"))
    bench.run(bench.store.write(name, [row("p1", "beta", reader="team-a"), row("p1", "gamma", reader="team-b")]))
    assert bench.ids(name, terms="alpha beta gamma") == set()
    assert bench.ids(name, terms="alpha beta gamma", readers=("team-a", "team-b")) == {"p1"}
    described = bench.run(bench.store.describe(name))
    assert described is not None
    assert described.passages == 1


def test_a_collection_is_described_and_listed(bench: Bench) -> None:
    name = bench.made(row("p1"), row("p2"))
    described = bench.run(bench.store.describe(name))
    assert described is not None
    assert (described.name, described.passages, described.shape.dimensions) == (name, 2, DIMENSIONS)
    assert (described.shape.index.type, described.shape.index.metric) == ("HNSW", "COSINE")
    assert name in bench.run(bench.store.list_collections())
    assert bench.run(bench.store.describe("nothing")) is None


def test_a_collection_that_is_there_stays_and_another_shape_is_refused(bench: Bench) -> None:
    name = bench.made(row("p1", "alpha"))
    bench.run(bench.store.create(name, SHAPE))
    assert bench.ids(name, terms="alpha") == {"p1"}
    for other in (
        Shape(dimensions=8, index=Index()),
        Shape(dimensions=DIMENSIONS, index=Index(metric="L2")),
        Shape(dimensions=DIMENSIONS, index=Index(type="FLAT")),
    ):
        with pytest.raises(StoreError, match=f"{name} has 4 dimensions in an index HNSW by COSINE"):
            bench.run(bench.store.create(name, other))


def test_vectors_that_do_not_fit_are_refused_before_anything_is_written(bench: Bench) -> None:
    name = bench.made()
    wrong = row("p2", at=array("f", [1.0, 2.0]).tobytes())
    with pytest.raises(StoreError, match="2 dimensions, the collection 4"):
        bench.run(bench.store.write(name, [row("p1", "alpha"), wrong]))
    with pytest.raises(StoreError, match="NaN"):
        bench.run(bench.store.write(name, [row("p1", "alpha", at=vector(float("nan")))]))
    assert bench.ids(name, terms="alpha") == set()


def test_inner_products_take_vectors_of_length_1_alone(bench: Bench) -> None:
    name = bench.made(row("p1", "alpha"), shape=Shape(dimensions=DIMENSIONS, index=Index(metric="IP")))
    with pytest.raises(StoreError, match=r"length 5\.000"):
        bench.run(bench.store.write(name, [row("p2", at=vector(3.0, 4.0))]))
    assert bench.ids(name, vector=vector(1.0)) == {"p1"}


@pytest.mark.parametrize("kind", ["FLAT", "IVF_FLAT", "HNSW"])
@pytest.mark.parametrize("metric", ["COSINE", "IP", "L2"])
def test_the_nearest_passage_comes_first_in_every_index(bench: Bench, kind: Any, metric: Any) -> None:
    shape = Shape(dimensions=DIMENSIONS, index=Index(type=kind, metric=metric))
    rows = [row(f"p{axis}", at=vector(*[0.0] * axis, 1.0)) for axis in range(DIMENSIONS)]
    name = bench.made(*rows, shape=shape)
    assert bench.found(name, vector=vector(0.1, 0.1, 0.9, 0.3))[0].id == "p2"


def test_passages_are_found_by_words_alone_and_by_meaning_alone(bench: Bench) -> None:
    name = bench.made(row("words", "alpha beta", at=vector(1.0)), row("meaning", "gamma", at=vector(0.0, 1.0)))
    assert [hit.id for hit in bench.found(name, terms="alpha")] == ["words"]
    assert bench.found(name, vector=vector(0.0, 1.0))[0].id == "meaning"
    assert bench.found(name, terms="nowhere") == []
    assert bench.found(name, terms=" ") == bench.found(name, terms="?! .") == []


def test_no_more_than_k_are_given_the_best_first(bench: Bench) -> None:
    name = bench.made(*(row(f"p{n}", f"alpha word{n}", at=vector(1.0, n / 10)) for n in range(12)))
    hits = bench.found(name, terms="alpha word7", vector=vector(1.0, 0.7), k=3)
    assert len(hits) == 3
    assert hits[0].id == "p7"
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_a_question_of_other_dimensions_is_refused(bench: Bench) -> None:
    with pytest.raises(StoreError, match="dimensions"):
        bench.found(bench.made(row("p1")), vector=array("f", [1.0]).tobytes())


def test_removing_a_document_leaves_the_version_to_keep_and_other_documents(bench: Bench) -> None:
    hostile = 'a"b\' or "" == "'
    name = bench.made(
        row("old", "alpha", document=hostile, digest="d1"),
        row("new", "alpha", document=hostile, digest="d2"),
        row("other", "alpha", document="b.md"),
        row("stored", "alpha", document=hostile, store="vs_1"),
    )
    bench.run(bench.store.remove(name, document=hostile, keep="d2"))
    assert bench.ids(name, terms="alpha") == {"new", "other"}
    bench.run(bench.store.remove(name, document=hostile))
    assert bench.ids(name, terms="alpha") == {"other"}
    assert bench.ids(name, terms="alpha", store="vs_1") == {"stored"}


def test_vector_stores_do_not_see_one_another_and_are_removed_whole(bench: Bench) -> None:
    name = bench.made(row("p1", "alpha", store="vs_1", head=head(store="vs_1")), row("p2", "alpha", store="vs_2"))
    assert bench.ids(name, terms="alpha") == set()
    assert bench.ids(name, terms="alpha", vector=vector(1.0), store="vs_1") == {"p1"}
    assert len(bench.run(bench.store.heads(name, store="vs_1"))) == 1
    assert bench.run(bench.store.heads(name)) == []
    bench.run(bench.store.remove_store(name, "vs_1"))
    assert bench.ids(name, terms="alpha", store="vs_1") == set()
    assert bench.ids(name, terms="alpha", store="vs_2") == {"p2"}


def test_heads_tell_every_version_that_is_there(bench: Bench) -> None:
    first = head(digest="d1", metadata={"year": 2025}, found="etag", whole=False, written_at=5)
    second = head(digest="d2")
    name = bench.made(row("a", head=first), row("b", digest="d2", head=second), row("c", ordinal=1))
    assert sorted(bench.run(bench.store.heads(name)), key=lambda each: each.digest) == [first, second]
    assert bench.run(bench.store.heads("nothing")) == []


def test_a_head_stands_on_the_first_passage_alone(bench: Bench) -> None:
    with pytest.raises(StoreError, match="head"):
        bench.made(row("a", ordinal=1, head=head()))


def test_passages_of_a_document_come_in_order(bench: Bench) -> None:
    rows = [row(f"p{n}", ordinal=n) for n in (4, 2, 3, 0, 1)]
    name = bench.made(*rows, row("other", ordinal=2, digest="d2"), row("stored", ordinal=2, store="vs_1"))

    def passages(first: int, last: int, **more: Any) -> list[str]:
        asked = {"document": "a.md", "digest": "d1", "readers": [EVERYONE], **more}
        return [hit.id for hit in bench.run(bench.store.passages(name, first=first, last=last, **asked))]

    assert passages(1, 3) == ["p1", "p2", "p3"]
    assert passages(2, 2, store="vs_1") == ["stored"]
    assert passages(9, 12) == passages(3, 1) == passages(0, 9, readers=[]) == []


def test_an_alias_stands_for_one_collection_and_then_for_another(bench: Bench) -> None:
    blue, green = bench.made(row("blue", "alpha")), bench.made(row("green", "alpha"))
    alias = f"alias_{blue}"
    bench.run(bench.store.point(alias, blue))
    assert bench.ids(alias, terms="alpha") == {"blue"}
    bench.run(bench.store.point(alias, green))
    assert bench.ids(alias, terms="alpha") == {"green"}
    described = bench.run(bench.store.describe(alias))
    assert described is not None
    assert described.name == green
    assert alias not in bench.run(bench.store.list_collections())
    bench.run(bench.store.drop(blue))
    assert bench.ids(alias, terms="alpha") == {"green"}
    bench.run(bench.store.drop(green))
    assert bench.run(bench.store.describe(alias)) is None
    assert bench.ids(alias, terms="alpha") == set()


def test_an_alias_is_no_collection_and_stands_for_none_that_is_not_there(bench: Bench) -> None:
    name = bench.made(row("p1", "alpha"))
    alias = f"alias_{name}"
    bench.run(bench.store.point(alias, name))
    bench.run(bench.store.drop(alias))
    assert bench.ids(name, terms="alpha") == {"p1"}
    for work in (
        bench.store.create(alias, SHAPE),
        bench.store.point(name, name),
        bench.store.point("alias_new", "nothing"),
        bench.store.create("no-name", SHAPE),
    ):
        with pytest.raises(StoreError):
            bench.run(work)


def test_without_a_collection_nothing_is_found_and_nothing_can_be_written(bench: Bench) -> None:
    assert bench.found("nothing", terms="alpha", vector=vector(1.0)) == []
    bench.run(bench.store.remove("nothing", document="a.md"))
    bench.run(bench.store.remove_store("nothing", "vs_1"))
    bench.run(bench.store.drop("nothing"))
    with pytest.raises(StoreError, match="no collection"):
        bench.run(bench.store.write("nothing", [row("p1")]))


def test_readers_find_nothing_that_others_read_whatever_they_ask(bench: Bench) -> None:
    name = bench.made(
        row("open", "alpha", metadata={"reader": EVERYONE}),
        row("mine", "alpha", reader="team-a", metadata={"reader": "team-a"}),
        row("theirs", "alpha", reader="team-b", metadata={"reader": "team-b", 'x"] == 1 or metadata["x': 1}),
    )

    def seen(*readers: str, **more: Any) -> set[str]:
        return bench.ids(name, **{"terms": "alpha", "vector": vector(1.0), "readers": readers, **more})

    assert seen(EVERYONE, "team-a") == {"open", "mine"}
    assert seen() == set()
    for trick in (
        'team-b"] or reader in ["team-b',
        "team-b' or '1'=='1",
        'x" or reader == "team-b',
        "%",
        "team-_",
        "\\",
    ):
        assert seen(trick) == set(), trick
        assert "theirs" not in seen("team-a", store=f'" or "" == "{trick}'), trick
        assert "theirs" not in seen("team-a", filter=filtered("eq", "reader", f'" or reader == "{trick}')), trick
    for tried in (
        {
            "type": "or",
            "filters": [msgspec.Raw(filtered("ne", "reader", "x")), msgspec.Raw(filtered("eq", "reader", "team-b"))],
        },
        msgspec.Raw(filtered("eq", "reader", "team-b")),
        msgspec.Raw(filtered("in", "reader", ["team-b"])),
        msgspec.Raw(filtered("eq", 'x"] == 1 or metadata["x', 1)),
    ):
        assert "theirs" not in seen("team-a", filter=msgspec.Raw(msgspec.json.encode(tried)))
    theirs = bench.run(
        bench.store.passages(name, document="a.md", digest="d1", first=0, last=9, readers=[EVERYONE, "team-a"])
    )
    assert {hit.id for hit in theirs} == {"open", "mine"}


def test_filters_hold_as_they_say(bench: Bench) -> None:
    kinds = [{"year": 2024, "lang": "ko"}, {"year": 2025, "lang": "en"}, {"lang": "q\"\\'; or 1==1 한"}]
    rows = [
        row(f"p{n}", "alpha", document=f"{n}.md", metadata=each, head=head(f"{n}.md")) for n, each in enumerate(kinds)
    ]
    name = bench.made(*rows)

    def kept(kind: str, key: str, value: Any) -> set[str]:
        return bench.ids(name, terms="alpha", vector=vector(1.0), filter=filtered(kind, key, value))

    assert kept("eq", "year", 2024) == {"p0"}
    assert kept("ne", "year", 2024) == {"p1", "p2"}
    assert kept("gte", "year", 2024.5) == {"p1"}
    assert kept("lt", "year", 2025) == {"p0"}
    assert kept("in", "lang", ["ko", "q\"\\'; or 1==1 한"]) == {"p0", "p2"}
    assert kept("nin", "lang", ["ko"]) == {"p1", "p2"}
    assert kept("gt", "lang", "en") == {"p0", "p2"}
    assert kept("eq", "nothing", 1) == set()
    both = {
        "type": "and",
        "filters": [{"type": "gte", "key": "year", "value": 2024}, {"type": "ne", "key": "lang", "value": "ko"}],
    }
    assert bench.ids(name, terms="alpha", filter=msgspec.Raw(msgspec.json.encode(both))) == {"p1"}
    bench.run(bench.store.write(name, [row("p3", "alpha", document="3.md", metadata={"year": 2024})]))
    assert kept("eq", "year", 2024) == {"p0", "p3"}


def test_a_filter_asks_only_for_what_its_own_vector_store_has(bench: Bench) -> None:
    of = {"vs-1": 2024, "vs-2": 2024, "vs-3": 2025}
    rows = [row(store, "alpha", store=store, metadata={"year": year}) for store, year in of.items()]
    name = bench.made(*rows)
    for store, year in of.items():
        assert bench.ids(name, terms="alpha", store=store, filter=filtered("eq", "year", year)) == {store}
        assert not bench.ids(name, terms="alpha", store=store, filter=filtered("eq", "year", 1999))


def _nested(levels: int) -> Any:
    found: Any = {"type": "eq", "key": "a", "value": 1}
    for _ in range(levels):
        found = {"type": "and", "filters": [found]}
    return found


@pytest.mark.parametrize(
    ("nonsense", "param"),
    [
        ([], "filters"),
        ({"type": "like", "key": "a", "value": "b"}, "filters"),
        ({"type": "eq", "key": "a"}, "filters"),
        ({"type": "eq", "key": "a", "value": 1, "more": 1}, "filters"),
        ({"type": "eq", "key": "", "value": 1}, "filters.key"),
        ({"type": "eq", "key": "a\n", "value": 1}, "filters.key"),
        ({"type": "eq", "key": "a", "value": ["b"]}, "filters.value"),
        ({"type": "in", "key": "a", "value": "b"}, "filters.value"),
        ({"type": "in", "key": "a", "value": []}, "filters.value"),
        ({"type": "gt", "key": "a", "value": True}, "filters.value"),
        ({"type": "eq", "key": "a", "value": 2**63}, "filters.value"),
        ({"type": "eq", "key": "a", "value": "x" * 5000}, "filters.value"),
        ({"type": "and", "filters": []}, "filters.filters"),
        ({"type": "or", "filters": [{"type": "eq", "key": "a", "value": 1}, 7]}, "filters.filters[1]"),
        ({"type": "in", "key": "a", "value": list(range(201))}, "filters"),
        ({"type": "eq", "key": "a", "value": "x" * 70_000}, "filters"),
        (_nested(8), "filters" + ".filters[0]" * 8),
    ],
)
def test_a_filter_that_makes_no_sense_is_the_callers_mistake(bench: Bench, nonsense: Any, param: str) -> None:
    name = bench.made(row("p1", "alpha"))
    with pytest.raises(RequestError) as raised:
        bench.found(name, terms="alpha", filter=msgspec.Raw(msgspec.json.encode(nonsense)))
    assert raised.value.param == param


def test_text_that_is_too_long_is_refused_by_its_bytes_and_names_are_cut(bench: Bench) -> None:
    fits = "가" * 21_845  # 65,535 bytes
    name = bench.made(row("p1", "alpha", text=fits))
    assert bench.found(name, terms="alpha")[0].text == fits
    if isinstance(bench.store, MemoryStore):
        return
    with pytest.raises(StoreError, match="65,538 bytes"):
        bench.run(bench.store.write(name, [row("p2", "alpha", text=fits + "가")]))
    bench.run(bench.store.write(name, [row("p3", "gamma " + "단어 " * 20_000, text="short", title="한" * 2000)]))
    (hit,) = bench.found(name, terms="gamma")
    assert hit.title == "한" * 341


def test_many_writers_and_readers_at_once_lose_nothing(bench: Bench) -> None:
    name = bench.made()

    async def everybody() -> None:
        async def one(writer: int) -> None:
            for n in range(5):
                await bench.store.write(name, [row(f"w{writer}n{n}k{k}", "alpha") for k in range(4)])
                await bench.store.search(name, Query(readers=(EVERYONE,), terms="alpha", vector=vector(1.0)))

        await asyncio.gather(*(one(writer) for writer in range(8)))

    bench.run(everybody())
    described = bench.run(bench.store.describe(name))
    assert described is not None
    assert described.passages == 160


_KEYS = st.sampled_from(["a", "b", "and", 'k"] or "" == "', "한글", "x\\"])
_TEXTS = st.one_of(
    st.sampled_from(
        ["", "a", "true", "not", '"', "'", "\\", '\\"', '" or 1 == 1 or "', "x' or 'x", "한국어", "a\nb", "%"]
    ),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6),
)
_NUMBERS = st.one_of(st.integers(-3, 3), st.sampled_from([0.5, -1.0, 1e-7, 1e20, 2**53]))
_VALUES = st.one_of(st.booleans(), _NUMBERS, _TEXTS)
_COMPARED = st.one_of(
    st.fixed_dictionaries({"type": st.sampled_from(["eq", "ne"]), "key": _KEYS, "value": _VALUES}),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["gt", "gte", "lt", "lte"]), "key": _KEYS, "value": st.one_of(_NUMBERS, _TEXTS)}
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["in", "nin"]), "key": _KEYS, "value": st.lists(_VALUES, min_size=1, max_size=3)}
    ),
)
_FILTERS = st.recursive(
    _COMPARED,
    lambda inner: st.fixed_dictionaries(
        {"type": st.sampled_from(["and", "or"]), "filters": st.lists(inner, min_size=1, max_size=3)}
    ),
    max_leaves=6,
)
_METADATA = st.dictionaries(_KEYS, _VALUES, max_size=4)


@pytest.fixture(scope="module")
def labelled(bench: Bench) -> str:
    """A collection that the next test fills with whatever metadata it thinks of."""
    return bench.made(shape=Shape(dimensions=DIMENSIONS, index=Index(type="FLAT")))


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(metadata=st.lists(_METADATA, min_size=1, max_size=5), asked=_FILTERS)
def test_any_filter_finds_what_it_says(bench: Bench, labelled: str, metadata: list[Any], asked: Any) -> None:
    rows = [row(f"p{n}", document=f"{n}.md", metadata=each, head=head(f"{n}.md")) for n, each in enumerate(metadata)]
    bench.run(bench.store.remove_store(labelled, ""))
    bench.run(bench.store.write(labelled, rows))
    raw = msgspec.Raw(msgspec.json.encode(asked))
    expected = {each.id for each in rows if holds(read_filter(raw), each.metadata)}
    assert bench.ids(labelled, vector=vector(1.0), filter=raw) == expected
