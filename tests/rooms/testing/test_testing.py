"""`hanok.testing`, used as a user's tests use it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hanok.testing import (
    Agents,
    FinishedRun,
    Wanted,
    agents_of,
    call,
    expect,
    fail,
    given,
    run_agent,
    say,
    script,
    structured,
)

for library in ("langgraph", "aiosqlite"):
    pytest.importorskip(library, reason='not installed: pip install "hanok[agents]"')

UNREACHABLE = {"engine": "openai", "url": "https://api.example.invalid/v1", "key": "${env:NO_SUCH_KEY}"}
PLATFORM: dict[str, Any] = {
    "name": "test",
    "models": [{"name": "real", "price": {"input": 1, "output": 4}, "serve": UNREACHABLE}],
    "tools": [
        {
            "name": "web_search",
            "type": "http",
            "url": "https://search.example.invalid/",
            "parameters": {"query": "string"},
            "usd": 0.001,
        },
        {
            "name": "send_mail",
            "type": "http",
            "url": "https://mail.example.invalid/",
            "method": "POST",
            "parameters": {"to": "string"},
        },
    ],
    "agents": [
        {"name": "research", "tools": ["web_search"], "questions": True, "limits": {"steps": 6}},
        {"name": "mailer", "tools": ["send_mail"], "approvals": ["send_*"]},
        {"name": "planner", "pattern": "plan-execute", "tools": ["web_search"]},
        {"name": "boss", "team": ["research"]},
    ],
}
MODEL = script(
    given(say("You said: later."), when="later"),
    given(call("web_search", query="hotels"), when="hotel"),
    given(call("web_search", wrong=1), when="wrongly"),
    given(call("web_search", query="break"), when="break"),
    given(call("ask_user", question="When?"), when="unsure"),
    given(call("web_search", query="again"), when="for ever"),
    given(call("web_search", query="again"), tool="web_search", when="again"),
    given(say("The Lotte Hotel."), tool="web_search", when="Lotte"),
    given(say("It did not work."), tool="web_search"),
    given(say("In May, then."), tool="ask_user", when="May"),
    given(call("send_mail", to="a@example.com"), when="mail"),
    given(say("Not sent."), tool="send_mail", when="not approve"),
    given(say("Sent."), tool="send_mail"),
    given(call("research", task="a hotel"), when="delegate"),
    given(say("They say: Lotte."), tool="research"),
    given(fail(400, "no luck"), when="fail"),
    given(structured({"steps": ["look", "write"]}), schema="plan"),
    given(structured({"verdict": "CONTINUE", "reason": "fine"}), schema="verdict"),
    say("Nothing to say."),
)
sent: list[dict[str, Any]] = []


def web_search(query: str) -> list[str]:
    if query == "break":
        raise ValueError("secret detail")
    return [query] if query == "again" else ["Lotte", "Shilla"]


async def send_mail(**arguments: Any) -> str:
    sent.append(arguments)
    return "sent"


@pytest.fixture(scope="module")
def agents() -> Iterator[Agents]:
    with agents_of(PLATFORM, model=MODEL, tools={"web_search": web_search, "send_mail": send_mail}) as made:
        yield made


def test_a_run_tells_what_was_called_with_what_and_what_came_of_it(agents: Agents) -> None:
    run = agents.run("research", "a hotel, please")
    assert (run.state, run.answer, run.tools_used) == ("done", "The Lotte Hotel.", ["web_search"])
    (use,) = run.called("web_search", query="hotels")
    assert use.result == '["Lotte", "Shilla"]'
    assert not run.called("web_search", query="cars")
    assert run.used.steps == 2
    assert 0.001 < run.usd < 0.002, "the tool's price, and a few tokens"
    assert run.events[-1].type == "done"
    expect(run).done().called("web_search", query="hotels").said("Lotte").within(steps=2, usd=0.01, seconds=30)


def test_what_was_expected_in_vain_is_told_with_the_story_of_the_run(agents: Agents) -> None:
    run = agents.run("research", "a hotel, please")
    for miss, told in (
        (lambda: expect(run).failed(), "expected the run to be failed, not done"),
        (lambda: expect(run).called("web_search", query="cars"), "a call of web_search with {'query': 'cars'}"),
        (lambda: expect(run).did_not_call("web_search"), "no call of web_search"),
        (lambda: expect(run).said("Hilton"), r"\['Hilton'\] in its answer"),
        (lambda: expect(run).within(steps=1), "at most 1 steps, not 2"),
        (lambda: expect(run).called_times("web_search", 3), "3 calls of web_search, not 1"),
        (lambda: expect(run).asked("boss"), "work for boss"),
    ):
        with pytest.raises(AssertionError, match=told) as caught:
            miss()
        assert '→ web_search({"query": "hotels"})' in str(caught.value)


def test_arguments_are_checked_against_the_declared_schema_and_a_fakes_fault_is_the_tools(agents: Agents) -> None:
    wrong = agents.run("research", "do it wrongly")
    assert wrong.uses[0].failed
    assert "do not fit" in wrong.uses[0].result
    broken = agents.run("research", "break it")
    assert broken.uses[0].failed
    assert "secret" not in broken.uses[0].result
    expect(broken).done().said("It did not work.")


def test_limits_end_a_run_and_say_which(agents: Agents) -> None:
    expect(agents.run("research", "look for ever")).limited("steps")
    expect(agents.run("research", "look for ever", limits={"tool_calls": 2})).limited("tool_calls")


def test_a_test_plays_the_person_who_approves(agents: Agents) -> None:
    def refuse(wanted: Wanted) -> str:
        assert (wanted.agent, wanted.tool, wanted.arguments) == ("mailer", "send_mail", {"to": "a@example.com"})
        return "not today"

    sent.clear()
    expect(agents.run("mailer", "mail it", approve=refuse)).done().said("Not sent.")
    assert sent == []
    expect(agents.run("mailer", "mail it", approve=lambda _: True)).said("Sent.")
    expect(agents.run("mailer", "mail it", approve=lambda _: {"to": "b@example.com"})).said("Sent.")
    assert sent == [{"to": "a@example.com"}, {"to": "b@example.com"}]


def test_without_a_person_a_run_waits_and_can_be_answered_later(agents: Agents) -> None:
    waiting = agents.run("research", "I am unsure")
    expect(waiting).waits("question")
    (wanted,) = waiting.wanted
    assert wanted.question == "When?"
    expect(agents.answer(waiting, {wanted.id: {"text": "in May"}})).done().said("In May")
    expect(agents.run("research", "I am unsure", reply=lambda _: "May")).said("In May")


def test_runs_on_one_thread_are_a_conversation(agents: Agents) -> None:
    first = agents.run("research", "a hotel, please")
    second = agents.run("research", "later", thread=first.thread)
    assert second.thread == first.thread
    expect(second).said("You said: later.")


def test_plans_and_the_work_of_other_agents_are_told_too(agents: Agents) -> None:
    planned = agents.run("planner", "do something")
    assert planned.plan == ["look", "write"]
    led = agents.run("boss", "delegate it")
    expect(led).done().asked("research").said("Lotte")
    assert [below.tools_used for below in led.below] == [["web_search"]]


def test_a_model_that_fails_is_told_as_the_runs_error(agents: Agents) -> None:
    expect(agents.run("research", "fail")).failed()


@pytest.mark.parametrize("crash_after", [1, 2])
def test_a_run_whose_process_dies_goes_on_in_another_and_repeats_nothing(crash_after: int) -> None:
    asked: list[str] = []

    def search(query: str) -> list[str]:
        asked.append(query)
        return ["Lotte"]

    run = run_agent(PLATFORM, "research", "a hotel", model=MODEL, tools={"web_search": search}, crash_after=crash_after)
    expect(run).done().said("Lotte")
    assert run.run.attempt == 2
    assert asked == ["hotels"]
    assert run.used.steps == 2
    told = [event.type for event in run.events if event.type in ("message", "tool_call", "tool_result")]
    assert told == ["message", "tool_call", "tool_result", "message"], "what is finished is told, and once"


def test_models_may_be_scripted_one_by_one_and_a_file_is_read_where_it_is(tmp_path: Path) -> None:
    platform = copy.deepcopy(PLATFORM)
    platform["models"].append({"name": "other", "serve": {"engine": "echo"}})
    platform["agents"] = [{"name": "a", "model": "real"}, {"name": "b", "model": "other"}]
    file = tmp_path / "platform.yaml"
    file.write_text(yaml.safe_dump(platform), "utf-8")
    with agents_of(file, models={"real": script("scripted")}) as agents:
        said: list[FinishedRun] = [agents.run(name, "hello") for name in ("a", "b")]
    assert [run.answer for run in said] == ["scripted", "hello"]
    assert not (tmp_path / ".hanok").exists(), "what is kept goes with the test"
