"""What goes wrong round runs: processes that die at the same place, keys that end, stores that fail, servers away."""

from __future__ import annotations

import asyncio
import logging
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hanok.agents import recorder
from hanok.agents.leading import MOST_LET_GO
from hanok.agents.stores.sqlite import SqliteRuns
from hanok.agents.tool import ToolCall, ToolResult
from hanok.agents.tools import mcp_client
from hanok.agents.values import Run, RunState
from hanok.errors import RequestError, StoreError, ToolUnavailable
from hanok.ledger import KeyRing
from hanok.ledger.keys import make_key
from hanok.spec.tree.tools import McpTool
from tests.conftest import free_port
from tests.rooms.agents.stage import ANN, Count, Deadline, MortalRuns, Script, Stage, call, finished, order, told


class Deadly(Count):
    """A tool that ends the process that uses it, so many times."""

    def __init__(self, name: str, *, times: int) -> None:
        super().__init__(name)
        self.left = times
        self.each_once = False
        self.killed = set[int]()
        self.deadline = Deadline()

    async def use(self, call: ToolCall) -> ToolResult:
        if self.left and not (self.each_once and call.arguments["x"] in self.killed):
            self.killed.add(call.arguments["x"])
            self.left -= 1
            self.deadline.dead = True
        return await super().use(call)


def worker(**more: Any) -> list[dict[str, Any]]:
    return [{"name": "worker", "system_prompt": "You work.", **more}]


async def live_and_die(stage: Stage, tool: Deadly, *, first: bool = False) -> None:
    """One life, until the tool has ended it."""
    tool.deadline = Deadline()
    async with stage.alive(tool.deadline) as agency:
        if first:
            await agency.start(order("go", run_id="run_1"))
        while not tool.deadline.dead:
            await asyncio.sleep(0.002)


async def after_deaths(stage: Stage, tool: Deadly, deaths: int) -> Run:
    for number in range(deaths):
        await live_and_die(stage, tool, first=number == 0)
    async with stage.alive() as agency:
        return await finished(agency, await agency.run("run_1", tenant=None))


def test_a_run_that_ends_every_process_that_leads_it_fails_and_keeps_what_it_has(tmp_path: Path) -> None:
    deadly = Deadly("deadly", times=99)
    turn = {"say": "I look.", "call": {"name": "deadly", "arguments": {"x": 1}}}
    stage = Stage(tmp_path, Script([turn]), deadly, agents=worker(tools=["deadly"]), runs={"takeovers": 2})
    run = asyncio.run(after_deaths(stage, deadly, 3))
    assert (run.state, run.reason, run.answer) == ("failed", "process_lost", "I look.")
    assert "died 3 times at the same place" in (run.error or "")
    assert len(deadly.effects) == 3, "the process that failed it did not touch the tool"

    async def resume() -> Run:
        deadly.left = 0
        stage.model = Script([turn, {"say": "Done."}])
        async with stage.alive() as agency:
            return await finished(agency, await agency.resume("run_1", tenant=None))

    assert asyncio.run(resume()).state == "done"


def test_a_run_that_comes_further_each_time_is_taken_over_as_often_as_it_takes(tmp_path: Path) -> None:
    deadly = Deadly("deadly", times=5)
    deadly.each_once = True
    turns = [call("deadly", number) for number in range(1, 6)]
    agents = worker(tools=["deadly"])
    stage = Stage(tmp_path, Script([*turns, {"say": "Done."}]), deadly, agents=agents, runs={"takeovers": 1})
    run = asyncio.run(after_deaths(stage, deadly, 5))
    assert (run.state, run.answer, run.attempt) == ("done", "Done.", 6), run.error


def test_a_team_is_told_of_a_member_that_ends_its_processes_and_goes_on(tmp_path: Path) -> None:
    deadly = Deadly("deadly", times=99)
    agents = [*worker(team=["finder"]), {"name": "finder", "system_prompt": "You find.", "tools": ["deadly"]}]
    turns = [
        {"system": "You find.", "call": {"name": "deadly", "arguments": {"x": 1}}},
        {"system": "You work.", "tool": "finder", "say": "Without it, then."},
        {"system": "You work.", "call": {"name": "finder", "arguments": {"task": "find"}}},
    ]
    stage = Stage(tmp_path, Script(turns, ordered=False), deadly, agents=agents, runs={"takeovers": 1})
    run = asyncio.run(after_deaths(stage, deadly, 2))
    assert (run.state, run.answer) == ("done", "Without it, then."), run.error


