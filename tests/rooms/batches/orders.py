"""What the tests of batches share: OpenAI's own client, and lines to ask."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import Any

import openai
from openai.types import Batch

from tests.conftest import RunningHouse

CHAT = "/v1/chat/completions"


def client(house: RunningHouse, key: str | None = None) -> openai.OpenAI:
    """OpenAI's client, which does not try again by itself."""
    return openai.OpenAI(base_url=f"{house.url}/v1", api_key=key or house.key, max_retries=0)


def chat_line(custom_id: str, content: str = "hello", model: str = "echo", **more: Any) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": content}], **more}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body}


def jsonl(lines: Iterable[Any]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def order(api: openai.OpenAI, lines: Iterable[Any] | bytes, endpoint: str = CHAT, **more: Any) -> Batch:
    """Upload lines and order a batch of them."""
    data = lines if isinstance(lines, bytes) else jsonl(lines)
    file = api.files.create(file=("lines.jsonl", data), purpose="batch")
    return api.batches.create(
        input_file_id=file.id,
        endpoint=endpoint,
        **{"completion_window": "24h", **more},  # type: ignore[arg-type]
    )


def wait(api: openai.OpenAI, batch: Batch, until: Callable[[Batch], bool] | None = None, timeout: float = 30) -> Batch:
    """The batch when it has ended, or when it is as wanted."""
    until = until or (lambda each: each.status in ("completed", "failed", "expired", "cancelled"))
    deadline = time.monotonic() + timeout
    while not until(batch := api.batches.retrieve(batch.id)):
        assert time.monotonic() < deadline, batch
        time.sleep(0.02)
    return batch


def written(api: openai.OpenAI, file: str | None) -> dict[str, Any]:
    """The lines of an output or error file, by their custom ids."""
    if file is None:
        return {}
    lines = [json.loads(line) for line in api.files.content(file).content.splitlines()]
    found = {line["custom_id"]: line for line in lines}
    assert len(found) == len(lines), "a line was asked twice"
    return found
