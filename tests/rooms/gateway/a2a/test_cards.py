"""Agents' cards: what is told of an agent to who looks for it, and what is not."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from a2a.client import A2ACardResolver
from google.protobuf.json_format import MessageToDict

from hanok.gateway.a2a import A2a
from hanok.gateway.a2a.cards import version_of
from tests.calls import call
from tests.rooms.gateway.a2a.conftest import Reached

CARD = "/.well-known/agent-card.json"


def test_an_agent_shows_its_card_to_who_has_no_key(reached: Reached) -> None:
    reply = call(f"{reached.house.url}/a2a/writer{CARD}")
    card = reply.json
    assert (card["name"], card["description"]) == ("writer", "Writes.")
    assert [(each["protocolBinding"], each["protocolVersion"]) for each in card["supportedInterfaces"]] == [
        ("JSONRPC", "1.0"),
        ("HTTP+JSON", "1.0"),
        ("JSONRPC", "0.3"),
        ("HTTP+JSON", "0.3"),
    ]
    assert {each["url"] for each in card["supportedInterfaces"]} == {f"{reached.house.url}/a2a/writer"}
    assert card["capabilities"]["streaming"] is True
    assert card["securitySchemes"]["bearer"]["httpAuthSecurityScheme"]["scheme"] == "Bearer"


def test_clients_of_0_3_find_what_they_look_for_on_the_same_card(reached: Reached) -> None:
    card = call(f"{reached.house.url}/a2a/writer/.well-known/agent.json").json
    assert card["url"] == f"{reached.house.url}/a2a/writer"
    assert (card["protocolVersion"], card["preferredTransport"]) == ("0.3", "JSONRPC")
    assert card["security"] == [{"bearer": []}]
    assert card["securitySchemes"]["bearer"]["scheme"] == "Bearer"


def test_the_first_agent_is_found_where_a_host_with_one_agent_has_it(reached: Reached) -> None:
    assert call(reached.house.url + CARD).json["name"] == "writer"
    assert call(f"{reached.house.url}/.well-known/agent.json").json["name"] == "writer"


def test_nothing_that_an_agent_is_told_or_has_is_on_its_card(reached: Reached) -> None:
    assert b"secret" not in call(f"{reached.house.url}/a2a/spy{CARD}").body


def test_a_card_that_the_caller_has_is_not_sent_again(reached: Reached) -> None:
    url = f"{reached.house.url}/a2a/writer{CARD}"
    again = call(url, headers={"if-none-match": call(url).headers["etag"]})
    assert (again.status, again.body) == (304, b"")


def test_behind_a_proxy_a_card_names_where_its_caller_came_in(reached: Reached) -> None:
    url = f"{reached.house.url}/a2a/writer{CARD}"
    card = call(url, headers={"host": "ai.example.com", "x-forwarded-proto": "https"}).json
    assert card["url"] == "https://ai.example.com/a2a/writer"


def test_the_sdk_resolves_the_card(reached: Reached) -> None:
    async def resolve() -> str:
        async with httpx.AsyncClient() as http:
            card = await A2ACardResolver(http, f"{reached.house.url}/a2a/writer").get_agent_card()
            return MessageToDict(card)["name"]

    assert asyncio.run(resolve()) == "writer"


@pytest.mark.parametrize("path", ["/a2a", "/a2a/nobody", f"/a2a/nobody{CARD}", "/a2a/nobody/tasks", "/a2a//writer"])
def test_there_is_nothing_of_agents_that_there_are_not(reached: Reached, path: str) -> None:
    reply = reached.ask(path)
    assert (reply.status, reply.json["error"]["code"]) == (404, "agent_not_found")


def test_cards_may_be_kept_for_those_with_a_key(reached: Reached) -> None:
    house = reached.house.house
    agents = house.loaded.platform.agents
    desk = A2a(
        agents,
        agency=reached.agency,
        reception=house.reception,
        pusher=reached.pusher,
        open_cards=False,
        url="https://a/",
    )
    before = [desk for _, desk in house.door._desks]  # pyright: ignore[reportPrivateUsage]
    house.door.change([desk])
    try:
        assert reached.ask(f"/a2a/spy{CARD}", who="nobody").status == 401
        assert reached.ask(f"/a2a/writer{CARD}", who="spy").status == 404
        assert reached.ask(f"/a2a/spy{CARD}", who="spy").json["url"] == "https://a/a2a/spy"
    finally:
        house.door.change(list(dict.fromkeys(before)))


def test_another_version_is_on_the_card_of_an_agent_that_is_declared_in_another_way(reached: Reached) -> None:
    agent = reached.agency.agent("writer")
    assert version_of(agent) != version_of(agent.model_copy(update={"description": "Writes more."}))
