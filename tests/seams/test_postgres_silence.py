"""A PostgreSQL server that takes connections and does not answer, and answers that are lost: nobody waits for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from hanok.agents.memory.values import Memory, Owner, Vector
from hanok.agents.stores.checkpoints import open_checkpoints
from hanok.agents.stores.opening import open_memories
from hanok.agents.stores.postgres import PostgresRuns
from hanok.errors import KeptUnreachable, StoreError
from hanok.ledger import Ledger
from hanok.ledger.stores import answering
from tests.charges import charge
from tests.postgres import Line, Postgres
from tests.seams.test_checkpoints import at, graph, messages, numbered
from tests.seams.test_checkpoints import run as run_graph
from tests.seams.test_run_store import claim, event, ids, order, receipt

Ask = Callable[[], Any]
OWNER = Owner(tenant="t", agent="a", user="ann")
TOO_LONG_S = 8.0
"""Twenty questions by two threads, of which each waited for a server for seconds, took longer."""


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "PATIENCE_S", 0.4)
    monkeypatch.setattr(answering, "REST_S", 0.2)


def patient(url: str) -> str:
    return f"{url}&connect_timeout=2"  # as short as libpq takes it


@contextmanager
def runs(url: str, _: Path) -> Iterator[Ask]:
    store = PostgresRuns(url)
    store.add_run(order("r"))
    yield lambda: store.run("r", tenant=None) and claim(store)
    store.close()


@contextmanager
def memories(url: str, state: Path) -> Iterator[Ask]:
    store = open_memories(state, url)
    store.add(OWNER, Memory(id="m", text="tea", expires_at=5.0), Vector(model="m", data=bytes(8)), limit=5)
    yield lambda: store.add(OWNER, Memory(id="n", text="x", expires_at=5.0), Vector(model="m", data=bytes(8)), limit=5)
    store.close()


@contextmanager
def books(url: str, state: Path) -> Iterator[Ask]:
    with Ledger(state, database=url) as ledger:
        ledger.start()

        def ask() -> None:
            ledger.record(charge(ledger.next_id()))
            ledger.total("model", "m", since=0)

        ask()
        yield ask


@pytest.mark.parametrize("kept", [runs, memories, books])
def test_a_server_that_does_not_answer_is_given_up_and_found_again_by_itself(
    kept: Any, postgres: Postgres, tmp_path: Path
) -> None:
    """Who asks shares two threads: twenty must not wait one after the other."""
    with kept(patient(postgres.fresh()), tmp_path) as ask, ThreadPoolExecutor(2) as threads:

        def refused() -> str:
            with pytest.raises(StoreError) as caught:
                ask()
            return caught.value.message

        began = time.monotonic()
        with postgres.stopped():
            asked = [threads.submit(refused) for _ in range(20)]
            told = [each.result(timeout=20) for each in asked]
            assert time.monotonic() - began < TOO_LONG_S
        told_plainly = [each for each in told if each.endswith("cannot be used: it does not answer")]
        assert told_plainly or all("wait in the journal" in each for each in told)
        until_it_answers(ask)
        ask()


def until_it_answers(ask: Ask) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            ask()
            return
        except StoreError:
            assert time.monotonic() < deadline
            time.sleep(0.02)  # a moment's rest is part of what is tested


def test_steps_of_a_thread_are_refused_together_and_done_again_when_the_server_answers(
    postgres: Postgres, tmp_path: Path
) -> None:
    """LangGraph's saver takes one question at a time: those behind it must not each wait for the server."""

    async def work() -> list[str]:
        async with open_checkpoints(tmp_path / "none", database=patient(postgres.fresh())) as checkpoints:
            compiled = graph(checkpoints)
            await run_graph(compiled, "t", 2)
            pieces = compiled.astream({"messages": (), "until": 5}, at("t"), durability="sync")
            await anext(pieces)
            began = time.monotonic()
            with postgres.stopped():
                async with asyncio.timeout(20):
                    told = await asyncio.gather(
                        anext(pieces), *(messages(compiled, "t") for _ in range(20)), return_exceptions=True
                    )
                assert time.monotonic() - began < TOO_LONG_S
                with pytest.raises(KeptUnreachable, match="it does not answer"):
                    await checkpoints.remove("t")
            assert [type(each) for each in told] == [KeptUnreachable] * 21, told
            await pieces.aclose()
            await finally_done(lambda: run_graph(compiled, "t", 5))
            return await messages(compiled, "t")

    assert asyncio.run(work()) == numbered(5)


