"""Tasks over A2A 1.0: a message begins a run, which is told, answered, found, listed and cancelled in A2A's words."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from a2a.client import Client
from a2a.client.errors import A2AClientError
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import TaskNotCancelableError, TaskNotFoundError, UnsupportedOperationError

from tests.rooms.gateway.a2a.conftest import Reached, message, words

BINDINGS = pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
Done = pb.TaskState.TASK_STATE_COMPLETED


def only(binding: str) -> dict[str, Any]:
    return {"supported_protocol_bindings": [binding], "use_client_preference": True}


async def collect(client: Client, request: pb.SendMessageRequest) -> list[pb.StreamResponse]:
    return [each async for each in client.send_message(request)]


@BINDINGS
def test_a_message_becomes_a_task_whose_artifact_is_the_answer(reached: Reached, binding: str) -> None:
    (answer,) = reached.with_client(lambda client: collect(client, message("hello")), streaming=False, **only(binding))
    task = answer.task
    assert task.status.state == Done
    assert [part.text for part in task.artifacts[0].parts] == ["1: hello"]
    assert task.history[0].parts[0].text == "hello"
    assert task.metadata["hanok"]["state"] == "done"
    assert task.id.startswith("run_") and task.context_id


@BINDINGS
def test_a_stream_begins_with_the_task_and_tells_the_answer_as_it_comes(reached: Reached, binding: str) -> None:
    told = reached.with_client(lambda client: collect(client, message("well met")), **only(binding))
    assert told[0].HasField("task")
    pieces = [each.artifact_update for each in told if each.HasField("artifact_update")]
    assert [piece.append for piece in pieces] == [False, True, True, True]
    assert "".join(piece.artifact.parts[0].text for piece in pieces) == "1: well met"
    assert pieces[-1].last_chunk
    states = [each.status_update.status.state for each in told if each.HasField("status_update")]
    assert states == [pb.TaskState.TASK_STATE_WORKING, Done]
    assert len({each.task_id for each in pieces}) == 1


def test_what_tools_are_used_is_told_without_what_they_give(reached: Reached) -> None:
    told = reached.with_client(lambda client: collect(client, message("tool")))
    updates = [each.status_update.status for each in told if each.HasField("status_update")]
    data = [dict(each.message.parts[0].data.struct_value) for each in updates if each.message.parts]
    assert [(each["type"], each["name"]) for each in data] == [
        ("tool_call", "delete_file"),
        ("tool_result", "delete_file"),
    ]
    assert "content" not in data[1]


@BINDINGS
def test_a_call_that_needs_approval_waits_for_the_next_message(reached: Reached, binding: str) -> None:
    async def talk(client: Client) -> tuple[pb.Task, list[pb.StreamResponse]]:
        (first,) = await collect(client, message("wait"))
        task = first.task
        second = await collect(client, message("yes", task_id=task.id, context_id=task.context_id))
        return task, second

    task, second = reached.with_client(talk, streaming=False, **only(binding))
    assert task.status.state == pb.TaskState.TASK_STATE_INPUT_REQUIRED
    asked = task.status.message
    assert "delete_file" in asked.parts[0].text
    assert asked.parts[1].data.struct_value["requests"][0]["id"] == "ask_1"
    assert second[0].task.id == task.id
    assert second[0].task.artifacts[0].parts[0].text == "approved"


def test_a_stream_ends_when_somebody_is_asked_and_another_goes_on_after_the_answer(reached: Reached) -> None:
    async def talk(client: Client) -> tuple[list[pb.StreamResponse], list[pb.StreamResponse]]:
        first = await collect(client, message("ask"))
        task = first[0].task
        return first, await collect(client, message("green", task_id=task.id))

    first, second = reached.with_client(talk)
    last = first[-1].status_update.status
    assert last.state == pb.TaskState.TASK_STATE_INPUT_REQUIRED
    assert last.message.parts[0].text == "Which colour?"
    assert second[0].task.status.state == Done
    assert second[0].task.artifacts[0].parts[0].text == "green"


@pytest.mark.parametrize(
    ("answer", "comes"),
    [
        ({"answers": {"ask_1": {"approve": True}}}, "approved"),
        ({"approve": False, "reason": "no"}, "left alone"),
        ({"request": "ask_1", "approve": True, "arguments": {"path": "/tmp/y"}}, "approved"),
        ({"decision_type": "approve"}, "approved"),
        ({"decision_type": "reject"}, "left alone"),
    ],
)
def test_an_approval_may_be_data(reached: Reached, answer: dict[str, Any], comes: str) -> None:
    task = reached.say("wait")
    given = words("", taskId=task["id"]) | {"parts": [{"data": answer}]}
    done = reached.rpc("SendMessage", {"message": given})["result"]["task"]
    assert done["artifacts"][0]["parts"][0]["text"] == comes


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([{"text": "hm"}], "say yes or no"),
        ([{"data": {"answers": {"ask_9": {"approve": True}}}}], "nothing is asked under 'ask_9'"),
        ([{"data": [1, 2]}], "waits for an answer"),
        ([{"data": {"other": 1}}], "waits for an answer"),
    ],
)
def test_an_answer_that_is_none_is_refused_and_the_task_goes_on_waiting(
    reached: Reached, parts: list[Any], said: str
) -> None:
    task = reached.say("wait")
    answer = reached.rpc("SendMessage", {"message": words("", taskId=task["id"]) | {"parts": parts}})
    assert answer["error"]["code"] == -32602
    assert said in answer["error"]["message"]
    assert reached.rpc("GetTask", {"id": task["id"]})["result"]["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"


@pytest.mark.parametrize(
    ("text", "state", "why"), [("fail", "FAILED", "the model is not up"), ("limit", "FAILED", "steps")]
)
def test_a_run_that_does_not_reach_its_end_says_why_and_keeps_what_it_has(
    reached: Reached, text: str, state: str, why: str
) -> None:
    task = reached.say(text)
    assert task["status"]["state"] == f"TASK_STATE_{state}"
    assert task["status"]["message"]["parts"][0]["text"] == why
    assert bool(task.get("artifacts")) == (text == "limit")


def test_a_task_may_be_given_back_at_once_and_watched_later(reached: Reached) -> None:
    started = {"message": words("slow"), "configuration": {"returnImmediately": True}}
    task = reached.rpc("SendMessage", started)["result"]["task"]

    async def watch(client: Client) -> list[pb.StreamResponse]:
        told: list[pb.StreamResponse] = []
        async for each in client.subscribe(pb.SubscribeToTaskRequest(id=task["id"])):
            told.append(each)
            if len(told) == 1:
                await client.cancel_task(pb.CancelTaskRequest(id=task["id"]))
        return told

    told = reached.with_client(watch)
    assert task["status"]["state"] in ("TASK_STATE_SUBMITTED", "TASK_STATE_WORKING")
    assert told[0].task.id == task["id"]
    assert told[-1].status_update.status.state == pb.TaskState.TASK_STATE_CANCELED


def test_what_has_ended_is_neither_cancelled_nor_watched_nor_spoken_to(reached: Reached) -> None:
    task = reached.say("hello")

    async def talk(client: Client) -> None:
        with pytest.raises(TaskNotCancelableError):
            await client.cancel_task(pb.CancelTaskRequest(id=task["id"]))
        with pytest.raises(UnsupportedOperationError):
            [each async for each in client.subscribe(pb.SubscribeToTaskRequest(id=task["id"]))]
        with pytest.raises(UnsupportedOperationError, match="new task"):
            await collect(client, message("more", task_id=task["id"]))

    reached.with_client(talk)


def test_messages_with_one_context_follow_one_another(reached: Reached) -> None:
    first = reached.say("one")
    second = reached.say("two", contextId=first["contextId"])
    assert second["contextId"] == first["contextId"]
    assert second["id"] != first["id"]
    assert second["artifacts"][0]["parts"][0]["text"] == "3: two"


def test_a_caller_may_name_his_context_and_another_tenant_the_same(reached: Reached) -> None:
    mine = [reached.say(each, contextId="my session") for each in ("one", "two")]
    theirs = reached.say("one", contextId="my session", who="blue")
    assert {task["contextId"] for task in (*mine, theirs)} == {"my session"}
    assert mine[1]["artifacts"][0]["parts"][0]["text"] == "3: two"
    assert theirs["artifacts"][0]["parts"][0]["text"] == "1: one"
    listed = reached.rpc("ListTasks", {"contextId": "my session"})["result"]
    assert [task["id"] for task in listed["tasks"]] == [mine[1]["id"], mine[0]["id"]]
    assert reached.rpc("ListTasks", {"contextId": "unheard of"})["result"]["tasks"] == []


def test_a_message_that_is_sent_again_begins_nothing_anew(reached: Reached) -> None:
    said = words("once", id_="the-same")
    first, second = (reached.rpc("SendMessage", {"message": said})["result"]["task"] for _ in range(2))
    assert first["id"] == second["id"]
    assert first["history"][0]["messageId"] == "the-same"
    other = reached.rpc("SendMessage", {"message": words("twice", id_="the-same")})["result"]["task"]
    assert other["id"] != first["id"]


def test_tasks_are_listed_newest_first_page_by_page(reached: Reached) -> None:
    made = [reached.say(f"page {n}", contextId="pages")["id"] for n in range(3)]

    async def pages(client: Client) -> list[pb.ListTasksResponse]:
        first = await client.list_tasks(pb.ListTasksRequest(context_id="pages", page_size=2))
        token = first.next_page_token
        return [first, await client.list_tasks(pb.ListTasksRequest(context_id="pages", page_size=2, page_token=token))]

    first, second = reached.with_client(pages)
    assert [task.id for task in (*first.tasks, *second.tasks)] == made[::-1]
    assert (second.next_page_token, second.total_size) == ("", 3)
    assert not first.tasks[0].artifacts
    whole = reached.rpc("ListTasks", {"contextId": "pages", "includeArtifacts": True, "status": "TASK_STATE_COMPLETED"})
    assert len(whole["result"]["tasks"][0]["artifacts"]) == 1
    for nothing in ({"status": "TASK_STATE_REJECTED"}, {"statusTimestampAfter": "2100-01-01T00:00:00Z"}):
        assert reached.rpc("ListTasks", {"contextId": "pages", **nothing})["result"]["tasks"] == []


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("ListTasks", {"pageSize": 0}),
        ("ListTasks", {"pageSize": 1000}),
        ("ListTasks", {"pageToken": "not one"}),
        ("GetTask", {"id": "x", "historyLength": -1}),
        ("GetTask", {}),
        ("SendMessage", {}),
        ("SendMessage", {"message": {"messageId": "m", "role": "ROLE_USER", "parts": []}}),
        ("SendMessage", {"message": {"messageId": "m", "role": "ROLE_USER", "parts": [{}]}}),
        ("SendMessage", {"message": {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "x"}]}}),
        ("SendMessage", {"message": {"messageId": "m" * 300, "role": "ROLE_USER", "parts": [{"text": "x"}]}}),
        (
            "SendMessage",
            {"message": {"messageId": "m", "contextId": "\n", "role": "ROLE_USER", "parts": [{"text": "x"}]}},
        ),
    ],
)
def test_parameters_that_cannot_be_are_refused(reached: Reached, method: str, params: Any) -> None:
    assert reached.rpc(method, params)["error"]["code"] == -32602


def test_pictures_are_handed_on_and_other_files_are_not(reached: Reached) -> None:
    parts: list[dict[str, Any]] = [
        {"text": "what is this?"},
        {"raw": "AAAA", "mediaType": "image/png"},
        {"url": "https://example.com/x.png", "mediaType": "image/png"},
        {"raw": "aGVsbG8=", "mediaType": "text/plain"},
        {"data": {"a": [1, None]}},
    ]
    task = reached.rpc("SendMessage", {"message": words("") | {"parts": parts}})["result"]["task"]
    content = reached.house.run(reached.agency.run(task["id"], tenant="red")).input[0]["content"]
    assert content == [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}},
        {"type": "text", "text": "hello"},
        {"type": "text", "text": '{"a":[1,null]}'},
    ]
    refused = reached.rpc(
        "SendMessage", {"message": words("") | {"parts": [{"raw": "AAAA", "mediaType": "video/mp4"}]}}
    )
    assert refused["error"]["code"] == -32005


def test_nobody_comes_in_without_a_key_that_opens_the_agent(reached: Reached) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": words("hello")}}
    assert reached.ask("/a2a/writer", body, who="nobody").status == 401
    assert reached.ask("/a2a/writer/tasks", who="nobody").status == 401
    closed = reached.ask("/a2a/writer", body, who="spy")
    assert (closed.status, closed.json["error"]["code"]) == (404, "agent_not_found")
    assert reached.rpc("SendMessage", {"message": words("hello")}, who="spy", agent="spy")["result"]["task"]["id"]


@BINDINGS
def test_tasks_of_other_tenants_and_other_agents_are_not_there(reached: Reached, binding: str) -> None:
    task = reached.say("wait")

    async def look(client: Client) -> None:
        for ask in (
            client.get_task(pb.GetTaskRequest(id=task["id"])),
            client.cancel_task(pb.CancelTaskRequest(id=task["id"])),
            client.list_task_push_notification_configs(pb.ListTaskPushNotificationConfigsRequest(task_id=task["id"])),
        ):
            with pytest.raises(TaskNotFoundError):
                await ask
        with pytest.raises(TaskNotFoundError):
            await collect(client, message("yes", task_id=task["id"]))
        with pytest.raises(TaskNotFoundError):
            [each async for each in client.subscribe(pb.SubscribeToTaskRequest(id=task["id"]))]
        assert task["id"] not in [each.id for each in (await client.list_tasks(pb.ListTasksRequest())).tasks]

    reached.with_client(look, who="blue", **only(binding))
    reached.with_client(look, who="red", agent="spy", **only(binding))
    assert reached.rpc("GetTask", {"id": task["id"]})["result"]["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"


def test_a_context_of_another_tenant_gives_nothing_of_what_was_said_there(reached: Reached) -> None:
    mine = reached.say("a secret")
    theirs = reached.say("hello", contextId=mine["contextId"], who="blue")
    assert theirs["artifacts"][0]["parts"][0]["text"] == "1: hello"


def test_a_task_is_answered_in_its_own_context_alone(reached: Reached) -> None:
    task = reached.say("wait")
    answer = reached.rpc("SendMessage", {"message": words("yes", taskId=task["id"], contextId="another")})
    assert answer["error"]["code"] == -32602


def test_who_leaves_a_stream_leaves_the_run_alone(reached: Reached) -> None:
    body = {"message": words("slow")}
    headers = {**reached.headers(), "a2a-version": "1.0"}
    url = f"{reached.house.url}/a2a/writer/message:stream"
    with httpx.stream("POST", url, json=body, headers=headers, timeout=10) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        first = next(line for line in answer.iter_lines() if line.startswith("data:"))
    id_ = httpx.Response(200, text=first.removeprefix("data:")).json()["task"]["id"]
    found = reached.ask(f"/a2a/writer/tasks/{id_}", a2a_version="1.0")
    assert found.json["status"]["state"] == "TASK_STATE_WORKING"
    assert reached.ask(f"/a2a/writer/tasks/{id_}:cancel", {}, a2a_version="1.0").status == 200


def test_there_is_no_other_card_than_the_one(reached: Reached) -> None:
    assert reached.rpc("GetExtendedAgentCard", {})["error"]["code"] == -32007


def test_a_client_that_is_refused_is_told_so_by_the_sdk(reached: Reached) -> None:
    async def talk(client: Client) -> None:
        with pytest.raises(A2AClientError, match="401"):
            await client.get_task(pb.GetTaskRequest(id="x"))

    reached.with_client(talk, who="nobody")
