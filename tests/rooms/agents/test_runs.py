"""What agents do: tools in a loop, plans, teams, approvals, limits, threads; on real stores with a scripted model."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hanok.agents.running import HouseAgency
from hanok.agents.tool import ToolCall, ToolResult
from hanok.agents.values import Run
from hanok.errors import RequestError, Unknown
from tests.rooms.agents.stage import ANN, BOB, Count, Script, Stage, call, finished, order, told

Play = Callable[[HouseAgency], Awaitable[Any]]


def play(stage: Stage, play: Play) -> Any:
    async def live() -> Any:
        async with stage.alive() as agency:
            return await play(agency)

    return asyncio.run(live())


def run_once(stage: Stage, text: str = "go", **more: Any) -> Run:
    async def once(agency: HouseAgency) -> Run:
        return await finished(agency, await agency.start(order(text, **more)))

    return play(stage, once)


def worker(**more: Any) -> list[dict[str, Any]]:
    return [{"name": "worker", "system_prompt": "You work.", **more}]


def test_tools_are_used_in_a_loop_until_the_model_answers(tmp_path: Path) -> None:
    look = Count("look")
    stage = Stage(tmp_path, Script([call("look", 21), {"say": "It is 42."}]), look, agents=worker(tools=["look"]))

    async def watch(agency: HouseAgency) -> tuple[Run, list[str]]:
        run = await agency.start(order("double 21"))
        seen = [event.type async for event in agency.events(run.id, tenant=ANN.tenant)]
        return await agency.run(run.id, tenant=ANN.tenant), seen

    run, seen = play(stage, watch)
    assert (run.state, run.answer, look.effects) == ("done", "It is 42.", [21])
    assert [each for each in seen if each not in ("budget", "token", "step")] == [
        "run",
        "message",
        "tool_call",
        "tool_result",
        "message",
        "done",
    ]
    asked = [bytes(request.fields["messages"]).decode() for request in stage.model.asked]
    assert '"role":"system","content":"You work."' in asked[0]
    assert '"role":"tool"' in asked[1]
    assert stage.model.asked[0].caller.run == run.path
    assert stage.model.asked[0].caller.session == run.thread


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"call": {"name": "nothing", "arguments": {}}}, "There is no tool 'nothing'. There are: look."),
        ({"call": {"name": "look", "arguments": {"y": 1}}}, "The arguments of look do not fit"),
        ({"call": {"name": "look", "arguments": {"x": "one"}}}, "x: 'one' is not of type 'integer'"),
    ],
    ids=["unknown tool", "wrong argument", "wrong type"],
)
def test_a_call_that_cannot_be_made_is_told_to_the_model(tmp_path: Path, asked: dict[str, Any], said: str) -> None:
    look = Count("look")
    stage = Stage(tmp_path, Script([asked, {"say": "ok"}]), look, agents=worker(tools=["look"]))
    run_once(stage)
    assert said in bytes(stage.model.asked[1].fields["messages"]).decode().replace('\\"', '"')
    assert look.effects == []


def test_a_tool_that_fails_hangs_or_says_too_much_is_told_to_the_model_and_the_run_goes_on(tmp_path: Path) -> None:
    class Fails(Count):
        async def use(self, call: ToolCall) -> ToolResult:
            raise ValueError("a secret")

    class Hangs(Count):
        async def use(self, call: ToolCall) -> ToolResult:
            await asyncio.Event().wait()
            raise AssertionError

    loud = Count("loud", says=lambda _: "x" * 300_000)
    hangs = Hangs("hangs")
    hangs.spec = type(hangs.spec)(**{**vars(hangs.spec), "timeout_s": 0.05})
    names = ("fails", "hangs", "loud")
    turns = [{"call": [{"name": name, "arguments": {"x": 1}} for name in names]}, {"say": "ok"}]
    stage = Stage(tmp_path, Script(turns), Fails("fails"), hangs, loud, agents=worker(tools=list(names)))
    assert run_once(stage).answer == "ok"
    asked = bytes(stage.model.asked[1].fields["messages"]).decode()
    assert "fails failed (ValueError)." in asked
    assert "a secret" not in asked
    assert "hangs did not answer within 0.05 s." in asked
    assert "280000 more characters were cut off" in asked


@pytest.mark.parametrize(
    ("limits", "reason", "effects"),
    [({"steps": 2}, "steps", 2), ({"tool_calls": 1}, "tool_calls", 1), ({"tokens": 5}, "tokens", None)],
    ids=["steps", "tool calls", "tokens"],
)
def test_a_run_ends_at_its_limit_with_what_it_has(
    tmp_path: Path, limits: dict[str, Any], reason: str, effects: int | None
) -> None:
    look = Count("look")
    turn = {"say": "Looking.", "call": {"name": "look", "arguments": {"x": 1}}}
    stage = Stage(tmp_path, Script([turn] * 9), look, agents=worker(tools=["look"], limits=limits))
    run = run_once(stage)
    assert (run.state, run.reason, run.answer) == ("limited", reason, "Looking.")
    assert effects is None or len(look.effects) == effects


def test_what_tools_cost_counts_against_the_runs_money(tmp_path: Path) -> None:
    look = Count("look", usd=400_000_000)
    stage = Stage(tmp_path, Script([call("look", 1)] * 5), look, agents=worker(tools=["look"], limits={"usd": 1}))
    run = run_once(stage)
    assert (run.state, run.reason) == ("limited", "usd")
    assert len(look.effects) == 2
    assert run.used.cost_nano_usd == 800_000_000


def test_work_beyond_the_time_ends_and_waiting_for_people_takes_none(tmp_path: Path) -> None:
    slow = Script([{"say": "late", "delay_ms": 5000}])
    run = run_once(Stage(tmp_path, slow, agents=worker(limits={"wall_time_s": 0.2})))
    assert (run.state, run.reason) == ("limited", "wall_time_s")


def test_a_caller_may_ask_for_less_never_for_more(tmp_path: Path) -> None:
    stage = Stage(tmp_path, Script([{"say": "a"}]), agents=worker(limits={"steps": 3}))
    assert run_once(stage, limits={"steps": 1}).bounds.steps == 1
    assert run_once(stage, limits={"steps": 100}).bounds.steps == 3
    with pytest.raises(RequestError, match="there is no limit 'wishes'"):
        run_once(stage, limits={"wishes": 3})


def test_a_call_waits_for_its_approval_which_may_change_it(tmp_path: Path) -> None:
    send = Count("send")
    turns = [call("send", 1), {"say": "Sent."}]
    stage = Stage(tmp_path, Script(turns), send, agents=worker(tools=["send"], approvals=["se*"]))

    async def ask(agency: HouseAgency) -> Run:
        return await finished(agency, await agency.start(order("go", run_id="run_1")))

    async def approve(agency: HouseAgency) -> Run:
        ((id_, _),) = (await agency.run("run_1", tenant=None)).wanted.items()
        with pytest.raises(RequestError, match="does not wait for"):
            await agency.answer("run_1", {"other": {"approve": True}}, tenant=None, by="ann")
        with pytest.raises(RequestError, match="wants"):
            await agency.answer("run_1", {id_: {"text": "yes"}}, tenant=None, by="ann")
        run = await agency.answer("run_1", {id_: {"approve": True, "arguments": {"x": 7}}}, tenant=None, by="ann")
        return await finished(agency, run)

    waiting = play(stage, ask)
    assert waiting.state == "waiting"
    assert send.effects == []
    assert [each["tool"] for each in waiting.wanted.values()] == ["send"]
    done = play(stage, approve)  # in another life of the process: waiting cost nothing
    assert (done.state, done.answer, send.effects) == ("done", "Sent.", [7])


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"x": "seven"}, "x: 'seven' is not of type 'integer'"),
        ({}, "'x' is a required property"),
        ({"x": 7, "y": 1}, "'y' was unexpected"),
        ({"x": 2**70}, "more than 64 bits"),
        (7, "they must be an object"),
        ([], "they must be an object"),
    ],
)
def test_arguments_that_a_tool_does_not_take_are_refused_and_the_run_waits_on(
    tmp_path: Path, arguments: Any, why: str
) -> None:
    send = Count("send")
    turns = [call("send", 1), {"say": "Sent."}]
    stage = Stage(tmp_path, Script(turns), send, agents=worker(tools=["send"], approvals=["*"]))

    async def approve(agency: HouseAgency) -> tuple[Run, Run]:
        run = await finished(agency, await agency.start(order("go")))
        (id_,) = run.wanted
        with pytest.raises(RequestError, match=re.escape(why)) as refused:
            await agency.answer(run.id, {id_: {"approve": True, "arguments": arguments}}, tenant=None, by="ann")
        assert (refused.value.param, refused.value.code) == (f"answers.{id_}.arguments", "invalid_answer")
        waits = await agency.run(run.id, tenant=None)
        run = await agency.answer(run.id, {id_: {"approve": True, "arguments": {"x": 7}}}, tenant=None, by="ann")
        return waits, await finished(agency, run)

    waits, done = play(stage, approve)
    assert (waits.state, waits.answers) == ("waiting", {})
    assert (done.state, send.effects) == ("done", [7])


def test_arguments_for_a_tool_that_a_member_of_the_team_uses_are_held_against_its_schema(tmp_path: Path) -> None:
    send = Count("send")
    turns = [{"system": "You lead.", "call": {"name": "member", "arguments": {"task": "send"}}, "times": 1}]
    turns += [{"system": "You send.", **call("send", 1), "times": 1}, {"say": "Sent.", "times": 10}]
    member = {"name": "member", "system_prompt": "You send.", "tools": ["send"], "approvals": ["*"], "model": "m"}
    leader = {"name": "worker", "system_prompt": "You lead.", "team": ["member"], "model": "m"}
    stage = Stage(tmp_path, Script(turns, ordered=False), send, agents=[leader, member])

    async def approve(agency: HouseAgency) -> Run:
        run = await finished(agency, await agency.start(order("go")))
        (id_,) = run.wanted
        with pytest.raises(RequestError, match="x: 'seven' is not of type 'integer'"):
            await agency.answer(run.id, {id_: {"approve": True, "arguments": {"x": "seven"}}}, tenant=None, by="ann")
        run = await agency.answer(run.id, {id_: {"approve": True, "arguments": {"x": 7}}}, tenant=None, by="ann")
        return await finished(agency, run)

    assert play(stage, approve).state == "done"
    assert send.effects == [7]


def test_what_a_person_refuses_is_told_to_the_model_with_the_reason(tmp_path: Path) -> None:
    send = Count("send")
    agents = worker(tools=["send"], approvals=["*"])
    stage = Stage(tmp_path, Script([call("send", 1), {"say": "Then not."}]), send, agents=agents)

    async def refuse(agency: HouseAgency) -> Run:
        run = await finished(agency, await agency.start(order("go")))
        no = {id_: {"approve": False, "reason": "too early"} for id_ in run.wanted}
        return await finished(agency, await agency.answer(run.id, no, tenant=None, by="ann"))

    assert play(stage, refuse).answer == "Then not."
    assert send.effects == []
    assert "Their reason: too early" in bytes(stage.model.asked[1].fields["messages"]).decode()


def test_an_agent_may_ask_its_user(tmp_path: Path) -> None:
    turns = [{"call": {"name": "ask_user", "arguments": {"question": "Which year?"}}}, {"say": "2026 then."}]
    stage = Stage(tmp_path, Script(turns), agents=worker(questions=True))

    async def reply(agency: HouseAgency) -> Run:
        run = await finished(agency, await agency.start(order("go")))
        ((id_, wanted),) = run.wanted.items()
        assert wanted["question"] == "Which year?"
        return await finished(agency, await agency.answer(run.id, {id_: {"text": "2026"}}, tenant=None, by="ann"))

    assert play(stage, reply).answer == "2026 then."
    assert '"content":"2026"' in bytes(stage.model.asked[1].fields["messages"]).decode()


def test_a_plan_is_made_carried_out_judged_and_tried_again(tmp_path: Path) -> None:
    turns = [
        {"schema": "plan", "json": {"steps": ["count", "tell"]}},
        {"schema": "verdict", "after": 2, "times": 1, "json": {"verdict": "RETRY", "reason": "too vague"}},
        {"schema": "verdict", "after": 3, "times": 1, "json": {"verdict": "CONTINUE", "reason": "good"}},
        {"schema": "verdict", "json": {"verdict": "COMPLETE", "reason": "all done"}},
        {"system": "The work is over", "say": "There are three."},
        {"system": "Carry out step", "say": "three"},
    ]
    agents = worker(pattern="plan-execute")
    stage = Stage(tmp_path, Script(turns, ordered=False), agents=agents)

    async def watch(agency: HouseAgency) -> tuple[Run, list[Any]]:
        run = await finished(agency, await agency.start(order("how many?")))
        return run, [event.data for event in await told(agency, run) if event.type == "plan"]

    run, plans = play(stage, watch)
    assert (run.state, run.answer) == ("done", "There are three."), run.error
    assert [step["state"] for step in plans[0]["steps"]] == ["open", "open"]
    assert next(plan["verdict"] for plan in plans if "verdict" in plan) == "RETRY"
    assert plans[-1]["verdict"] == "COMPLETE"
    assert any("too vague" in bytes(request.fields["messages"]).decode() for request in stage.model.asked)


def test_a_plan_that_never_ends_ends_at_its_iterations(tmp_path: Path) -> None:
    turns = [
        {"schema": "plan", "json": {"steps": [f"step {n}" for n in range(9)]}},
        {"schema": "verdict", "json": {"verdict": "CONTINUE", "reason": ""}},
        {"system": "The work is over", "say": "What I have."},
        {"system": "Carry out step", "say": "something"},
    ]
    agents = worker(pattern="plan-execute", limits={"iterations": 3})
    run = run_once(Stage(tmp_path, Script(turns, ordered=False), agents=agents))
    assert (run.state, run.answer, run.used.steps) == ("done", "What I have.", 1 + 3 * 2 + 1)


TEAM = [
    {"name": "worker", "pattern": "supervisor", "team": ["finder", "writer"], "system_prompt": "You lead."},
    {"name": "finder", "description": "Finds.", "system_prompt": "You find.", "tools": ["look"]},
    {"name": "writer", "description": "Writes.", "system_prompt": "You write."},
]
TEAM_TURNS = [
    {"schema": "choice", "tool": "writer", "json": {"next": "finish"}},
    {"schema": "choice", "tool": "finder", "json": {"next": "writer", "task": "write it"}},
    {"schema": "choice", "json": {"next": "finder", "task": "find it"}},
    {"system": "You find.", "tool": "look", "say": "found 42"},
    {"system": "You find.", "call": {"name": "look", "arguments": {"x": 21}}},
    {"system": "You write.", "say": "It is written."},
    {"system": "Answer the user now", "say": "All done."},
]


def test_a_supervisor_gives_work_to_its_team_in_runs_below_its_own(tmp_path: Path) -> None:
    look = Count("look")
    stage = Stage(tmp_path, Script(TEAM_TURNS, ordered=False), look, agents=TEAM)

    async def watch(agency: HouseAgency) -> tuple[Run, list[Run]]:
        run = await finished(agency, await agency.start(order("do it")))
        return run, await agency.runs(tenant=ANN.tenant, parent=run.id)

    run, children = play(stage, watch)
    assert (run.state, run.answer) == ("done", "All done."), run.error
    assert {(child.agent, child.state, child.answer) for child in children} == {
        ("finder", "done", "found 42"),
        ("writer", "done", "It is written."),
    }
    assert all(child.path == f"{run.path}/{child.id}" for child in children)
    below = sum(child.used.tokens for child in children)
    assert run.used.tokens > below > 0


def test_a_worker_that_waits_for_a_person_has_its_supervisor_wait_and_both_go_on(tmp_path: Path) -> None:
    look = Count("look")
    agents = [TEAM[0], {**TEAM[1], "approvals": ["look"]}, TEAM[2]]
    stage = Stage(tmp_path, Script(TEAM_TURNS, ordered=False), look, agents=agents)

    async def ask(agency: HouseAgency) -> Run:
        return await finished(agency, await agency.start(order("do it", run_id="run_1")))

    async def approve(agency: HouseAgency) -> Run:
        run = await agency.run("run_1", tenant=None)
        yes = {id_: {"approve": True} for id_ in run.wanted}
        return await finished(agency, await agency.answer("run_1", yes, tenant=None, by="ann"))

    waiting = play(stage, ask)
    assert (waiting.state, look.effects) == ("waiting", [])
    done = play(stage, approve)
    assert (done.state, done.answer, look.effects) == ("done", "All done.", [21]), done.error


def test_agents_below_agents_end_at_the_depth(tmp_path: Path) -> None:
    agents = worker(tools=[{"type": "agent", "name": "again", "agent": "worker"}], limits={"depth": 2})
    turns = [{"tool": "again", "say": "enough"}, {"call": {"name": "again", "arguments": {"task": "more"}}}]
    stage = Stage(tmp_path, Script(turns, ordered=False), agents=agents)

    async def watch(agency: HouseAgency) -> int:
        await finished(agency, await agency.start(order("go")))
        return len(await agency.runs(tenant=None, parent="*"))

    assert play(stage, watch) == 3


def test_runs_of_one_thread_remember_what_was_said(tmp_path: Path) -> None:
    stage = Stage(tmp_path, Script([{"say": "Hello Ann."}, {"say": "You are Ann."}]), agents=worker())

    async def talk(agency: HouseAgency) -> Run:
        first = await finished(agency, await agency.start(order("I am Ann")))
        return await finished(agency, await agency.start(order("Who am I?", thread=first.thread)))

    assert play(stage, talk).answer == "You are Ann."
    asked = bytes(stage.model.asked[1].fields["messages"]).decode()
    assert asked.index("I am Ann") < asked.index("Hello Ann.") < asked.index("Who am I?")


def test_a_long_thread_is_summed_up_and_stays_as_it_was(tmp_path: Path) -> None:
    turns = [{"system": "Sum up this part", "say": "Ann likes tea."}, {"say": "ok " * 100}]
    memory = {"context_tokens": 500, "keep_messages": 2}
    stage = Stage(tmp_path, Script(turns, ordered=False), agents=worker(memory=memory))

    async def talk(agency: HouseAgency) -> int:
        run = await finished(agency, await agency.start(order("I like tea. " * 50)))
        for _ in range(4):
            run = await finished(agency, await agency.start(order("and " * 200, thread=run.thread)))
        state = await agency.state(run.thread, tenant=ANN.tenant)
        assert state is not None
        return len(state.values["messages"])

    assert play(stage, talk) == 10
    assert "Ann likes tea." in bytes(stage.model.asked[-1].fields["messages"]).decode()
    assert "I like tea." not in bytes(stage.model.asked[-1].fields["messages"]).decode()


def test_a_thread_can_be_begun_anew_from_an_earlier_checkpoint(tmp_path: Path) -> None:
    stage = Stage(tmp_path, Script([{"say": "one"}, {"say": "two"}], ordered=False), agents=worker())

    async def fork(agency: HouseAgency) -> tuple[Run, list[str]]:
        first = await finished(agency, await agency.start(order("first")))
        before = await agency.state(first.thread, tenant=None)
        await finished(agency, await agency.start(order("second", thread=first.thread)))
        assert before is not None
        fork = order("another second", thread=first.thread, checkpoint=before.checkpoint)
        run = await finished(agency, await agency.start(fork))
        state = await agency.state(first.thread, tenant=None)
        assert state is not None
        return run, [message["content"] for message in state.values["messages"] if message["role"] == "user"]

    run, said = play(stage, fork)
    assert run.state == "done", run.error
    assert said == ["first", "another second"]


def test_pause_and_resume_cancel_and_try_again(tmp_path: Path) -> None:
    look = Count("look")
    gate = asyncio.Event

    class Gate(Count):
        def __init__(self) -> None:
            super().__init__("look")
            self.reached, self.open = gate(), gate()

        async def use(self, call: ToolCall) -> ToolResult:
            self.reached.set()
            await self.open.wait()
            return await super().use(call)

    async def pause(agency: HouseAgency) -> tuple[Run, Run]:
        tool = Gate()
        stage.tools["look"] = tool
        run = await agency.start(order("go"))
        await tool.reached.wait()
        await agency.pause(run.id, tenant=None)
        tool.open.set()
        paused = await finished(agency, run)
        await agency.resume(run.id, tenant=None)
        return paused, await finished(agency, run)

    stage = Stage(tmp_path, Script([call("look", 1), {"say": "Done."}]), look, agents=worker(tools=["look"]))
    paused, done = play(stage, pause)
    assert (paused.state, done.state, done.answer) == ("paused", "done", "Done.")

    async def cancel(agency: HouseAgency) -> Run:
        tool = Gate()
        stage.tools["look"] = tool
        run = await agency.start(order("go"))
        await tool.reached.wait()
        await agency.cancel(run.id, tenant=None)
        return await finished(agency, run)

    assert play(stage, cancel).state == "cancelled"


def test_a_model_that_fails_fails_the_run_which_can_be_tried_again(tmp_path: Path) -> None:
    turns = [{"error": 500, "say": "broken", "after": 0, "times": 1}, {"say": "Better."}]
    stage = Stage(tmp_path, Script(turns, ordered=False), agents=worker())

    async def retry(agency: HouseAgency) -> tuple[Run, Run]:
        failed = await finished(agency, await agency.start(order("go")))
        await agency.resume(failed.id, tenant=None)
        return failed, await finished(agency, failed)

    failed, done = play(stage, retry)
    assert failed.state == "failed"
    assert failed.error
    assert (done.state, done.answer) == ("done", "Better.")


def test_what_belongs_to_others_is_not_there(tmp_path: Path) -> None:
    stage = Stage(tmp_path, Script([{"say": "secret"}]), agents=worker())

    async def look(agency: HouseAgency) -> None:
        run = await finished(agency, await agency.start(order("go", caller=ANN)))
        other = BOB.tenant
        for ask in (
            lambda: agency.run(run.id, tenant=other),
            lambda: agency.state(run.thread, tenant=other),
            lambda: agency.history(run.thread, tenant=other),
            lambda: agency.thread(run.thread, tenant=other),
            lambda: agency.cancel(run.id, tenant=other),
            lambda: agency.resume(run.id, tenant=other),
            lambda: agency.copy_thread(run.thread, tenant=other),
            lambda: agency.remove_thread(run.thread, tenant=other),
            lambda: agency.start(order("more", caller=BOB, thread=run.thread)),
        ):
            with pytest.raises(Unknown):
                await ask()
        assert await agency.runs(tenant=other) == []
        assert await agency.threads(tenant=other) == []

    play(stage, look)


GRAPH = """
from typing import TypedDict
from langgraph.graph import START, END, StateGraph
from langgraph.types import interrupt

