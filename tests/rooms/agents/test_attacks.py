"""What a hostile model, a hostile tool and bad luck try on runs: no approval is passed, no limit, nobody else's run."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest

from hanok.agents.limits import bounds_of
from hanok.agents.running import HouseAgency
from hanok.agents.tool import ToolCall, ToolResult
from hanok.agents.values import Run
from hanok.errors import RequestError, StoreError, Unknown
from hanok.spec import AgentLimits
from hanok.wire import ChatRequest, Chunk, Usage
from tests.rooms.agents.stage import ANN, Count, Script, Stage, call, finished, order, told
from tests.rooms.agents.test_runs import play, worker


class Whole:
    """An answer of one body, as an engine of no manners sends it."""

    def __init__(self, message: Mapping[str, Any]) -> None:
        self.model = self.endpoint = "m"
        self._left = [json.dumps({"choices": [{"index": 0, "message": message}]}).encode()]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        if not self._left:
            raise StopAsyncIteration
        return Chunk(self._left.pop(), usage=Usage(prompt_tokens=1, completion_tokens=1))

    async def aclose(self) -> None:
        pass


class Rude(Script):
    """Says these messages, one after the other, then `ok`."""

    def __init__(self, *messages: Mapping[str, Any]) -> None:
        super().__init__([{"say": "ok"}])
        self._messages = list(messages)

    async def open(self, request: ChatRequest) -> Any:
        self.asked.append(request)
        return Whole(self._messages.pop(0) if self._messages else {"content": "ok"})


def calls(*asked: tuple[str, str, Any]) -> dict[str, Any]:
    """A message with tool calls: id, name, arguments."""
    forms = [
        {"id": id_, "function": {"name": name, "arguments": given if isinstance(given, str) else json.dumps(given)}}
        for id_, name, given in asked
    ]
    return {"content": "", "tool_calls": [{"index": place, **form} for place, form in enumerate(forms)]}


def heard(stage: Stage, place: int) -> list[dict[str, Any]]:
    """The messages of that model call."""
    return json.loads(bytes(stage.model.asked[place].fields["messages"]))


def test_calls_of_one_id_are_each_approved_by_themselves(tmp_path: Path) -> None:
    send, look = Count("send"), Count("look")
    message = calls(("same", "send", {"x": 1000}), ("same", "send", {"x": 1}), ("same", "look", {"x": 2}))
    stage = Stage(tmp_path, Rude(message), send, look, agents=worker(tools=["send", "look"], approvals=["send"]))

    async def approve_little(agency: HouseAgency) -> Run:
        run = await finished(agency, await agency.start(order("go")))
        assert run.state == "waiting"
        assert sorted(each["arguments"]["x"] for each in run.wanted.values()) == [1, 1000]
        given = {id_: {"approve": each["arguments"]["x"] == 1} for id_, each in run.wanted.items()}
        return await finished(agency, await agency.answer(run.id, given, tenant=None, by="ann"))

    assert play(stage, approve_little).state == "done"
    assert (send.effects, look.effects) == ([1], [2])
    ids = [message["tool_call_id"] for message in heard(stage, 1) if message["role"] == "tool"]
    assert len(set(ids)) == 3


def test_tools_used_side_by_side_cost_no_more_than_the_run_has(tmp_path: Path) -> None:
    class Slow(Count):
        async def use(self, call: ToolCall) -> ToolResult:
            await asyncio.sleep(0)
            return await super().use(call)

    slow = Slow("slow", usd=600_000_000)
    message = calls(*((f"c{n}", "slow", {"x": n}) for n in range(10)))
    stage = Stage(tmp_path, Rude(message), slow, agents=worker(tools=["slow"], limits={"usd": 1}))

    async def spend(agency: HouseAgency) -> Run:
        return await finished(agency, await agency.start(order("go")))

    run = play(stage, spend)
    assert (run.state, run.reason, len(slow.effects)) == ("limited", "usd", 1)
    assert run.used.cost_nano_usd == 600_000_000


def test_a_limit_lets_calls_end_that_have_begun(tmp_path: Path) -> None:
    class Slow(Count):
        async def use(self, call: ToolCall) -> ToolResult:
            await asyncio.sleep(0.05)
            return await super().use(call)

    slow = Slow("slow", safe=False)
    message = calls(*((f"c{n}", "slow", {"x": n}) for n in range(4)))
    stage = Stage(tmp_path, Rude(message), slow, agents=worker(tools=["slow"], limits={"tool_calls": 2}))

    async def spend(agency: HouseAgency) -> tuple[Run, list[Any]]:
        run = await finished(agency, await agency.start(order("go")))
        assert len(slow.effects) == 2
        return run, [event.data["id"] for event in await told(agency, run) if event.type == "tool_result"]

    run, results = play(stage, spend)
    assert (run.state, run.reason, run.used.tool_calls) == ("limited", "tool_calls", 2)
    assert len(results) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('{"x": 1%s}' % ("0" * 40), "more than 64 bits"),
        ('{"x": %s}' % ("[" * 900 + "]" * 900), "nested deeper than 100"),
        ('{"x": %s}' % ("[" * 90_000), "recursion"),
        ('{"x": "\\ud800", "\\u0000\\u001b[31m": NaN}', "did"),
    ],
    ids=["huge number", "deep", "deeper than read", "half a character"],
)
def test_arguments_that_cannot_be_kept_are_told_to_the_model_and_ask_nobody(
    tmp_path: Path, arguments: str, said: str
) -> None:
    class Free(Count):
        async def use(self, call: ToolCall) -> ToolResult:
            return ToolResult(content="did")

    free = Free("free")
    free.spec = replace(free.spec, parameters={"type": "object"})
    stage = Stage(tmp_path, Rude(calls(("a", "free", arguments))), free, agents=worker(tools=["free"], approvals=["*"]))

    async def approve(agency: HouseAgency) -> Run:
        run = await finished(agency, await agency.start(order("go")))
        if run.state == "waiting":
            assert said == "did"
            yes = {id_: {"approve": True} for id_ in run.wanted}
            run = await finished(agency, await agency.answer(run.id, yes, tenant=None, by="ann"))
        return run

    run = play(stage, approve)
    assert run.state == "done", run.error
    assert said in heard(stage, 1)[-1]["content"]


class Gate(Count):
    """A tool that tells when it is used, and waits."""

    def __init__(self, name: str = "look") -> None:
        super().__init__(name)
        self.reached, self.open = asyncio.Event(), asyncio.Event()

    async def use(self, call: ToolCall) -> ToolResult:
        self.reached.set()
        await self.open.wait()
        return await super().use(call)


def give(tool: str, agent: str) -> dict[str, Any]:
    return {"type": "agent", "name": tool, "agent": agent}


THREE = [
    {"name": "worker", "tools": [give("ask", "middle")]},
    {"name": "middle", "system_prompt": "Middle.", "tools": [give("tell", "lowest")]},
    {"name": "lowest", "system_prompt": "Lowest.", "tools": ["look"]},
]
THREE_TURNS = [
    {"system": "Middle.", "tool": "tell", "say": "so"},
    {"system": "Middle.", "call": {"name": "tell", "arguments": {"task": "look"}}},
    {"system": "Lowest.", "tool": "look", "say": "seen"},
    {"system": "Lowest.", "call": {"name": "look", "arguments": {"x": 1}}},
    {"tool": "ask", "say": "It is so."},
    {"call": {"name": "ask", "arguments": {"task": "look"}}},
]


def three(folder: Path, **lowest: Any) -> Stage:
    agents = [*THREE[:2], {**THREE[2], **lowest}]
    return Stage(folder, Script(THREE_TURNS, ordered=False), Count("look"), agents=agents)


async def reach(agency: HouseAgency, stage: Stage, **more: Any) -> tuple[Run, Gate]:
    """A run whose tool is at work."""
    gate = Gate()
    stage.tools["look"] = gate
    run = await agency.start(order("go", **more))
    async with asyncio.timeout(10):
        await gate.reached.wait()
    return run, gate


def test_what_was_paused_with_all_below_it_is_resumed_with_all_below_it(tmp_path: Path) -> None:
    stage = three(tmp_path)

    async def pause(agency: HouseAgency) -> tuple[Run, Run]:
        run, gate = await reach(agency, stage)
        await agency.pause(run.id, tenant=None)
        gate.open.set()
        paused = await finished(agency, run)
        await agency.resume(run.id, tenant=None)
        return paused, await finished(agency, run)

    paused, done = play(stage, pause)
    assert (paused.state, done.state, done.answer) == ("paused", "done", "It is so.")


def test_who_waits_for_a_run_that_is_cancelled_goes_on_without_it(tmp_path: Path) -> None:
    stage = three(tmp_path, approvals=["look"])

    async def cancel_below(agency: HouseAgency) -> Run:
        run = await finished(agency, await agency.start(order("go")))
        assert run.state == "waiting"
        (middle,) = await agency.runs(tenant=None, parent=run.id)
        (lowest,) = await agency.runs(tenant=None, parent=middle.id)
        await agency.cancel(lowest.id, tenant=None)
        return await finished(agency, run)

    assert play(stage, cancel_below).answer == "It is so."


def test_a_run_whose_worker_died_waits_for_the_lease_of_what_is_below_it(tmp_path: Path) -> None:
    stage = three(tmp_path)

    async def begin(agency: HouseAgency) -> None:
        await reach(agency, stage, run_id="run_1")

    async def go_on(agency: HouseAgency) -> Run:
        return await finished(agency, await agency.run("run_1", tenant=None))

    play(stage, begin)
    with closing(sqlite3.connect(tmp_path / "agents.db")) as rows:
        later = stage.now() + 1000.4  # as a lease is that began after the one above it
        lease = "state = 'running', lease_by = 'dead', lease_until = CASE WHEN parent IS NULL THEN 0 ELSE ? END"
        rows.execute(f"UPDATE runs SET {lease}", (later,))
        rows.commit()
    stage.tools["look"] = Count("look")
    assert play(stage, go_on).state == "done"


@pytest.mark.parametrize(("how", "state"), [("cancel", "cancelled"), ("pause", "paused")])
def test_a_run_that_is_taken_up_while_it_is_called_off_stops(tmp_path: Path, how: str, state: str) -> None:
    stage = Stage(tmp_path, Script([call("look", 1), {"say": "Done."}]), Count("look"), agents=worker(tools=["look"]))

    async def stop(agency: HouseAgency) -> Run:
        run, gate = await reach(agency, stage)
        find, left = agency.run, [replace(run, state="queued")]

        async def run_as_it_was(id_: str, *, tenant: str | None) -> Run:
            return left.pop() if left else await find(id_, tenant=tenant)

        agency.run = run_as_it_was
        await getattr(agency, how)(run.id, tenant=None)
        gate.open.set()
        return await finished(agency, run)

    assert play(stage, stop).state == state


def test_a_run_whose_thread_went_on_without_it_says_so_and_repeats_nothing(tmp_path: Path) -> None:
    send = Count("send")
    stage = Stage(tmp_path, Rude(calls(("a", "send", {"x": 1}))), send, agents=worker(tools=["send"], approvals=["*"]))

    async def overtake(agency: HouseAgency) -> Run:
        run = await finished(agency, await agency.start(order("send it")))
        other = await finished(agency, await agency.start(order("something else", thread=run.thread)))
        assert other.answer == "ok"
        yes = {id_: {"approve": True} for id_ in run.wanted}
        return await finished(agency, await agency.answer(run.id, yes, tenant=None, by="ann"))

    run = play(stage, overtake)
    assert run.state == "failed"
    assert "went on with another run" in str(run.error)
    assert (send.effects, len(stage.model.asked)) == ([], 2)


def test_a_run_on_the_thread_of_one_above_it_is_refused(tmp_path: Path) -> None:
    stage = Stage(tmp_path, Script([call("look", 1), {"say": "Done."}]), Count("look"), agents=worker(tools=["look"]))

    async def squeeze_in(agency: HouseAgency) -> Run:
        run, gate = await reach(agency, stage)
        below = msgspec.structs.replace(ANN, run=f"{run.id}/mine")
        with pytest.raises(RequestError, match="needs another"):
            await agency.start(order("hi", thread=run.thread, caller=below))
        gate.open.set()
        return await finished(agency, run)

    assert play(stage, squeeze_in).answer == "Done."


def test_a_thread_that_is_removed_leaves_nothing_of_what_ran_on_it_or_below(tmp_path: Path) -> None:
    stage = three(tmp_path)

    async def remove(agency: HouseAgency) -> None:
        run, _ = await reach(agency, stage)
        await agency.remove_thread(run.thread, tenant=None)

    play(stage, remove)
    assert rows_left(tmp_path) == 0


def rows_left(folder: Path) -> int:
    tables = {"agents.db": ("threads", "runs", "events", "receipts"), "checkpoints.db": ("checkpoints", "writes")}
    left = 0
    for file, names in tables.items():
        with closing(sqlite3.connect(folder / file)) as rows:
            left += sum(rows.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names)
    return left


def test_a_checkpoint_that_cannot_be_read_fails_its_run_and_nothing_else(tmp_path: Path) -> None:
    stage = Stage(tmp_path, Rude(calls(("a", "ask_user", {"question": "?"}))), agents=worker(questions=True))

    async def spoil(agency: HouseAgency) -> Run:
        run = await finished(agency, await agency.start(order("go")))
        with closing(sqlite3.connect(tmp_path / "checkpoints.db")) as rows:
            rows.execute("UPDATE checkpoints SET checkpoint = x'c1'")
            rows.commit()
        reply = {id_: {"text": "yes"} for id_ in run.wanted}
        failed = await finished(agency, await agency.answer(run.id, reply, tenant=None, by="ann"))
        assert (await finished(agency, await agency.start(order("go on")))).state == "done"
        return failed

    assert play(stage, spoil).state == "failed"


@pytest.mark.parametrize("limit", ["tokens", "usd", "steps", "wall_time_s"])
@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1, True, "3", None])
def test_a_limit_that_is_no_amount_is_refused(tmp_path: Path, limit: str, value: Any) -> None:
    with pytest.raises(RequestError, match="must be a number of 0 or more"):
        bounds_of(AgentLimits(), {limit: value})


def test_a_call_without_result_is_not_told_though_its_id_was_another_calls(tmp_path: Path) -> None:
    class OnceOnly(Gate):
        async def use(self, call: ToolCall) -> ToolResult:
            if self.effects:
                return await super().use(call)
            return await Count.use(self, call)

    message = calls(("call_0", "look", {"x": 1}))
    gate = OnceOnly()
    stage = Stage(tmp_path, Rude(message, {"content": "one"}, message), gate, agents=worker(tools=["look"]))

    async def cancel_the_second(agency: HouseAgency) -> None:
        run = await finished(agency, await agency.start(order("first")))
        second = await agency.start(order("second", thread=run.thread))
        await gate.reached.wait()
        await agency.cancel(second.id, tenant=None)
        await finished(agency, await agency.start(order("third", thread=run.thread)))

    play(stage, cancel_the_second)
    roles = [each["role"] for each in heard(stage, -1)]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "user", "user"]


def test_what_is_below_a_run_that_ends_rests_with_it(tmp_path: Path) -> None:
    stage = three(tmp_path)

    async def run_out(agency: HouseAgency) -> tuple[Run, list[Run]]:
        run, _ = await reach(agency, stage, limits={"wall_time_s": 0.5})
        below = [each for each in await agency.runs(tenant=None, parent="*") if each.parent]
        return await finished(agency, run), [await finished(agency, each) for each in below]

    run, below = play(stage, run_out)
    assert (run.state, run.reason) == ("limited", "wall_time_s")
    assert {each.state for each in below} <= {"paused", "limited"}


def test_a_store_that_is_away_for_a_moment_ends_no_run(tmp_path: Path) -> None:
    stage = three(tmp_path)

    async def be_away(agency: HouseAgency) -> Run:
        run, gate = await reach(agency, stage)
        store: Any = vars(agency)["_store"]
        append, left = store.append, [StoreError("away")]

        def append_at_last(*given: Any, **named: Any) -> Any:
            if left:
                raise left.pop()
            return append(*given, **named)

        store.append = append_at_last
        gate.open.set()
        return await finished(agency, run)

    assert play(stage, be_away).answer == "It is so."


def test_a_checkpoint_that_there_is_not_begins_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path, Script([{"say": "one"}], ordered=False), agents=worker())

    async def fork(agency: HouseAgency) -> int:
        run = await finished(agency, await agency.start(order("first")))
        with pytest.raises(Unknown, match="has no checkpoint 'none'"):
            await agency.start(order("second", thread=run.thread, checkpoint="none"))
        with pytest.raises(Unknown, match="has no checkpoint 'none'"):
            await agency.copy_thread(run.thread, tenant=None, checkpoint="none")
        with pytest.raises(Unknown, match="has no checkpoint 'none'"):
            await agency.state(run.thread, tenant=None, checkpoint="none")
        return len(await agency.threads(tenant=None))

    assert play(stage, fork) == 1
