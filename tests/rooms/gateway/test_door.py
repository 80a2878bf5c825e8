"""The HTTP door, asked over a real socket: what comes in, what is refused, and how."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.calls import Reply, call
from tests.conftest import ECHO, RunningHouse

Start = Callable[..., RunningHouse]
CHAT = {"model": "echo", "messages": [{"role": "user", "content": "hello there"}]}


def chat(house: RunningHouse, body: Any = None, **headers: str) -> Reply:
    return call(f"{house.url}/v1/chat/completions", "POST", body or CHAT, {**house.headers, **headers})


def test_a_chat_completion_has_openais_form(house: Start) -> None:
    reply = chat(house(ECHO))
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.json["object"] == "chat.completion"
    assert reply.json["choices"][0]["message"] == {"role": "assistant", "content": "hello there"}
    assert reply.json["usage"]["total_tokens"] == 4
    assert reply.headers["x-request-id"].startswith("req_")


def test_a_stream_ends_with_done_and_reports_usage_only_when_asked(house: Start) -> None:
    started = house(ECHO)
    plain = chat(started, {**CHAT, "stream": True})
    assert plain.headers["content-type"].startswith("text/event-stream")
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in plain.events[:-1]) == "hello there"
    assert plain.events[-1] == "[DONE]"
    asked = chat(started, {**CHAT, "stream": True, "stream_options": {"include_usage": True}})
    assert asked.events[-2]["usage"]["completion_tokens"] == 2
    assert asked.events[-2]["choices"] == []


def test_a_text_completion_continues_a_prompt(house: Start) -> None:
    started = house(ECHO)
    reply = call(f"{started.url}/v1/completions", "POST", {"model": "echo", "prompt": "once"}, started.headers)
    assert reply.json["object"] == "text_completion"
    assert reply.json["choices"][0]["text"] == "once"


def test_the_models_are_listed_and_shown(house: Start) -> None:
    started = house(ECHO, {"name": "org/other", "serve": {"engine": "echo"}})
    listed = call(f"{started.url}/v1/models", headers=started.headers)
    assert [model["id"] for model in listed.json["data"]] == ["echo", "org/other"]
    shown = call(f"{started.url}/v1/models/org/other", headers=started.headers)
    assert (shown.status, shown.json["id"]) == (200, "org/other")
    assert call(f"{started.url}/v1/models/none", headers=started.headers).status == 404


@pytest.mark.parametrize(
    ("shown", "says"),
    [
        (None, "no key was given"),
        ("Bearer hk-wrong", "not known"),
        ("Basic abc", "not known"),
        ("Bearer ", "not known"),
        ("Bearer h\xe9", "not known"),
    ],
)
def test_a_missing_or_unknown_key_is_refused_with_401(house: Start, shown: str | None, says: str) -> None:
    headers = {"content-type": "application/json", **({"authorization": shown} if shown else {})}
    started = house(ECHO)
    for path, method in (("/v1/chat/completions", "POST"), ("/v1/embeddings", "POST"), ("/v1/models", "GET")):
        reply = call(f"{started.url}{path}", method, CHAT if method == "POST" else None, headers)
        assert reply.status == 401
        assert reply.headers["www-authenticate"] == "Bearer"
        assert reply.error["code"] == "invalid_api_key"
        assert says in reply.error["message"]


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        (b"", None, "invalid_json"),
        (b"{", None, "invalid_json"),
        (b"hello", None, "invalid_json"),
        (b"[1]", None, "invalid_value"),
        (b'{"messages":[{"role":"user","content":"x"}]}', "model", "invalid_value"),
        (b'{"model":"echo"}', "messages", "invalid_value"),
        (b'{"model":"echo","messages":[]}', "messages", "invalid_value"),
        (b'{"model":"echo","messages":"x"}', "messages", "invalid_value"),
        (b'{"model":5,"messages":[]}', "model", "invalid_value"),
        (b'{"model":"echo","messages":[{"role":"robot","content":"x"}]}', "messages[0].role", "invalid_value"),
        (b'{"model":"echo","messages":[{"role":"user","content":5}]}', "messages[0].content", "invalid_value"),
        (b'{"model":"echo","messages":[{"content":"x"}]}', "messages[0].role", "invalid_value"),
        (
            b'{"model":"echo","messages":[{"role":"user","content":"x"}],"temperature":3}',
            "temperature",
            "invalid_value",
        ),
        (b'{"model":"echo","messages":[{"role":"user","content":"x"}],"max_tokens":0}', "max_tokens", "invalid_value"),
        (b'{"model":"echo","messages":[{"role":"user","content":"x"}],"stream":"yes"}', "stream", "invalid_value"),
        (b'{"model":"echo","messages":[{"role":"user","content":"\xff\xfe"}]}', None, "invalid_utf8"),
        (b'{"model":"echo","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", None, "invalid_json"),
    ],
)
def test_a_malformed_body_is_refused_naming_the_field(house: Start, body: bytes, param: str | None, code: str) -> None:
    started = house(ECHO)
    reply = chat(started, body or b" ")
    assert reply.status == 400
    assert (reply.error["type"], reply.error["param"], reply.error["code"]) == ("invalid_request_error", param, code)
    assert chat(started).status == 200, "the server must stay up"


def test_an_unknown_model_is_a_404_that_names_the_parameter(house: Start) -> None:
    reply = chat(house(ECHO), {**CHAT, "model": "gpt-9"})
    assert (reply.status, reply.error["param"], reply.error["code"]) == (404, "model", "model_not_found")
    assert "gpt-9" in reply.error["message"]


def test_text_asked_of_a_model_for_vectors_says_where_to_ask(house: Start) -> None:
    vectors = {"name": "v", "type": "embedding", "serve": {"engine": "openai", "url": "http://127.0.0.1:9/v1"}}
    reply = chat(house(ECHO, vectors), {**CHAT, "model": "v"})
    assert reply.status == 404
    assert "/v1/embeddings" in reply.error["message"]


def test_another_content_type_is_refused_with_415(house: Start) -> None:
    started = house(ECHO)
    for wrong in ("text/plain", "application/x-www-form-urlencoded", ""):
        reply = chat(started, None, **{"content-type": wrong})
        assert (reply.status, reply.error["code"]) == (415, "unsupported_media_type")
    assert chat(started, None, **{"content-type": "Application/JSON; charset=utf-8"}).status == 200


def test_a_body_over_the_limit_is_refused_with_413_whether_or_not_its_length_is_told(house: Start) -> None:
    started = house(ECHO, gateway={"body_limit_mib": 0.01})
    big = json.dumps({**CHAT, "x": "y" * 20_000}).encode()
    assert chat(started, big).error["code"] == "body_too_large"
    host, port = started.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as plain:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {started.key}\r\n"
        plain.sendall(head.encode() + b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
        plain.sendall(f"{len(big):x}\r\n".encode() + big + b"\r\n0\r\n\r\n")
        assert plain.recv(100).startswith(b"HTTP/1.1 413")
    assert chat(started).status == 200


def test_unknown_paths_and_wrong_methods_get_the_envelope_too(house: Start) -> None:
    started = house(ECHO)
    missing = call(f"{started.url}/v2/chat", headers=started.headers)
    assert (missing.status, missing.error["code"]) == (404, "not_found")
    wrong = call(f"{started.url}/v1/chat/completions", headers=started.headers)
    assert (wrong.status, wrong.headers["allow"], wrong.error["code"]) == (405, "POST", "method_not_allowed")


@pytest.mark.parametrize(
    ("path", "meant"),
    [("/chat/completions", "/v1/chat/completions"), ("/messages", "/v1/messages"), ("/v1/v1/models", "/v1/models"),
     ("/v1/health/ready", "/health/ready")],
)  # fmt: skip
def test_a_path_of_another_base_url_is_answered_with_the_right_one(house: Start, path: str, meant: str) -> None:
    started = house(ECHO)
    refused = call(f"{started.url}{path}", headers=started.headers)
    assert (refused.status, f"did you mean {meant}?" in refused.error["message"]) == (404, True)


def test_a_request_id_is_kept_or_made(house: Start) -> None:
    started = house(ECHO)
    assert chat(started, None, **{"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    assert chat(started).headers["x-request-id"] != chat(started).headers["x-request-id"]


def test_health_and_metrics_need_no_key(house: Start) -> None:
    started = house(ECHO)
    chat(started)
    assert call(f"{started.url}/health/live").json == {"status": "live"}
    ready = call(f"{started.url}/health/ready").json
    assert (ready["status"], ready["endpoints"]) == ("ready", {"echo#1": "up"})
    assert ready["config"]["refused"] is None
    text = call(f"{started.url}/metrics").body.decode()
    assert 'hanok_requests_total{model="echo",status="ok"} 1.0' in text
    assert 'hanok_tokens_total{direction="output",model="echo"} 2.0' in text
    assert 'hanok_endpoint_up{endpoint="echo#1",model="echo"} 1.0' in text


def test_a_draining_house_takes_no_new_calls_and_says_so(house: Start) -> None:
    started = house(ECHO)
    started.house.door.draining = True
    reply = chat(started)
    assert (reply.status, reply.error["code"], reply.headers["retry-after"]) == (503, "draining", "5")
    assert call(f"{started.url}/health/ready").status == 503
    assert call(f"{started.url}/health/live").status == 200


@pytest.mark.parametrize(
    "path",
    [
        *(
            "files",
            "files/",
            "batches",
            "messages",
            "responses",
            "knowledge/docs/answer",
            "knowledge/docs/search",
            "agents/writer/runs",
        ),
        *("vector_stores/vs_1/search", "vector_stores/kb_docs/search"),
    ],
)
def test_nothing_new_is_made_while_draining(house: Start, path: str) -> None:
    started = house(ECHO)
    started.house.door.draining = True
    reply = call(f"{started.url}/v1/{path}", "POST", {}, started.headers)
    assert (reply.status, reply.headers["retry-after"], reply.headers["connection"]) == (503, "5", "close")
    assert reply.json["error"]["code"] == "draining"
    assert call(f"{started.url}/v1/files", headers=started.headers).status == 200


def test_a_batch_may_be_cancelled_while_draining(house: Start) -> None:
    started = house(ECHO)
    started.house.door.draining = True
    reply = call(f"{started.url}/v1/batches/batch_1/cancel", "POST", {}, started.headers)
    assert reply.status == 404


def test_every_call_is_in_the_ledger_with_its_session_and_user(house: Start) -> None:
    started = house({**ECHO, "price": {"input": 1_000_000, "output": 2_000_000}})
    chat(started, {**CHAT, "user": "ann"}, **{"x-session-id": "s-1"})
    chat(started, {**CHAT, "stream": True})
    started.house.ledger.flush()
    sessions = {row.group: row for row in started.house.ledger.usage("session")}
    assert set(sessions) == {"s-1", ""}
    assert sessions["s-1"].cost_usd == pytest.approx(2 * 1 + 2 * 2)
    assert [row.group for row in started.house.ledger.usage("key")] == ["test"]


def test_a_revoked_key_closes_and_a_new_one_opens_while_the_server_runs(house: Start) -> None:
    started = house(ECHO)
    other = started.house.ledger.create_key("other")
    started.house.ledger.revoke_key("test")

    def settled() -> bool:
        new = chat(started, None, authorization=f"Bearer {other.secret}").status
        return (chat(started).status, new) == (401, 200)

    assert any(settled() for _ in range(2000))


def test_names_of_models_that_do_not_exist_reach_neither_the_ledger_nor_the_metrics(house: Start) -> None:
    started = house(ECHO)
    assert chat(started, {**CHAT, "model": "made-up"}).status == 404
    started.house.ledger.flush()
    assert started.house.ledger.usage("model") == []
    assert "made-up" not in call(f"{started.url}/metrics").body.decode()
