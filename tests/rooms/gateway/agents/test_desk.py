"""The desk for agents: runs are started, watched, answered, stopped and found again, each tenant's his own."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.calls import Reply, call
from tests.conftest import wait_until
from tests.rooms.gateway.agents.conftest import People

SAID = {"role": "user", "content": "x"}


def test_agents_are_listed_and_shown_with_their_graph(people: People) -> None:
    listed = people.ask("/v1/agents").json["data"]
    assert [each["id"] for each in listed] == ["writer", "spy"]
    assert [each["id"] for each in people.ask("/v1/agents", who="red-narrow").json["data"]] == ["spy"]
    shown = people.ask("/v1/agents/writer").json
    assert (shown["description"], shown["tools"]) == ("Writes.", ["add", "ask_user"])
    assert shown["limits"]["steps"] == 25 and shown["graph"].startswith("graph TD")


def test_a_run_is_answered_with_what_it_used(people: People) -> None:
    reply = people.ask("/v1/agents/writer/runs", {"input": "good day", "metadata": {"ticket": 7}})
    run = reply.json
    assert reply.status == 200 and reply.headers["content-location"] == f"/v1/agent-runs/{run['id']}"
    assert (run["state"], run["answer"], run["metadata"]) == ("done", "1: good day", {"ticket": 7})
    assert run["usage"]["total_tokens"] == 10 and run["usage"]["cost_usd"] == 0.002
    assert people.ask(f"/v1/agent-runs/{run['id']}").json == run


def test_messages_are_taken_as_chats_have_them(people: People) -> None:
    messages = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    run = people.ask("/v1/agents/writer/runs", {"messages": [*messages, {"role": "user", "content": "three"}]}).json
    assert run["answer"] == "3: three"
    assert all(message["id"] for message in run["input"])


def test_runs_on_a_thread_see_what_was_said_before(people: People) -> None:
    first = people.start("one")
    assert people.start("two", thread=first["thread"])["answer"] == "3: two"
    people.start("one", session="mine")
    again = people.start("two", session="mine")
    assert again["answer"] == "3: two"
    assert people.start("two", session="mine", who="blue")["answer"] == "1: two"
    assert people.start("two", session="mine", agent="spy")["answer"] == "1: two"


def test_a_run_in_the_background_is_told_at_once(people: People) -> None:
    reply = people.ask("/v1/agents/writer/runs", {"input": "slow", "wait": 0})
    assert reply.status == 202 and reply.json["state"] in ("queued", "running")
    own = reply.json["id"]
    assert people.ask("/v1/agents/writer/runs", {"input": "slow", "wait": 0.01}).status == 202
    assert people.ask(f"/v1/agent-runs/{own}/cancel", {}).json["state"] == "cancelled"


def test_a_retry_with_its_key_finds_the_same_run(people: People) -> None:
    def start(text: str, who: str = "red") -> Reply:
        return people.ask("/v1/agents/writer/runs", {"input": text}, who=who, **{"idempotency-key": "k1"})

    first, again = start("once").json, start("once").json
    assert first["id"] == again["id"]
    other = start("twice")
    assert (other.status, other.error["code"]) == (422, "idempotency_key_reused")
    assert start("once", "blue").json["id"] != first["id"]


def events_of(reply: Reply) -> list[tuple[int, str]]:
    found = re.findall(r"^id: (\d+)\nevent: (\w+)\ndata: ", reply.body.decode(), re.MULTILINE)
    return [(int(seq), name) for seq, name in found]


def test_a_run_is_streamed_as_numbered_events(people: People) -> None:
    reply = people.ask("/v1/agents/writer/runs/stream", {"input": "good day"})
    told = events_of(reply)
    assert [seq for seq, _ in told] == list(range(1, len(told) + 1))
    assert [name for _, name in told] == ["run", "step", "token", "token", "token", "message", "done"]
    assert reply.events[-1]["data"]["answer"] == "1: good day"
    streamed = people.ask("/v1/agents/writer/runs", {"input": "good day", "stream": True})
    assert [name for _, name in events_of(streamed)] == [name for _, name in told]


def test_a_stream_goes_on_after_the_last_event_that_was_seen(people: People) -> None:
    own = people.start("good day")["id"]
    path = f"/v1/agent-runs/{own}/events"
    stream = {"accept": "text/event-stream"}
    assert events_of(people.ask(path, **stream, **{"last-event-id": "5"})) == [(6, "message"), (7, "done")]
    assert events_of(people.ask(f"{path}?after=6&stream=true")) == [(7, "done")]
    listed = people.ask(f"{path}?after=2&limit=2").json
    assert ([each["seq"] for each in listed["data"]], listed["has_more"], listed["last_seq"]) == ([3, 4], True, 4)
    assert people.ask(path).json["has_more"] is False


def test_a_watcher_who_goes_away_leaves_the_run_alone_unless_told(people: People) -> None:
    for cancels, state in ((False, "running"), (True, "cancelled")):
        body = {"input": "slow", "stream": True, "cancel_on_disconnect": cancels}
        own = leave_early(people, "/v1/agents/writer/runs", body)
        wait_until(lambda own=own, state=state: people.ask(f"/v1/agent-runs/{own}").json["state"] == state)
    people.ask(f"/v1/agent-runs/{own}/cancel", {})


def test_a_house_that_shuts_down_cancels_nothing(people: People) -> None:
    house = people.house.house
    body = {"input": "slow", "stream": True, "cancel_on_disconnect": True}
    try:
        own = leave_early(
            people, "/v1/agents/writer/runs", body, and_then=lambda: setattr(house.door, "draining", True)
        )
        wait_until(lambda: house.servers[0].busy() == 0)
    finally:
        house.door.draining = False
    assert people.ask(f"/v1/agent-runs/{own}").json["state"] == "running"
    people.ask(f"/v1/agent-runs/{own}/cancel", {})


def leave_early(
    people: People, path: str, body: dict[str, Any], *, and_then: Callable[[], object] = lambda: None
) -> str:
    """Read the beginning of a stream and a sign of life, and hang up; the run's id."""
    parts = urlsplit(people.house.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    connection.request("POST", path, json.dumps(body).encode(), people.headers("red"))
    response = connection.getresponse()
    seen = b""
    while b": keep-alive" not in seen:
        seen += response.read1(1)
    and_then()
    response.close()
    connection.close()
    found = re.search(rb'"run":"(\w+)"', seen)
    assert found is not None
    return found[1].decode()


def test_a_run_waits_for_an_answer_and_goes_on(people: People) -> None:
    run = people.start("wait for me")
    assert run["state"] == "waiting"
    (wanted,) = run["wanted"]
    assert (wanted["kind"], wanted["tool"]) == ("approval", "delete_file")
    answers = f"/v1/agent-runs/{run['id']}/answers"
    refused = people.ask(answers, {"answers": {"ask_9": {"approve": True}}})
    assert (refused.status, refused.error["param"]) == (400, "answers")
    people.ask(answers, {"answers": {wanted["id"]: {"approve": False, "reason": "no"}}})
    ended = people.ask(f"/v1/agent-runs/{run['id']}").json
    assert (ended["state"], ended["answer"], ended["wanted"]) == ("done", "left alone", [])


def test_a_run_is_paused_and_resumed(people: People) -> None:
    own = people.start("slow", wait=0)["id"]
    wait_until(lambda: people.ask(f"/v1/agent-runs/{own}").json["state"] == "running")
    assert people.ask(f"/v1/agent-runs/{own}/pause", {}).json["state"] == "paused"
    assert people.ask(f"/v1/agent-runs/{own}/resume", {}).json["state"] == "running"
    assert people.ask(f"/v1/agent-runs/{own}/resume", {}).status == 400
    people.ask(f"/v1/agent-runs/{own}/cancel", {})


def test_a_run_is_forked_from_a_checkpoint_into_a_thread_of_its_own(people: People) -> None:
    run = people.start("one")
    checkpoints = people.ask(f"/v1/agent-runs/{run['id']}/checkpoints").json["data"]
    assert [len(each["values"]["messages"]) for each in checkpoints] == [2, 1]
    body = {"checkpoint": checkpoints[1]["id"], "input": "another"}
    forked = people.ask(f"/v1/agent-runs/{run['id']}/fork", body).json
    assert (forked["answer"], forked["metadata"]["forked_from"]) == ("2: another", run["id"])
    assert forked["thread"] != run["thread"]


def test_runs_are_listed_page_by_page(people: People) -> None:
    own = [people.start(str(number), agent="spy")["id"] for number in range(3)]
    first = people.ask("/v1/agents/spy/runs?limit=2").json
    assert [each["id"] for each in first["data"]] == own[:0:-1] and first["has_more"]
    rest = people.ask(f"/v1/agent-runs?agent=spy&limit=1&after={first['last_id']}").json
    assert [each["id"] for each in rest["data"]] == own[:1]
    assert people.ask("/v1/agent-runs?agent=spy&state=failed,waiting").json["data"] == []
    assert people.ask("/v1/agent-runs?state=lost").error["param"] == "state"


def test_nobody_sees_anothers_runs(people: People) -> None:
    own = people.start("good day")["id"]
    for who in ("blue", "red-narrow"):
        for method, rest in (("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/fork")):
            reply = people.ask(f"/v1/agent-runs/{own}{rest}", {} if method == "POST" else None, who=who)
            assert (reply.status, reply.error["code"]) == (404, "run_not_found")
        assert own not in people.ask("/v1/agent-runs?limit=100", who=who).body.decode()
    thread = people.ask(f"/v1/agent-runs/{own}").json["thread"]
    assert people.ask("/v1/agents/writer/runs", {"input": "x", "thread": thread}, who="blue").status == 404


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": "x", "messages": [{"role": "user", "content": "x"}]}, "input"),
        ({"messages": [{"role": "nobody", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "assistant", "content": None, "tool_calls": []}]}, "messages[0]"),
        ({"wait": 1, "messages": [{"role": "assistant", "tool_calls": [{"function": 5}]}, SAID]}, "messages[0]"),
        ({"wait": 1, "messages": [{"role": "assistant", "tool_calls": [{"id": 5}]}, SAID]}, "messages[0]"),
        ({"input": "x", "limits": {"step": 1}}, "limits"),
        ({"input": "x", "limits": {"steps": -1}}, "limits.steps"),
        ({"input": "x", "limits": {"usd": 0}}, "limits.usd"),
        ({"input": "x", "thread": "a", "session": "b"}, "session"),
        ({"input": "x", "wait": 4000}, "wait"),
        ({"input": "x", "metadata": 1}, "metadata"),
    ],
)
def test_a_wrong_order_is_refused_by_its_field(people: People, body: dict[str, Any], param: str) -> None:
    reply = people.ask("/v1/agents/writer/runs", body)
    assert (reply.status, reply.error["param"]) == (400, param)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/agents", 405),
        ("DELETE", "/v1/agents/writer", 405),
        ("DELETE", "/v1/agents/writer/runs", 405),
        ("GET", "/v1/agents/writer/runs/stream", 405),
        ("GET", "/v1/agents/nobody", 404),
        ("POST", "/v1/agents/nobody/runs", 404),
        ("POST", "/v1/agent-runs", 405),
        ("GET", "/v1/agent-runs/nothing", 404),
        ("GET", "/v1/agents/writer/what", 404),
    ],
)
def test_what_is_not_there_is_told(people: People, method: str, path: str, status: int) -> None:
    assert people.ask(path, {"input": "x"} if method == "POST" else None, method=method).status == status


