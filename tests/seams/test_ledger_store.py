"""One text for both databases of the ledger: what is charged once, adds up, and is kept of keys and changes."""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from hanok.errors import StoreError
from hanok.ledger import Allotment, KeyRing, Ledger, Total, books
from hanok.ledger.usage import Grouping, Kind, day_of
from hanok.spec import Allowance, Rates
from hanok.wire import Charge
from tests.charges import charge

NOON = 1_795_000_000.0 // 86_400 * 86_400 + 43_200
DAY = day_of(NOON)
Open = Callable[..., Ledger]


def spent(*charges: Charge) -> Total:
    return Total(
        cost_nano_usd=sum(each.cost_nano_usd for each in charges),
        tokens=sum(each.prompt_tokens + each.completion_tokens for each in charges),
        calls=len(charges),
    )


def record(ledger: Ledger, *charges: Charge) -> None:
    for each in charges:
        ledger.record(each)


def segments(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (folder / "state" / "journal").iterdir()}


def test_a_segment_that_was_committed_but_not_deleted_counts_once(tmp_path: Path, open_ledger: Open) -> None:
    """As when the process is killed between the two: the file lies there at the next start."""
    first = open_ledger()
    made = [charge(number, team="red") for number in range(1, 51)]
    record(first, *made)
    left = {path: data for path, data in segments(tmp_path).items() if data}
    first.close()
    for path, data in left.items():
        path.write_bytes(data)
    again = open_ledger()
    assert [row.calls for row in again.usage("model")] == [50]
    assert again.total("team", "red", since=0) == spent(*made)
    assert not any(path in segments(tmp_path) for path in left), "what was counted is deleted"


@pytest.mark.parametrize("name", ["77-1.jsonl", "77-1-0011223344556677.jsonl"])
def test_charges_that_come_again_under_another_name_count_once_and_new_ones_beside_them_too(
    tmp_path: Path, open_ledger: Open, name: str
) -> None:
    first = open_ledger()
    record(first, charge(1), charge(3))
    first.close()
    other = open_ledger("other")
    record(other, *(charge(number) for number in range(1, 6)))
    (data,) = [path.read_bytes() for path in (tmp_path / "other" / "journal").iterdir() if path.stat().st_size]
    (tmp_path / "state" / "journal" / name).write_bytes(data)
    again = open_ledger()
    assert again.total("model", "m", since=0) == spent(*(charge(number) for number in range(1, 6)))


def test_names_of_segments_are_forgotten_after_a_day_and_their_charges_still_count_once(
    tmp_path: Path, open_ledger: Open
) -> None:
    now = [NOON]
    first = open_ledger(clock=lambda: now[0])
    record(first, charge(1))
    left = segments(tmp_path)
    first.close()
    now[0] += 2 * books.FORGET_SEGMENTS_S
    for round_ in (2, 3):  # the first forgets the name, the second finds the file
        ledger = open_ledger(clock=lambda: now[0])
        record(ledger, charge(round_))
        ledger.close()
        for path, data in left.items():
            path.write_bytes(data)
    again = open_ledger(clock=lambda: now[0])
    assert again.total("model", "m", since=0).calls == 3


def test_daily_totals_are_what_the_charges_add_up_to(ledger: Ledger) -> None:
    dice = random.Random(7)
    made = [
        charge(
            number,
            at=NOON + dice.randrange(-3, 3) * 86_400 + dice.random(),
            key_id=dice.choice(["key_1", "key_2"]),
            team=dice.choice([None, "red", "blue"]),
            user=dice.choice([None, "ann", "O'Hara", "박"]),
            model=dice.choice(["m", "n"]),
            cost_nano_usd=dice.randrange(10**12),
            prompt_tokens=dice.randrange(10**6),
        )
        for number in range(1, 1201)
    ]
    record(ledger, *made)
    for kind, field in (("key", "key_id"), ("team", "team"), ("user", "user"), ("model", "model")):
        expected: dict[Any, list[Charge]] = defaultdict(list)
        for each in made:
            if each.at >= NOON - 43_200 and getattr(each, field) is not None:
                expected[getattr(each, field)].append(each)
        assert ledger.totals(kind, since_day=DAY) == {subject: spent(*its) for subject, its in expected.items()}
        for subject, its in expected.items():
            assert ledger.total(kind, subject, since=NOON) == spent(*its), "from the beginning of that day"
    assert ledger.total("user", "nobody", since=0) == Total()


