"""A house with agents behind its door, shared by all tests of their doors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from hanok.assemble.house import let_in
from tests.agency import FakeAgency
from tests.calls import Reply, call
from tests.conftest import ECHO, RunningHouse, open_house


@dataclass(frozen=True, kw_only=True)
class People:
    """A house, its agency, and the keys of those who come to it."""

    house: RunningHouse
    agency: FakeAgency
    keys: dict[str, str]

    def headers(self, who: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.keys[who]}", "content-type": "application/json"}

    def ask(self, path: str, body: Any = None, *, who: str = "red", method: str = "", **headers: str) -> Reply:
        method = method or ("GET" if body is None else "POST")
        return call(f"{self.house.url}{path}", method, body, {**self.headers(who), **headers})

    def start(self, text: str, *, who: str = "red", agent: str = "writer", **more: Any) -> Any:
        return self.ask(f"/v1/agents/{agent}/runs", {"input": text, **more}, who=who).json


async def take_over(started: RunningHouse) -> FakeAgency:
    """Put an agency that does as it is told behind the door of a house that runs."""
    house = started.house
    await house.wing.aclose()
    agency: Any = FakeAgency(*house.loaded.platform.agents)
    house.wing.agency = agency
    let_in(house, house.loaded.platform)
    return agency


@pytest.fixture(scope="package")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    asked = {"questions": True, "knowledge": [], "tools": [{"name": "add", "type": "python", "code": "def f(): pass"}]}
    platform = {
        "name": "test",
        "models": [ECHO],
        "agents": [{"name": "writer", "description": "Writes.", **asked}, {"name": "spy"}],
        "teams": [{"name": "red"}, {"name": "blue"}],
        "gateway": {"keep_alive_s": 0.1},
    }
    file = tmp_path_factory.mktemp("agents") / "platform.yaml"
    file.write_text(yaml.safe_dump(platform), "utf-8")
    with open_house(file) as running:
        ledger = running.house.ledger
        keys = {
            "red": ledger.create_key("red", team="red").secret,
            "red-narrow": ledger.create_key("red-narrow", team="red", agents=("spy",)).secret,
            "blue": ledger.create_key("blue", team="blue").secret,
        }
        running.run(running.house.refresh())
        yield People(house=running, agency=running.run(take_over(running)), keys=keys)
