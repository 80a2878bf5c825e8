"""The cost of prefilling is learned from first tokens."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanok.routing.estimate import PrefillCost, features_of


def true_s(tokens: float, cached: float, speed: float = 1.0) -> float:
    new = (tokens - cached) / 1000
    return (0.01 + 0.06 * new + 0.002 * new * (cached / 1000 + new / 2)) / speed


def teach(cost: PrefillCost, calls: int, *, noise: float, seed: int = 1, speed: float = 1.0) -> None:
    rng = random.Random(seed)
    for _ in range(calls):
        tokens = rng.choice([200, 2_000, 10_000, 40_000]) * rng.uniform(0.5, 1.5)
        cached = tokens * rng.choice([0.0, 0.0, 0.5, 0.9])
        cost.observe(features_of(tokens, cached), true_s(tokens, cached, speed) * rng.lognormvariate(0.0, noise))


@pytest.mark.parametrize(("tokens", "cached"), [(2_000, 0), (20_000, 0), (20_000, 15_000), (60_000, 30_000)])
def test_after_some_calls_the_estimate_is_near_in_spite_of_noise(tokens: float, cached: float) -> None:
    cost = PrefillCost()
    teach(cost, 300, noise=0.3)
    assert cost.seconds(tokens, cached) == pytest.approx(true_s(tokens, cached), rel=0.25)


def test_a_call_that_stalled_for_minutes_does_not_spoil_it() -> None:
    cost = PrefillCost()
    teach(cost, 300, noise=0.1)
    cost.observe(features_of(10_000, 0), 300.0)
    teach(cost, 8, noise=0.1, seed=2)
    assert cost.seconds(10_000, 0) == pytest.approx(true_s(10_000, 0), rel=0.3)


def test_an_engine_that_became_slower_is_noticed() -> None:
    cost = PrefillCost()
    teach(cost, 400, noise=0.1)
    teach(cost, 1_000, noise=0.1, seed=2, speed=0.25)
    assert cost.seconds(10_000, 0) == pytest.approx(true_s(10_000, 0, 0.25), rel=0.2)


def test_before_anything_is_known_more_tokens_cost_more_and_cached_ones_nothing() -> None:
    cost = PrefillCost()
    assert cost.seconds(2_000, 0) > cost.seconds(2_000, 1_000) > cost.seconds(100, 0) > 0


@given(st.lists(st.tuples(st.floats(1, 1e6), st.floats(0, 1), st.floats(0, 1e4)), max_size=60))
def test_whatever_is_observed_an_estimate_is_never_negative(seen: list[tuple[float, float, float]]) -> None:
    cost = PrefillCost()
    for tokens, share, seconds in seen:
        cost.observe(features_of(tokens, tokens * share), seconds)
    assert min(cost.parameters) >= 0.0
    assert cost.seconds(1_000, 0) >= 0.0
