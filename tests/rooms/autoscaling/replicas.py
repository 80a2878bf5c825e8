"""A model whose replicas are processes of this machine, and how one looks at them."""

from __future__ import annotations

from typing import Any

import httpx

from tests.conftest import RunningHouse

QUICK = {"every_s": 1, "waiting": None, "kv_cache": None, "down": {"stable_s": 0}}


def model(name: str = "m", **scale: Any) -> dict[str, Any]:
    return {"name": name, "serve": {"engine": "vllm", "model": "x/y"}, "scale": {**QUICK, **scale}}


def ask(house: RunningHouse, name: str = "m") -> httpx.Response:
    body = {"model": name, "messages": [{"role": "user", "content": "hi"}]}
    return httpx.post(f"{house.url}/v1/chat/completions", json=body, headers=house.headers, timeout=30)


def up(house: RunningHouse, name: str = "m") -> list[str]:
    return [each.name for each in house.house.fleet.of(name) if each.state == "up"]