def test_a_member_of_which_nobody_comes_back_rests_with_its_team_or_is_called_off(tmp_path: Path) -> None:
    """Its row says `running` when the processes of both are gone, and the run above ends without touching it."""
    deadly = Deadly("deadly", times=99)
    agents = [*worker(team=["finder"]), {"name": "finder", "system_prompt": "You find.", "tools": ["deadly"]}]
    turns = [
        {"system": "You find.", "call": {"name": "deadly", "arguments": {"x": 1}}},
        {"call": {"name": "finder", "arguments": {"task": "find"}}},
    ]

    async def die_and_end_above(stage: Stage, state: RunState) -> list[Any]:
        await live_and_die(stage, deadly, first=True)
        store = SqliteRuns(stage.loaded.state / "agents.db")
        (above,) = store.claim("w", now=stage.now() + 500, lease_s=1, most=1, ids=["run_1"])
        assert store.save(replace(above, state=state, ended_at=stage.now()), worker="w")
        store.close()
        async with stage.alive() as agency, asyncio.timeout(10):
            while await agency.runs(tenant=None, parent="run_1", states=["running"]):
                await asyncio.sleep(0.005)
            found = await agency.runs(tenant=None, parent="run_1")
            return [(each.state, (await told(agency, each))[-1].type) for each in found]

    for state, expected in (("failed", ("paused", "run")), ("cancelled", ("cancelled", "done"))):
        folder = tmp_path / state
        folder.mkdir()
        stage = Stage(folder, Script(turns, ordered=False), deadly, agents=agents)
        assert asyncio.run(die_and_end_above(stage, state)) == [expected]  # pyright: ignore[reportArgumentType]


APPROVED = worker(tools=["send"], approvals=["*"])


class FailingRuns(MortalRuns):
    """A store that cannot read what a run has come to, so many times."""

    left = 0

    def past(self, run: str) -> Any:
        if type(self).left:
            type(self).left -= 1
            raise StoreError("no room")
        return super().past(run)


def test_pauses_and_answers_bring_a_run_no_nearer_to_the_tries_that_its_store_may_fail(tmp_path: Path) -> None:
    stage = Stage(tmp_path, Script([call("send", 1)] * 6 + [{"say": "Sent."}]), Count("send"), agents=APPROVED)
    stage.store = FailingRuns

    async def go() -> Run:
        async with stage.alive() as agency:
            run = await finished(agency, await agency.start(order("go")))
            for _ in range(5):
                answers = {id_: {"approve": True} for id_ in run.wanted if id_ not in run.answers}
                run = await finished(agency, await agency.answer(run.id, answers, tenant=None, by="bob"))
            FailingRuns.left = MOST_LET_GO - 1
            answers = {id_: {"approve": True} for id_ in run.wanted if id_ not in run.answers}
            return await finished(agency, await agency.answer(run.id, answers, tenant=None, by="bob"))

    tried = asyncio.run(go())
    assert (tried.state, tried.answer, tried.attempt) == ("done", "Sent.", 7 + MOST_LET_GO - 1), tried.error


FINDS = [
    {"system": "You find.", "tool": "look", "say": "Found."},
    {"system": "You find.", "call": {"name": "look", "arguments": {"x": 1}}},
    {"system": "You work.", "tool": "finder", "when": "Found.", "say": "It was found."},
    {"system": "You work.", "tool": "finder", "say": "Without it, then."},
    {"system": "You work.", "call": {"name": "finder", "arguments": {"task": "find"}}},
]
FINDER = [*worker(team=["finder"]), {"name": "finder", "system_prompt": "You find.", "tools": ["look"]}]


