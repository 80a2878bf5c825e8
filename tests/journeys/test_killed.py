"""`hanok up` killed in the middle of two hundred streams: what was said is charged, and no budget is stuck."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.calls import call
from tests.conftest import free_port
from tests.journeys.test_hanok_up import start_up

STREAMS = 200
SLOW = {"name": "slow", "serve": {"engine": "echo", "delay_ms": 20}, "price": {"output": 1000.0}}
BUDGETS = [{"of": "key", "usd": 1000}, {"of": "model", "tokens": 10_000_000}]
BODY = {"model": "slow", "stream": True, "messages": [{"role": "user", "content": " ".join(["word"] * 400)}]}


async def listen(port: int, key: str, seen: list[int], number: int) -> None:
    """Stream from the house, counting the words that came, until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps(BODY).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    with contextlib.suppress(ConnectionError):
        while line := await reader.readline():
            seen[number] += line.count(b'"content":')
    writer.close()


async def listen_and_kill(port: int, key: str, process: subprocess.Popen[str]) -> list[int]:
    seen = [0] * STREAMS
    streams = [asyncio.create_task(listen(port, key, seen, number)) for number in range(STREAMS)]
    while min(seen) < 3:
        await asyncio.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    await asyncio.gather(*streams)
    return seen


@pytest.mark.timeout(120)
def test_what_was_said_before_the_kill_is_charged_after_the_start(tmp_path: Path) -> None:
    (tmp_path / "platform.yaml").write_text(yaml.safe_dump({"name": "t", "models": [SLOW], "budgets": BUDGETS}))
    with contextlib.ExitStack() as stack:
        port = free_port()
        killed = start_up(stack, tmp_path, port)
        killed.wait_for("Ready.", 60)
        key = (tmp_path / ".hanok" / "local.key").read_text().strip()
        seen = asyncio.run(listen_and_kill(port, key, killed.process))
        again = start_up(stack, tmp_path, free_port())
        again.wait_for("Ready.", 60)
        budgets = call(f"{again.url}/v1/budgets", headers=again.headers).json["budgets"]
        again.process.send_signal(signal.SIGTERM)
        again.process.wait(20)
    (row,) = _usage(tmp_path)
    assert row["calls"] == STREAMS
    assert row["completion_tokens"] >= sum(seen)  # a word may have been passed on that nobody read
    assert row["completion_tokens"] <= sum(seen) + 2 * STREAMS
    (used,) = [each["used"] for each in budgets if each["unit"] == "usd"]
    assert used == pytest.approx(row["cost_usd"])


def _usage(folder: Path) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "hanok", "usage", "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)["rows"]
