"""The books: what a charge survives, what adds up, who may come in."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanok.errors import StoreError
from hanok.ledger import FREE, KeyRing, Ledger, PriceList, Rate
from hanok.ledger.load import load_known_rates
from hanok.ledger.stores.journal import Journal, read_charges
from hanok.spec import Model
from hanok.wire import Usage
from tests.charges import charge


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    opened = Ledger(tmp_path / "state")
    opened.start()
    yield opened
    opened.close()


def test_a_segment_taken_twice_charges_once(tmp_path: Path, ledger: Ledger) -> None:
    ledger.record(charge(1))
    segment = next((tmp_path / "state" / "journal").iterdir())
    copy = segment.read_bytes()
    ledger.flush()
    (tmp_path / "state" / "journal" / "999999-1.jsonl").write_bytes(copy)
    ledger.close()
    again = Ledger(tmp_path / "state")
    again.start()
    assert again.usage("model")[0].calls == 1
    again.close()


def test_a_line_cut_short_by_a_crash_does_not_stop_the_others(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1)
    journal.open.add(charge(1))
    with journal.open.path.open("ab") as file:
        file.write(b'{"id":2,"at":17')
    assert [each.id for each in read_charges(journal.open.path)] == [1]


def test_a_live_process_keeps_its_segments_to_itself(tmp_path: Path) -> None:
    first, second = Journal(tmp_path, 1), Journal(tmp_path, 2)
    first.open.add(charge(1))
    assert list(second.left_behind()) == []


def test_charges_stay_in_the_journal_while_the_database_is_locked_and_follow_when_it_is_free(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Ledger, segment: object) -> None:
        raise StoreError("database or disk is full")

    with monkeypatch.context() as patch:  # a full disk cannot be had here without harming others
        patch.setattr(Ledger, "_insert", refuse)
        ledger.record(charge(1))
        assert not ledger.flush()
        ledger.record(charge(2))
        assert ledger.pending() >= 1
        assert ledger.usage("model") == []
    assert ledger.flush()
    assert ledger.usage("model")[0].calls == 2


def test_many_threads_may_record_at_once(ledger: Ledger) -> None:
    def write(first: int) -> None:
        for number in range(first, first + 200):
            ledger.record(charge(number))

    threads = [threading.Thread(target=write, args=(first,)) for first in range(1, 1601, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.flush()
    assert ledger.usage("model")[0].calls == 1600


def test_ids_never_repeat_even_when_the_clock_stands_still_or_jumps_back(tmp_path: Path) -> None:
    times = iter([5.0, 5.0, 4.0, 6.0])
    ledger = Ledger(tmp_path, clock=lambda: next(times))
    ids = [ledger.next_id() for _ in range(4)]
    assert ids == sorted(set(ids))


def test_usage_adds_up_by_key_model_session_and_day(ledger: Ledger) -> None:
    ledger.record(charge(1, key_name="ann", session="s1", cost_nano_usd=10))
    ledger.record(charge(2, key_name="bob", model="n", cost_nano_usd=30, status="failed", first_token_ms=0.0))
    ledger.record(charge(3, key_name="bob", cost_nano_usd=5, at=1_795_000_000.0 + 86_400))
    ledger.flush()
    by_key = ledger.usage("key")
    assert [(row.group, row.calls, row.failed, row.cost_nano_usd) for row in by_key] == [
        ("bob", 2, 1, 35),
        ("ann", 1, 0, 10),
    ]
    assert {row.group: row.calls for row in ledger.usage("model")} == {"m": 2, "n": 1}
    assert {row.group: row.calls for row in ledger.usage("session")} == {"s1": 1, "": 2}
    assert [row.group for row in ledger.usage("day")] == ["2026-11-18", "2026-11-19"]
    assert sum(row.calls for row in ledger.usage("model", since=1_795_000_000.0 + 3600)) == 1
    assert by_key[0].mean_first_token_ms == 5.0, "calls that never began do not count as fast"


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot be opened") as caught:
        Ledger(tmp_path / "file" / "state")
    assert "state:" in (caught.value.hint or "")


def test_a_damaged_database_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"this is not a database, but it is long enough to be looked at" * 20)
    with pytest.raises(StoreError, match="not a database"):
        Ledger(tmp_path)


def test_a_key_is_stored_as_its_hash_only(tmp_path: Path, ledger: Ledger) -> None:
    new = ledger.create_key("ann")
    assert len(new.secret) == 67
    for file in (tmp_path / "state").rglob("*"):
        if file.is_file():
            assert new.secret.encode() not in file.read_bytes()
    ring = KeyRing(ledger.list_keys())
    found = ring.find(new.secret)
    assert found is not None
    assert found.name == "ann"
    assert ring.find(new.secret[:-1]) is None
    assert new.secret not in json.dumps([str(key) for key in ledger.list_keys()])


def test_a_revoked_key_does_not_open_and_its_name_is_free_again(ledger: Ledger) -> None:
    first = ledger.create_key("ann")
    with pytest.raises(StoreError, match="in use"):
        ledger.create_key("ann")
    ledger.revoke_key("ann")
    with pytest.raises(StoreError, match="no key in use"):
        ledger.revoke_key("ann")
    second = ledger.create_key("ann")
    ring = KeyRing(ledger.list_keys())
    assert (ring.find(first.secret), len(ring)) == (None, 1)
    assert ring.find(second.secret) is not None


def test_another_connections_change_is_noticed(tmp_path: Path, ledger: Ledger) -> None:
    before = ledger.version()
    assert ledger.version() == before
    other = Ledger(tmp_path / "state")
    other.create_key("ann")
    other.close()
    assert ledger.version() != before


MODEL = {"name": "m", "serve": [{"engine": "openai", "url": "http://x/v1", "model": "openai/gpt-x"}]}


def test_a_declared_price_goes_before_a_known_one_and_a_known_one_before_nothing() -> None:
    known = {"gpt-x": Rate(input=1e-6, output=2e-6, cached_input=5e-7, source="litellm")}
    declared = Model.model_validate({**MODEL, "price": {"input": 3, "output": 4}})
    assert PriceList.of([declared], known).rate("m") == Rate(input=3e-6, output=4e-6, cached_input=3e-6)
    assert PriceList.of([Model.model_validate(MODEL)], known).rate("m").source == "litellm"
    assert PriceList.of([Model.model_validate(MODEL)], {}).rate("m") is FREE


def test_an_endpoint_has_its_own_price_or_its_models_and_more_than_the_dearest_is_never_reserved() -> None:
    serve = [{"engine": "echo"}, {"engine": "echo", "price": {"input": 1, "output": 9, "cached_input": 0.5}}]
    model = Model.model_validate({"name": "m", "serve": serve, "price": {"input": 2, "output": 4, "cache_write": 3}})
    rates = PriceList.of([model], {}).tariff("m")
    assert rates.where("m#1") == rates.own == Rate(input=2e-6, output=4e-6, cached_input=2e-6, cache_write=3e-6)
    assert rates.where("m#2") == Rate(input=1e-6, output=9e-6, cached_input=5e-7)
    assert rates.most == Rate(input=2e-6, output=9e-6, cached_input=2e-6, cache_write=3e-6)
    renamed = PriceList.of([model], {}, {"m#7": model.serve[1].price, "m#2": None}).tariff("m")
    assert (renamed.where("m#7").output, renamed.where("m#2").output) == (9e-6, 4e-6)


def test_a_model_all_of_whose_endpoints_have_prices_is_compared_by_the_lowest_of_them() -> None:
    serve = [{"engine": "echo", "price": {"input": 1, "output": 9}}, {"engine": "echo", "price": {"input": 2}}]
    prices = PriceList.of([Model.model_validate({"name": "m", "serve": serve})], {})
    assert (prices.rate("m").input, prices.rate("m").output) == (1e-6, 0.0)


def test_lines_of_batches_cost_their_share_of_the_endpoints_price_in_every_kind_of_token() -> None:
    price = {"input": 2, "output": 4, "cached_input": 1, "cache_write": 3, "batch": 0.5}
    serve = [{"engine": "echo", "price": price}, {"engine": "echo"}]
    prices = PriceList.of([Model.model_validate({"name": "m", "serve": serve, "price": {"input": 1}})], {})
    usage = Usage(prompt_tokens=300, cached_tokens=100, cache_write_tokens=100, completion_tokens=100)
    assert prices.tariff("m").where("m#1").cost_nano_usd(usage) == 1_000_000
    assert prices.tariff_of_lines("m").where("m#1").cost_nano_usd(usage) == 500_000
    assert prices.tariff_of_lines("m").where("m#2").cost_nano_usd(usage) == 300_000


def test_cached_prompt_tokens_cost_their_own_price() -> None:
    rate = Rate(input=1e-6, output=4e-6, cached_input=1e-7)
    usage = Usage(prompt_tokens=1000, cached_tokens=600, completion_tokens=10)
    assert rate.cost_nano_usd(usage) == 400 * 1000 + 600 * 100 + 10 * 4000


def test_tokens_written_to_a_prompt_cache_cost_their_own_price_or_that_of_the_prompt() -> None:
    usage = Usage(prompt_tokens=1000, cached_tokens=600, cache_write_tokens=300, completion_tokens=10)
    priced = Model.model_validate({**MODEL, "price": {"input": 1, "output": 4, "cached_input": 0.1, "cache_write": 2}})
    fresh_and_read, answered = 100 * 1000 + 600 * 100, 10 * 4000
    assert PriceList.of([priced], {}).rate("m").cost_nano_usd(usage) == fresh_and_read + 300 * 2000 + answered
    plain = Model.model_validate({**MODEL, "price": {"input": 1, "output": 4, "cached_input": 0.1}})
    assert PriceList.of([plain], {}).rate("m").cost_nano_usd(usage) == fresh_and_read + 300 * 1000 + answered


def test_lines_of_a_batch_cost_their_share_of_every_price() -> None:
    usage = Usage(prompt_tokens=1000, cached_tokens=600, cache_write_tokens=300, completion_tokens=10)
    price = {"input": 1, "output": 4, "cached_input": 0.1, "cache_write": 2, "batch": 0.5}
    prices = PriceList.of([Model.model_validate({**MODEL, "price": price})], {})
    assert prices.tariff_of_lines("m").own.cost_nano_usd(usage) == prices.rate("m").cost_nano_usd(usage) // 2


@given(
    st.integers(0, 10**7), st.integers(0, 10**7), st.floats(0, 1e-3), st.floats(0, 1e-3)
)  # fmt: skip
def test_costs_are_whole_nano_dollars_and_never_negative(prompt: int, cached: int, dear: float, cheap: float) -> None:
    cost = Rate(input=dear, output=dear, cached_input=cheap).cost_nano_usd(
        Usage(prompt_tokens=prompt, cached_tokens=cached)
    )
    assert isinstance(cost, int)
    assert cost >= 0


def test_litellms_price_map_is_read_from_its_package_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "litellm"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    prices = {
        "sample_spec": {"input_cost_per_token": "text"},
        "gpt-x": {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6, "cache_read_input_token_cost": 1e-7},
        "claude-x": {"input_cost_per_token": 1e-6, "cache_creation_input_token_cost": 1.25e-6},
        "embed-x": {"input_cost_per_token": 3e-8},
        "odd": [1],
    }
    (package / "model_prices_and_context_window_backup.json").write_text(json.dumps(prices))
    monkeypatch.syspath_prepend(str(tmp_path))
    rates = load_known_rates()
    assert set(rates) == {"gpt-x", "claude-x", "embed-x"}
    assert rates["gpt-x"].cached_input == 1e-7
    assert rates["embed-x"].cached_input == rates["embed-x"].input == 3e-8
    assert rates["claude-x"].cache_write == 1.25e-6
    assert rates["gpt-x"].cache_write is None


def test_files_are_readable_by_their_owner_only(tmp_path: Path, ledger: Ledger) -> None:
    ledger.record(charge(1))
    segment = next((tmp_path / "state" / "journal").iterdir())
    assert segment.stat().st_mode & 0o077 == 0


def test_a_segment_of_a_process_with_our_id_is_taken_not_written_over(tmp_path: Path) -> None:
    """In a container every process has the same id."""
    before = Journal(tmp_path / "journal", os.getpid())
    before.open.add(charge(1))
    os.close(before.open._file)  # as a kill would
    ledger = Ledger(tmp_path)
    ledger.start()
    ledger.record(charge(2))
    ledger.close()
    again = Ledger(tmp_path)
    assert again.usage("model")[0].calls == 2
    again.close()


def test_two_processes_do_not_make_the_same_ids(tmp_path: Path) -> None:
    bits = iter([b"\x00\x01", b"\x00\x02"])
    first, second = (Ledger(tmp_path, clock=lambda: 1.0, random_bytes=lambda _: next(bits)) for _ in range(2))
    made = [ledger.next_id() for ledger in (first, second) for _ in range(100)]
    assert len(set(made)) == 200


def test_two_processes_of_a_folder_never_make_ids_alike(tmp_path: Path) -> None:
    same = iter(range(1000))

    def repeating(count: int) -> bytes:
        """The first two ask for bits alike; what is asked for later differs."""
        return b"\x01\x23" if count == 2 and next(same) < 2 else os.urandom(count)

    first, second = (Ledger(tmp_path, random_bytes=repeating) for _ in range(2))
    assert first.own_bits == second.own_bits
    first.start()
    second.start()
    assert first.own_bits != second.own_bits
    first.close()
    second.close()
