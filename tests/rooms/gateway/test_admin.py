"""The admin API: keys with scopes, budgets and limits, rotation, expiry, usage and the audit log; and who may not."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.calls import Reply, call
from tests.conftest import ECHO, RunningHouse

Start = Callable[..., RunningHouse]
SECRET = "an-admin-key-of-some-length"
GATEWAY = {"admin_key": SECRET}
TEAMS = [{"name": "research", "models": ["echo"]}, {"name": "sales"}]
OTHER = {"name": "other", "serve": {"engine": "echo"}}


@pytest.fixture
def start(house: Start) -> Callable[..., RunningHouse]:
    return lambda *models, **more: house(*(models or (ECHO, OTHER)), **{"gateway": GATEWAY, "teams": TEAMS, **more})


def admin(house: RunningHouse, method: str, path: str, body: Any = None, secret: str = SECRET) -> Reply:
    headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
    return call(f"{house.url}/admin/{path}", method, body, headers)


def chat(house: RunningHouse, secret: str, model: str = "echo", **more: Any) -> Reply:
    headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}], **more}
    return call(f"{house.url}/v1/chat/completions", "POST", body, headers)


def test_a_key_made_here_opens_the_door_at_once_and_no_longer_when_revoked(start: Start) -> None:
    started = start()
    made = admin(started, "POST", "keys", {"name": "alice", "team": "sales"})
    assert made.status == 201
    secret = made.json["secret"]
    assert chat(started, secret).status == 200
    assert admin(started, "DELETE", "keys/alice").json["revoked_at"]
    assert chat(started, secret).status == 401


def test_a_key_opens_what_its_own_scope_and_its_teams_allow(start: Start) -> None:
    started = start()
    secret = admin(started, "POST", "keys", {"name": "a", "team": "research"}).json["secret"]
    assert chat(started, secret, "other").error["code"] == "model_not_allowed"
    headers = {"authorization": f"Bearer {secret}"}
    assert [each["id"] for each in call(f"{started.url}/v1/models", headers=headers).json["data"]] == ["echo"]
    assert admin(started, "PATCH", "keys/a", {"models": ["oth*"]}).status == 200
    assert chat(started, secret, "echo").status == 403
    assert admin(started, "PATCH", "keys/a", {"team": "sales"}).status == 200
    assert chat(started, secret, "other").status == 200


def test_a_key_has_a_budget_and_limits_of_its_own(start: Start) -> None:
    started = start({**ECHO, "price": {"output": 1_000_000}})
    body = {"name": "a", "budgets": [{"usd": 2, "per": "day"}], "limits": {"requests_per_minute": 100}}
    secret = admin(started, "POST", "keys", body).json["secret"]
    first = chat(started, secret, max_tokens=2)
    assert first.headers["x-ratelimit-limit-requests"] == "100"
    assert chat(started, secret, max_tokens=2).error["budget"]["limit"] == 2.0
    assert admin(started, "PATCH", "keys/a", {"budgets": [{"usd": 4, "per": "day"}]}).status == 200
    assert chat(started, secret, max_tokens=2).status == 200


def test_a_rotated_key_has_a_new_secret_and_the_old_one_for_a_while(start: Start) -> None:
    started = start()
    old = admin(started, "POST", "keys", {"name": "a"}).json["secret"]
    new = admin(started, "POST", "keys/a/rotate", {"grace_s": 3600}).json["secret"]
    assert chat(started, old).status == chat(started, new).status == 200
    newest = admin(started, "POST", "keys/a/rotate").json["secret"]
    assert (chat(started, old).status, chat(started, new).status, chat(started, newest).status) == (401, 401, 200)


def test_a_key_ends_when_it_expires(start: Start) -> None:
    started = start()
    secret = admin(started, "POST", "keys", {"name": "a", "expires_in_s": 0.3}).json["secret"]
    assert chat(started, secret).status == 200
    until = time.monotonic() + 5
    while chat(started, secret).status == 200:
        assert time.monotonic() < until
    assert "expired" in chat(started, secret).error["message"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "'name' is missing"),
        ({"name": ""}, "name"),
        ({"name": "a b"}, "name"),
        ({"name": "a", "team": "nobody"}, "no team is called 'nobody'"),
        ({"name": "a", "modles": []}, "modles"),
        ({"name": "a", "budgets": [{"usd": -1}]}, "budgets.0.usd"),
        ({"name": "a", "budgets": [{"per": "day"}]}, "budgets"),
        ({"name": "a", "limits": {"requests_per_minute": 0}}, "limits.requests_per_minute"),
        ({"name": "a", "expires_at": "soon"}, "'soon' is not a date"),
        ({"name": "a", "expires_at": 1}, "expires_at"),
        ([], "Expected `object`"),
    ],
)
def test_what_makes_no_key_is_refused_in_plain_words(start: Start, body: Any, says: str) -> None:
    refused = admin(start(), "POST", "keys", body)
    assert refused.status == 400
    assert says in refused.error["message"]


def test_a_name_in_use_and_a_key_that_is_not_there_are_told(start: Start) -> None:
    started = start()
    assert admin(started, "POST", "keys", {"name": "a"}).status == 201
    assert "in use" in admin(started, "POST", "keys", {"name": "a"}).error["message"]
    assert admin(started, "GET", "keys/nobody").error["code"] == "key_not_found"
    assert admin(started, "DELETE", "keys/nobody").status == 400
    assert admin(started, "GET", "nothing").status == 404


@pytest.mark.parametrize("secret", ["", "wrong", SECRET + "x", SECRET[:-1]])
def test_nobody_comes_in_without_the_admin_key(start: Start, secret: str) -> None:
    started = start()
    assert admin(started, "GET", "keys", secret=secret).error["code"] == "invalid_admin_key"
    assert admin(started, "GET", "keys", secret=started.key).status == 401
    assert chat(started, SECRET).status == 401


def test_there_is_no_admin_api_without_a_key_for_it(house: Start) -> None:
    assert admin(house(ECHO), "GET", "keys").status == 404


def test_every_change_is_in_the_audit_log_and_no_secret_is(start: Start) -> None:
    started = start()
    secret = admin(started, "POST", "keys", {"name": "a", "team": "sales"}).json["secret"]
    new = admin(started, "POST", "keys/a/rotate").json["secret"]
    admin(started, "PATCH", "keys/a", {"models": ["echo"]})
    admin(started, "DELETE", "keys/a")
    reply = admin(started, "GET", "audit?limit=10")
    entries = [(each["actor"], each["action"], each["subject"]) for each in reply.json["entries"]]
    expected = ["key.revoke", "key.update", "key.rotate", "key.create"]
    assert entries[:4] == [("admin", action, "a") for action in expected]
    assert secret.encode() not in reply.body and new.encode() not in reply.body
    older = admin(started, "GET", f"audit?before={reply.json['entries'][1]['id']}")
    assert older.json["entries"][0]["action"] == "key.rotate"


def test_usage_teams_users_and_budgets_are_shown(start: Start) -> None:
    started = start(budgets=[{"of": "team", "usd": 10}], users=[{"name": "bo", "team": "sales"}])
    secret = admin(started, "POST", "keys", {"name": "a", "user": "bo"}).json["secret"]
    assert chat(started, secret).status == 200
    started.house.ledger.flush()
    (team,) = [each for each in admin(started, "GET", "teams").json["teams"] if each["name"] == "sales"]
    assert team["calls"] == 1
    assert admin(started, "GET", "users").json["users"][0]["calls"] == 1
    assert admin(started, "GET", "usage?by=team").json["rows"][0]["group"] == "sales"
    assert admin(started, "GET", "budgets").json["budgets"][0]["name"] == "sales"
    assert admin(started, "GET", "usage?by=planet").status == 400


def test_no_secret_is_ever_logged(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        started = start()
        secret = admin(started, "POST", "keys", {"name": "a"}).json["secret"]
        chat(started, secret)
        chat(started, secret, max_tokens=-1)
        chat(started, secret[:-1])
        admin(started, "GET", "keys", secret=SECRET + "x")
        admin(started, "POST", "keys", {"name": "b", "secret": secret})
    shown = admin(started, "GET", "keys").body.decode() + repr(started.house.loaded) + caplog.text
    for each in (secret, SECRET, started.key):
        assert each not in shown
        assert each[3:30] not in shown
