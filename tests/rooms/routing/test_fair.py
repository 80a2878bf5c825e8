"""The fair queue: turns by weight, first come first served within a group, nobody lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from hanok.routing import FairQueue

Fits = Callable[[tuple[str, int]], bool]
ANY: Fits = lambda _: True  # noqa: E731
groups = st.sampled_from(["a", "b", "c", None])


def test_a_team_with_twice_the_weight_gets_twice_the_turns() -> None:
    queue: FairQueue[str, tuple[str, int]] = FairQueue()
    for index in range(30):
        queue.push(("big", index), group="big", weight=2.0)
        queue.push(("small", index), group="small", weight=1.0)
    served = [queue.pop(ANY) for _ in range(30)]
    assert Counter(item[0] for item in served if item) == {"big": 20, "small": 10}


def test_a_newcomer_is_next_behind_a_crowd_and_does_not_make_up_for_its_absence() -> None:
    queue: FairQueue[str, tuple[str, int]] = FairQueue()
    for index in range(50):
        queue.push(("crowd", index), group="crowd", weight=1.0)
    for _ in range(20):
        queue.pop(ANY)
    for index in range(10):
        queue.push(("new", index), group="new", weight=1.0)
    served = [queue.pop(ANY) for _ in range(10)]
    assert Counter(item[0] for item in served if item) == {"new": 5, "crowd": 5}


def test_an_item_that_does_not_fit_is_passed_over_and_keeps_its_place() -> None:
    queue: FairQueue[str, tuple[str, int]] = FairQueue()
    for index in range(3):
        queue.push(("a", index), group="a", weight=1.0)
    assert queue.pop(lambda item: item[1] > 0) == ("a", 1)
    assert queue.pop(lambda item: item[1] > 5) is None
    assert [queue.pop(ANY), queue.pop(ANY), queue.pop(ANY)] == [("a", 0), ("a", 2), None]


@given(
    st.dictionaries(st.sampled_from("abcde"), st.sampled_from([0.5, 1.0, 2.0, 3.0]), min_size=2), st.integers(1, 120)
)
def test_groups_that_all_wait_are_never_further_apart_than_one_turn_each(weights: dict[str, float], turns: int) -> None:
    queue: FairQueue[str, tuple[str, int]] = FairQueue()
    for group, weight in weights.items():
        for index in range(turns):
            queue.push((group, index), group=group, weight=weight)
    served = Counter[str]()
    for _ in range(turns):
        item = queue.pop(ANY)
        assert item
        served[item[0]] += 1
        shares = {group: served[group] / weight for group, weight in weights.items()}
        for one, first in weights.items():
            for other, second in weights.items():
                assert abs(shares[one] - shares[other]) <= 1 / first + 1 / second + 1e-9


@given(st.lists(st.tuples(st.sampled_from(["push", "push", "pop", "leave", "picky"]), groups), max_size=120))
def test_everybody_who_stood_in_it_comes_out_once_in_the_groups_order(steps: list[tuple[str, str | None]]) -> None:
    queue: FairQueue[str | None, tuple[str | None, int]] = FairQueue()
    waiting: list[tuple[str | None, int]] = []
    for number, (move, group) in enumerate(steps):
        if move == "push":
            queue.push((group, number), group=group, weight=1.0)
            waiting.append((group, number))
        elif move == "leave" and waiting:
            item = waiting.pop(number % len(waiting))
            assert queue.remove(item, group=item[0])
            assert not queue.remove(item, group=item[0])
        elif move in ("pop", "picky"):
            fits = (lambda item: item[1] % 2 == 0) if move == "picky" else ANY
            item = queue.pop(fits)
            expected = [each for each in waiting if fits(each)]
            assert (item is None) == (not expected)
            if item is not None:
                assert item == next(each for each in expected if each[0] == item[0])
                waiting.remove(item)
        assert len(queue) == len(waiting)
    assert sorted(queue.drain(), key=lambda item: item[1]) == waiting
    assert len(queue) == 0
