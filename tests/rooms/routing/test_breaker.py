"""The circuit breaker, as the pure state machine that it is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hanok.routing.breaker import abandoned, admits, answered, failed, rested, started
from hanok.serving.fleet import CLOSED, Circuit

FAILURES, COOLDOWN_S = 3, 10.0


def fail(circuit: Circuit, now: float, *, probe: bool = False) -> Circuit:
    return failed(circuit, probe=probe, now=now, failures=FAILURES, cooldown_s=COOLDOWN_S)


def opened(now: float = 0.0) -> Circuit:
    circuit = CLOSED
    for _ in range(FAILURES):
        circuit = fail(circuit, now)
    return circuit


def test_failures_in_a_row_open_it_and_an_answer_starts_the_count_again() -> None:
    circuit = fail(fail(CLOSED, 0.0), 0.0)
    assert admits(circuit, 0.0)
    circuit = answered(circuit, probe=False)
    assert admits(fail(fail(circuit, 0.0), 0.0), 0.0)
    assert not admits(opened(), 9.9)
    assert admits(opened(), 10.0)


def test_exactly_one_call_passes_as_a_probe_and_its_answer_closes_it() -> None:
    circuit = started(opened())
    assert circuit.probing
    assert not admits(circuit, 1e9)
    assert answered(circuit, probe=True) == CLOSED
    assert admits(abandoned(circuit, probe=True), 10.0), "a probe that was given up leaves its place to the next call"


def test_the_cooldown_doubles_with_each_probe_that_fails_up_to_sixteen_times() -> None:
    circuit, now, waits = opened(), 0.0, list[float]()
    for _ in range(7):
        now = circuit.until
        circuit = fail(started(circuit), now, probe=True)
        waits.append(circuit.until - now)
    assert waits == [20.0, 40.0, 80.0, 160.0, 160.0, 160.0, 160.0]


def test_calls_from_before_say_nothing_about_an_open_circuit() -> None:
    circuit = opened()
    assert fail(circuit, 5.0) == circuit
    assert answered(circuit, probe=False) == circuit
    assert abandoned(started(circuit), probe=False).probing


def test_an_engine_that_asks_for_rest_gets_it_and_is_then_tried_with_one_call() -> None:
    circuit = rested(CLOSED, until=60.0)
    assert not admits(circuit, 59.0)
    assert not admits(started(circuit), 61.0)


moves = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.floats(0.0, 40.0)),
        st.tuples(st.just("call"), st.just(0.0)),
        st.tuples(st.sampled_from(["answer", "fail", "give up"]), st.integers(0, 9).map(float)),
    ),
    max_size=80,
)


@given(moves)
def test_whatever_happens_no_call_passes_early_and_never_two_probes(steps: list[tuple[str, float]]) -> None:
    circuit, now, running = CLOSED, 1.0, list[bool]()
    for move, value in steps:
        if move == "wait":
            now += value
        elif move == "call":
            if admits(circuit, now):
                assert circuit.until == 0.0 or (now >= circuit.until and True not in running)
                running.append(circuit.until != 0.0)
                circuit = started(circuit)
        elif running:
            probe = running.pop(int(value) % len(running))
            if move == "answer":
                circuit = answered(circuit, probe=probe)
            elif move == "fail":
                circuit = fail(circuit, now, probe=probe)
            else:
                circuit = abandoned(circuit, probe=probe)
        assert circuit.probing == (True in running)
        assert circuit.until - now <= COOLDOWN_S * 16
        assert circuit.until == 0.0 or circuit.failures == FAILURES
