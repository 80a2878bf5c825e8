"""What an agent is told by one user in one thread it knows in that user's next, and in nobody else's."""

from __future__ import annotations

from collections.abc import Callable

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