class FailsBelow(MortalRuns):
    """A store that takes nothing of a member, twice. Where it `loses`, the member's lease is gone meanwhile."""

    left = 0
    loses = False
    asked, heard = threading.Event(), threading.Event()

    def append(self, *given: Any, **named: Any) -> Any:
        cls, written = type(self), [each.run for each in named["receipts"]] + [each.id for each in named["runs"]]
        if cls.left and any(id_ != "run_1" for id_ in written):
            cls.left -= 1
            if cls.loses and not cls.left:
                cls.asked.set()
                assert cls.heard.wait(10)
            raise StoreError("no room")
        return super().append(*given, **named)

    def renew(self, worker: str, ids: Any, *, until: float) -> Any:
        kept = super().renew(worker, ids, until=until)
        if self.loses and self.asked.is_set() and not self.heard.is_set():
            if list(kept) == ["run_1"]:  # it was heard
                self.heard.set()
            return {"run_1": None}
        return kept


@pytest.mark.parametrize("loses", [False, True], ids=["away", "away-and-lost"])
def test_a_store_that_fails_below_a_team_is_no_answer_of_its_member(tmp_path: Path, loses: bool) -> None:
    """Nobody knows how the member ended: it is led again, and the run above waits for what it says then."""
    look = Count("look", safe=False)
    stage = Stage(tmp_path, Script(FINDS, ordered=False), look, agents=FINDER, runs={"lease_s": 1})
    stage.store, FailsBelow.left, FailsBelow.loses = FailsBelow, 2, loses

    async def go() -> tuple[Run, list[str]]:
        async with stage.alive() as agency:
            run = await finished(agency, await agency.start(order("go", run_id="run_1")))
            results = [each.data["content"] for each in await told(agency, run) if each.type == "tool_result"]
            return run, results

    run, results = asyncio.run(go())
    assert (run.state, run.answer, results) == ("done", "It was found.", ["Found."]), run.error
    assert (FailsBelow.left, look.effects) == (0, [1])


def test_a_team_that_waits_for_a_member_which_does_not_wait_goes_on_when_it_is_answered(tmp_path: Path) -> None:
    """The member's row says that a dead process leads it: a server came back without what was written last."""
    agents = [FINDER[0], {**FINDER[1], "approvals": ["look"]}]
    stage = Stage(tmp_path, Script(FINDS, ordered=False), look := Count("look"), agents=agents)

    async def go() -> Run:
        async with stage.alive() as agency:
            run = await finished(agency, await agency.start(order("go", run_id="run_1")))
            (member,) = await agency.runs(tenant=None, parent="run_1")
            assert (run.state, member.state) == ("waiting", "waiting")
            store = SqliteRuns(stage.loaded.state / "agents.db")
            assert store.save(replace(member, state="queued", wanted={}))
            assert store.claim("dead", now=stage.now() - 100, lease_s=1, most=1, ids=[member.id])
            store.close()
            for _ in range(2):
                answers = {id_: {"approve": True} for id_ in run.wanted}
                run = await finished(agency, await agency.answer("run_1", answers, tenant=None, by="bob"))
            return run

    run = asyncio.run(go())
    assert (run.state, run.answer, look.effects) == ("done", "It was found.", [1]), run.state


class Away(MortalRuns):
    """A store that cannot be reached for a while."""

    away = False
    refused = 0

    def _mortal(self, write: Any, *given: Any, **named: Any) -> Any:
        self._reach()
        return super()._mortal(write, *given, **named)

    def claim(self, *given: Any, **named: Any) -> Any:
        self._reach()
        return super().claim(*given, **named)

    def renew(self, *given: Any, **named: Any) -> Any:
        self._reach()
        return super().renew(*given, **named)

    def _reach(self) -> None:
        if Away.away:
            Away.refused += 1
            raise StoreError("Redis at h cannot be used: it does not answer")


