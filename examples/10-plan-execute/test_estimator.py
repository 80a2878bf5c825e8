"""The estimator, tested with the script that platform.yaml declares."""

import pytest

from hanok.testing import expect, run_agent

TASK = "What do two GPUs cost in a week, at 2.50 dollars an hour?"


def test_a_step_that_is_not_good_enough_is_done_again_with_the_reason() -> None:
    run = run_agent("platform.yaml", "estimator", TASK)
    expect(run).done().called_times("calculator", 1).said("840")
    assert len(run.plan) == 2
    verdicts = [event.data["verdict"] for event in run.events if event.type == "plan" and "verdict" in event.data]
    assert verdicts == ["CONTINUE", "RETRY", "COMPLETE"]


@pytest.mark.parametrize("calls", [3, 6])
def test_it_goes_on_where_it_was_when_its_process_dies(calls: int) -> None:
    run = run_agent("platform.yaml", "estimator", TASK, crash_after=calls)
    expect(run).done().said("840")
    assert run.used.steps == 9, "no call of the model was made twice"
