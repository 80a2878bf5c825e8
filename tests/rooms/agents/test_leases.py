"""Leases are kept beside the runs that have them, which rest and go on meanwhile."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from hanok.agents.tool import ToolCall, ToolResult
from hanok.agents.values import Run
from tests.rooms.agents.stage import Count, MortalRuns, Script, Stage, call, finished, order

PATIENCE_S = 20.0


class Slow(MortalRuns):
    """A store that renews leases when the run waits for a person, and tells so when it is led again."""

    asked = threading.Event()
    seen = threading.Event()
    answered = threading.Event()
    told = threading.Event()

    def renew(self, worker: str, ids: Any, **named: Any) -> Any:
        if self.told.is_set() or self.asked.is_set():
            return super().renew(worker, ids, **named)
        self.asked.set()
        rests = threading.Event()
        while (run := self.run("run_1", tenant=None)) is None or run.state != "waiting":
            assert not rests.wait(0.01)
        kept = super().renew(worker, ids, **named)
        self.seen.set()
        assert self.answered.wait(PATIENCE_S)
        self.told.set()
        return kept


class Waiting(Count):
    """A tool that takes until something has happened."""

    def __init__(self, name: str, event: threading.Event) -> None:
        super().__init__(name)
        self._event = event

    async def use(self, call: ToolCall) -> ToolResult:
        while not self._event.is_set():
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        return await super().use(call)


@pytest.mark.timeout(120)
def test_a_run_that_rests_and_is_led_again_while_leases_are_renewed_is_not_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for event in (Slow.asked, Slow.seen, Slow.answered, Slow.told):
        event.clear()
    turns = [call("look", 1), call("send", 2), {"say": "Done."}]
    look, send = Waiting("look", Slow.asked), SendingAgain("send", Slow.told)
    agents = [{"name": "worker", "tools": ["look", "send"], "approvals": ["send"]}]
    stage = Stage(tmp_path, Script(turns), look, send, agents=agents)
    stage.store = Slow

    async def live() -> Run:
        async with stage.alive() as agency:
            run = await finished(agency, await agency.start(order("go", run_id="run_1")))
            assert run.state == "waiting"
            assert await asyncio.to_thread(Slow.seen.wait, PATIENCE_S)
            await agency.answer(run.id, {id_: {"approve": True} for id_ in run.wanted}, tenant=None, by="ann")
            return await finished(agency, await agency.run(run.id, tenant=None))

    run = asyncio.run(live())
    assert (run.state, run.answer, run.attempt, send.effects) == ("done", "Done.", 2, [2])
    assert "led here no more" not in caplog.text


class SendingAgain(Waiting):
    """One that is used when the run is led again."""

    async def use(self, call: ToolCall) -> ToolResult:
        Slow.answered.set()
        return await super().use(call)
