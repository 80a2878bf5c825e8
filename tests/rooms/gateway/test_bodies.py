"""Bodies that come again and again are read once, and say the same each time."""

from __future__ import annotations

import json

import pytest

from hanok.caches.keys import Keys
from hanok.caches.rules import Rule
from hanok.errors import RequestError
from hanok.gateway import bodies
from hanok.gateway.bodies import parse_chat, parse_text
from hanok.wire import Caller

RED, BLUE = (Caller(key_id=team, key_name=team, team=team) for team in ("red", "blue"))


def body(text: str, **more: object) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": text}], **more}).encode()


def test_a_body_says_the_same_however_often_it_comes() -> None:
    asked = body("hello", max_tokens=5, n=2, stream=True, stream_options={"include_usage": True})
    first, *again = [parse_chat(asked, RED) for _ in range(4)]
    assert all(each == first and each.prompt_bytes() == first.prompt_bytes() for each in again)
    assert again[-1].fields is again[-2].fields, "it was not read again"


def test_who_asks_is_never_remembered_with_a_body() -> None:
    asked = body("who", user="ann")
    callers = [parse_chat(asked, caller).caller for caller in (RED, RED, RED, BLUE)]
    assert [(each.team, each.user) for each in callers] == [("red", "ann")] * 3 + [("blue", "ann")]
    bound = Caller(key_id="k", key_name="k", user="bob")
    assert parse_chat(asked, bound).caller.user == "bob"


def test_a_bad_body_is_refused_each_time() -> None:
    for _ in range(4):
        with pytest.raises(RequestError, match="temperature"):
            parse_chat(body("hot", temperature=3), RED)
        with pytest.raises(RequestError, match="printable"):
            parse_chat(body("bell", user="\a"), RED)


def test_the_same_bytes_at_another_path_are_another_call() -> None:
    both = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}], "prompt": "x"}).encode()
    for _ in range(3):
        assert (parse_chat(both, RED).operation, parse_text(both, RED).operation) == ("chat", "text")


def test_what_is_remembered_of_bodies_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "KNOWN_BYTES", 20_000)
    for number in range(40):
        assert [parse_chat(body(f"{number} " * 500), RED).model for _ in range(3)] == ["m"] * 3
    assert sum(len(each) for each in bodies._chats._known) <= 20_000


def test_two_teams_with_the_same_body_have_keys_of_their_own_every_time() -> None:
    rule, keys = Rule(model="m", seed=b"s", ttl_s=1.0, shared=False, most_bytes=1000), Keys()
    asked = [parse_chat(body("mine"), caller) for caller in (RED, BLUE, RED, BLUE, RED, RED)]
    found = [keys.find(rule, each) for each in asked]
    assert found == [found[0], found[1], found[0], found[1], found[0], found[0]]
    assert found[0] != found[1]
