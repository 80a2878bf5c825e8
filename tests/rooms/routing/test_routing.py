"""Which endpoint, what next, and when: pure functions, tested as such."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from hanok.routing import backoff_s, order_of_models, pick_least_busy
from hanok.serving.fleet import CLOSED, Circuit


@dataclass(eq=False)
class Place:
    state: str = "up"
    in_flight: int = 0
    max_in_flight: int | None = None
    circuit: Circuit = CLOSED


places = st.lists(
    st.builds(Place, st.sampled_from(["up", "down", "starting", "failed"]), st.integers(0, 9)), max_size=6
)


@given(places, st.integers(0, 1000))
def test_the_pick_is_the_least_busy_of_those_up_and_a_down_one_only_when_none_is(fleet: list[Place], turn: int) -> None:
    picked = pick_least_busy(fleet, tried=[], turn=turn, now=0.0)
    usable = [place for place in fleet if place.state in ("up", "down")]
    if not usable:
        assert picked is None
        return
    best = [place for place in usable if place.state == "up"] or usable
    assert picked in best
    assert picked.in_flight == min(place.in_flight for place in best)


@given(places, st.integers(0, 1000))
def test_what_was_tried_is_not_picked_again(fleet: list[Place], turn: int) -> None:
    tried: list[Place] = []
    while (picked := pick_least_busy(fleet, tried=tried, turn=turn, now=0.0)) is not None:
        assert picked not in tried
        tried.append(picked)
    assert len(tried) == sum(place.state in ("up", "down") for place in fleet)


def test_equally_busy_endpoints_take_turns() -> None:
    fleet = [Place(), Place(), Place()]
    picked = [pick_least_busy(fleet, tried=[], turn=turn, now=0.0) for turn in range(6)]
    assert [fleet.index(place) for place in picked if place] == [0, 1, 2, 0, 1, 2]


def test_fallbacks_of_fallbacks_are_tried_once_each_in_order() -> None:
    fallbacks = {"a": ["b", "c"], "b": ["d", "c"], "c": [], "d": ["a"]}
    assert order_of_models(fallbacks, "a") == ("a", "b", "d", "c")
    assert order_of_models(fallbacks, "c") == ("c",)


@given(st.integers(0, 60), st.floats(0.0, 1.0))
def test_the_wait_before_asking_again_grows_to_two_seconds(attempt: int, jitter: float) -> None:
    assert 0.0 <= backoff_s(attempt, jitter=jitter) <= 2.0
    assert backoff_s(attempt + 1, jitter=jitter) >= backoff_s(attempt, jitter=jitter)
