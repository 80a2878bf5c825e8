"""Receipts and the checkpoint after them are one trip to a thread: in that order, both or neither, and soon enough."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint

from hanok.agents.recorder import GATHER_S as GATHER_RECEIPTS_S
from hanok.agents.recorder import Recorder
from hanok.agents.stores.checkpoints import open_checkpoints
from hanok.agents.stores.checkpoints_sqlite import GATHER_S
from hanok.agents.values import Run
from hanok.errors import KeptUnreachable
from hanok.wire import Answer, ChatRequest
from tests.rooms.agents.stage import Count, MortalRuns, Script, Stage, call, finished, order, told

AGENTS = [{"name": "worker", "tools": ["look"]}]


async def led(stage: Stage) -> Run:
    async with stage.alive() as agency:
        return await finished(agency, await agency.start(order("go", run_id="run_1")))


def looks(times: int) -> list[dict[str, Any]]:
    return [*(call("look", x) for x in range(times)), {"say": "Done."}]


def test_a_step_and_its_tool_take_two_trips_to_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trips: list[object] = []
    submit = ThreadPoolExecutor.submit

    def counted(pool: ThreadPoolExecutor, do: Any, *given: Any, **named: Any) -> Any:
        trips.append(do)
        return submit(pool, do, *given, **named)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", counted)
    taken: list[int] = []
    for steps in (2, 22):
        (tmp_path / str(steps)).mkdir()
        trips.clear()
        assert asyncio.run(led(Stage(tmp_path / str(steps), Script(looks(steps)), Count("look"), agents=AGENTS))).answer
        taken.append(len(trips))
    more = (taken[1] - taken[0]) / 20
    assert more < 3, f"{more} trips a step: one for the model's answer and one for the tool's, and few for the clock"


class Failing(MortalRuns):
    """A store that cannot be written a few times, when a model has answered."""

    left = 0

    def append(self, *given: Any, **named: Any) -> Any:
        if self.left and any(receipt.kind == "model" for receipt in named.get("receipts", ())):
            type(self).left -= 1
            raise KeptUnreachable("the disk is full")
        return super().append(*given, **named)


def test_no_checkpoint_is_written_whose_receipts_are_not_kept_and_all_is_told_once_when_they_are(
    tmp_path: Path,
) -> None:
    look = Count("look")
    stage = Stage(tmp_path, Script(looks(2)), look, agents=AGENTS)
    stage.store = Failing
    Failing.left = 2
    at_failure: list[int] = []
    original = Failing.append

    def seen(self: Failing, *given: Any, **named: Any) -> Any:
        left = Failing.left
        try:
            return original(self, *given, **named)
        finally:
            if Failing.left < left:
                at_failure.append(checkpoints(tmp_path))

    async def live() -> tuple[Run, list[Any], list[str]]:
        async with stage.alive() as agency:
            run = await finished(agency, await agency.start(order("go", run_id="run_1")))
            state = await agency.state(run.thread, tenant=None)
            assert state is not None
            return run, await told(agency, run), [str(each["role"]) for each in state.values["messages"]]

    Failing.append = seen  # pyright: ignore[reportAttributeAccessIssue]
    try:
        run, events, roles = asyncio.run(live())
    finally:
        Failing.append = original
    assert (run.state, run.answer) == ("done", "Done."), run.error
    assert at_failure == [2, 2], "nothing but the input is there while the first answer is not kept"
    assert roles == ["user", "assistant", "tool", "assistant", "tool", "assistant"]
    assert look.effects == [0, 1]
    assert [event.seq for event in events] == sorted({event.seq for event in events})
    assert [e.data["step"] for e in events if e.type == "message"] == [1, 2, 3]


class Slow(MortalRuns):
    """A store that takes its time, so that a step goes on while what it did is being kept."""

    def append(self, *given: Any, **named: Any) -> Any:
        try:
            return super().append(*given, **named)
        finally:
            time.sleep(0.05)


@pytest.mark.parametrize(("store", "gather_s"), [(MortalRuns, GATHER_RECEIPTS_S), (Slow, 0)])
def test_a_run_that_another_process_has_taken_leaves_no_checkpoint_of_what_it_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: type[MortalRuns], gather_s: float
) -> None:
    class Taken(Count):
        async def use(self, call: Any) -> Any:
            with sqlite3.connect(tmp_path / "agents.db") as connection:
                connection.execute("UPDATE runs SET lease_by = 'another', lease_until = 1e12")
            connection.close()
            before.append(checkpoints(tmp_path))
            return await super().use(call)

    before: list[int] = []
    monkeypatch.setattr("hanok.agents.recorder.GATHER_S", gather_s)
    stage = Stage(tmp_path, Script(looks(2)), Taken("look"), agents=AGENTS)
    stage.store = store

    async def live() -> None:
        async with stage.alive() as agency:
            await agency.start(order("go", run_id="run_1"))
            while not before or agency.led():
                await asyncio.sleep(0.002)

    asyncio.run(live())
    assert before == [checkpoints(tmp_path)]


class Watching(Script):
    """A model that looks, whenever it is asked, how many answers of models and tools are kept."""

    def __init__(self, turns: Sequence[Any], folder: Path) -> None:
        super().__init__(turns)
        self._turns = [Script([turn], ordered=False) for turn in turns]
        self._folder = folder
        self.kept: list[int] = []

    async def open(self, request: ChatRequest) -> Answer:
        self.kept.append(count(self._folder / "agents.db", "receipts"))
        return await self._turns[len(self.kept) - 1].open(request)


def test_no_model_is_asked_before_what_was_finished_is_kept(tmp_path: Path) -> None:
    long = [{**turn, "say": "so " * 800} for turn in looks(1)[:-1]]
    model = Watching([*long, {"say": "A sum."}, {"say": "Done."}], tmp_path)
    agents = [{**AGENTS[0], "memory": {"context_tokens": 500, "keep_messages": 2}}]
    run = asyncio.run(led(Stage(tmp_path, model, Count("look"), agents=agents)))
    assert run.state == "done", run.error
    assert model.kept == [0, 2, 3], "it was summed up in the second step, and then that was asked"


def test_a_graph_of_a_users_own_sees_an_answer_only_when_it_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_trips.py").write_text(
        "from pathlib import Path\n"
        "from hanok.agents.patterns.steps import new_graph\n"
        "from langgraph.graph import END, START\n"
        "from tests.rooms.agents.test_trips import count\n"
        f"FILE = Path({str(tmp_path / 'agents.db')!r})\n"
        "async def step(state, runtime):\n"
        "    await runtime.context.think([{'role': 'user', 'content': 'go'}], tools=())\n"
        "    return {'answer': str(count(FILE, 'receipts'))}\n"
        "def make():\n"
        "    graph = new_graph()\n"
        "    graph.add_node('step', step)\n"
        "    graph.add_edge(START, 'step')\n"
        "    graph.add_edge('step', END)\n"
        "    return graph\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    agents = [{"name": "worker", "pattern": "graph", "graph": "own_trips:make"}]
    assert asyncio.run(led(Stage(tmp_path, Script([{"say": "Yes."}]), agents=agents))).answer == "1"


def test_two_agencies_of_one_process_never_follow_one_anothers_receipts(tmp_path: Path) -> None:
    async def live() -> list[bool]:
        stage = Stage(tmp_path, Script(looks(1)), Count("look"), agents=AGENTS)
        async with stage.alive() as agency:
            checkpoints = agency._checkpoints  # pyright: ignore[reportPrivateUsage]
            other = checkpoints.follow(lambda _: None)
            assert (await finished(agency, await agency.start(order("go")))).state == "done"
        return [other, checkpoints.follow(lambda _: None)]

    assert asyncio.run(live()) == [False, True]


def test_a_checkpoint_whose_writes_could_not_be_written_is_not_either(tmp_path: Path) -> None:
    async def live() -> list[str]:
        async with open_checkpoints(tmp_path / "checkpoints.db") as kept:
            saver: Any = kept.saver
            writing, came = saver._place.writing, list[str]()

            def full(**_: Any) -> Any:
                raise KeptUnreachable("the disk is full")

            config = {"configurable": {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": "1"}}
            saver._place.writing = full
            await saver.aput_writes(config, [("messages", "lost")], "task")
            await saver._settle()
            saver._place.writing = writing
            for _ in range(2):
                try:
                    await saver.aput(config, empty_checkpoint(), {}, {})
                    came.append("written")
                except KeptUnreachable:
                    came.append("refused")
            return came

    assert asyncio.run(live()) == ["refused", "written"]


def checkpoints(folder: Path) -> int:
    return count(folder / "checkpoints.db", "checkpoints")


def count(file: Path, table: str) -> int:
    connection = sqlite3.connect(file)
    try:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    finally:
        connection.close()


def test_closing_waits_for_no_write_that_the_end_of_the_loop_cut_off(tmp_path: Path) -> None:
    async def never(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        store = MortalRuns(tmp_path / "agents.db")
        recorder = Recorder(store, never)
        config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": "c"}}
        async with asyncio.timeout(5), open_checkpoints(tmp_path / "checkpoints.db") as checkpoints:
            assert checkpoints.follow(recorder.follow)
            await checkpoints.saver.aput_writes(config, [("messages", "hello")], "task")  # which nobody waits for
            await asyncio.sleep(2 * GATHER_S)
            writing = next(task for task in asyncio.all_tasks() if task.get_name() == "agents-recorder")
            writing.cancel()
        store.close()

    asyncio.run(main())
