"""Policies and where a call may go: pure functions, tested as such."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanok.routing import Features, by_preference, features_of, open_to, with_room
from hanok.routing.breaker import failed
from hanok.routing.policies import POLICIES, busy, cost, latency, least_busy, round_robin, session, weighted
from hanok.serving.fleet import CLOSED, Circuit, Load, Pace
from hanok.spec import HeaderRule, Routing
from hanok.wire import Caller, ChatRequest, Options

ANY = Features()
PLAIN = Routing()


@dataclass(eq=False)
class Place:
    name: str = "m#1"
    state: str = "up"
    in_flight: int = 0
    max_in_flight: int | None = None
    circuit: Circuit = CLOSED
    weight: float = 1.0
    tags: frozenset[str] = frozenset()
    teams: frozenset[str] = frozenset()
    role: str | None = None
    price: float = 0.0
    load: Load | None = None
    paces: dict[bool, Pace] = field(default_factory=dict)

    def pace(self, *, stream: bool) -> Pace | None:
        return self.paces.get(stream)


def places(count: int, **more: object) -> list[Place]:
    return [Place(f"m#{number}", **more) for number in range(1, count + 1)]  # type: ignore[arg-type]


circuits = st.sampled_from([CLOSED, Circuit(failures=5, until=99.0), Circuit(failures=5, until=1.0, probing=True)])
loads = st.none() | st.builds(Load, at=st.just(0.0), running=st.integers(0, 9), waiting=st.integers(0, 3))
paces = st.dictionaries(st.booleans(), st.builds(Pace, st.floats(0.0, 9.0), st.floats(0.0, 9.0)))
anything = st.lists(
    st.builds(
        Place,
        st.sampled_from(["m#1", "m#2", "m#3"]),
        st.sampled_from(["up", "down", "starting", "failed"]),
        st.integers(0, 9),
        st.none() | st.integers(1, 9),
        circuits,
        st.floats(0.0, 9.0),
        price=st.floats(0.0, 9.0),
        load=loads,
        paces=paces,
    ),
    max_size=6,
)


# what every policy keeps


@given(anything, st.integers(0, 1000), st.sampled_from(sorted(POLICIES)), st.text(max_size=3))
def test_no_policy_gives_a_call_to_who_was_tried_is_left_alone_full_or_down_beside_one_that_is_up(
    fleet: list[Place], turn: int, policy: str, name: str
) -> None:
    tried = fleet[:1]
    room = with_room(fleet, tried=tried, now=10.0)
    if not room:
        return
    picked = POLICIES[policy](room, Features(session=name), turn, PLAIN)
    assert picked not in tried
    assert picked.circuit is CLOSED
    assert picked.max_in_flight is None or picked.in_flight < picked.max_in_flight
    assert picked.state == "up" or not any(
        each.state == "up" and each.circuit is CLOSED for each in fleet if each not in tried
    )


def test_while_one_is_up_but_full_a_call_waits_for_it_rather_than_try_one_that_is_down() -> None:
    full, down = Place(in_flight=1, max_in_flight=1), Place(state="down")
    assert with_room([full, down], tried=[], now=0.0) == []
    assert with_room([down], tried=[], now=0.0) == [down]


def test_an_open_circuit_lets_one_call_through_after_its_cooldown() -> None:
    place = Place(circuit=failed(CLOSED, probe=False, now=0.0, failures=1, cooldown_s=5.0))
    assert with_room([place], tried=[], now=4.0) == []
    assert with_room([place], tried=[], now=5.0) == [place]


# where a call may go


def test_an_endpoint_must_have_all_tags_of_a_call_and_without_weight_it_takes_only_calls_with_tags() -> None:
    plain, canary, drained = Place(), Place(tags=frozenset({"canary", "eu"})), Place(weight=0, tags=frozenset({"old"}))
    fleet = [plain, canary, drained]
    assert open_to(Features(), fleet) == [plain, canary]
    assert open_to(Features(tags=frozenset({"canary"})), fleet) == [canary]
    assert open_to(Features(tags=frozenset({"canary", "us"})), fleet) == []
    assert open_to(Features(tags=frozenset({"old"})), fleet) == [drained]


def test_an_endpoint_of_teams_is_closed_to_others_and_comes_first_for_its_own() -> None:
    shared, own, theirs = Place(), Place(teams=frozenset({"a"})), Place(teams=frozenset({"b"}))
    fleet = [shared, own, theirs]
    assert open_to(Features(team="a"), fleet) == [shared, own]
    assert open_to(Features(), fleet) == [shared]
    assert by_preference([shared, own]) == ([own], [shared])
    assert by_preference([shared]) == ([shared],)


def test_an_endpoint_that_only_prefills_takes_no_call_by_itself() -> None:
    decode = Place(role="decode")
    assert open_to(ANY, [Place(role="prefill"), decode]) == [decode]


def test_a_header_stands_for_tags_when_its_value_is_the_rules() -> None:
    rules = [HeaderRule(name="X-Canary", value="1", tags=["canary"]), HeaderRule(name="x-old", tags=["old"])]

    def tags(*headers: tuple[str, str]) -> frozenset[str]:
        options = Options(tags=frozenset({"eu"}), headers=headers)
        return features_of(ChatRequest("m", {}, options=options), rules).tags

    assert tags() == {"eu"}
    assert tags(("x-canary", "0")) == {"eu"}
    assert tags(("x-canary", "1"), ("x-old", "")) == {"eu", "canary", "old"}


def test_calls_stay_together_by_session_else_user_else_key() -> None:
    def session_of(**more: str) -> str:
        return features_of(ChatRequest("m", {}, caller=Caller(key_id="k", key_name="", **more))).session

    assert session_of() == "k"
    assert session_of(user="u") == "u"
    assert session_of(user="u", session="s") == "s"


# the policies


def test_lines_of_a_batch_are_spread_though_they_have_one_session() -> None:
    def of(line: str) -> Features:
        caller = Caller(key_id="k", key_name="", session="batch_1", request_id=line)
        return features_of(ChatRequest("m", {}, caller=caller, options=Options(batch=True)))

    assert of("a").session != of("b").session
    assert not of("a").named


def test_least_busy_takes_the_fewest_calls_and_ties_take_turns() -> None:
    fleet = places(3)
    fleet[1].in_flight = 1
    assert [least_busy(fleet, ANY, turn, PLAIN).name for turn in range(3)] == ["m#1", "m#3", "m#3"]


def test_round_robin_goes_from_one_to_the_next() -> None:
    assert [round_robin(places(3), ANY, turn, PLAIN).name for turn in range(4)] == ["m#1", "m#2", "m#3", "m#1"]


@given(st.lists(st.integers(0, 20), min_size=1, max_size=6).filter(any), st.integers(0, 10**6))
def test_weights_are_shares_in_any_stretch_of_calls(weights: list[int], start: int) -> None:
    fleet = [Place(f"m#{number}", weight=weight) for number, weight in enumerate(weights)]
    counts = Counter(weighted(fleet, ANY, turn, PLAIN).name for turn in range(start, start + 500))
    for place in fleet:
        assert abs(counts[place.name] - 500 * place.weight / sum(weights)) <= 8, place.name


def test_endpoints_without_weight_that_tags_led_to_take_turns() -> None:
    fleet = places(2, weight=0.0)
    assert {weighted(fleet, ANY, turn, PLAIN).name for turn in range(2)} == {"m#1", "m#2"}


def test_latency_asks_who_answers_soonest_until_it_has_too_much_to_do() -> None:
    slow, fast = Place("slow", paces={False: Pace(3.0, 1.0)}), Place("fast", paces={False: Pace(1.0, 2.0)})
    never = Routing(policy="latency", explore_every=0)
    assert latency([slow, fast], ANY, 5, never) is fast
    fast.in_flight = 3
    assert latency([slow, fast], ANY, 5, never) is slow


def test_latency_of_streams_and_of_whole_answers_is_kept_apart() -> None:
    one = Place("one", paces={False: Pace(9.0, 1.0), True: Pace(0.1, 1.0)})
    other = Place("other", paces={False: Pace(5.0, 1.0), True: Pace(0.2, 1.0)})
    assert latency([one, other], Features(stream=True), 1, PLAIN) is one
    assert latency([one, other], Features(stream=False), 1, PLAIN) is other


def test_latency_gives_who_was_slow_another_chance_and_who_is_new_one_call_at_a_time() -> None:
    slow, fast = Place("slow", paces={False: Pace(9.0, 1.0)}), Place("fast", paces={False: Pace(1.0, 2.0)})
    routing = Routing(policy="latency", explore_every=10)
    picked = [latency([slow, fast], ANY, turn, routing).name for turn in range(20)]
    assert picked.count("slow") == 2
    new = Place("new")
    assert latency([slow, fast, new], ANY, 1, routing) is new
    new.in_flight = 1
    assert latency([slow, fast, new], ANY, 1, routing) is fast


def test_cost_takes_the_cheapest_in_whose_engine_nobody_waits() -> None:
    cheap, dear = Place("cheap", price=1.0), Place("dear", price=2.0)
    assert cost([dear, cheap], ANY, 1, PLAIN) is cheap
    cheap.load = Load(at=0.0, running=8, waiting=1)
    assert cost([dear, cheap], ANY, 1, PLAIN) is dear
    dear.load = Load(at=0.0, waiting=3)
    assert cost([dear, cheap], ANY, 1, PLAIN) is cheap


@pytest.mark.parametrize("count", [2, 3, 8])
def test_sessions_are_spread_evenly(count: int) -> None:
    fleet = places(count)
    counts = Counter(session(fleet, Features(session=f"s-{number}"), 0, PLAIN).name for number in range(8000))
    assert all(abs(counts[place.name] - 8000 / count) < 0.1 * 8000 / count for place in fleet)


def test_sessions_are_spread_by_weight() -> None:
    fleet = [Place("m#1", weight=1.0), Place("m#2", weight=3.0), Place("m#3", weight=0.0)]
    counts = Counter(session(fleet, Features(session=str(number)), 0, PLAIN).name for number in range(8000))
    assert abs(counts["m#1"] - 2000) < 200
    assert counts["m#3"] == 0


@given(st.text(max_size=20), st.integers(2, 6), st.integers(0, 99))
def test_a_session_keeps_its_endpoint_when_others_go_and_comes_back_to_its_own(
    name: str, count: int, turn: int
) -> None:
    fleet, features = places(count), Features(session=name)
    home = session(fleet, features, turn, PLAIN)
    others = [place for place in fleet if place is not home]
    assert session([home, *others[1:]], features, turn + 1, PLAIN) is home
    away = session(others, features, turn + 2, PLAIN)
    assert away is not home
    assert session(list(reversed(fleet)), features, turn + 3, PLAIN) is home


def test_a_session_leaves_an_endpoint_that_has_much_more_to_do_by_our_count_or_its_engines() -> None:
    fleet, features = places(3), Features(session="s")
    home = session(fleet, features, 0, PLAIN)
    home.in_flight = PLAIN.overload - 1
    assert session(fleet, features, 0, PLAIN) is home
    home.load = Load(at=0.0, running=4, waiting=4)
    assert busy(home) == 8
    away = session(fleet, features, 0, PLAIN)
    assert away is not home
    assert session(fleet, features, 1, PLAIN) is away