@pytest.mark.parametrize("path", ["/v1/agent-runs", "/agent-protocol/assistants/writer"])
def test_who_comes_with_another_method_is_told_which_there_are(people: People, path: str) -> None:
    reply = people.ask(path, {}, method="DELETE")
    assert (reply.status, reply.headers["allow"]) == (405, "GET")
    assert "takes GET; " in reply.error["message"]


def test_without_a_key_nothing_is_told(people: People) -> None:
    for path in ("/v1/agents", "/v1/agents/writer", "/v1/agent-runs", "/v1/agent-runs/x"):
        assert call(f"{people.house.url}{path}", "GET", None, {}).status == 401


def test_a_list_shows_nothing_of_runs_of_closed_agents_not_even_where_they_end(people: People) -> None:
    thread = people.start("one")["thread"]
    people.start("two", thread=thread)
    listed = people.ask(f"/v1/agent-runs?thread={thread}&limit=1").json
    assert (len(listed["data"]), listed["has_more"]) == (1, True)
    rest = people.ask(f"/v1/agent-runs?thread={thread}&limit=1&after={listed['last_id']}").json
    assert (len(rest["data"]), rest["has_more"]) == (1, False)
    closed = people.ask(f"/v1/agent-runs?thread={thread}&limit=1", who="red-narrow").json
    assert (closed["data"], closed["has_more"], closed["last_id"]) == ([], False, None)
