"""What callers send that is no A2A: it is refused in its own words, and breaks nothing."""

from __future__ import annotations

import base64
import json
import logging
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.calls import Reply
from tests.rooms.gateway.a2a.conftest import Reached, words

METHODS = ("SendMessage", "GetTask", "ListTasks", "CancelTask", "message/send", "tasks/get", "nonsense", "")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(("id", "message", "parts", "text", "data", "role", "taskId", "contextId", "pageSize", "kind"))
PARAMS = st.recursive(JSON, lambda inner: st.dictionaries(FIELDS, inner, max_size=5), max_leaves=12)


def post(reached: Reached, body: bytes, *, version: str = "1.0", path: str = "/a2a/writer") -> Reply:
    return reached.ask(path, body, a2a_version=version)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b"[]", -32600),
        (b"null", -32600),
        (b"7", -32600),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "GetTask"}', -32600),
        (b'{"jsonrpc": "2.0", "id": true, "method": "GetTask"}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "Nonsense"}', -32601),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": 7}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": [7]}', -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": {"role": "king"}}}', -32602),
        (b'[{"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": "x"}}]', -32600),
        (b"[" * 100_000, -32700),
        (b'{"jsonrpc": "2.0", "id": NaN, "method": "GetTask"}', -32700),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": "\\ud800"}}', -32700),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": ' + b'{"message":' * 5000 + b"1", -32700),
    ],
)
def test_what_is_no_call_is_said_to_be_none(reached: Reached, body: bytes, code: int) -> None:
    answer = post(reached, body)
    assert answer.status == 200
    assert answer.json["error"]["code"] == code
    assert "Traceback" not in answer.body.decode()


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(method=st.sampled_from(METHODS), params=PARAMS, id_=JSON, version=st.sampled_from(("1.0", "0.3", "9", "x")))
def test_no_made_up_call_breaks_the_door(reached: Reached, method: str, params: Any, id_: Any, version: str) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": id_, "method": method, "params": params}).encode()
    answer = post(reached, body, version=version)
    assert answer.status == 200
    error = answer.json.get("error")
    assert error is None or error["code"] != -32603, (body, error)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/a2a/writer", None, 405),
        ("PUT", "/a2a/writer/tasks", b"{}", 405),
        ("GET", "/a2a/writer/nothing/here", None, 404),
        ("POST", "/a2a/writer/message:send", b"{", 400),
        ("POST", "/a2a/writer/message:send", b"{}", 400),
        ("POST", "/a2a/writer/message:stream", b"[]", 400),
        ("GET", "/a2a/writer/tasks/none", None, 404),
        ("GET", "/a2a/writer/tasks?pageSize=x", None, 400),
        ("GET", "/a2a/writer/tasks/%00", None, 404),
        ("HEAD", "/a2a/writer/.well-known/agent-card.json", None, 200),
        ("OPTIONS", "/a2a/writer/tasks", None, 405),
    ],
)
def test_rest_has_a_status_for_each_mistake(
    reached: Reached, method: str, path: str, body: bytes | None, status: int
) -> None:
    answer = reached.ask(path, body, method=method, a2a_version="1.0")
    assert answer.status == status, answer.body
    if method != "HEAD":
        assert answer.json["error"]["message"]


def test_a_message_that_is_too_large_is_refused_and_a_large_one_is_not(reached: Reached) -> None:
    large = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": words("x" * 1_500_000)}}
    assert post(reached, json.dumps(large).encode()).json["result"]["task"]["status"]["state"] == "TASK_STATE_COMPLETED"
    larger = {**large, "params": {"message": words("x" * 2_200_000)}}
    answer = post(reached, json.dumps(larger).encode())
    assert (answer.status, answer.json["error"]["code"]) == (413, "body_too_large")


def test_text_that_is_no_unicode_is_taken_as_far_as_it_is_one(reached: Reached) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"message/send","params":{"message":{"kind":"message","messageId":"s",'
    body += b'"role":"user","parts":[{"kind":"text","text":"a \\ud800 b"}]}}}'
    assert post(reached, body, version="").status == 200


def test_mistakes_of_callers_do_not_fill_the_log(reached: Reached, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for body in (b"{", b'{"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": 7}', b"[1]"):
        post(reached, body)
    assert caplog.text == ""


def test_a_token_with_a_number_beyond_all_bounds_and_a_version_without_end_are_the_callers_fault(
    reached: Reached,
) -> None:
    token = base64.urlsafe_b64encode(b'["x", Infinity]').decode()
    assert reached.rpc("ListTasks", {"pageToken": token})["error"]["code"] == -32602
    assert reached.rpc("ListTasks", {}, version="9" * 5000)["error"]["code"] == -32009