def test_an_outage_of_the_store_is_told_once_at_its_beginning_and_once_when_it_is_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Cuts(Count):
        async def use(self, call: ToolCall) -> ToolResult:
            Away.away = not self.effects
            return await super().use(call)

    stage = Stage(
        tmp_path,
        Script([call("look", 1), {"say": "Done."}]),
        Cuts("look"),
        agents=worker(tools=["look"]),
        runs={"lease_s": 1},
    )
    stage.store, Away.refused = Away, 0

    async def go() -> Run:
        async with stage.alive() as agency:
            run = await agency.start(order("go", run_id="run_1"))
            async with asyncio.timeout(20):
                while Away.refused < 6:
                    await asyncio.sleep(0.01)
            Away.away = False
            return await finished(agency, run)

    assert asyncio.run(go()).state == "done"
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    why = "Redis at h cannot be used: it does not answer"
    assert sorted(said) == [
        f"run run_1 is taken up again when its lease is over: {why}",
        "runs of agents are led again",
        f"runs of agents are not led while what they are kept in is away: {why}",
    ]


# keys


def ring(**ends: float) -> KeyRing:
    """Ann's key, as the ledger knows it."""
    made = make_key("ann", now=0.0, random_bytes=lambda count: b"k" * count).key
    return KeyRing([replace(made, id=ANN.key_id, **ends)])


SENDS = [call("send", 1), {"say": "Sent."}]


@pytest.mark.parametrize(("ends", "said"), [({"revoked_at": 1.0}, "was revoked"), ({"expires_at": 1.0}, "has expired")])
def test_a_run_whose_key_has_ended_does_not_go_on_when_another_approves_and_they_are_told(
    tmp_path: Path, ends: dict[str, float], said: str
) -> None:
    send = Count("send")
    stage = Stage(tmp_path, Script(SENDS), send, agents=APPROVED)

    async def approve() -> Run:
        async with stage.alive() as agency:
            run = await finished(agency, await agency.start(order("go")))
            stage.keys = ring(**ends)
            with pytest.raises(RequestError, match=f"cannot go on: the key 'ann' that ordered this run {said}"):
                await agency.answer(run.id, {id_: {"approve": True} for id_ in run.wanted}, tenant=None, by="bob")
            return await agency.run(run.id, tenant=None)

    run = asyncio.run(approve())
    assert (run.state, run.reason, send.effects, len(stage.model.asked)) == ("failed", "key_ended", [], 1)
    assert said in (run.error or "")


def test_a_member_that_waits_fails_with_its_team_when_their_key_has_ended(tmp_path: Path) -> None:
    send = Count("send")
    agents = [*worker(team=["finder"]), {"name": "finder", "tools": ["send"], "approvals": ["*"]}]
    turns = [call("send", 1)]
    first = {"system": "You work.", "call": {"name": "finder", "arguments": {"task": "find"}}}
    stage = Stage(tmp_path, Script([first, *turns], ordered=False), send, agents=agents)

    async def approve() -> list[tuple[str, str | None]]:
        async with stage.alive() as agency:
            run = await finished(agency, await agency.start(order("go")))
            stage.keys = ring(revoked_at=1.0)
            with pytest.raises(RequestError, match="was revoked"):
                await agency.answer(run.id, {id_: {"approve": True} for id_ in run.wanted}, tenant=None, by="bob")
            return [(each.state, each.reason) for each in await agency.runs(tenant=None, parent="*")]

    assert asyncio.run(approve()) == [("failed", "key_ended")] * 2


def test_nothing_is_asked_for_a_key_that_ends_while_its_run_works_or_its_process_is_dead(tmp_path: Path) -> None:
    class Revokes(Count):
        async def use(self, call: ToolCall) -> ToolResult:
            stage.keys = ring(revoked_at=1.0)
            return await super().use(call)

    stage = Stage(tmp_path, Script([call("look", 1), {"say": "late"}]), Revokes("look"), agents=worker(tools=["look"]))

    async def work() -> Run:
        async with stage.alive() as agency:
            run = await finished(agency, await agency.start(order("go")))
            with pytest.raises(RequestError, match="cannot go on"):
                await agency.resume(run.id, tenant=None)
            return run

    run = asyncio.run(work())
    assert (run.state, run.reason, len(stage.model.asked)) == ("failed", "key_ended", 1)