class Mine(TypedDict, total=False):
    messages: list
    answer: str

async def ask(state, runtime):
    reply = await runtime.context.think([{"role": "user", "content": "hello"}])
    year = interrupt({"which": "year"})
    return {"answer": f"{reply.message['content']} {year}"}

def make():
    graph = StateGraph(Mine)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    return graph
"""


def test_a_users_own_graph_has_the_same_work_the_same_receipts_and_the_same_people(tmp_path: Path) -> None:
    (tmp_path / "my_own_graph.py").write_text(GRAPH, "utf-8")
    agents = worker(pattern="graph", graph="my_own_graph:make")
    stage = Stage(tmp_path, Script([{"say": "It was"}], ordered=False), agents=agents)

    async def reply(agency: HouseAgency) -> Run:
        run = await finished(agency, await agency.start(order("go")))
        assert run.state == "waiting", run.error
        ((id_, wanted),) = run.wanted.items()
        assert wanted["value"] == {"which": "year"}
        return await finished(agency, await agency.answer(run.id, {id_: {"value": 2026}}, tenant=None, by="ann"))

    run = play(stage, reply)
    assert (run.state, run.answer) == ("done", "It was 2026"), run.error
    assert len(stage.model.asked) == 1


def test_a_run_whose_agent_has_another_pattern_by_then_says_so(tmp_path: Path) -> None:
    send = Count("send")
    before = worker(tools=["send"], approvals=["send"])
    stage = Stage(tmp_path, Script([call("send", 1), {"say": "Sent."}]), send, agents=before)

    async def ask(agency: HouseAgency) -> Run:
        return await finished(agency, await agency.start(order("go", run_id="run_1")))

    async def approve(agency: HouseAgency) -> Run:
        yes = {id_: {"approve": True} for id_ in (await agency.run("run_1", tenant=None)).wanted}
        return await finished(agency, await agency.answer("run_1", yes, tenant=None, by="ann"))

    assert play(stage, ask).state == "waiting"
    after = worker(tools=["send"], approvals=["send"], pattern="plan-execute")
    run = play(Stage(tmp_path, stage.model, send, agents=after), approve)
    assert run.state == "failed"
    assert run.error is not None
    assert "had another pattern" in run.error
