"""What runs may spend, by the ledger of a real house: a run's dollars hold for all that it starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hanok.agents.values import Order, Run
from hanok.wire import Caller
from tests.conftest import RunningHouse, open_house

ANN = Caller(key_id="ann", key_name="ann", team=None, user="ann")
Started = Callable[..., RunningHouse]


@pytest.fixture
def start(write_platform: Callable[..., Path]) -> Iterator[Started]:
    with_it: list[Any] = []

    def begin(*agents: dict[str, Any], turns: list[dict[str, Any]], **more: Any) -> RunningHouse:
        serve = {"engine": "script", "turns": turns}
        model = {"name": "m", "price": {"input": 0, "output": 1000}, "serve": serve}
        house = open_house(write_platform(model, agents=list(agents), **more))
        with_it.append(house)
        return house.__enter__()

    yield begin
    for house in with_it:
        house.__exit__(None, None, None)


def run(house: RunningHouse, agent: str = "lead", caller: Caller = ANN, **more: Any) -> Run:
    async def go() -> Run:
        agency = house.house.wing.agency
        assert agency is not None
        order = Order(agent=agent, input=({"role": "user", "content": "go"},), caller=caller, **more)
        return await agency.ended((await agency.start(order)).id, tenant=None)

    return house.run(go())


LOOP = [{"say": "more", "call": {"name": "again", "arguments": {"task": "more"}}}]
NAMES = ("lead", "one", "two", "three", "four")


def chain(**limits: float) -> list[dict[str, Any]]:
    """Agents that each give work to the next."""
    tools = [[{"type": "agent", "name": "again", "agent": name}] for name in NAMES[1:]]
    named = zip(NAMES, [*tools, []], strict=True)
    agents: list[dict[str, Any]] = [{"name": name, "tools": each, "max_tokens": 60} for name, each in named]
    agents[0]["limits"] = limits
    return agents


def test_a_run_ends_where_its_dollars_end_with_everything_below_it(start: Started) -> None:
    """A model at 1,000 USD a million tokens: each call costs cents, and each run starts another below it."""
    house = start(*chain(usd=0.15, depth=16), turns=LOOP)
    ended = run(house)
    assert (ended.state, ended.reason) == ("limited", "usd"), ended.error
    spent = house.house.ledger.totals("key", since_day=0)["ann"].cost_nano_usd
    assert 0 < spent == ended.used.cost_nano_usd <= 150_000_000


def test_a_sessions_budget_holds_for_the_runs_of_a_thread(start: Started) -> None:
    agents = {"name": "lead", "max_tokens": 20}
    house = start(agents, turns=[{"say": "word " * 20}], budgets=[{"of": "session", "usd": 0.03}])
    first = run(house)
    assert first.state == "done", first.error
    second = run(house, thread=first.thread)
    assert second.state == "limited"
    assert run(house).state == "done"


def test_what_a_caller_asks_less_of_is_as_hard(start: Started) -> None:
    house = start(*chain(usd=5), turns=LOOP)
    ended = run(house, limits={"usd": 0.1})
    assert (ended.state, ended.reason) == ("limited", "usd")
    assert ended.used.cost_nano_usd <= 100_000_000
