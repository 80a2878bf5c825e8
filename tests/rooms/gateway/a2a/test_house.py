"""Agents over A2A from end to end: a real house, agents led by a scripted model, the SDK's client at the door."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from a2a.client import Client, ClientConfig, create_client
from a2a.types import a2a_pb2 as pb

from hanok.agents.tool import ToolCall, ToolResult, ToolSpec
from tests.calls import call
from tests.conftest import RunningHouse, open_house
from tests.rooms.gateway.a2a.conftest import Hook, message, words

Work = Callable[[Client], Coroutine[Any, Any, Any]]
SCRIPT: dict[str, Any] = {
    "engine": "script",
    "turns": [
        {"tool": "remove", "say": "It is gone."},
        {"tool": "ask_user", "say": "So be it."},
        {"when": "remove", "call": {"name": "remove", "arguments": {"path": "x"}}},
        {"when": "which", "call": {"name": "ask_user", "arguments": {"question": "Which colour?"}}},
        {"when": "slow", "say": "never", "delay_ms": 60_000},
        {"when": "", "say": "Glad to be of help."},
    ],
}
REMOVE = {"name": "remove", "type": "http", "url": "https://files.example.com/", "parameters": {"path": "string"}}
WRITER: dict[str, Any] = {"name": "writer", "tools": [REMOVE], "approvals": ["remove"], "questions": True}


class Remove:
    """A tool that keeps in mind what it removed."""

    def __init__(self) -> None:
        self.removed: list[Any] = []
        parameters = {"type": "object", "properties": {"path": {"type": "string"}}}
        self.spec = ToolSpec(name="remove", description="Removes.", parameters=parameters)

    async def use(self, call: ToolCall) -> ToolResult:
        self.removed.append(call.arguments["path"])
        return ToolResult(content="removed")


@contextmanager
def opened(file: Path, key_name: str = "test") -> Iterator[RunningHouse]:
    """A house with that tool."""
    with open_house(file, key_name) as house:
        house.house.wing.replaced["remove"] = Remove()
        yield house


def platform(folder: Path, **gateway: Any) -> Path:
    file = folder / "platform.yaml"
    declared = {
        "name": "test",
        "models": [{"name": "m", "serve": SCRIPT}],
        "agents": [WRITER],
        "gateway": {"a2a": {"private": True}, **gateway},
    }
    file.write_text(yaml.safe_dump(declared), "utf-8")
    return file


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHouse]:
    with opened(platform(tmp_path_factory.mktemp("house"))) as house:
        yield house


def talk(house: RunningHouse, do: Work, **config: Any) -> Any:
    async def run() -> Any:
        async with httpx.AsyncClient(headers=house.headers, timeout=30) as http:
            url = f"{house.url}/a2a/writer"
            async with await create_client(url, ClientConfig(httpx_client=http, **config)) as client:
                return await do(client)

    return asyncio.run(run())


def send(house: RunningHouse, text: str, **more: Any) -> pb.Task:
    async def collect(client: Client) -> pb.Task:
        (answer,) = [each async for each in client.send_message(message(text, **more))]
        return answer.task

    return talk(house, collect, streaming=False)


def test_an_agent_answers_and_its_answer_is_streamed(started: RunningHouse) -> None:
    assert send(started, "hello").artifacts[0].parts[0].text == "Glad to be of help."

    async def stream(client: Client) -> list[pb.StreamResponse]:
        return [each async for each in client.send_message(message("hello again"))]

    told = talk(started, stream)
    pieces = [each.artifact_update for each in told if each.HasField("artifact_update")]
    assert "".join(each.artifact.parts[0].text for each in pieces) == "Glad to be of help."
    assert told[-1].status_update.status.state == pb.TaskState.TASK_STATE_COMPLETED


def test_a_call_is_approved_and_a_question_answered(started: RunningHouse) -> None:
    waiting = send(started, "remove it")
    assert waiting.status.state == pb.TaskState.TASK_STATE_INPUT_REQUIRED
    assert "remove" in waiting.status.message.parts[0].text
    done = send(started, "yes", task_id=waiting.id)
    assert done.artifacts[0].parts[0].text == "It is gone."
    asked = send(started, "which one?")
    assert asked.status.message.parts[0].text == "Which colour?"
    assert send(started, "green", task_id=asked.id).artifacts[0].parts[0].text == "So be it."


def test_a_call_that_is_not_approved_is_not_made(started: RunningHouse) -> None:
    tool = started.house.wing.replaced["remove"]
    assert isinstance(tool, Remove)
    before = list(tool.removed)
    waiting = send(started, "remove it")
    send(started, "no", task_id=waiting.id)
    assert tool.removed == before


def test_a_task_that_works_is_cancelled(started: RunningHouse) -> None:
    async def cancel(client: Client) -> pb.Task:
        request = message("slow")
        request.configuration.return_immediately = True
        (first,) = [each async for each in client.send_message(request)]
        return await client.cancel_task(pb.CancelTaskRequest(id=first.task.id))

    assert talk(started, cancel, streaming=False).status.state == pb.TaskState.TASK_STATE_CANCELED


def test_pushes_come_to_servers_of_a_private_network_where_that_is_declared(started: RunningHouse, hook: Hook) -> None:
    url = hook.url.replace("hook.example", "127.0.0.1")
    body = {"message": words("hello"), "configuration": {"taskPushNotificationConfig": {"url": url}}}
    answer = call(f"{started.url}/a2a/writer/message:send", "POST", body, {**started.headers, "a2a-version": "1.0"})
    assert answer.status == 200, answer.body
    hook.wait("TASK_STATE_COMPLETED")


def test_a_task_is_found_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    file = platform(tmp_path, url="https://ai.example.com", a2a={"cards": "key"})
    with opened(file) as house:
        waiting = send_raw(house, "remove it")
        assert call(f"{house.url}/a2a/writer/.well-known/agent-card.json").status == 401
    with opened(file, "second") as again:
        card = call(f"{again.url}/.well-known/agent-card.json", headers=again.headers).json
        assert card["url"] == "https://ai.example.com/a2a/writer"
        other = rpc(again, "GetTask", {"id": waiting["id"]})
        assert other["error"]["code"] == -32001  # another key's
        key = again.__class__(again.url, house.key, again.house, again.loop)
        assert rpc(key, "GetTask", {"id": waiting["id"]})["result"]["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
        said = {"message": words("yes", taskId=waiting["id"])}
        done = rpc(key, "SendMessage", said)["result"]["task"]
        assert done["artifacts"][0]["parts"][0]["text"] == "It is gone."


def test_an_agent_that_is_declared_later_is_reached(tmp_path: Path) -> None:
    file = platform(tmp_path)
    with opened(file) as house:
        declared = yaml.safe_load(file.read_text("utf-8"))
        declared["agents"].append({"name": "late", "description": "Came late."})
        file.write_text(yaml.safe_dump(declared), "utf-8")
        house.run(house.house.config.reload())
        assert call(f"{house.url}/a2a/late/.well-known/agent-card.json").json["description"] == "Came late."
        assert send(house, "hello").artifacts[0].parts[0].text == "Glad to be of help."


def rpc(house: RunningHouse, method: str, params: Any) -> Any:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = call(f"{house.url}/a2a/writer", "POST", body, {**house.headers, "a2a-version": "1.0"})
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def send_raw(house: RunningHouse, text: str) -> Any:
    return rpc(house, "SendMessage", {"message": words(text)})["result"]["task"]
