"""LangGraph's own SDK against the desk for its protocol."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import wait_until
from tests.rooms.gateway.agents.conftest import People

sdk = pytest.importorskip("langgraph_sdk")
errors = pytest.importorskip("langgraph_sdk.errors")


@pytest.fixture(scope="module")
def client(people: People) -> Iterator[Any]:
    with sdk.get_sync_client(url=f"{people.house.url}/agent-protocol", api_key=people.keys["red"]) as opened:
        yield opened


def say(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def contents(values: Any) -> list[tuple[str, str]]:
    return [(message["type"], message["content"]) for message in values["messages"]]


def test_agents_are_assistants(client: Any) -> None:
    found = client.assistants.search()
    assert [each["assistant_id"] for each in found] == ["writer", "spy"]
    assert client.assistants.search(graph_id="spy")[0]["name"] == "spy"
    assert client.assistants.count() == 2
    assert client.assistants.get("writer")["description"] == "Writes."
    graph = client.assistants.get_graph("writer")
    assert {"source": "__start__", "target": "writer"} in graph["edges"]
    assert {node["id"] for node in graph["nodes"]} == {"__start__", "writer", "__end__"}
    assert "messages" in client.assistants.get_schemas("writer")["input_schema"]["properties"]
    with pytest.raises(errors.NotFoundError):
        client.assistants.get("nobody")


def test_a_thread_is_made_found_changed_copied_and_removed(client: Any) -> None:
    thread = client.threads.create(metadata={"ticket": 7})
    own = thread["thread_id"]
    assert client.threads.get(own)["metadata"] == {"ticket": 7} and thread["status"] == "idle"
    assert client.threads.update(own, metadata={"ticket": 8, "more": 1})["metadata"] == {"ticket": 8, "more": 1}
    assert [each["thread_id"] for each in client.threads.search(metadata={"ticket": 8})] == [own]
    assert client.threads.count(metadata={"ticket": 8}) == 1
    client.runs.wait(own, "writer", input=say("one"))
    copied = client.threads.copy(own)
    assert copied["thread_id"] != own and len(client.threads.get_state(copied["thread_id"])["values"]["messages"]) == 2
    client.threads.delete(own)
    with pytest.raises(errors.NotFoundError):
        client.threads.get(own)


def test_a_thread_of_ones_own_name_is_made_once(client: Any) -> None:
    client.threads.create(thread_id="my-own")
    assert client.threads.create(thread_id="my-own", if_exists="do_nothing")["thread_id"] == "my-own"
    with pytest.raises(errors.ConflictError):
        client.threads.create(thread_id="my-own")


def test_a_run_is_waited_for(client: Any) -> None:
    own = client.threads.create()["thread_id"]
    created: list[Any] = []
    human = {"messages": [{"type": "human", "content": "one"}]}
    values = client.runs.wait(own, "writer", input=human, on_run_created=created.append)
    assert contents(values) == [("human", "one"), ("ai", "1: one")]
    run = client.runs.get(own, created[0]["run_id"])
    assert (run["status"], run["assistant_id"]) == ("success", "writer")
    assert client.runs.join(own, run["run_id"]) == values
    assert [each["run_id"] for each in client.runs.list(own)] == [run["run_id"]]
    assert client.runs.list(own, status="error") == []
    assert contents(client.runs.wait(None, "writer", input=say("alone"))) == [("human", "alone"), ("ai", "1: alone")]


def test_a_run_that_fails_raises(client: Any) -> None:
    own = client.threads.create()["thread_id"]
    with pytest.raises(Exception, match="the model is not up"):
        client.runs.wait(own, "writer", input=say("fail"))
    assert client.threads.get(own)["status"] == "error"
    parts = list(client.runs.stream(own, "writer", input=say("fail")))
    assert [part.event for part in parts][-2:] == ["error", "end"]


def test_a_run_is_streamed_in_modes(client: Any) -> None:
    own = client.threads.create()["thread_id"]
    modes = ["values", "messages-tuple", "updates", "events"]
    parts = list(client.runs.stream(own, "writer", input=say("tool please"), stream_mode=modes))
    assert (parts[0].event, parts[-1].event) == ("metadata", "end")
    chunks = [part.data for part in parts if part.event == "messages" and part.data[0]["type"] == "AIMessageChunk"]
    assert "".join(chunk["content"] for chunk, _ in chunks) == "it is gone"
    assert chunks[0][1]["langgraph_node"] == "agent"
    values = [part.data for part in parts if part.event == "values"]
    assert contents(values[-1]) == [("human", "tool please"), ("ai", "it is gone")]
    assert [list(part.data) for part in parts if part.event == "updates"] == [["tools"], ["agent"]]
    assert {part.data["type"] for part in parts if part.event == "events"} >= {"run", "step", "token", "done"}


def test_messages_are_streamed_as_they_grow(client: Any) -> None:
    parts = list(client.runs.stream(None, "writer", input=say("good day"), stream_mode="messages"))
    partial = [part.data[0]["content"] for part in parts if part.event == "messages/partial"]
    assert partial == ["1:", "1: good", "1: good day"]
    assert [part.data[0]["content"] for part in parts if part.event == "messages/complete"] == ["1: good day"]


def test_a_stream_is_joined_after_the_last_event_that_was_seen(client: Any) -> None:
    own = client.threads.create()["thread_id"]
    run = client.runs.create(own, "writer", input=say("good day"))
    client.runs.join(own, run["run_id"])
    parts = list(client.runs.join_stream(own, run["run_id"], stream_mode="events"))
    seqs = [int(part.id) for part in parts if part.event == "events"]
    assert seqs == list(range(1, 8))
    rest = list(client.runs.join_stream(own, run["run_id"], stream_mode="events", last_event_id="5"))
    assert [part.data["seq"] for part in rest if part.event == "events"] == [6, 7]


@pytest.mark.parametrize(
    ("resume", "said"),
    [
        (True, "approved"),
        (False, "left alone"),
        ({"type": "reject", "message": "no"}, "left alone"),
        ({"decisions": [{"type": "approve"}]}, "approved"),
        ({"ask_1": {"approve": True, "arguments": {"path": "/tmp/y"}}}, "approved"),
        ([{"type": "edit", "args": {"args": {"path": "/tmp/y"}}}][0], "approved"),
    ],
)
def test_an_interrupt_is_answered_by_a_command(client: Any, resume: Any, said: str) -> None:
    own = client.threads.create()["thread_id"]
    values = client.runs.wait(own, "writer", input=say("wait for me"))
    (interrupt,) = values["__interrupt__"]
    assert (interrupt["id"], interrupt["value"]["tool"]) == ("ask_1", "delete_file")
    thread = client.threads.get(own)
    assert thread["status"] == "interrupted" and next(iter(thread["interrupts"].values())) == [interrupt]
    assert client.threads.get_state(own)["interrupts"] == [interrupt]
    parts = list(client.runs.stream(own, "writer", command={"resume": resume}, stream_mode=["values", "events"]))
    assert next(part.data["type"] for part in parts if part.event == "events") == "answered"
    assert contents([part.data for part in parts if part.event == "values"][-1])[-1] == ("ai", said)


def test_a_question_is_answered_with_a_text(client: Any) -> None:
    own = client.threads.create()["thread_id"]
    client.runs.wait(own, "writer", input=say("ask me"))
    assert contents(client.runs.wait(own, "writer", command={"resume": "blue"}))[-1] == ("ai", "blue")
    with pytest.raises(Exception, match="400"):
        client.runs.wait(own, "writer", command={"resume": "blue"})


def test_states_are_read_changed_and_gone_back_to(client: Any) -> None:
    own = client.threads.create()["thread_id"]
    assert client.threads.get_state(own)["values"] == {}
    client.runs.wait(own, "writer", input=say("one"))
    history = client.threads.get_history(own)
    assert [len(state["values"]["messages"]) for state in history] == [2, 1]
    before = history[0]["checkpoint"]["checkpoint_id"]
    assert client.threads.get_history(own, before=before) == history[1:]
    earlier = client.threads.get_state(own, checkpoint_id=history[1]["checkpoint"]["checkpoint_id"])
    assert contents(earlier["values"]) == [("human", "one")]
    assert client.threads.get_state(own, checkpoint=history[1]["checkpoint"]) == earlier
    made = client.threads.update_state(own, {"messages": [{"type": "ai", "content": "I did say so"}]}, as_node="agent")
    assert made["checkpoint"]["thread_id"] == own
    assert contents(client.threads.get_state(own)["values"])[-1] == ("ai", "I did say so")
    with pytest.raises(errors.NotFoundError):
        client.threads.get_state(own, checkpoint_id="nothing")


def test_runs_are_called_off(client: Any) -> None:
    own = client.threads.create()["thread_id"]
    run = client.runs.create(own, "writer", input=say("slow"))
    wait_until(lambda: client.runs.get(own, run["run_id"])["status"] == "running")
    with pytest.raises(errors.ConflictError):
        client.runs.create(own, "writer", input=say("x"), multitask_strategy="reject")
    client.runs.cancel(own, run["run_id"], wait=True)
    assert client.runs.get(own, run["run_id"])["status"] == "interrupted"
    second = client.runs.create(own, "writer", input=say("slow"))
    client.runs.wait(own, "writer", input=say("x"), multitask_strategy="interrupt")
    third = client.runs.create(own, "writer", input=say("slow"))
    client.runs.cancel_many(thread_id=own, status="all")
    for each in (second, third):
        assert client.runs.get(own, each["run_id"])["status"] == "interrupted"


def test_nobody_finds_anothers_threads_and_runs(people: People, client: Any) -> None:
    own = client.threads.create(metadata={"of": "red"})["thread_id"]
    run = client.runs.create(own, "writer", input=say("one"))["run_id"]
    wait_until(lambda: client.runs.get(own, run)["status"] == "success")
    for who in ("blue", "red-narrow"):
        with sdk.get_sync_client(url=f"{people.house.url}/agent-protocol", api_key=people.keys[who]) as other:
            for ask in (other.threads.get, other.threads.get_state, other.threads.copy, other.runs.list):
                with pytest.raises(errors.NotFoundError):
                    ask(own)
            for ask in (other.runs.get, other.runs.join, other.runs.cancel):
                with pytest.raises(Exception, match="there is no thread"):
                    ask(own, run)
            assert other.threads.search(metadata={"of": "red"}) == []
            with pytest.raises(errors.NotFoundError):
                other.runs.create(own, "spy", input=say("x"))
    nobody = sdk.get_sync_client(url=f"{people.house.url}/agent-protocol", api_key="hk-nothing")
    with nobody as other, pytest.raises(errors.AuthenticationError):
        other.assistants.search()


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "assistant_id"),
        ({"assistant_id": "writer", "input": say("x"), "webhook": "http://x"}, "webhook"),
        ({"assistant_id": "writer", "input": say("x"), "interrupt_before": "*"}, "interrupt_before"),
        ({"assistant_id": "writer", "input": {"messages": [{"role": "nobody"}]}}, "input.messages[0].role"),
        ({"assistant_id": "writer", "input": {**say("x"), "topic": "y"}}, "input.topic"),
        ({"assistant_id": "writer", "stream_mode": "everything"}, "stream_mode"),
        ({"assistant_id": "writer", "input": say("x"), "command": {"resume": 1}}, "command"),
        ({"assistant_id": "writer", "command": {"resume": 1}}, "command"),
        ({"assistant_id": "writer", "command": {"goto": "agent"}}, "command.goto"),
    ],
)
def test_a_wrong_run_is_refused_by_its_field(people: People, body: dict[str, Any], param: str) -> None:
    reply = people.ask("/agent-protocol/runs/wait", body)
    assert (reply.status, reply.json["param"]) == (400, param)
    assert reply.json["detail"] == reply.error["message"]


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "user", "content": [5]}, "input.messages[0].content[0]"),
        ({"role": "user", "content": ["see", {"type": 5}]}, "input.messages[0].content[1]"),
        ({"role": "user", "content": [{"type": "text", "text": 5}]}, "input.messages[0].content[0]"),
        ({"role": "ai", "content": "", "tool_calls": [{"function": 5}]}, "input.messages[0].tool_calls[0]"),
        ({"role": "ai", "content": "", "tool_calls": [{"name": 5, "args": {}}]}, "input.messages[0].tool_calls[0]"),
        ({"role": "ai", "content": "", "tool_calls": [{"name": "f", "id": 5}]}, "input.messages[0].tool_calls[0]"),
    ],
)
def test_a_message_that_nothing_can_read_is_refused_and_its_thread_stays_readable(
    people: People, client: Any, message: dict[str, Any], param: str
) -> None:
    own = client.threads.create()["thread_id"]
    client.runs.wait(own, "writer", input=say("hello"))
    given = {"messages": [message]}
    for path, said in (("state", {"values": given}), ("runs", {"assistant_id": "writer", "input": given})):
        reply = people.ask(f"/agent-protocol/threads/{own}/{path}", said)
        assert (reply.status, reply.json["param"]) == (400, param)
    assert len(client.threads.get_state(own)["values"]["messages"]) == 2


def test_texts_are_parts_of_a_messages_content(client: Any) -> None:
    told = client.runs.wait(None, "writer", input={"messages": [{"role": "user", "content": ["one", "two"]}]})
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert told["messages"][0]["content"] == parts


@pytest.mark.parametrize("limit", ["²", "9" * 5000, "x"])
def test_a_limit_that_is_no_number_is_refused(people: People, client: Any, limit: str) -> None:
    own = client.threads.create(graph_id="writer")["thread_id"]
    reply = people.ask(f"/agent-protocol/threads/{own}/history?limit={quote(limit)}")
    assert (reply.status, reply.json["param"]) == (400, "limit")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/agent-protocol/ok", 200),
        ("POST", "/agent-protocol/assistants", 405),
        ("GET", "/agent-protocol/threads", 405),
        ("GET", "/agent-protocol/runs", 405),
        ("GET", "/agent-protocol/store/items", 404),
        ("GET", "/agent-protocol/threads/nothing", 404),
    ],
)
def test_what_is_not_there_is_told(people: People, method: str, path: str, status: int) -> None:
    assert people.ask(path, {} if method == "POST" else None, method=method).status == status


def test_who_names_a_thread_of_an_agent_not_open_to_him_is_not_told_of_it(people: People, client: Any) -> None:
    own = client.threads.create(graph_id="writer", metadata={"secret": "of the writer"})["thread_id"]
    for more in ({}, {"if_exists": "do_nothing"}):
        reply = people.ask("/agent-protocol/threads", {"thread_id": own, **more}, who="red-narrow")
        assert reply.status == 404 and b"secret" not in reply.body
