"""The number of replicas is what Kubernetes' autoscaler would say: by hand, and whatever the load does."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanok.autoscaling import Decision, Demand, Past, Rule, decide
from hanok.spec import ModelScale

RUNNING = {"waiting": None, "kv_cache": None}


def rule(**scale: Any) -> Rule:
    return Rule.of(ModelScale.model_validate({"max": 10, **scale}))


def follow(demands: Sequence[Demand], by: Rule, *, replicas: int, every_s: float = 15.0) -> list[Decision]:
    """One decision after another, each `every_s` seconds later."""
    decisions: list[Decision] = []
    past = Past()
    for number, demand in enumerate(demands):
        decisions.append(decide(demand, replicas=replicas, past=past, rule=by, now=number * every_s))
        replicas, past = decisions[-1].replicas, decisions[-1].past
    return decisions


def counts(demands: Sequence[Demand], by: Rule, *, replicas: int, every_s: float = 15.0) -> list[int]:
    return [each.replicas for each in follow(demands, by, replicas=replicas, every_s=every_s)]


def busy(*running: float) -> list[Demand]:
    return [Demand(running=each) for each in running]


@pytest.mark.parametrize(
    ("scale", "demand", "replicas", "count"),
    [
        # total over target, rounded up
        (RUNNING, Demand(running=33), 1, 3),
        (RUNNING, Demand(running=32), 1, 2),
        # within a tenth of what is wanted nothing changes: 35/32 and 29/32 do not, 36/32 and 28/32 do
        (RUNNING, Demand(running=35), 2, 2),
        (RUNNING, Demand(running=36), 2, 3),
        # the largest of all targets counts
        ({}, Demand(running=16, waiting=3, kv_cache=1.9), 1, 3),
        ({}, Demand(running=16, waiting=1, kv_cache=1.9), 2, 3),
        # doubled or four more, whichever is more; never more than max
        (RUNNING, Demand(running=999), 1, 5),
        (RUNNING, Demand(running=999), 5, 10),
        (RUNNING | {"up": {"replicas": 1, "percent": None}}, Demand(running=999), 5, 6),
        (RUNNING | {"up": {"replicas": None, "percent": 50}}, Demand(running=999), 3, 5),
        # at once outside min and max, whatever the load
        (RUNNING | {"min": 3}, Demand(running=999), 1, 3),
        (RUNNING, Demand(running=0), 12, 10),
        # what is not known removes nothing, but others may add
        ({}, Demand(running=1, waiting=0), 4, 4),
        ({}, Demand(running=99, waiting=0), 4, 7),
        ({}, Demand(), 4, 4),
        # from none to one as soon as somebody asks
        ({"min": 0}, Demand(waiting=50, running=0, kv_cache=0), 0, 1),
        ({"min": 0}, Demand(waiting=0, running=0, kv_cache=0), 0, 0),
    ],
)
def test_one_decision_is_as_reckoned_by_hand(scale: dict[str, Any], demand: Demand, replicas: int, count: int) -> None:
    assert counts([demand], rule(**scale), replicas=replicas) == [count]


def test_none_are_removed_before_fewer_were_enough_for_the_whole_window() -> None:
    by = rule(**RUNNING, down={"stable_s": 60})
    assert counts(busy(64, 16, 16, 30, 16, 16, 16, 16), by, replicas=4) == [4, 4, 4, 4, 2, 2, 2, 1]


def test_more_are_added_only_as_far_as_the_whole_window_wanted() -> None:
    by = rule(**RUNNING, up={"stable_s": 30})
    assert counts(busy(16, 64, 48, 64), by, replicas=1) == [1, 1, 3, 3]


def test_what_was_added_in_a_period_counts_for_the_next_step() -> None:
    by = rule(**RUNNING, up={"replicas": 2, "percent": None, "period_s": 60})
    assert counts(busy(999, 999, 999, 999, 999, 999), by, replicas=1) == [3, 3, 3, 3, 5, 5]
    slowly = rule(**RUNNING, down={"stable_s": 0, "percent": 50, "period_s": 30})
    assert counts(busy(1, 1, 1, 1, 1), slowly, replicas=9) == [4, 4, 2, 2, 1]


def test_the_last_rest_when_nobody_asked_for_the_cooldown() -> None:
    by = rule(min=0, idle_s=30, down={"stable_s": 0})
    still = Demand(running=0, waiting=0, kv_cache=0)
    one = Demand(running=1, waiting=0, kv_cache=0)
    assert counts([one, still, still, still, one], by, replicas=1) == [1, 1, 1, 0, 1]


def test_a_load_that_cannot_be_read_keeps_the_last_from_resting() -> None:
    by = rule(min=0, idle_s=0)
    assert counts([Demand(running=0), Demand(running=0)], by, replicas=1) == [1, 1]


def test_a_decision_says_why() -> None:
    told = follow([*busy(64), *busy(16), Demand()], rule(**RUNNING), replicas=1)
    assert [each.because for each in told] == [
        "running 64 at 16 a replica",
        "running 16 at 16 a replica; waiting for it to last",
        "nothing is known of running",
    ]


RULES = st.builds(
    lambda fewest, more, up_s, down_s, replicas, percent, every_s: Rule.of(
        ModelScale.model_validate(
            {
                "min": fewest,
                "max": max(1, fewest + more),
                "up": {"stable_s": up_s, "replicas": replicas, "percent": percent},
                "down": {"stable_s": down_s, "percent": percent},
                "every_s": every_s,
            }
        )
    ),
    st.integers(0, 4), st.integers(0, 9), st.sampled_from([0, 30, 60]), st.sampled_from([0, 45, 300]),
    st.integers(1, 5), st.integers(1, 200).map(lambda each: min(each, 100)), st.sampled_from([1, 15, 40]),
)  # fmt: skip
AMOUNT = st.floats(0, 300)
DEMANDS = st.builds(Demand, running=st.none() | AMOUNT, waiting=st.none() | AMOUNT, kv_cache=st.none() | AMOUNT)
KNOWN = st.builds(Demand, running=AMOUNT, waiting=AMOUNT, kv_cache=AMOUNT)


@given(RULES, st.lists(DEMANDS, max_size=40))
def test_the_count_never_leaves_min_and_max(by: Rule, demands: list[Demand]) -> None:
    assert all(by.fewest <= each <= by.most for each in counts(demands, by, replicas=by.fewest))


@given(RULES, st.lists(KNOWN, max_size=40))
def test_what_was_added_stays_for_the_window(by: Rule, demands: list[Demand]) -> None:
    seen = [by.fewest, *counts(demands, by, replicas=by.fewest, every_s=by.every_s)]
    for number, (before, after) in enumerate(pairwise(seen)):
        window = seen[number + 1 : number + 1 + -(-by.down.stable_s // by.every_s)]
        if after > before and 0 not in window:
            assert min(window, default=after) >= after


@given(RULES, st.lists(KNOWN, max_size=10), KNOWN, AMOUNT)
def test_more_load_never_means_fewer_replicas(by: Rule, before: list[Demand], less: Demand, more: float) -> None:
    more_of_all = Demand(
        running=(less.running or 0) + more, waiting=(less.waiting or 0) + more, kv_cache=(less.kv_cache or 0) + more
    )
    ends = [counts([*before, last], by, replicas=by.fewest)[-1] for last in (less, more_of_all)]
    assert ends == sorted(ends)