def test_totals_include_what_was_recorded_a_moment_ago(ledger: Ledger) -> None:
    for number in range(1, 20):
        ledger.record(charge(number, session="s"))
        assert ledger.total("key", "key_1", since=0).calls == number
        assert ledger.total("session", "s", since=0).calls == number


def test_a_session_is_that_of_one_tenant_from_a_moment_on(ledger: Ledger) -> None:
    made = [
        charge(1, at=NOON, session="s", team="red", key_id="a"),
        charge(2, at=NOON + 5, session="s", team="red", key_id="b"),
        charge(3, at=NOON, session="s", key_id="c"),
        charge(4, at=NOON, session="t", key_id="c"),
    ]
    record(ledger, *made)
    assert ledger.total("session", "s", since=0, tenant="red") == spent(*made[:2])
    assert ledger.total("session", "s", since=NOON + 1, tenant="red") == spent(made[1])
    assert ledger.total("session", "s", since=0, tenant="c") == spent(made[2])
    assert ledger.total("session", "s", since=0) == spent(*made[:3])
    assert ledger.total("session", "s", since=0, tenant="a") == Total(), "a key of a team is not a tenant"


@pytest.mark.parametrize("run", ["run", "r%n", "r_n", "r\\n", "100%", "_", "%", "ärger", "a b"])
def test_a_runs_total_includes_the_runs_it_started_and_no_other(ledger: Ledger, run: str) -> None:
    inside = [run, f"{run}/child", f"{run}/child/grandchild", f"{run}/%", f"{run}/\U0010ffff"]
    outside = [
        "other", f"{run}0", f"{run}-2", f"{run}.", f"{run[:-1]}x", f"x{run}", f"parent/{run}", "ran", "100", "1000",
        f"{run}x/child", run.swapcase() + "/child" if run.swapcase() != run else "elsewhere",
    ]  # fmt: skip
    made = [charge(number, run=name) for number, name in enumerate(inside, 1)]
    record(ledger, *made, *(charge(100 + number, run=name) for number, name in enumerate(outside)))
    assert ledger.total("run", run, since=0, tenant="key_1") == spent(*made)
    assert ledger.total("run", run, since=0, tenant="key_2") == Total()


def test_sessions_and_runs_have_no_daily_totals(ledger: Ledger) -> None:
    with pytest.raises(StoreError, match="no daily totals by run"):
        ledger.totals("run", since_day=0)


def test_a_process_finds_its_own_charges_after_an_id(ledger: Ledger) -> None:
    mine = [charge((number << 12) | 7, user="ann", error="x", estimated=number % 2 == 0) for number in range(1, 6)]
    record(ledger, *mine, *(charge((number << 12) | 8) for number in range(1, 6)))
    assert ledger.charges_since(0, 7) == mine
    assert ledger.charges_since(mine[2].id, 7) == mine[3:]
    assert ledger.charges_since(mine[-1].id, 7) == []
    assert ledger.next_id() & 4095 == ledger.own_bits


def test_usage_adds_up_by_every_group(ledger: Ledger) -> None:
    record(
        ledger,
        charge(1, at=NOON, key_name="k", team="t", user="u", model="m", endpoint="m#1", session="s", run="r"),
        charge(2, at=NOON, key_name="k", status="failed", first_token_ms=0.0, latency_ms=40.0),
    )
    ledger.flush()
    for by in get_args(Grouping):
        assert sum(row.calls for row in ledger.usage(by)) == 2, by
        assert sum(row.failed for row in ledger.usage(by)) == 1, by
    assert {row.group for row in ledger.usage("run")} == {"r", ""}
    assert [row.group for row in ledger.usage("day")] == ["2026-11-18"]
    (row,) = ledger.usage("key")
    assert (row.prompt_tokens, row.cost_nano_usd, row.mean_latency_ms, row.mean_first_token_ms) == (20, 200, 30.0, 5.0)
    assert all(isinstance(each, int) for each in (row.cost_nano_usd, row.prompt_tokens))
    assert ledger.usage("model", since=NOON + 1) == []


def test_usage_tells_by_tier_what_was_saved(ledger: Ledger) -> None:
    record(
        ledger,
        charge(1, tier="simple", asked="auto", saved_nano_usd=700),
        charge(2, tier="simple", asked="auto", saved_nano_usd=-200),
        charge(3, saved_nano_usd=5),
    )
    ledger.flush()
    assert {row.group: row.saved_nano_usd for row in ledger.usage("tier")} == {"simple": 500, "": 5}
    assert all(isinstance(row.saved_nano_usd, int) for row in ledger.usage("tier"))


