"""Pushes: who asked for it is told of a task as it goes on, where that may be sent, and nowhere else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from a2a.client import Client
from a2a.types import a2a_pb2 as pb

from hanok.gateway.a2a.push_store import MOST_OF_RUN, Push, PushStore
from hanok.web.client import Web
from tests.conftest import wait_until
from tests.rooms.gateway.a2a.conftest import Hook, Reached, make_pusher, message, words


def config(hook: Hook, **more: Any) -> dict[str, Any]:
    return {"taskPushNotificationConfig": {"url": hook.url, **more}}


def start(reached: Reached, text: str, configuration: Any) -> Any:
    return reached.rpc("SendMessage", {"message": words(text), "configuration": configuration})


def test_every_state_is_told_with_the_caller_s_own_token(reached: Reached, hook: Hook) -> None:
    wanted = config(hook, id="mine", token="tell-me", authentication={"scheme": "Bearer", "credentials": "abc"})
    task = start(reached, "hello", wanted)["result"]["task"]
    hook.wait("TASK_STATE_COMPLETED")
    headers, body = hook.heard[-1]
    assert (headers["x-a2a-notification-token"], headers["authorization"]) == ("tell-me", "Bearer abc")
    assert headers["host"].startswith("hook.example:")
    assert body["task"]["id"] == task["id"]
    assert body["task"]["artifacts"][0]["parts"][0]["text"] == "1: hello"


def test_a_push_goes_on_after_a_person_has_answered(reached: Reached, hook: Hook) -> None:
    task = start(reached, "wait", config(hook))["result"]["task"]
    hook.wait("TASK_STATE_INPUT_REQUIRED")
    reached.rpc("SendMessage", {"message": words("yes", taskId=task["id"])})
    reached.pusher._store.release(only(reached, task["id"]), until=0.0)  # pyright: ignore[reportPrivateUsage]
    reached.house.loop.call_soon_threadsafe(reached.pusher._wake.set)  # pyright: ignore[reportPrivateUsage]
    hook.wait("TASK_STATE_COMPLETED")


def only(reached: Reached, run: str) -> Push:
    (push,) = reached.pusher._store.of_run(run, tenant="red")  # pyright: ignore[reportPrivateUsage]
    return push


def test_a_server_that_fails_for_a_moment_is_told_again(reached: Reached, hook: Hook) -> None:
    hook.statuses.extend([503, 429])
    start(reached, "fail", config(hook))
    wait_until(lambda: len(hook.heard) >= 3)
    assert set(hook.states()) == {"TASK_STATE_FAILED"}


def test_pushes_are_set_found_listed_and_removed(reached: Reached, hook: Hook) -> None:
    task = reached.say("wait")

    async def change(client: Client) -> None:
        wanted = pb.TaskPushNotificationConfig(task_id=task["id"], id="one", url=hook.url, token="t")
        made = await client.create_task_push_notification_config(wanted)
        named = pb.GetTaskPushNotificationConfigRequest(task_id=task["id"], id="one")
        assert await client.get_task_push_notification_config(named) == made == wanted
        listing = pb.ListTaskPushNotificationConfigsRequest(task_id=task["id"])
        assert list((await client.list_task_push_notification_configs(listing)).configs) == [made]
        removing = pb.DeleteTaskPushNotificationConfigRequest(task_id=task["id"], id="one")
        await client.delete_task_push_notification_config(removing)
        assert not (await client.list_task_push_notification_configs(listing)).configs

    for binding in ("JSONRPC", "HTTP+JSON"):
        reached.with_client(change, supported_protocol_bindings=[binding], use_client_preference=True)
    missing = reached.rpc("GetTaskPushNotificationConfig", {"taskId": task["id"], "id": "one"})
    assert missing["error"]["code"] == -32001


def test_one_that_is_set_later_is_told_of_what_comes_then(reached: Reached, hook: Hook) -> None:
    task = reached.say("wait")
    reached.rpc("CreateTaskPushNotificationConfig", {"taskId": task["id"], "url": hook.url})
    reached.rpc("SendMessage", {"message": words("no", taskId=task["id"])})
    hook.wait("TASK_STATE_COMPLETED")
    assert "TASK_STATE_INPUT_REQUIRED" not in hook.states()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x",
        "http://[::1]/x",
        "http://[::ffff:10.0.0.1]/x",
        "http://169.254.169.254/latest/meta-data",
        "http://inner.example/x",
        "http://split.example/x",
        "http://user:word@93.184.215.14/x",
        "ftp://93.184.215.14/x",
        "file:///etc/passwd",
        "nonsense",
        "http://93.184.215.14:0/x",
    ],
)
def test_nothing_is_pushed_to_places_inside(reached: Reached, url: str) -> None:
    before, reached.pusher.web = reached.pusher.web, make_pusher(reached.agency, reached.folder, private=False).web
    try:
        refused = start(reached, "never begun", {"taskPushNotificationConfig": {"url": url}})
        task = reached.say("wait")
        later = reached.rpc("CreateTaskPushNotificationConfig", {"taskId": task["id"], "url": url})
    finally:
        reached.pusher.web = before
    assert refused["error"]["code"] == later["error"]["code"] == -32602
    texts = [task["history"][0]["parts"][0]["text"] for task in reached.rpc("ListTasks", {})["result"]["tasks"]]
    assert "never begun" not in texts


def test_metadata_of_clouds_is_refused_also_where_private_networks_are_allowed(reached: Reached) -> None:
    refused = start(reached, "x", {"taskPushNotificationConfig": {"url": "http://169.254.169.254/"}})
    assert "link-local" in refused["error"]["message"] or "cloud" in refused["error"]["message"]


def test_a_name_that_resolves_elsewhere_later_is_refused_when_it_is_sent(
    reached: Reached, hook: Hook, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answers = iter([["93.184.215.14"]])
    web = Web(resolve=lambda *_: next(answers, ["127.0.0.1"]))
    pusher = make_pusher(reached.agency, tmp_path, private=False)
    pusher.web = web

    async def push() -> None:
        (run,) = await reached.agency.runs(tenant="red", agent="writer", states=["done"], limit=1)
        await pusher.check(hook.url)
        await pusher.add(Push(run=run.id, id="one", tenant="red", agent="writer", url=hook.url))
        live = asyncio.create_task(pusher.live())
        while "is of a private network" not in caplog.text:
            await asyncio.sleep(0.01)
        live.cancel()
        await asyncio.gather(live, return_exceptions=True)

    reached.say("hello")
    reached.house.run(push())
    assert hook.heard == []


def test_a_redirect_is_not_followed(reached: Reached, hook: Hook) -> None:
    hook.statuses.extend([302, 302])
    start(reached, "hello", config(hook))
    wait_until(lambda: len(hook.heard) >= 2)
    assert hook.statuses == []


@pytest.mark.parametrize("wrong", [{"token": "a\r\nb: c"}, {"token": "x" * 5000}, {"id": "x" * 500}])
def test_what_cannot_be_a_header_is_refused(reached: Reached, hook: Hook, wrong: Any) -> None:
    assert start(reached, "hello", config(hook, **wrong))["error"]["code"] == -32602


def test_a_task_has_so_many_and_no_more(reached: Reached, hook: Hook) -> None:
    task = reached.say("wait")
    given = {"taskId": task["id"], "url": hook.url}
    codes = [
        reached.rpc("CreateTaskPushNotificationConfig", given).get("error", {}).get("code")
        for _ in range(MOST_OF_RUN + 1)
    ]
    assert codes == [None] * MOST_OF_RUN + [-32602]


def test_one_process_at_a_time_has_a_push_and_another_goes_on_where_it_was(tmp_path: Path) -> None:
    one, two = PushStore(tmp_path / "pushes.db"), PushStore(tmp_path / "pushes.db")
    push = Push(run="r", id="p", tenant="red", agent="writer", url="https://example.com/")
    assert one.claim("one", now=0.0, until=10.0, most=5) == []
    assert one.add(push)
    assert one.claim("one", now=1.0, until=10.0, most=5) == [push]
    assert two.claim("two", now=2.0, until=12.0, most=5) == []
    assert one.told(push, seq=7)
    one.renew("one", until=20.0)
    assert two.claim("two", now=15.0, until=25.0, most=5) == []
    (taken,) = two.claim("two", now=21.0, until=31.0, most=5)
    assert taken.seq == 7
    two.finish(taken, at=30.0, forget_before=0.0)
    assert one.claim("one", now=99.0, until=100.0, most=5) == []
    assert [each.id for each in one.of_run("r", tenant="red")] == ["p"]
    assert one.of_run("r", tenant="blue") == []
    one.remove("r", "p", tenant="blue")
    assert not one.told(Push(run="x", id="p", tenant="red", agent="writer", url=""), seq=1)
    two.finish(taken, at=50.0, forget_before=60.0)
    assert one.of_run("r", tenant="red") == []
    one.close()
    two.close()


def test_the_sdk_s_client_may_ask_for_pushes_with_every_message(reached: Reached, hook: Hook) -> None:
    async def talk(client: Client) -> None:
        [each async for each in client.send_message(message("hello"))]

    reached.with_client(talk, push_notification_config=pb.TaskPushNotificationConfig(url=hook.url, token="t"))
    hook.wait("TASK_STATE_COMPLETED")
