"""What an agent is told by one user in one thread it knows in that user's next, and in nobody else's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.calls import call
from tests.conftest import RunningHouse
from tests.passages import EMBED

SCRIPT = {
    "name": "m",
    "serve": {
        "engine": "script",
        "turns": [
            {
                "when": "I only drink tea",
                "call": {"name": "remember", "arguments": {"text": "The user drinks only tea"}},
            },
            {"when": "Remembered as", "say": "Noted."},
            {"system": "The user drinks only tea", "say": "Tea, as always."},
            {"say": "What would you like?"},
        ],
    },
}


def test_what_was_told_in_one_thread_is_known_in_the_next(house: Callable[..., RunningHouse]) -> None:
    agent = {"name": "waiter", "memory": {"long_term": {}}}
    started = house(SCRIPT, EMBED, agents=[agent])

    def say(text: str, user: str) -> str:
        body = {"model": "agent/waiter", "messages": [{"role": "user", "content": text}], "user": user}
        reply = call(f"{started.url}/v1/chat/completions", "POST", body, started.headers)
        assert reply.status == 200, reply.json
        return reply.json["choices"][0]["message"]["content"]

    assert say("What is there to drink?", "ann") == "What would you like?"
    assert say("I only drink tea", "ann") == "Noted."
    assert say("What is there to drink?", "ann") == "Tea, as always."
    assert say("What is there to drink?", "bob") == "What would you like?"


def test_what_is_remembered_is_read_and_forgotten_by_whose_it_is(house: Callable[..., RunningHouse]) -> None:
    started = house(SCRIPT, EMBED, agents=[{"name": "waiter", "memory": {"long_term": {}}}, {"name": "plain"}])
    keys = started.house.ledger
    bobs = {**started.headers, "authorization": f"Bearer {keys.create_key('bobs', user='bob').secret}"}
    started.run(started.house.refresh())

    def ask(path: str, method: str = "GET", headers: dict[str, str] = started.headers) -> Any:
        return call(f"{started.url}/v1/agents/{path}", method, None, headers)

    body = {"model": "agent/waiter", "messages": [{"role": "user", "content": "I only drink tea"}], "user": "ann"}
    assert call(f"{started.url}/v1/chat/completions", "POST", body, started.headers).status == 200
    (memory,) = ask("waiter/memories?user=ann").json["data"]
    assert memory["text"] == "The user drinks only tea"
    assert ask(f"waiter/memories/{memory['id']}?user=ann").json == memory
    assert ask("waiter/memories").json["data"] == ask("waiter/memories?user=bob").json["data"] == []
    assert ask("waiter/memories", headers=bobs).json["data"] == []
    assert ask("waiter/memories?user=ann", headers=bobs).status == 403
    for wrong in ("many", "1001", "9" * 5000):
        assert ask(f"waiter/memories?limit={wrong}").error["param"] == "limit"
    assert ask("plain/memories").error["code"] == "no_memory"
    assert ask(f"waiter/memories/{memory['id']}", "DELETE").status == 404
    assert ask(f"waiter/memories/{memory['id']}?user=ann", "DELETE").json["deleted"] is True
    assert ask("waiter/memories?user=ann", "DELETE").json["deleted"] == 0
    assert ask("waiter/memories", "POST").status == 405