async def finally_done(work: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await work()
                return
            except StoreError:
                await asyncio.sleep(0.02)


def test_a_house_is_told_at_its_start_that_the_server_does_not_answer(postgres: Postgres, tmp_path: Path) -> None:
    url = patient(postgres.fresh())

    async def open_them() -> None:
        async with open_checkpoints(tmp_path / "none", database=url):
            raise AssertionError

    with postgres.stopped(), pytest.raises(KeptUnreachable, match="it does not answer") as caught:
        asyncio.run(open_them())
    assert "runs: {database" in (caught.value.hint or "")


def test_books_are_told_at_their_opening_that_the_server_does_not_answer(postgres: Postgres, tmp_path: Path) -> None:
    url = patient(postgres.fresh())
    with postgres.stopped(), pytest.raises(StoreError, match="cannot be opened: it does not answer") as refused:
        Ledger(tmp_path, database=url)
    assert "ledger: {database" in (refused.value.hint or "")


def test_charges_wait_in_the_journal_while_the_server_does_not_answer_and_closing_waits_for_nobody(
    postgres: Postgres, tmp_path: Path
) -> None:
    ledger = Ledger(tmp_path, database=patient(postgres.fresh()))
    ledger.start()
    with postgres.stopped(), ThreadPoolExecutor(1) as thread:
        for number in range(1, 101):
            ledger.record(charge(number))
        assert not ledger.flush()
        thread.submit(ledger.close).result(timeout=20)
    (segment,) = (tmp_path / "journal").iterdir()
    assert segment.read_text().count("\n") == 100, "whoever starts next takes them"


def test_a_question_that_takes_long_is_waited_for_as_long_as_the_server_is_at_it(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.fresh()
    store = PostgresRuns(url)
    store.add_run(order("r"))
    with psycopg.connect(url) as other, ThreadPoolExecutor(1) as thread:
        looks: list[bool] = []
        monkeypatch.setattr(answering, "_is_at_it", unlocks_after(2, looks, other))
        other.execute("LOCK TABLE hanok_agents.runs IN ACCESS EXCLUSIVE MODE")
        thread.submit(store.wish, "r", "cancel").result(timeout=20)
    assert looks == [True, True]
    assert [run.wish for run in claim(store)] == ["cancel"]
    store.close()


def test_a_server_that_lets_nobody_in_who_could_look_is_waited_for(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.fresh()
    store = PostgresRuns(url)
    store.add_run(order("r"))
    with psycopg.connect(url) as other, ThreadPoolExecutor(1) as thread:
        looks: list[bool] = []
        monkeypatch.setattr(answering, "_is_at_it", unlocks_after(2, looks, other))
        other.execute("LOCK TABLE hanok_agents.runs IN ACCESS EXCLUSIVE MODE")
        name = other.info.dbname
        postgres.run(url.replace(f"/{name}", "/postgres"), f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        thread.submit(store.wish, "r", "cancel").result(timeout=20)
    assert looks == [True, True]
    store.close()


def test_an_answer_that_was_on_its_way_when_somebody_looked_is_heard(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.fresh()
    store = PostgresRuns(url)
    store.add_run(order("r"))
    with psycopg.connect(url) as other, ThreadPoolExecutor(1) as thread:
        looks: list[bool] = []
        monkeypatch.setattr(answering, "_is_at_it", unlocks_after(1, looks, other, tells=False))
        other.execute("LOCK TABLE hanok_agents.runs IN ACCESS EXCLUSIVE MODE")
        thread.submit(store.wish, "r", "cancel").result(timeout=20)
    assert looks == [False]
    assert [run.wish for run in claim(store)] == ["cancel"]
    store.close()


def unlocks_after(count: int, looks: list[bool], other: Any, *, tells: bool | None = None) -> Callable[[Any], bool]:
    look = answering._is_at_it  # pyright: ignore[reportPrivateUsage]

    def look_and_maybe_unlock(asked: Any) -> bool:
        looks.append(look(asked) if tells is None else tells)
        if len(looks) == count:
            other.rollback()
        return looks[-1]

    return look_and_maybe_unlock


def test_a_question_that_takes_too_long_is_given_up_and_others_are_answered(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering.Connection, "longest_s", 0.5)
    url = postgres.fresh()
    store = PostgresRuns(url)
    store.add_run(order("r"))
    with psycopg.connect(url) as other:
        other.execute("SELECT 1 FROM hanok_agents.runs FOR UPDATE")
        with pytest.raises(KeptUnreachable, match=r"what it was asked is not done after 0\.5 seconds"):
            store.wish("r", "cancel")
        assert store.run("r", tenant=None) is not None
    store.close()


def test_a_step_whose_answer_was_lost_is_done_and_may_be_done_again(postgres: Postgres) -> None:
    with Line(postgres.fresh()) as line:
        store = PostgresRuns(line.url)
        store.add_run(order("r"))
        (run,) = claim(store)
        store.append([event("r", 1)], worker="w")

        def step() -> set[str]:
            return store.append([event("r", 2)], receipts=[receipt("r")], runs=[run], worker="w")

        line.loses_answer_to = b"COMMIT"
        with pytest.raises(KeptUnreachable, match="a question, or its answer, was lost on the way"):
            step()
        assert (line.lost, store.last_seq("r")) == (1, 2), "it was done, and nothing stands in the way of the next"
        assert step() == set()
        assert [each.seq for each in store.events("r")] == [1, 2]
        assert store.receipts("r") == {"1:model": receipt("r")}
        store.close()


def test_a_run_that_was_claimed_unheard_is_claimed_again_when_its_lease_is_over(postgres: Postgres) -> None:
    with Line(postgres.fresh()) as line:
        store = PostgresRuns(line.url)
        line.loses_answer_to = b"COMMIT"
        with pytest.raises(KeptUnreachable, match="lost on the way"):
            store.add_run(order("r"))
        assert store.add_run(order("r")).id == "r"
        assert len(store.runs(tenant=None)) == 1
        line.loses_answer_to = b"COMMIT"
        with pytest.raises(KeptUnreachable, match="lost on the way"):
            claim(store, now=10.0)
        assert claim(store, now=19.0) == []
        assert ids(claim(store, now=21.0)) == ["r"]
        store.close()


def test_a_step_that_never_came_to_an_end_holds_nothing_for_long(postgres: Postgres) -> None:
    """The server has it open, with its locks, until its client is heard to be gone: here at once."""
    with Line(postgres.fresh()) as line:
        store = PostgresRuns(line.url)
        store.add_run(order("r"))
        claim(store)
        line.loses_answer_to = b"INSERT"
        with pytest.raises(KeptUnreachable, match="lost on the way"):
            store.append([event("r", 1)], worker="w")
        store.append([event("r", 1)], worker="w")
        assert [each.seq for each in store.events("r")] == [1]
        store.close()


def test_charges_whose_commit_was_not_heard_of_count_once(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.fresh()
    with Line(url) as line, Ledger(tmp_path, database=line.url) as ledger:
        ledger.start()
        line.loses_answer_to = b"COMMIT"
        for number in range(1, 11):
            ledger.record(charge(number))
        until_it_answers(lambda: ledger.total("model", "m", since=0))
        assert line.lost == 1
        assert ledger.total("model", "m", since=0).calls == 10
        assert sum(row.calls for row in ledger.usage("model")) == 10
