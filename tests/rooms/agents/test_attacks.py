"""What a hostile model, a hostile tool and bad luck try on runs: no approval is passed, no limit, nobody else's run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest

from hanok.agents.running import HouseAgency
from hanok.agents.tool import ToolCall, ToolResult
from hanok.agents.values import Run
from hanok.wire import ChatRequest, Chunk, Usage
from tests.rooms.agents.stage import Count, Script, Stage, finished, order, told
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
