"""The doors of agents with nothing in place of anything: runs are led, kept and told by the house itself."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest
import yaml

from hanok.agents.prompts import Prompts
from hanok.agents.tool import ToolCall, ToolResult, ToolSpec
from tests.calls import Reply, call
from tests.conftest import RunningHouse, open_house, wait_until

pytest.importorskip("langgraph", reason='agents are not installed: pip install "hanok[agents]"')
TURNS = [
    {"when": "delete it", "call": {"name": "delete_file", "arguments": {"path": "/a"}}},
    {"tool": "delete_file", "say": "It is gone."},
    {"when": "which?", "call": {"name": "ask_user", "arguments": {"question": "Which colour?"}}},
    {"tool": "ask_user", "say": "Blue, then."},
    {"when": "take your time", "say": "At last.", "delay_ms": 60_000},
    {"schema": "plan", "json": {"steps": ["look", "tell"]}},
    {"schema": "verdict", "json": {"verdict": "COMPLETE", "reason": "all is done"}},
    {"when": "Carry out", "say": "I looked."},
    {"system": "Carry out", "say": "I looked."},
    {"when": "hello again", "say": "Hello again to you."},
    {"say": "Hello to you.", "times": 1000},
]


@dataclass
class DeleteFile:
    """A tool that only says so."""

    spec: ToolSpec
    calls: list[Mapping[str, Any]]

    async def use(self, call: ToolCall) -> ToolResult:
        self.calls.append(call.arguments)
        return ToolResult(content="deleted")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHouse]:
    deleting = {"name": "delete_file", "type": "python", "code": "def delete_file(path: str) -> str:\n    return path"}
    platform = {
        "name": "test",
        "models": [
            {"name": "says", "serve": {"engine": "script", "turns": TURNS}, "price": {"input": 1, "output": 1}},
            {"name": "fails", "serve": {"engine": "script", "turns": [{"error": 400}, {"say": "Now it does."}]}},
        ],
        "tools": [deleting],
        "agents": [
            {"name": "writer", "tools": ["delete_file"], "approvals": ["delete_*"], "questions": True},
            {"name": "unlucky", "model": "fails"},
            {"name": "planner", "pattern": "plan-execute"},
            {"name": "unset", "prompt": "kind@production"},
            {"name": "gone", "prompt": "kind@deadbeef"},
            {"name": "later", "prompt": "kind@later"},
        ],
        "prompts": [{"name": "kind", "text": "Be kind."}],
    }
    file = tmp_path_factory.mktemp("agents") / "platform.yaml"
    file.write_text(yaml.safe_dump(platform), "utf-8")
    with open_house(file) as running:
        schema = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
        spec = ToolSpec(name="delete_file", description="Deletes a file.", parameters=schema, safe=False)
        running.house.wing.replaced["delete_file"] = DeleteFile(spec, [])
        yield running


def ask(house: RunningHouse, path: str, body: Any = None, **headers: str) -> Reply:
    method = "GET" if body is None else "POST"
    return call(f"{house.url}{path}", method, body, {**house.headers, **headers})


def start(house: RunningHouse, text: str, agent: str = "writer", **more: Any) -> Any:
    reply = ask(house, f"/v1/agents/{agent}/runs", {"input": text, **more})
    assert reply.status in (200, 202), reply.body
    return reply.json


def test_a_run_is_led_charged_and_told(started: RunningHouse) -> None:
    run = start(started, "hello")
    assert (run["state"], run["answer"]) == ("done", "Hello to you.")
    assert run["usage"]["steps"] == 1 and run["usage"]["total_tokens"] > 0 and run["usage"]["cost_usd"] > 0
    events = ask(started, f"/v1/agent-runs/{run['id']}/events").json["data"]
    assert [each["type"] for each in events][-2:] == ["budget", "done"]
    assert "graph TD" in ask(started, "/v1/agents/writer").json["graph"]
    assert start(started, "hello again", thread=run["thread"])["answer"] == "Hello again to you."


def test_a_run_belongs_below_the_run_that_its_caller_names(started: RunningHouse) -> None:
    run = ask(started, "/v1/agents/writer/runs", {"input": "hello"}, **{"x-hanok-run": "nightly/7"}).json
    assert run["path"] == f"nightly/7/{run['id']}"


def test_a_call_is_approved_with_other_arguments(started: RunningHouse) -> None:
    run = start(started, "delete it")
    (wanted,) = run["wanted"]
    assert (run["state"], wanted["kind"], wanted["arguments"]) == ("waiting", "approval", {"path": "/a"})
    answers = {wanted["id"]: {"approve": True, "arguments": {"path": "/b"}}}
    assert ask(started, f"/v1/agent-runs/{run['id']}/answers", {"answers": answers}).status == 200
    stream = ask(started, f"/v1/agent-runs/{run['id']}/events", accept="text/event-stream").events
    assert stream[-1]["data"]["answer"] == "It is gone."
    deleting: Any = started.house.wing.replaced["delete_file"]
    assert deleting.calls[-1] == {"path": "/b"}


@pytest.mark.parametrize("arguments", [{"path": 5}, {}, 5])
def test_arguments_that_do_not_fit_are_refused_at_each_door_and_the_run_waits_on(
    started: RunningHouse, arguments: Any
) -> None:
    run = start(started, "delete it")
    (wanted,) = run["wanted"]
    said = {"approve": True, "arguments": arguments}
    data = {"messageId": run["id"], "role": "ROLE_USER", "taskId": run["id"], "parts": [{"data": said}]}
    refused = [
        ask(started, f"/v1/agent-runs/{run['id']}/answers", {"answers": {wanted["id"]: said}}),
        ask(
            started,
            f"/agent-protocol/threads/{run['thread']}/runs/wait",
            {"assistant_id": "writer", "command": {"resume": said}},
        ),
        ask(started, "/a2a/writer/message:send", {"message": data}, **{"a2a-version": "1.0"}),
    ]
    assert [reply.status for reply in refused] == [400, 400, 400]
    told = ask(started, f"/v1/agent-runs/{run['id']}").json
    assert (told["state"], told["wanted"]) == ("waiting", run["wanted"])
    ask(started, f"/v1/agent-runs/{run['id']}/cancel", {})


@pytest.mark.parametrize(
    ("agent", "hint"), [("unset", "hanok prompts label kind production"), ("gone", "hanok prompts show kind")]
)
def test_an_order_whose_prompt_is_missing_is_refused_in_the_same_words_at_each_door(
    started: RunningHouse, agent: str, hint: str
) -> None:
    said = {"messages": [{"role": "user", "content": "x"}]}
    message = {"message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "x"}]}}
    refused = [
        ask(started, f"/v1/agents/{agent}/runs", {"input": "x"}),
        ask(started, f"/v1/agents/{agent}/runs/stream", {"input": "x"}),
        ask(started, "/v1/chat/completions", {"model": f"agent/{agent}", "stream": True, **said}),
        ask(started, "/agent-protocol/runs/stream", {"assistant_id": agent, "input": said}),
        ask(started, f"/a2a/{agent}/message:send", message, **{"a2a-version": "1.0"}),
        ask(started, f"/a2a/{agent}/message:stream", message, **{"a2a-version": "1.0"}),
    ]
    assert [reply.status for reply in refused] == [503, 503, 503, 503, 500, 500]
    (words,) = {reply.error["message"] for reply in refused}
    assert "no version of 'kind' is called" in words and hint in words
    assert ask(started, f"/v1/agents/{agent}/runs").json["data"] == []


def test_a_conversation_whose_first_order_was_refused_is_heard_whole_when_it_is_taken(started: RunningHouse) -> None:
    said = [("user", "good day"), ("assistant", "Good day."), ("user", "hello")]
    messages = [{"role": role, "content": content} for role, content in said]
    body = {"model": "agent/later", "messages": messages}
    assert ask(started, "/v1/chat/completions", body, **{"x-session-id": "later"}).status == 503
    Prompts(started.house.loaded.state).label("kind", "later", now=1.0)
    told = ask(started, "/v1/chat/completions", body, **{"x-session-id": "later"}).json["hanok"]
    (latest, *_) = ask(started, f"/v1/agent-runs/{told['run']}/checkpoints").json["data"]
    heard = [message["content"] for message in latest["values"]["messages"]]
    assert heard == ["good day", "Good day.", "hello", "Hello to you."]


def test_a_chat_is_streamed_word_by_word(started: RunningHouse) -> None:
    with openai.OpenAI(base_url=f"{started.url}/v1", api_key=started.key, max_retries=0) as client:
        messages: Any = [{"role": "user", "content": "hello"}]
        pieces = list(client.chat.completions.create(model="agent/writer", messages=messages, stream=True))
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == "Hello to you."
    assert pieces[-1].choices[0].finish_reason == "stop"


def test_a_plan_is_told_as_reasoning(started: RunningHouse) -> None:
    body = {"model": "agent/planner", "messages": [{"role": "user", "content": "hello"}]}
    message = ask(started, "/v1/chat/completions", body).json["choices"][0]["message"]
    assert message["content"] == "Hello to you."
    assert (
        message["reasoning_content"].startswith("Plan:\n- look\n- tell\n")
        and "I looked." in message["reasoning_content"]
    )
    assert "verdict" not in message["reasoning_content"]
    streamed = ask(started, "/v1/chat/completions", {**body, "stream": True}).events[:-1]
    assert "".join(each["choices"][0]["delta"].get("content") or "" for each in streamed) == "Hello to you."


def test_a_chat_says_what_it_waits_for(started: RunningHouse) -> None:
    body = {"model": "agent/writer", "messages": [{"role": "user", "content": "which?"}]}
    told = ask(started, "/v1/chat/completions", body).json
    assert told["choices"][0]["message"]["content"].startswith("Which colour?")
    (wanted,) = told["hanok"]["wanted"]
    path = f"/v1/agent-runs/{told['hanok']['run']}"
    ask(started, f"{path}/answers", {"answers": {wanted["id"]: {"text": "blue"}}})
    assert ask(started, f"{path}/events", accept="text/event-stream").events[-1]["data"]["answer"] == "Blue, then."


def test_a_run_whose_model_fails_is_an_error_and_can_be_resumed(started: RunningHouse) -> None:
    body = {"model": "agent/unlucky", "messages": [{"role": "user", "content": "hello"}]}
    failed = ask(started, "/v1/chat/completions", body)
    assert (failed.status, failed.error["code"]) == (502, "run_failed")
    run = ask(started, "/v1/agent-runs?state=failed&limit=1").json["data"][0]
    path = f"/v1/agent-runs/{run['id']}"
    assert ask(started, f"{path}/resume", {}).status == 200
    assert ask(started, f"{path}/events", accept="text/event-stream").events[-1]["data"]["answer"] == "Now it does."


@pytest.mark.parametrize("stream", [False, True])
def test_a_caller_who_hangs_up_cancels_the_run_and_its_models_work(started: RunningHouse, stream: bool) -> None:
    parts = urlsplit(started.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    messages = [{"role": "user", "content": "take your time"}]
    body = {"model": "agent/writer", "stream": stream, "messages": messages}
    connection.request("POST", "/v1/chat/completions", json.dumps(body).encode(), started.headers)
    wait_until(lambda: started.house.models.running == 1)
    connection.close()
    wait_until(lambda: started.house.models.running == 0)
    wait_until(lambda: ask(started, "/v1/agent-runs?limit=1").json["data"][0]["state"] == "cancelled")


def test_limits_are_only_lowered(started: RunningHouse) -> None:
    run = start(started, "which?", limits={"steps": 1000, "tool_calls": 3, "usd": 0.5})
    told = {name: run["limits"][name] for name in ("steps", "tool_calls", "usd")}
    assert told == {"steps": 25, "tool_calls": 3, "usd": 0.5}
    ask(started, f"/v1/agent-runs/{run['id']}/cancel", {})
    limited = start(started, "delete it", limits={"steps": 0})
    assert (limited["state"], limited["reason"]) == ("limited", "steps")


def test_langgraphs_sdk_leads_a_conversation_with_an_approval_and_goes_back_in_time(started: RunningHouse) -> None:
    sdk = pytest.importorskip("langgraph_sdk")
    with sdk.get_sync_client(url=f"{started.url}/agent-protocol", api_key=started.key) as client:
        own = client.threads.create()["thread_id"]
        said = {"messages": [{"role": "user", "content": "delete it"}]}
        parts = list(client.runs.stream(own, "writer", input=said, stream_mode=["values", "updates"]))
        (interrupt,) = parts[-2].data["__interrupt__"]
        assert interrupt["value"]["tool"] == "delete_file"
        assert client.threads.get_state(own)["next"] == ["act"]
        values = client.runs.wait(own, "writer", command={"resume": {"type": "accept"}})
        assert [message["type"] for message in values["messages"]] == ["human", "ai", "tool", "ai"]
        assert values["messages"][1]["tool_calls"][0]["args"] == {"path": "/a"}
        history = client.threads.get_history(own)
        first = next(state for state in history if len(state["values"]["messages"]) == 1)
        edges = client.assistants.get_graph("writer")["edges"]
        assert {"source": "think", "target": "act"} in edges and {"source": "act", "target": "think"} in edges
        with pytest.raises(Exception, match="nobody does not exist"):
            client.threads.update_state(own, {"messages": [{"role": "user", "content": "hello"}]}, as_node="nobody")
        made = client.threads.update_state(own, {"messages": [{"role": "user", "content": "hello"}]}, as_node="think")
        assert made["checkpoint"]["checkpoint_id"]
        again = client.runs.wait(
            own, "writer", input={"messages": "hello again"}, checkpoint_id=first["checkpoint"]["checkpoint_id"]
        )
        assert [message["content"] for message in again["messages"]] == [
            "delete it",
            "hello again",
            "Hello again to you.",
        ]
        copied = client.threads.copy(own)["thread_id"]
        assert client.threads.get_state(copied)["values"]["messages"] == again["messages"]


def test_langgraphs_sdk_finds_and_removes_threads(started: RunningHouse) -> None:
    sdk = pytest.importorskip("langgraph_sdk")
    with sdk.get_sync_client(url=f"{started.url}/agent-protocol", api_key=started.key) as client:
        own = client.threads.create(metadata={"ticket": 7}, graph_id="writer")["thread_id"]
        assert client.threads.search(metadata={"ticket": 7, "graph_id": "writer"})[0]["thread_id"] == own
        client.threads.update(own, metadata={"ticket": 8})
        assert client.threads.count(metadata={"ticket": 8}) == 1
        client.runs.wait(own, "writer", input={"messages": "hello"})
        assert client.threads.search(status="idle", metadata={"ticket": 8})[0]["values"]["answer"] == "Hello to you."
        client.threads.delete(own)
        assert client.threads.count(metadata={"ticket": 8}) == 0


def test_a_session_is_a_thread_that_is_kept(started: RunningHouse) -> None:
    def say(text: str) -> Any:
        body = {"model": "agent/writer", "messages": [{"role": "user", "content": text}]}
        return ask(started, "/v1/chat/completions", body, **{"x-session-id": "talk"}).json["hanok"]

    first, again = say("hello"), say("hello again")
    assert first["thread"] == again["thread"]
    (latest, *_) = ask(started, f"/v1/agent-runs/{again['run']}/checkpoints").json["data"]
    said = [message["content"] for message in latest["values"]["messages"]]
    assert said == ["hello", "Hello to you.", "hello again", "Hello again to you."]


@pytest.mark.parametrize("part", [{}, {"type": 7}, {"type": "text", "text": 7}])
def test_a_part_that_no_model_can_read_is_refused_before_a_run_is_begun(started: RunningHouse, part: Any) -> None:
    order = {"input": [{"role": "user", "content": [part]}]}
    answer = ask(started, "/v1/agents/writer/runs", order)
    assert (answer.status, answer.error["param"]) == (400, "input[0]")
