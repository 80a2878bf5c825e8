"""Asking a house with a cache, and seeing what it found."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.calls import Reply, call
from tests.conftest import RunningHouse
from tests.engine import FakeEngine, event

Start = Callable[..., RunningHouse]
END = event(
    {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
)
PRICE = {"input": 1.0, "output": 2.0}
CACHE = {"all_models": True}
ADMIN = "an-admin-key-of-tests"


def model(engine: FakeEngine, name: str = "m", **more: Any) -> dict[str, Any]:
    return {"name": name, "serve": {"engine": "openai", "url": engine.url}, "price": PRICE, **more}


def chat(house: RunningHouse, content: str = "hello", secret: str = "", headers: Any = None, **more: Any) -> Reply:
    body = {"model": "m", "messages": [{"role": "user", "content": content}], **more}
    return post(house, "chat/completions", body, secret, headers)


def post(house: RunningHouse, path: str, body: Any, secret: str = "", headers: Any = None) -> Reply:
    bearer = {"authorization": f"Bearer {secret}"} if secret else {}
    return call(f"{house.url}/v1/{path}", "POST", body, {**house.headers, **bearer, **(headers or {})})


def charges(house: RunningHouse) -> list[Any]:
    """Every charge from now on."""
    told: list[Any] = []
    house.house.models.watchers = [*house.house.models.watchers, lambda charge, *_: told.append(charge)]
    return told


def found(reply: Reply) -> str | None:
    return reply.headers.get("x-hanok-cache")


def eventually(holds: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 10
    while not (seen := holds()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
    return seen
