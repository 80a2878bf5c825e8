"""One text for all stores of runs: SQLite, PostgreSQL and Redis."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from hanok.agents.store import RunStore
from hanok.agents.stores.postgres import PostgresRuns
from hanok.agents.stores.redis.runs import RedisRuns
from hanok.agents.stores.sqlite import SqliteRuns
from hanok.agents.values import Bounds, Event, Receipt, Run, Thread, Used
from hanok.errors import Overloaded, Unknown
from hanok.wire import Caller
from tests.seams.conftest import fresh_url, raw_redis

BOUNDS = Bounds(steps=5, tool_calls=5, iterations=5, retries=2, wall_time_s=60.0, depth=4, cost_nano_usd=7)
HOSTILE = 'nul \0 half \ud800 quote " backslash \\u0000 한옥'
KEPT = HOSTILE.replace("\ud800", "?")


def caller(tenant: str = "ours") -> Caller:
    return Caller(key_id=f"key-{tenant}", key_name="k", team=tenant, user="ann", trace="00-1-2-01")


def order(id_: str, *, thread: str | None = None, tenant: str = "ours", path: str | None = None, **more: Any) -> Run:
    """A run to add, on a thread of its own."""
    given: dict[str, Any] = {"agent": "helper", "input": ({"role": "user", "content": "hi", "id": "m1"},), **more}
    return Run(
        id=id_,
        path=path or id_,
        thread=thread or f"thread-{id_}",
        caller=caller(tenant),
        state="queued",
        bounds=BOUNDS,
        **given,
    )


def event(run: str, seq: int = 0, type_: Any = "custom", **data: Any) -> Event:
    return Event(run=run, seq=seq, type=type_, data=data, at=1.5)


def receipt(run: str, key: str = "1:model", state: Any = "done", **result: Any) -> Receipt:
    return Receipt(run=run, key=key, kind="model", state=state, result=result or None, at=2.5)


def ids(runs: list[Run]) -> list[str]:
    return [run.id for run in runs]


@pytest.fixture(scope="module", params=["sqlite", "postgres", "redis"])
def url(request: pytest.FixtureRequest) -> str | None:
    """One database for all of this file on a server, which each test empties; None for SQLite."""
    return None if request.param == "sqlite" else fresh_url(request, request.param)


@pytest.fixture
def open_store(url: str | None, tmp_path: Path) -> Iterator[Callable[[], RunStore]]:
    """Open stores of one place; they close with the test."""
    with ExitStack() as stack:

        def open_one() -> RunStore:
            store = open_runs(tmp_path, url)
            stack.callback(store.close)
            return store

        yield open_one


def open_runs(folder: Path, url: str | None) -> RunStore:
    if url is None:
        return SqliteRuns(folder / "state" / "agents.db")
    return RedisRuns(url) if url.startswith("redis:") else PostgresRuns(url)


@pytest.fixture
def store(open_store: Callable[[], RunStore], url: str | None) -> RunStore:
    """An empty one."""
    opened = open_store()
    opened.last_seq("none")  # makes the tables
    if url is not None and url.startswith("redis:"):
        with raw_redis(url) as server:
            server.flushdb()
    elif url is not None:
        with psycopg.connect(url) as connection:
            connection.execute(
                "TRUNCATE hanok_agents.threads, hanok_agents.runs, hanok_agents.events, hanok_agents.receipts"
            )
    return opened


def claim(store: RunStore, worker: str = "w", *, now: float = 100.0, most: int = 10, **more: Any) -> list[Run]:
    return store.claim(worker, now=now, lease_s=10.0, most=most, **more)


# threads


def test_a_thread_is_kept_as_it_was_given_and_found_again(store: RunStore) -> None:
    thread = Thread(id="t", tenant="ours", user="ann", agent="helper", metadata={"a": 1}, created_at=1.0, used_at=2.0)
    assert store.add_thread(thread) == thread
    assert store.add_thread(replace(thread, metadata={"b": 2})) == thread, "it stays as it is"
    assert store.thread("t", tenant="ours") == store.thread("t", tenant=None) == thread
    assert store.thread("t", tenant="theirs") is None
    assert store.thread("u", tenant="ours") is None
    with pytest.raises(Unknown, match="no thread 't'"):
        store.add_thread(replace(thread, tenant="theirs"))


def test_threads_are_listed_by_their_latest_use_within_a_tenant(store: RunStore) -> None:
    for number in range(4):
        agent = "helper" if number % 2 else "other"
        store.add_thread(Thread(id=f"t{number}", tenant="ours", agent=agent, used_at=float(number)))
    store.add_thread(Thread(id="x", tenant="theirs", used_at=9.0))
    assert [each.id for each in store.threads(tenant="ours")] == ["t3", "t2", "t1", "t0"]
    assert [each.id for each in store.threads(tenant=None, limit=2)] == ["x", "t3"]
    assert [each.id for each in store.threads(tenant="ours", limit=2, offset=1)] == ["t2", "t1"]
    assert [each.id for each in store.threads(tenant="ours", agent="other")] == ["t2", "t0"]
    store.change_thread("t0", used_at=7.0)
    store.add_run(order("r", thread="t1", created_at=8.0))
    assert [each.id for each in store.threads(tenant="ours")] == ["t1", "t0", "t3", "t2"], "a run uses its thread"
    store.add_run(order("r2", thread="t1", created_at=3.0))
    assert store.threads(tenant="ours")[0].used_at == 8.0


def test_threads_of_runs_below_others_are_listed_where_that_is_asked(store: RunStore) -> None:
    mine, below = (Thread(id=id_, tenant="ours", used_at=at) for id_, at in (("t", 1.0), ("t2", 2.0)))
    store.add_run(order("a", thread="t"), thread=mine)
    store.add_run(order("b", thread="t2", path="a/b", parent="a"), thread=below)
    assert [each.id for each in store.threads(tenant=None)] == ["t"]
    assert [each.id for each in store.threads(tenant="ours", below=True)] == ["t2", "t"]


def test_threads_are_found_by_their_metadata(store: RunStore) -> None:
    kept: dict[str, dict[str, Any]] = {
        "one": {"n": 1, "who": "ann", "deep": {"a": [1, {"b": None}]}},
        "true": {"n": True, "who": "bob", "none": None},
        "odd": {"a'b\"c": "?", "who": "%s"},
    }
    for id_, metadata in kept.items():
        store.add_thread(Thread(id=id_, tenant="ours", metadata=metadata))

    def found(**fields: Any) -> set[str]:
        return {thread.id for thread in store.threads(tenant="ours", metadata=fields)}

    assert found(n=1) == {"one"}
    assert found(n=True) == {"true"}
    assert found(n=1, who="bob") == set()
    assert found(deep={"a": [1, {"b": None}]}) == {"one"}
    assert found(deep={"a": [1]}) == set(), "a field is the same or not"
    assert found(none=None) == {"true"}
    assert found(**{"a'b\"c": "?", "who": "%s"}) == {"odd"}
    store.change_thread("one", metadata={"nul": "a\0b"})
    assert found(n=1) == set()
    assert [each.id for each in store.threads(tenant="theirs", metadata={"who": "ann"})] == []


def test_a_thread_goes_with_its_runs_their_events_and_receipts(store: RunStore) -> None:
    store.add_thread(Thread(id="t", tenant="ours"))
    for id_, thread in (("r1", "t"), ("r2", "u")):
        store.add_run(order(id_, thread=thread))
        store.append([event(id_)], receipts=[receipt(id_)])
    store.remove_thread("t")
    assert store.thread("t", tenant=None) is None
    assert store.run("r1", tenant=None) is None
    assert (store.events("r1"), store.receipts("r1")) == ([], {})
    assert store.run("r2", tenant=None) is not None
    assert len(store.events("r2")) == len(store.receipts("r2")) == 1
    store.remove_thread("t")


# runs


def test_a_run_is_kept_whole(store: RunStore) -> None:
    given = order(
        "r",
        parent="root/above",
        path="root/above/r",
        checkpoint="c1",
        metadata={"deep": [1, {"a": None}]},
        created_at=9.25,
    )
    assert store.add_run(replace(given, state="running", attempt=3, lease_by="w")) == given, "it is queued"
    assert store.run("r", tenant="ours") == given
    assert store.run("r", tenant="theirs") is None
    (taken,) = claim(store, ids=["r"])
    changed = replace(
        taken,
        used=Used(steps=3, cost_nano_usd=12, seconds=1.25),
        answer=HOSTILE,
        error="boom",
        wanted={"a": {"kind": "approval", "arguments": {"x": HOSTILE}}},
        started_at=101.5,
    )
    assert store.save(changed, worker="w")
    found = store.run("r", tenant=None)
    assert found == replace(changed, answer=KEPT, wanted={"a": {"kind": "approval", "arguments": {"x": KEPT}}})


def test_a_run_of_an_id_that_is_there_is_given_back_as_it_is(store: RunStore) -> None:
    store.add_run(order("r"))
    claim(store)
    again = store.add_run(order("r", agent="other"), queue=0)
    assert (again.state, again.agent, again.attempt) == ("running", "helper", 1)
    with pytest.raises(Unknown, match="no run 'r'"):
        store.add_run(order("r", tenant="theirs"))


def test_no_more_runs_wait_than_the_queue_takes(store: RunStore) -> None:
    for number in range(3):
        store.add_run(order(f"r{number}"), queue=3)
    with pytest.raises(Overloaded, match="3 runs wait already") as caught:
        store.add_run(order("r3"), queue=3)
    assert caught.value.code == "queue_full"
    assert store.run("r3", tenant=None) is None
    assert store.add_run(order("r2"), queue=3).id == "r2", "one that is there needs no room"
    claim(store, most=1)
    store.add_run(order("r3"), queue=3)


def test_runs_are_listed_the_newest_first(store: RunStore) -> None:
    for number in range(5):
        store.add_run(order(f"r{number}", thread=f"t{number % 2}", agent="other" if number == 4 else "helper"))
    store.add_run(order("x", tenant="theirs"))
    store.add_run(order("c1", path="r0/c1", parent="r0"))
    store.add_run(order("c2", path="r0/c1/c2", parent="r0/c1"))
    claim(store, ids=["r1"])
    assert ids(store.runs(tenant="ours")) == ["r4", "r3", "r2", "r1", "r0"]
    assert ids(store.runs(tenant=None)) == ["x", "r4", "r3", "r2", "r1", "r0"]
    assert ids(store.runs(tenant="ours", limit=2)) == ["r4", "r3"]
    assert ids(store.runs(tenant="ours", limit=2, before="r3")) == ["r2", "r1"]
    assert ids(store.runs(tenant="ours", agent="other")) == ["r4"]
    assert ids(store.runs(tenant="ours", thread="t1")) == ["r3", "r1"]
    assert ids(store.runs(tenant="ours", states=["running", "done"])) == ["r1"]
    assert ids(store.runs(tenant="ours", states=[])) == []
    assert ids(store.runs(tenant="ours", parent="r0")) == ["c1"]
    assert ids(store.runs(tenant="ours", parent="c1")) == ids(store.runs(tenant="ours", parent="r0/c1")) == ["c2"]
    assert ids(store.runs(tenant="ours", parent="*", limit=3)) == ["c2", "c1", "r4"]
    assert ids(store.runs(tenant="theirs", parent="*")) == ["x"]
    assert ids(store.runs(tenant="theirs", parent="r0")) == []


# leases


def test_the_oldest_are_claimed_first_and_each_once(store: RunStore) -> None:
    for number in range(4):
        store.add_run(order(f"r{number}"))
    first = claim(store, "a", most=2)
    assert ids(first) == ["r0", "r1"]
    assert {(run.state, run.lease_by, run.lease_until, run.attempt) for run in first} == {("running", "a", 110.0, 1)}
    assert ids(claim(store, "b")) == ["r2", "r3"]
    assert claim(store, "b") == []
    assert claim(store, "b", most=0) == claim(store, "b", ids=[]) == []


def test_a_run_whose_lease_is_over_is_claimed_again(store: RunStore) -> None:
    store.add_run(order("r"))
    claim(store, "a", now=100.0)
    assert claim(store, "b", now=109.9) == []
    (run,) = claim(store, "b", now=110.0)
    assert (run.lease_by, run.attempt) == ("b", 2)


def test_who_takes_a_run_over_is_told_from_whom(store: RunStore) -> None:
    store.add_run(order("r"))
    assert [run.taken_from for run in claim(store, "a", now=100.0)] == [None]
    (over,) = claim(store, "b", now=111.0)
    assert (over.taken_from, over.lease_by) == ("a", "b")
    assert store.save(replace(over, state="queued", takeovers=2, reached="there"), worker="b")
    (again,) = claim(store, "c", now=112.0)
    assert (again.taken_from, again.takeovers, again.reached) == (None, 2, "there")


def test_what_a_dead_worker_had_is_claimed_before_its_lease_is_over(store: RunStore) -> None:
    for name in ("a", "b"):
        store.add_run(order(name))
        assert ids(store.claim(f"worker-{name}", now=100.0, lease_s=10.0, most=1)) == [name]
    assert store.release(lambda worker: worker == "worker-a") == 1
    assert ids(store.claim("c", now=101.0, lease_s=10.0, most=5)) == ["a"]
    assert store.release(lambda worker: worker == "worker-a") == 0, "it has nothing any more"


def test_one_threads_runs_are_never_two_at_once(store: RunStore) -> None:
    for id_ in ("r1", "r2", "r3"):
        store.add_run(order(id_, thread="t"))
    assert ids(claim(store, "a", ids=["r3"])) == [], "those before it come first"
    (first,) = claim(store, "a", now=100.0)
    assert first.id == "r1"
    assert claim(store, "b", ids=["r2", "r3"]) == []
    assert ids(claim(store, "b", now=200.0)) == ["r1"], "what was begun goes on before another begins"
    assert store.save(replace(first, state="waiting"), worker="b")
    assert ids(claim(store, "b", now=200.0)) == ["r2"]
    assert store.save(replace(first, state="queued")), "as when it is answered"
    assert claim(store, "c", now=201.0) == []
    assert ids(claim(store, "c", now=300.0)) == ["r2"]


def test_what_is_below_a_run_is_claimed_by_its_id_alone(store: RunStore) -> None:
    store.add_run(order("root", thread="t"))
    store.add_run(order("child", path="root/child", parent="root", thread="t"))
    store.add_run(order("other", thread="t"))
    assert ids(claim(store, "a")) == ["root"]
    assert claim(store, "b") == []
    assert ids(claim(store, "a", ids=["child", "other"])) == ["child"], "though its parent is on the same thread"


def test_who_knows_an_agent_claims_its_runs_and_no_others(store: RunStore) -> None:
    for name, agent in (("a", "old"), ("b", "new"), ("c", "new"), ("d", "gone")):
        store.add_run(order(name, agent=agent))
    store.add_run(order("e", path="a/e", agent="gone", parent="a"))
    assert ids(claim(store, agents=[])) == []
    assert store.strangers(["old"], now=100.0) == ["b", "c", "d"]
    assert ids(claim(store, agents=["old"])) == ["a"]
    assert ids(claim(store, most=1, agents=["old", "new"])) == ["b"]
    assert store.strangers(["old"], now=101.0) == ["d"], "somebody leads one of c's agent"
    assert store.strangers([], now=111.0) == ["a", "b", "c", "d"], "their leases are over"


def test_leases_are_renewed_and_tell_what_is_wished(store: RunStore) -> None:
    for id_ in ("r1", "r2", "r3"):
        store.add_run(order(id_))
    claim(store, "a", now=100.0)
    store.wish("r2", "pause")
    assert store.renew("a", ["r1", "r2", "gone"], until=150.0) == {"r1": None, "r2": "pause"}
    assert store.renew("a", [], until=150.0) == {}
    assert ids(claim(store, "b", now=120.0)) == ["r3"]
    assert store.renew("a", ["r1", "r2", "r3"], until=160.0) == {"r1": None, "r2": "pause"}, "the third was lost"


def test_a_lost_lease_saves_nothing(store: RunStore) -> None:
    store.add_run(order("r"))
    (run,) = claim(store, "a", now=100.0)
    (taken,) = claim(store, "b", now=200.0)
    late = replace(run, state="done", answer="late", ended_at=201.0)
    assert not store.save(late, worker="a", events=[event("r", 1)])
    assert store.run("r", tenant=None) == taken
    assert store.events("r") == []
    assert store.save(replace(taken, state="done", answer="right", ended_at=202.0), worker="b", events=[event("r", 1)])
    assert not store.save(late, worker="b"), "it has ended"
    found = store.run("r", tenant=None)
    assert found is not None
    assert (found.answer, found.state, found.lease_by, found.lease_until) == ("right", "done", None, 0.0)


def test_a_lost_runs_events_and_receipts_are_left_out_of_a_batch(store: RunStore) -> None:
    for id_ in ("mine", "lost"):
        store.add_run(order(id_))
    claim(store, "a", now=100.0)
    claim(store, "b", now=200.0, ids=["lost"])
    batch = [event("mine", 1), event("lost", 1)]
    receipts = [receipt("mine"), receipt("lost")]
    assert store.append(batch, receipts=receipts, folds=[("lost", 1, 9)], worker="a") == {"lost"}
    assert (len(store.events("mine")), len(store.receipts("mine"))) == (1, 1)
    assert (store.events("lost"), store.receipts("lost")) == ([], {})
    assert store.append([], worker="a") == set()


def test_a_lease_that_was_renewed_is_not_shortened_by_a_save(store: RunStore) -> None:
    store.add_run(order("r"))
    (run,) = claim(store, "a", now=100.0)
    store.renew("a", ["r"], until=500.0)
    assert store.save(replace(run, used=Used(steps=1)), worker="a")
    assert claim(store, "b", now=400.0) == []


def test_a_wish_outlives_the_saves_of_a_worker_that_does_not_know_of_it(store: RunStore) -> None:
    store.add_run(order("r"))
    (run,) = claim(store, "a")
    store.wish("r", "cancel")
    store.wish("r", "pause")
    assert store.save(replace(run, used=Used(steps=1)), worker="a")
    assert store.renew("a", ["r"], until=150.0) == {"r": "cancel"}, "and is not made less"
    assert store.save(replace(run, state="paused"), worker="a")
    found = store.run("r", tenant=None)
    assert found is not None
    assert found.wish == "cancel"
    assert store.save(replace(found, state="queued", wish=None))
    (run,) = claim(store, "a")
    store.wish("r", "pause")
    assert store.save(replace(run, state="paused"), worker="a")
    found = store.run("r", tenant=None)
    assert found is not None
    assert found.wish is None, "it was fulfilled"


def test_only_what_nobody_has_is_saved_without_a_lease(store: RunStore) -> None:
    run = store.add_run(order("r"))
    claim(store, "a")
    cancelled = replace(run, state="cancelled", ended_at=5.0)
    assert not store.save(cancelled, events=[event("r", 1)])
    assert store.events("r") == []
    assert store.save(replace(run, state="failed", ended_at=4.0), worker="a")
    store.wish("r", "cancel")
    found = store.run("r", tenant=None)
    assert found is not None
    assert found.wish is None, "nothing is wished of what has ended"
    assert not store.save(cancelled), "it has ended otherwise"
    assert store.save(replace(run, state="queued"), events=[event("r", 1)]), "and may be tried again"
    assert len(store.events("r")) == 1


def test_workers_at_once_get_each_run_once(open_store: Callable[[], RunStore], store: RunStore) -> None:
    for number in range(60):
        store.add_run(order(f"r{number}", thread=f"t{number % 40}"))
    taken: dict[str, list[str]] = {}
    ready = threading.Barrier(4)

    def work(worker: str) -> None:
        mine = open_store()
        ready.wait()
        while found := mine.claim(worker, now=100.0, lease_s=60.0, most=7):
            taken.setdefault(worker, []).extend(ids(found))
            for run in found:
                assert mine.save(replace(run, state="done", ended_at=101.0), worker=worker)

    workers = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    while found := claim(store):
        for run in found:  # of threads that were busy when the others looked
            taken.setdefault("w", []).append(run.id)
            assert store.save(replace(run, state="done", ended_at=101.0), worker="w")
    everyone = [id_ for each in taken.values() for id_ in each]
    assert sorted(everyone) == sorted(f"r{number}" for number in range(60))


# answers


def waiting(store: RunStore, **wanted: dict[str, Any]) -> Run:
    store.add_run(order("r"))
    (run,) = claim(store, "a")
    assert store.save(replace(run, state="waiting", wanted=wanted), worker="a")
    return run


def test_a_run_is_queued_when_it_has_all_answers(store: RunStore) -> None:
    waiting(store, a={"kind": "approval"}, b={"kind": "question"})
    half = store.answer("r", {"a": {"approve": True}, "z": {"approve": True}}, events=[event("r", type_="answered")])
    assert half is not None
    assert (half.state, half.answers) == ("waiting", {"a": {"approve": True}})
    assert claim(store) == []
    whole = store.answer("r", {"a": {"approve": False}, "b": {"text": HOSTILE}}, events=[event("r", type_="answered")])
    assert whole is not None
    assert whole.state == "queued"
    (run,) = claim(store, "b")
    assert run.answers == {"a": {"approve": True}, "b": {"text": KEPT}}, "the first answer holds"
    assert [each.seq for each in store.events("r")] == [1, 2]


def test_an_answer_that_nobody_waits_for_changes_nothing(store: RunStore) -> None:
    assert store.answer("r", {"a": {}}) is None
    waiting(store, a={"kind": "approval"})
    assert store.answer("r", {"z": {}}, events=[event("r")]) is None
    assert store.answer("r", {}) is None
    assert store.answer("r", {"a": {"approve": True}}) is not None
    assert store.answer("r", {"a": {"approve": True}}, events=[event("r")]) is None, "it does not wait any more"
    claim(store, "b")
    assert store.answer("r", {"a": {"approve": True}}) is None
    assert store.events("r") == []


# events and receipts


def test_events_are_read_in_their_order_after_any_of_them(store: RunStore) -> None:
    store.append([event("r", 2, "step", step=1), event("r", 1, "run", text=HOSTILE), event("other", 1)])
    store.append([event("r", 3, "done")])
    assert [(each.seq, each.type) for each in store.events("r")] == [(1, "run"), (2, "step"), (3, "done")]
    assert store.events("r", limit=1) == [event("r", 1, "run", text=KEPT)]
    assert [each.seq for each in store.events("r", after=1)] == [2, 3]
    assert [each.seq for each in store.events("r", after=1, limit=1)] == [2]
    assert (store.events("r", after=3), store.events("none")) == ([], [])
    assert (store.last_seq("r"), store.last_seq("none")) == (3, 0)


def test_an_event_without_a_number_gets_the_next(store: RunStore) -> None:
    store.append([event("r", 0, n=1), event("r", 0, n=2), event("s", 0, n=1)])
    store.append([event("r", 5, n=5), event("r", 0, n=6)])
    assert [(each.seq, each.data["n"]) for each in store.events("r")] == [(1, 1), (2, 2), (5, 5), (6, 6)]
    assert [each.seq for each in store.events("s")] == [1]
    store.append([event("r", 6, n="again")])
    assert store.events("r", after=5)[0].data == {"n": "again"}


def test_a_run_is_written_with_what_it_told_and_only_by_who_has_it(store: RunStore) -> None:
    store.add_run(order("r"), thread=Thread(id="thread-r", tenant="ours", created_at=1.0, used_at=1.0))
    (run,) = store.claim("a", now=100.0, lease_s=10.0, most=1)
    ended = replace(run, state="done", answer="yes", ended_at=101.0)
    assert store.append([event("r", 1)], runs=[ended], worker="b") == {"r"}
    assert (store.past("r"), store.thread("thread-r", tenant="ours") is None) == ((0, {}), False)
    assert store.append([event("r", 1)], runs=[ended], receipts=[receipt("r")], worker="a") == set()
    store.sync()
    found = store.run("r", tenant="ours")
    assert found is not None
    assert (found.state, found.answer, found.lease_by) == ("done", "yes", None)
    assert store.past("r") == (1, {"1:model": receipt("r")})


def test_tokens_are_folded_and_nothing_else(store: RunStore) -> None:
    store.append([event("r", 1, "step"), *(event("r", seq, "token") for seq in range(2, 6)), event("s", 2, "token")])
    store.append([event("r", 6, "message")], folds=[("r", 1, 4)])
    assert [(each.seq, each.type) for each in store.events("r")] == [(1, "step"), (5, "token"), (6, "message")]
    assert len(store.events("s")) == 1


def test_later_receipts_of_a_key_take_the_place_of_earlier_ones(store: RunStore) -> None:
    store.append([], receipts=[receipt("r", state="begun"), receipt("r", "2:tool", text=HOSTILE)])
    assert store.receipts("r")["1:model"] == receipt("r", state="begun")
    store.append([], receipts=[receipt("r", state="begun"), receipt("r", n=1), receipt("s", n=2)])
    assert store.receipts("r") == {"1:model": receipt("r", n=1), "2:tool": receipt("r", "2:tool", text=KEPT)}
    assert store.receipts("none") == {}


def test_many_events_are_one_write(store: RunStore) -> None:
    store.append([event("r", seq, n=seq) for seq in range(1, 301)])
    assert [each.data["n"] for each in store.events("r", limit=400)] == list(range(1, 301))


def test_what_json_does_not_know_is_kept_as_its_text(store: RunStore) -> None:
    store.append([event("r", 1, path=Path("a/b"), nan=float("nan"), big=2**70, keys={1: "one"})])
    found = store.events("r")[0].data
    assert (found["path"], found["nan"], found["keys"]) == ("a/b", None, {"1": "one"})
    assert found["big"] == pytest.approx(2**70)


# the end


def test_what_ended_long_ago_is_forgotten_with_all_below_it(store: RunStore) -> None:
    for id_ in ("old", "new", "open"):
        store.add_thread(Thread(id=f"thread-{id_}", tenant="ours", used_at=1.0))
        store.add_run(order(id_))
    store.add_run(order("child", path="old/child", parent="old"))
    store.add_run(order("grandchild", path="old/child/grandchild", parent="old/child"))
    store.add_run(order("busy", path="open/busy", parent="open"))
    for run in [*claim(store, "a"), *claim(store, "a", ids=["child", "grandchild", "busy"])]:
        if run.id == "open":
            continue
        ended = 50.0 if run.id == "new" else 10.0
        store.append([event(run.id, 1)], receipts=[receipt(run.id)])
        assert store.save(replace(run, state="done", ended_at=ended), worker="a")
    assert store.prune(ended_before=20.0, threads_before=20.0) == ["thread-old"]
    assert ids(store.runs(tenant=None, parent="*")) == ["busy", "open", "new"]
    assert store.events("child") == store.events("grandchild") == []
    assert store.receipts("old") == {}
    assert {each.id for each in store.threads(tenant=None)} == {"thread-new", "thread-open"}
    assert store.prune(ended_before=20.0, threads_before=20.0) == []


def test_one_agents_past_may_be_forgotten_sooner(store: RunStore) -> None:
    for agent in ("brief", "long"):
        store.add_thread(Thread(id=f"thread-{agent}", tenant="ours", agent=agent, used_at=1.0))
        store.add_run(order(agent, agent=agent))
    for run in claim(store, "a"):
        assert store.save(replace(run, state="done", ended_at=10.0), worker="a")
    assert store.prune(ended_before=20.0, threads_before=20.0, agent="brief") == ["thread-brief"]
    assert ids(store.runs(tenant=None)) == ["long"]


def test_many_runs_are_forgotten_a_few_at_a_time(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("run_tables", "redis.runs"):
        monkeypatch.setattr(f"hanok.agents.stores.{module}.PRUNED_AT_ONCE", 3)
    for number in range(8):
        store.add_run(order(f"r{number}"))
    for run in store.claim("a", now=1.0, lease_s=5.0, most=1000):
        assert store.save(replace(run, state="failed", ended_at=10.0), worker="a")
    store.prune(ended_before=20.0, threads_before=0.0)
    assert store.runs(tenant=None) == []