def test_a_dead_processs_run_whose_key_has_ended_meanwhile_fails_when_it_is_taken_over(tmp_path: Path) -> None:
    deadly = Deadly("deadly", times=1)
    stage = Stage(tmp_path, Script([call("deadly", 1), {"say": "late"}]), deadly, agents=worker(tools=["deadly"]))

    async def die_and_return() -> Run:
        await live_and_die(stage, deadly, first=True)
        stage.keys = ring(revoked_at=1.0)
        return await after_deaths(stage, deadly, 0)

    run = asyncio.run(die_and_return())
    assert (run.state, run.reason, len(stage.model.asked), len(deadly.effects)) == ("failed", "key_ended", 1, 1)


# a store that fails


class Failing(MortalRuns):
    """A store that refuses what nobody waits for, so many times."""

    left = 0
    refused = 0

    def append(self, *given: Any, **named: Any) -> Any:
        if type(self).left and not named["receipts"] and not named["runs"]:
            type(self).left -= 1
            type(self).refused += 1
            raise StoreError("no room")
        return super().append(*given, **named)


@pytest.mark.parametrize("times", [3, 6])
def test_events_that_could_not_be_written_leave_no_gap_for_who_watches(
    tmp_path: Path, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fourth failure of one event lets its run go, which is tried again then."""
    monkeypatch.setattr(recorder, "MOST_TRIES", 4)
    monkeypatch.setattr(recorder, "RETRY_S", 0.005)

    class Waits(Count):
        async def use(self, call: ToolCall) -> ToolResult:
            if not Failing.refused:
                Failing.left = times
            while Failing.refused < times:
                await asyncio.sleep(0.002)
            return await super().use(call)

    Failing.refused = 0
    stage = Stage(tmp_path, Script([call("look", 1), {"say": "Done."}]), Waits("look"), agents=worker(tools=["look"]))
    stage.store = Failing

    async def watch() -> tuple[Run, list[int], list[int], list[str]]:
        async with stage.alive() as agency:
            run = await agency.start(order("go"))
            async with asyncio.timeout(20):
                seen = [event async for event in agency.events(run.id, tenant=None)]
            kept = await told(agency, run)
            run = await agency.run(run.id, tenant=None)
            return run, [each.seq for each in seen], [each.seq for each in kept], [each.type for each in kept]

    run, seen, kept, types = asyncio.run(watch())
    assert (run.state, run.answer, Failing.refused) == ("done", "Done.", times), run.error
    assert seen == list(range(1, len(seen) + 1))
    assert set(kept) <= set(seen)
    assert {"tool_call", "tool_result", "budget", "done"} <= set(types)
    assert run.attempt == (1 if times < 4 else 2)


# clocks


def test_a_clock_that_is_set_neither_ends_a_run_nor_prolongs_it_nor_has_it_led_twice(tmp_path: Path) -> None:
    class Looks(MortalRuns):
        claims = 0

        def claim(self, *given: Any, **named: Any) -> Any:
            Looks.claims += 1
            return super().claim(*given, **named)

    class Sets(Count):
        async def use(self, call: ToolCall) -> ToolResult:
            stage.later_s += 7200.0 * call.arguments["x"]
            Looks.claims = 0
            while Looks.claims < 2:
                await asyncio.sleep(0.01)
            return await super().use(call)

    sets = Sets("sets")
    turns = [call("sets", 1), call("sets", -2), {"say": "Done."}]
    stage = Stage(tmp_path, Script(turns), sets, agents=worker(tools=["sets"], limits={"wall_time_s": 60}))

    stage.store = Looks

    async def go() -> Run:
        async with stage.alive() as agency:
            return await finished(agency, await agency.start(order("go")))

    run = asyncio.run(go())
    assert (run.state, sets.effects, len(stage.model.asked)) == ("done", [1, -2], 3), run.error
    assert 1.0 < run.used.seconds < 20.0


def test_what_was_worked_before_a_kill_counts_until_the_last_receipt(tmp_path: Path) -> None:
    class Works(Deadly):
        async def use(self, call: ToolCall) -> ToolResult:
            stage.worked_s += 25.0
            return await super().use(call)

    works = Works("works", times=99)
    works.killed = {1}
    works.each_once = True
    turns = [call("works", 1), call("works", 2), call("works", 3)]
    agents = worker(tools=["works"], limits={"wall_time_s": 60})
    stage = Stage(tmp_path, Script([*turns, {"say": "Done."}]), works, agents=agents)
    run = asyncio.run(after_deaths(stage, works, 2))
    assert run.state == "done", run.error
    assert 75.0 < run.used.seconds < 80.0, "each call once: those that were killed are made again"


# what goes on with a run, and what is added to a thread


def test_a_member_whose_failure_was_told_is_not_queued_again_with_its_team(tmp_path: Path) -> None:
    agents = [*worker(team=["finder"]), {"name": "finder", "system_prompt": "You find."}]
    turns = [
        {"system": "You find.", "error": 500, "say": "broken"},
        {"system": "You work.", "tool": "finder", "error": 500, "say": "broken, too", "times": 1},
        {"system": "You work.", "tool": "finder", "say": "Without it, then."},
        {"system": "You work.", "call": {"name": "finder", "arguments": {"task": "find"}}},
    ]
    stage = Stage(tmp_path, Script(turns, ordered=False), agents=agents)

    async def go() -> tuple[Run, Run, list[str]]:
        async with stage.alive() as agency:
            failed = await finished(agency, await agency.start(order("go")))
            done = await finished(agency, await agency.resume(failed.id, tenant=None))
            return failed, done, [each.state for each in await agency.runs(tenant=None, parent=failed.id)]

    failed, done, below = asyncio.run(go())
    assert (failed.state, done.state, done.answer, below) == ("failed", "done", "Without it, then.", ["failed"])


def test_a_message_whose_id_is_in_the_thread_gets_another_and_replaces_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path, Script([{"say": "one"}, {"say": "two"}, {"say": "three"}]), agents=worker())

    def said(*texts: str) -> Any:
        return tuple({"id": "mine", "role": "user", "content": text} for text in texts)

    async def talk() -> list[tuple[str, str]]:
        async with stage.alive() as agency:
            first = await finished(agency, await agency.start(replace(order("", run_id="a"), input=said("1", "2"))))
            again = replace(order("", thread=first.thread, run_id="b"), input=said("3"))
            await finished(agency, await agency.start(again))
            state = await agency.state(first.thread, tenant=None)
            assert state is not None
            return [(each["id"], each["content"]) for each in state.values["messages"] if each["role"] == "user"]

    found = asyncio.run(talk())
    assert [text for _, text in found] == ["1", "2", "3"]
    assert [id_ == "mine" for id_, _ in found] == [True, False, False]
    assert len({id_ for id_, _ in found}) == 3


# an older process among newer ones


def test_runs_of_agents_that_a_process_does_not_know_are_left_to_those_that_do_and_fail_when_nobody_comes(
    tmp_path: Path,
) -> None:
    newer, older = [*worker(), {"name": "newer"}], worker()
    stage = Stage(tmp_path, Script([{"say": "ok"}], ordered=False), agents=older, runs={"unknown_agent_s": 300})
    ahead = Stage(tmp_path, Script([{"say": "new"}], ordered=False), agents=newer)

    async def order_and_die(run: str) -> None:
        deadline = Deadline()
        async with ahead.alive(deadline) as agency:
            deadline.dead = True
            await agency.start(order("go", agent="newer", run_id=run))

    async def live_older(run: str, waits_s: float) -> Run:
        stage.later_s = ahead.later_s
        async with stage.alive() as agency:
            for _ in range(2):  # runs that were ordered later: the queue was looked at
                await finished(agency, await agency.start(order("mine")))
                stage.worked_s += waits_s
            if waits_s > 300:
                return await finished(agency, await agency.run(run, tenant=None))
            return await agency.run(run, tenant=None)

    async def live_newer(run: str) -> Run:
        ahead.later_s = stage.later_s
        async with ahead.alive() as agency:
            return await finished(agency, await agency.run(run, tenant=None))

    asyncio.run(order_and_die("run_1"))
    assert not asyncio.run(live_older("run_1", 140)).ended
    done = asyncio.run(live_newer("run_1"))
    assert (done.state, done.answer) == ("done", "new")
    asyncio.run(order_and_die("run_2"))
    failed = asyncio.run(live_older("run_2", 301))
    assert (failed.state, failed.reason) == ("failed", "agent_not_found")
    assert "no process has known the agent 'newer' for 300 s" in (failed.error or "")


# servers that are away


def test_a_server_that_is_away_takes_its_tools_with_it_and_not_the_run_and_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Waits(Count):
        async def use(self, call: ToolCall) -> ToolResult:
            stage.worked_s += 11.0
            if call.arguments["x"] == 2:
                opened.away = False
            return await super().use(call)

    class Away:
        """A box that is away for a while."""

        def __init__(self) -> None:
            self.away = True
            self.asked = 0

        async def open(self) -> list[Count]:
            self.asked += 1
            if self.away:
                raise ToolUnavailable("the MCP server 'far' does not answer")
            return [far]

        async def aclose(self) -> None:
            """Nothing is open."""

    far, opened = Count("far_look"), Away()
    monkeypatch.setattr(mcp_client, "open_mcp", lambda *_: opened)
    server = {"name": "far", "type": "mcp", "url": "https://far.example/mcp"}
    turns = [call("far_look", 1), call("look", 1), call("look", 2), call("far_look", 3), {"say": "Done."}]
    stage = Stage(tmp_path, Script(turns), Waits("look"), agents=worker(tools=["look", server]))

    async def go() -> tuple[Run, list[Any]]:
        async with stage.alive() as agency:
            run = await finished(agency, await agency.start(order("go")))
            return run, [event.data for event in await told(agency, run) if event.type == "tools"]

    run, events = asyncio.run(go())
    assert (run.state, run.answer, far.effects, opened.asked) == ("done", "Done.", [3], 3), run.error
    assert events == [
        {"missing": [{"name": "far", "why": "the MCP server 'far' does not answer"}]},
        {"found": ["far"]},
    ]
    asked = [bytes(request.fields["messages"]).decode() for request in stage.model.asked]
    assert "Out of reach now, with all their tools: far." in asked[0]
    assert "There is no tool 'far_look'. There are: look. Out of reach now: those of far." in asked[1].replace("\\", "")
    assert "Out of reach now, with all their tools" not in asked[3]
    assert "far_look" in bytes(stage.model.asked[3].fields["tools"]).decode()


def test_a_real_server_that_takes_no_connections_is_told_and_the_run_goes_on(tmp_path: Path) -> None:
    server = {"name": "far", "type": "mcp", "url": f"http://127.0.0.1:{free_port()}/mcp", "private": True}
    stage = Stage(tmp_path, Script([{"say": "Without."}]), agents=worker(tools=[server]))

    async def go() -> tuple[Run, list[Any]]:
        async with stage.alive() as agency:
            with pytest.raises(ToolUnavailable, match="'far'"):
                await agency.tools("worker")
            run = await finished(agency, await agency.start(order("go")))
            return run, [event.data for event in await told(agency, run) if event.type == "tools"]

    run, events = asyncio.run(go())
    assert (run.state, run.answer) == ("done", "Without."), run.error
    assert [each["name"] for each in events[0]["missing"]] == ["far"]


def test_servers_are_opened_side_by_side_and_a_run_waits_for_none_that_it_does_not_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow:
        """A box that opens when all that it is opened with have been asked."""

        def __init__(self, name: str) -> None:
            self.name = name

        async def open(self) -> list[Count]:
            asked.add(self.name)
            async with asyncio.timeout(10):
                await both.wait()
            return [Count(f"{self.name}_look")]

        async def aclose(self) -> None:
            """Nothing is open."""

    asked, both = set[str](), asyncio.Barrier(2)

    def slow(declared: McpTool, *_: object) -> Slow:
        return Slow(declared.name)

    monkeypatch.setattr(mcp_client, "open_mcp", slow)
    servers = [{"name": name, "type": "mcp", "url": f"https://{name}.example/mcp"} for name in ("near", "far")]
    agents = [*worker(tools=servers), {"name": "other", "system_prompt": "You do without."}]
    stage = Stage(tmp_path, Script([{"say": "Done."}], ordered=False), agents=agents)

    async def go() -> list[str]:
        async with stage.alive() as agency:
            other = await finished(agency, await agency.start(order("go", "other")))
            assert asked == set()
            return [other.state, (await finished(agency, await agency.start(order("go")))).state]

    assert asyncio.run(go()) == ["done", "done"]
