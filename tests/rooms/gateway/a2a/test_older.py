"""Clients of A2A 0.3, as kagent 0.10 has: no version header, `message/send`, a bare task as the answer."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from a2a.client import ClientConfig, ClientFactory
from a2a.compat.v0_3 import types as v03
from a2a.types import a2a_pb2 as pb

from tests.conftest import wait_until
from tests.rooms.gateway.a2a.conftest import Hook, Reached, message


def older(text: str, **more: Any) -> dict[str, Any]:
    message = {"kind": "message", "messageId": f"old-{text}", "role": "user", "parts": [{"kind": "text", "text": text}]}
    return {"message": {**message, **more}}


def result(reached: Reached, method: str, params: Any) -> Any:
    answer = reached.rpc(method, params, version="")
    assert "error" not in answer, answer
    return answer["result"]


def test_a_message_is_answered_with_a_bare_task(reached: Reached) -> None:
    task = result(reached, "message/send", older("hello"))
    assert (task["kind"], task["status"]["state"]) == ("task", "completed")
    assert task["artifacts"][0]["parts"] == [{"kind": "text", "text": "1: hello"}]
    assert result(reached, "tasks/get", {"id": task["id"]})["id"] == task["id"]
    v03.Task.model_validate(task)


def test_a_stream_tells_updates_in_the_older_words(reached: Reached) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "message/stream", "params": older("well met")}
    events = [each["result"] for each in reached.ask("/a2a/writer", body).events]
    assert events[0]["kind"] == "task"
    text = "".join(each["artifact"]["parts"][0]["text"] for each in events if each["kind"] == "artifact-update")
    assert text == "1: well met"
    assert (events[-1]["kind"], events[-1]["status"]["state"], events[-1]["final"]) == (
        "status-update",
        "completed",
        True,
    )
    for each in events:
        v03.SendStreamingMessageSuccessResponse.model_validate({"jsonrpc": "2.0", "id": 1, "result": each})


def test_an_approval_is_asked_for_and_given(reached: Reached) -> None:
    task = result(reached, "message/send", older("wait"))
    assert task["status"]["state"] == "input-required"
    assert task["status"]["message"]["parts"][1]["data"]["requests"][0]["tool"] == "delete_file"
    parts = [{"kind": "data", "data": {"decision_type": "approve"}}]
    told = older("", taskId=task["id"], contextId=task["contextId"], parts=parts)
    assert result(reached, "message/send", told)["artifacts"][0]["parts"][0]["text"] == "approved"


def test_a_task_is_cancelled_and_what_is_not_there_is_said_not_to_be(reached: Reached) -> None:
    started = {**older("slow"), "configuration": {"blocking": False}}
    task = result(reached, "message/send", started)
    assert result(reached, "tasks/cancel", {"id": task["id"]})["status"]["state"] == "canceled"
    assert reached.rpc("tasks/get", {"id": "none"}, version="")["error"]["code"] == -32001


def test_methods_of_1_0_are_not_answered_to_who_speaks_0_3(reached: Reached) -> None:
    assert reached.rpc("GetTask", {"id": "x"}, version="")["error"]["code"] == -32009


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
def test_the_sdk_s_own_client_speaks_0_3_where_the_card_knows_no_more(reached: Reached, binding: str) -> None:
    url = f"{reached.house.url}/a2a/writer"
    interface = pb.AgentInterface(url=url, protocol_binding=binding, protocol_version="0.3")
    card = pb.AgentCard(name="writer", supported_interfaces=[interface])
    card.capabilities.streaming = True

    async def talk() -> list[pb.StreamResponse]:
        async with httpx.AsyncClient(headers=reached.headers(), timeout=20) as http:
            config = ClientConfig(httpx_client=http, supported_protocol_bindings=[binding])
            async with ClientFactory(config).create(card) as client:
                return [each async for each in client.send_message(message("well met"))]

    told = asyncio.run(talk())
    assert told[0].HasField("task")
    assert told[-1].status_update.status.state == pb.TaskState.TASK_STATE_COMPLETED


def test_pushes_to_who_speaks_0_3_are_bare_tasks(reached: Reached, hook: Hook) -> None:
    config = {"pushNotificationConfig": {"url": hook.url, "token": "t"}, "blocking": True}
    task = result(reached, "message/send", {**older("push me"), "configuration": config})
    wait_until(lambda: hook.heard and hook.heard[-1][1]["status"]["state"] == "completed")
    assert hook.heard[-1][1]["kind"] == "task"
    assert hook.heard[-1][1]["id"] == task["id"]


def spoken(**more: Any) -> dict[str, Any]:
    return {"messageId": "m", "role": "ROLE_USER", "content": [{"text": "hello"}], **more}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b'{"message": NaN}',
        {"message": spoken(content=[])},
        {"message": spoken(content=[{}])},
        {"message": spoken(content=[{"file": {}}])},
        {"message": spoken(role="ROLE_AGENT")},
        {},
    ],
)
def test_what_rest_cannot_read_is_the_callers_fault_also_where_a_stream_is_asked_for(
    reached: Reached, body: Any, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    answer = reached.ask(f"/a2a/writer/v1/message:{'stream' if stream else 'send'}", body, method="POST")
    assert (answer.status, answer.json["error"]["code"]) == (400, 400)
    assert answer.json["error"]["message"] and "ERROR" not in caplog.text


def test_a_stream_of_rest_that_begins_goes_on_to_its_end(reached: Reached) -> None:
    answer = reached.ask("/a2a/writer/v1/message:stream", {"message": spoken(messageId="streamed")})
    assert answer.status == 200
    assert "task" in answer.events[0] and answer.events[-1]["statusUpdate"]["final"] is True


def test_a_task_that_has_ended_is_no_stream_and_a_number_that_is_none_is_refused(reached: Reached) -> None:
    task = reached.say("hello")["id"]
    assert reached.ask(f"/a2a/writer/v1/tasks/{task}:subscribe").status == 400
    for wrong in ("x", "99999999999", "9" * 5000):
        assert reached.ask(f"/a2a/writer/v1/tasks/{task}?historyLength={wrong}").status == 400


@pytest.mark.parametrize(
    "more",
    [
        {"parts": [{"kind": "file", "file": {"bytes": "a", "mimeType": "image/png"}}]},
        {"parts": [{"kind": "file", "file": {"bytes": "é", "mimeType": "image/png"}}]},
    ],
)
def test_a_call_that_fits_the_form_and_cannot_be_read_is_the_callers_fault(
    reached: Reached, more: dict[str, Any]
) -> None:
    said = {"messageId": "m", "role": "user", "kind": "message", **more}
    for method in ("message/send", "message/stream"):
        assert reached.rpc(method, {"message": said}, version="")["error"]["code"] == -32602