def test_what_no_database_can_hold_does_not_stop_the_charges_after_it(ledger: Ledger) -> None:
    record(
        ledger,
        charge(1, user="a\0b", session="\0"),
        charge(2, prompt_tokens=2**53, cost_nano_usd=10**30),
        charge(3, user="a\N{REPLACEMENT CHARACTER}b", prompt_tokens=2**53),
    )
    assert ledger.flush()
    assert sum(each.calls for each in ledger.totals("user", since_day=0).values()) == 2
    assert ledger.total("model", "m", since=0).calls == 3


def test_two_processes_write_at_once_and_every_charge_counts_once(open_ledger: Open) -> None:
    """Two ledgers stand for two processes: in PostgreSQL they may have folders of their own."""
    ledgers = [open_ledger("state"), open_ledger("state")]

    def write(ledger: Ledger, first: int) -> None:
        for number in range(first, first + 800, 2):
            ledger.record(charge(number, user=f"u{number % 7}", team=f"t{number % 3}"))
            if number % 50 < 2:
                assert ledger.flush()

    threads = [threading.Thread(target=write, args=(each, first)) for first, each in enumerate(ledgers, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(each.flush() for each in ledgers)
    made = [charge(number) for number in range(1, 801)]
    assert ledgers[0].total("model", "m", since=0) == spent(*made)
    assert sum(each.calls for each in ledgers[0].totals("user", since_day=0).values()) == 800


def test_several_processes_may_make_the_books_at_once(tmp_path: Path, database: str | None) -> None:
    made: list[str] = []
    together = threading.Barrier(6)

    def make(number: int) -> None:
        together.wait()
        with Ledger(tmp_path, database=database) as ledger:
            made.append(ledger.create_key(f"key-{number}").key.name)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 6
    with Ledger(tmp_path, database=database) as ledger:
        assert {key.name for key in ledger.list_keys()} == set(made)
        assert len(ledger.audit()) == 6


POLICY: dict[str, Any] = {
    "team": "red",
    "user": "ann",
    "models": ("small-*", "echo"),
    "knowledge": (),
    "agents": ("helper",),
    "expires_at": 4e9,
    "budgets": (Allowance(usd=0.1, per="day", downgrade_to="small"), Allowance(tokens=10**15)),
    "limits": Rates(requests_per_minute=5, concurrent=1),
}


def test_a_key_is_kept_with_all_that_it_may_do(open_ledger: Open) -> None:
    ledger = open_ledger()
    made = [ledger.create_key("ann", **POLICY).key, ledger.create_key("bob").key]
    assert all(getattr(made[0], name) == value for name, value in POLICY.items())
    assert sorted(ledger.list_keys(), key=lambda key: key.name) == made
    assert open_ledger().find_key("ann") == made[0]
    assert ledger.find_key(made[1].id) == made[1]


def test_a_key_is_changed_and_nothing_else_of_it(ledger: Ledger) -> None:
    before = ledger.create_key("ann", team="red").key
    after = ledger.update_key("ann", name="anna", team=None, limits=POLICY["limits"], budgets=POLICY["budgets"])
    assert ledger.list_keys() == [after]
    assert (after.name, after.team, after.limits, after.budgets) == ("anna", None, POLICY["limits"], POLICY["budgets"])
    assert (after.id, after.digest, after.created_at, after.models) == (
        before.id, before.digest, before.created_at, before.models,
    )  # fmt: skip
    ledger.create_key("ann")
    with pytest.raises(StoreError, match="'ann' is in use"):
        ledger.update_key("anna", name="ann")


def test_a_rotated_key_opens_with_both_secrets_for_a_while(open_ledger: Open) -> None:
    now = [NOON]
    ledger = open_ledger(clock=lambda: now[0])
    first = ledger.create_key("ann")
    second = ledger.rotate_key("ann", grace_s=60)
    ring = KeyRing(ledger.list_keys(), clock=lambda: now[0])
    assert ring.find(first.secret) == ring.find(second.secret) == second.key
    assert second.key.id == first.key.id
    now[0] += 60
    assert (ring.find(first.secret), ring.find(second.secret)) == (None, second.key)
    third = ledger.rotate_key(first.key.id, grace_s=0)
    ring.replace(ledger.list_keys())
    assert [ring.find(each.secret) for each in (first, second, third)] == [None, None, third.key]
    with pytest.raises(StoreError, match="good for -1 seconds"):
        ledger.rotate_key("ann", grace_s=-1)
    ledger.revoke_key("ann")
    for act in (ledger.revoke_key, ledger.find_key, ledger.update_key):
        with pytest.raises(StoreError, match="no key in use is called 'ann'"):
            act("ann")


def test_another_process_sees_that_keys_and_allotments_changed_and_nothing_else(open_ledger: Open) -> None:
    ours, theirs = open_ledger(), open_ledger()
    changes = [
        lambda: theirs.create_key("ann"),
        lambda: theirs.update_key("ann", team="red"),
        lambda: theirs.rotate_key("ann", grace_s=5),
        lambda: theirs.allot("red", "run", cost_nano_usd=1, tokens=None),
        lambda: theirs.revoke_key("ann"),
    ]
    for change in changes:
        before = ours.version()
        record(theirs, charge(theirs.next_id()))
        assert theirs.flush()
        assert ours.version() == before, "a charge is no reason to read all keys again"
        change()
        assert ours.version() != before


def test_a_change_that_fails_leaves_nothing_behind(ledger: Ledger) -> None:
    ledger.create_key("ann")
    before = (ledger.version(), ledger.audit())
    for wrong in (lambda: ledger.create_key("ann"), lambda: ledger.update_key("ann", models="m")):
        with pytest.raises(StoreError):
            wrong()
    assert (ledger.version(), ledger.audit()) == before


def test_runs_are_allotted_amounts_by_tenant(ledger: Ledger) -> None:
    ledger.allot("red", "run", cost_nano_usd=2**62, tokens=None)
    ledger.allot("blue", "run", cost_nano_usd=None, tokens=5)
    ledger.allot("blue", "run", cost_nano_usd=0, tokens=6)
    assert ledger.allotments() == {
        ("red", "run"): Allotment(cost_nano_usd=2**62),
        ("blue", "run"): Allotment(cost_nano_usd=0, tokens=6),
    }
    with pytest.raises(StoreError, match="cannot be allotted -1"):
        ledger.allot("red", "run", cost_nano_usd=-1, tokens=None)


def test_the_audit_log_says_who_changed_what_and_holds_no_secret(tmp_path: Path, open_ledger: Open) -> None:
    ledger = open_ledger(clock=lambda: NOON)
    first = ledger.create_key("ann", team="red", actor="root")
    ledger.update_key("ann", models=("m",), limits=Rates(concurrent=2))
    second = ledger.rotate_key("ann", grace_s=60, actor="root")
    ledger.allot("red", "run", cost_nano_usd=5, tokens=None)
    ledger.revoke_key("ann")
    ledger.note(actor="root", action="platform.reload", subject="platform.yaml", detail={"models": [1, None]})
    entries = ledger.audit()
    assert [(each.actor, each.action, each.subject) for each in reversed(entries)] == [
        ("root", "key.create", "ann"),
        ("cli", "key.update", "ann"),
        ("root", "key.rotate", "ann"),
        ("cli", "run.allot", "run"),
        ("cli", "key.revoke", "ann"),
        ("root", "platform.reload", "platform.yaml"),
    ]
    assert entries[0].detail == {"models": [1, None]}
    assert entries[-1].detail["team"] == "red"
    limits = {"requests_per_minute": None, "tokens_per_minute": None, "concurrent": 2}
    assert entries[-2].detail == {"key_id": first.key.id, "models": ["m"], "limits": limits}
    assert {each.at for each in entries} == {NOON}
    told = "\n".join(map(str, entries))
    for new in (first, second):
        for hidden in (new.secret[3:], new.secret[3:9], new.key.digest.hex(), str(new.key.digest)):
            assert hidden not in told
    assert ledger.audit(limit=2) == entries[:2]
    assert ledger.audit(before=entries[1].id, limit=3) == entries[2:5]
    with pytest.raises(StoreError, match="cannot hold this"):
        ledger.note(actor="root", action="x", subject="y", detail={"x": object()})


def test_every_kind_can_be_asked_for(ledger: Ledger) -> None:
    for kind in get_args(Kind):
        assert ledger.total(kind, "nobody", since=0) == Total()
