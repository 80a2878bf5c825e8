"""Which keys open which agents: what is not open is not there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from tests.calls import Reply, call
from tests.conftest import ECHO, RunningHouse, open_house


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningHouse, dict[str, str]]]:
    platform = {
        "name": "test",
        "models": [ECHO],
        "agents": [{"name": "writer"}, {"name": "red-spy"}, {"name": "red-cook"}],
        "teams": [{"name": "red", "agents": ["red-*"]}, {"name": "none", "agents": []}],
        "users": [{"name": "ruth", "team": "red", "agents": ["*-cook"]}],
    }
    file = tmp_path_factory.mktemp("agents") / "platform.yaml"
    file.write_text(yaml.safe_dump(platform), "utf-8")
    with open_house(file) as running:
        ledger = running.house.ledger
        keys = {
            "anyone": ledger.create_key("anyone").secret,
            "red": ledger.create_key("red", team="red").secret,
            "narrow": ledger.create_key("narrow", agents=("writer",)).secret,
            "ruth": ledger.create_key("ruth", user="ruth").secret,
            "none": ledger.create_key("none", team="none").secret,
        }
        running.run(running.house.refresh())
        yield running, keys


def ask(started: tuple[RunningHouse, dict[str, str]], who: str, path: str) -> Reply:
    house, keys = started
    return call(f"{house.url}{path}", "GET", None, {"authorization": f"Bearer {keys[who]}"})


@pytest.mark.parametrize(
    ("who", "names"),
    [
        ("anyone", ["writer", "red-spy", "red-cook"]),
        ("red", ["red-spy", "red-cook"]),
        ("narrow", ["writer"]),
        ("ruth", ["red-cook"]),
        ("none", []),
    ],
)
def test_agents_are_listed_as_models_to_those_whom_they_are_open_to(
    started: tuple[RunningHouse, dict[str, str]], who: str, names: list[str]
) -> None:
    listed = [card["id"] for card in ask(started, who, "/v1/models").json["data"]]
    assert [name for name in listed if name.startswith("agent/")] == [f"agent/{name}" for name in names]


def test_an_agent_that_is_not_open_is_not_there(started: tuple[RunningHouse, dict[str, str]]) -> None:
    assert ask(started, "red", "/v1/models/agent/red-spy").json["type"] == "chat"
    closed, unknown = (ask(started, "red", f"/v1/models/agent/{name}") for name in ("writer", "nobody"))
    assert (closed.status, closed.error["code"]) == (404, "model_not_found") == (unknown.status, unknown.error["code"])
