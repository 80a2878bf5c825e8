"""The simulator agrees with queueing theory where that has a formula, and loses no call and no token anywhere."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanok.autoscaling import Rule
from hanok.autoscaling.simulation import (
    Hardware,
    Outcome,
    Setting,
    Steady,
    as_yaml,
    candidates,
    cheapest,
    fixed,
    simulate,
    worthwhile,
)
from hanok.autoscaling.trace import Call
from hanok.errors import PlanError
from hanok.spec import ModelScale


def hardware(**changes: Any) -> Hardware:
    usual: dict[str, Any] = {
        "pace": Steady(prompt_token_s=1e-4, step=0.02), "kv_tokens": 50_000, "context_tokens": 40_000,
        "node_start_s": 60.0, "load_s": 40.0, "usd_hour": 2.0,
    }  # fmt: skip
    return Hardware(title="a GPU", **(usual | changes))


def scale(**keys: Any) -> ModelScale:
    return ModelScale.model_validate({"max": 4, **keys})


def run(calls: list[Call], by: ModelScale, on: Hardware | None = None, **more: Any) -> Outcome:
    return simulate(calls, hardware=on or hardware(), rule=Rule.of(by), **more)


def poisson(per_s: float, count: int, *, prompt: int, output: Any, seed: int = 7) -> list[Call]:
    rng = random.Random(seed)
    at, calls = 0.0, list[Call]()
    for _ in range(count):
        at += rng.expovariate(per_s)
        calls.append(Call(at_s=at, prompt=prompt, output=output(rng)))
    return calls


def mean(values: Any) -> float:
    return sum(values) / len(values)


def test_one_replica_that_takes_one_prompt_after_another_waits_as_m_d_1_does() -> None:
    busy, takes_s = 0.8, 1.0
    calls = poisson(busy / takes_s, 20_000, prompt=10_000, output=lambda _: 1)
    outcome = run(calls, scale(min=1, max=1, every_s=3600))
    assert mean(outcome.waits) == pytest.approx(busy * takes_s / (2 * (1 - busy)), rel=0.1)  # Pollaczek-Khinchine


def test_several_replicas_with_one_queue_wait_as_m_m_c_does() -> None:
    servers, busy, takes_s = 3, 0.8, 1.0
    steps = 200
    on = hardware(pace=Steady(prompt_token_s=0.0, step=takes_s / steps), kv_tokens=10**9, context_tokens=10**9)
    calls = poisson(
        servers * busy / takes_s, 30_000, prompt=1, output=lambda rng: 2 + int(rng.expovariate(1 / steps)), seed=3
    )
    outcome = run(calls, scale(min=servers, max=servers, every_s=3600), on, max_in_flight=1)
    offered = servers * busy
    waiting = offered**servers / math.factorial(servers) / (1 - busy)
    must_wait = waiting / (sum(offered**each / math.factorial(each) for each in range(servers)) + waiting)  # Erlang C
    assert mean(outcome.waits) == pytest.approx(must_wait * takes_s / (servers * (1 - busy)), rel=0.12)


def test_a_call_alone_takes_its_prompt_and_its_steps() -> None:
    outcome = run([Call(at_s=0, prompt=1000, output=11)], scale(min=1))
    assert outcome.ttfts == pytest.approx([0.1])
    assert outcome.lasted_s == pytest.approx(0.1 + 10 * 0.02)


def test_with_none_up_the_first_call_waits_for_a_node_and_the_engine() -> None:
    calls = [Call(at_s=20, prompt=1000, output=5), Call(at_s=4000, prompt=1000, output=5)]
    outcome = run(calls, scale(min=0, every_s=15, idle_s=300))
    # they are seen at 30 s and at 4005 s: the replica had gone meanwhile
    assert outcome.ttfts == pytest.approx([5 + 100.1, 10 + 100.1])
    assert max(each.replicas for each in outcome.moments) == 1
    assert outcome.replica_s < 1200
    assert run(calls, scale(min=0), start_s=7.0).ttfts == pytest.approx([5 + 7.1, 10 + 7.1])


def test_whoever_is_removed_ends_its_calls_first() -> None:
    burst = [Call(at_s=each / 100, prompt=10, output=3000) for each in range(40)]
    outcome = run(burst, scale(max=3, running=10, waiting=None, kv_cache=None, down={"stable_s": 0}), start_s=0.0)
    assert outcome.calls == 40
    assert outcome.moments[-1].replicas < 2 == outcome.most


def test_whoever_is_not_up_yet_is_removed_first_and_takes_no_call() -> None:
    burst = [Call(at_s=each / 100, prompt=10, output=200) for each in range(30)]
    late = [Call(at_s=200.0, prompt=10, output=1)]
    by = scale(max=3, running=10, waiting=None, kv_cache=None, down={"stable_s": 0}, every_s=1)
    outcome = run([*burst, *late], by, start_s=100.0)
    assert (outcome.calls, outcome.most) == (31, 3)
    assert max(each.up for each in outcome.moments) == 1
    assert outcome.lasted_s + 2 < outcome.replica_s < outcome.lasted_s + 20


def test_a_rule_costs_what_its_nodes_cost() -> None:
    calls = [Call(at_s=float(each), prompt=100, output=10) for each in range(3600)]
    outcome = run(calls, scale(min=3, max=3))
    assert outcome.usd == pytest.approx(3 * 2.0, rel=0.01)
    assert run(calls, scale(min=3, max=3), hardware(replicas_a_node=2)).usd == pytest.approx(2 * 2.0, rel=0.01)
    assert run(calls, scale(min=3, max=3), hardware(nodes_a_replica=2)).usd == pytest.approx(6 * 2.0, rel=0.01)


def test_calls_that_no_engine_takes_are_left_out_and_told() -> None:
    short, long = Call(at_s=0, prompt=10, output=1), Call(at_s=1, prompt=40_000, output=1)
    assert run([short, long], scale()).left_out == 1
    with pytest.raises(PlanError, match="every call is longer than the engine takes: 40,000 tokens"):
        run([long], scale())


CALLS = st.lists(
    st.builds(
        lambda gap, prompt, output: (gap, prompt, output),
        st.floats(0.01, 40), st.integers(1, 30_000), st.integers(1, 3000),
    ),
    min_size=1, max_size=60,
)  # fmt: skip
SCALES = st.builds(
    lambda fewest, more, running, every_s, stable_s: scale(
        min=fewest, max=max(1, fewest + more), running=running, every_s=every_s, down={"stable_s": stable_s}, idle_s=20
    ),
    st.integers(0, 3), st.integers(0, 4), st.sampled_from([1, 4, 16]), st.sampled_from([1, 15]),
    st.sampled_from([0, 60]),
)  # fmt: skip


@given(CALLS, SCALES, st.sampled_from([None, 1, 8]), st.sampled_from([0.0, 30.0]))
@settings(max_examples=40, deadline=None)
def test_every_call_ends_and_every_token_is_counted(
    gaps: list[tuple[float, int, int]], by: ModelScale, max_in_flight: int | None, start_s: float
) -> None:
    at, calls = 0.0, list[Call]()
    for gap, prompt, output in gaps:
        at += gap
        calls.append(Call(at_s=at, prompt=prompt, output=output))
    outcome = run(calls, by, max_in_flight=max_in_flight, start_s=start_s)
    assert (outcome.calls, outcome.left_out) == (len(calls), 0)
    assert outcome.prompt_tokens == sum(each.prompt for each in calls)
    assert outcome.output_tokens == sum(each.output for each in calls)
    assert all(first >= call.prompt * 1e-4 - 1e-6 for call, (_, first) in zip(calls, outcome.firsts, strict=True))
    assert all(by.min <= each.replicas <= by.max and each.kv_share <= 1 for each in outcome.moments)
    assert all(each.up <= each.replicas for each in outcome.moments)
    asked = sum(each.replicas for each in outcome.moments[:-1]) * by.every_s
    assert outcome.replica_s >= asked * 0.99 - by.max * by.every_s


def test_the_cheapest_rule_that_is_quick_enough_is_named_and_can_be_pasted() -> None:
    calls = poisson(4, 3000, prompt=2000, output=lambda _: 100)
    setting = Setting(calls=calls, hardware=hardware(), start_s=30)
    declared = scale(max=4, running=16, down={"stable_s": 60})
    tried = [setting.try_out(each) for each in list(candidates(declared))[:8]]
    compared = [setting.try_out(each, title=title) for title, each in fixed(declared)]
    assert [each.outcome.title for each in compared] == ["always 1", "always 2", "always 3", "always 4"]
    limit_s = compared[-1].outcome.ttft_s(0.99) * 1.5
    best = cheapest([*tried, *compared], ttft_s=limit_s)
    assert best is not None
    assert best.outcome.ttft_s(0.99) <= limit_s
    assert all(best.cost <= each.cost for each in [*tried, *compared] if each.outcome.ttft_s(0.99) <= limit_s)
    assert cheapest(tried, ttft_s=1e-9) is None
    costs = [each.cost for each in worthwhile([*tried, *compared])]
    assert costs == sorted(costs)
    assert as_yaml(declared) == (
        "scale:\n  min: 1\n  max: 4\n  running: 16\n  waiting: 1\n  kv_cache: 0.7\n  down: {stable_s: 60}"
    )
