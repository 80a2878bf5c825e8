"""The team, tested with the script that platform.yaml declares."""

from hanok.testing import call, expect, run_agent, script

TASK = "What does our assistant cost a day?"


def test_each_does_its_part_in_turn() -> None:
    run = run_agent("platform.yaml", "lead", TASK)
    expect(run).done().asked("researcher").asked("coder").asked("writer").said("1.15 dollars")
    assert run.tools_used == ["researcher", "coder", "writer"]
    (coder,) = [each for each in run.below if each.agent == "coder"]
    expect(coder).called("calculator", expression="40 * 24 * 1200")
    assert run.usd > sum(each.usd for each in run.below) > 0, "what the team uses counts against the lead's limit"


def test_a_team_cannot_spend_more_than_its_lead_may() -> None:
    expect(run_agent("platform.yaml", "lead", TASK, limits={"usd": 0.00005})).limited("usd")


def test_a_worker_that_never_ends_is_ended_by_its_own_limit() -> None:
    busy = script(call("calculator", expression="1 + 1"))
    run = run_agent("platform.yaml", "coder", TASK, model=busy)
    expect(run).limited("steps").called_times("calculator", 4)
