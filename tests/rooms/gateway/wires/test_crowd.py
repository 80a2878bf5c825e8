"""Many callers on all wires at once, many of whom go away: nothing stays behind, and every call is charged once."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from tests.conftest import RunningHouse

Start = Callable[..., RunningHouse]
SAID = " ".join(["word"] * 30)
HELLO = [{"role": "user", "content": SAID}]
BODIES: list[tuple[str, dict[str, Any], bytes]] = [
    ("/v1/messages", {"max_tokens": 100, "messages": HELLO}, b"event: message_stop\n"),
    ("/v1/responses", {"input": SAID}, b"event: response.completed\n"),
    ("/v1/chat/completions", {"messages": HELLO}, b"data: [DONE]\n"),
]
CALLERS = 150


async def ask(house: RunningHouse, number: int, rolls: random.Random) -> bool:
    """Stream an answer on one of the wires; go away after some lines, or hear it out. Whether it was heard out."""
    path, body, ending = BODIES[number % 3]
    gone_after = rolls.randrange(1, 25) if number % 2 else None
    data = json.dumps({"model": "m", "stream": True, **body}).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {house.key}\r\nconnection: close\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(house.url).port)
    writer.write(head.encode() + data)
    heard, lines = False, 0
    while (line := await reader.readline()) and (gone_after is None or lines < gone_after):
        lines, heard = lines + 1, heard or line == ending
    writer.transport.abort()
    return heard


def test_nothing_stays_behind_of_callers_who_go_away(house: Start) -> None:
    model = {"name": "m", "serve": {"engine": "echo", "delay_ms": 5}, "price": {"output": 1.0}}
    started = house(model, budgets=[{"of": "key", "usd": 1000}])

    async def crowd() -> list[bool]:
        rolls = random.Random(5)
        return await asyncio.gather(*(ask(started, number, rolls) for number in range(CALLERS)))

    heard = asyncio.run(crowd())

    async def quiet() -> None:
        while started.house.models.running or any(each.in_flight for each in started.house.fleet.endpoints):
            await asyncio.sleep(0.01)

    started.run(quiet())
    assert all(heard[::2]) and not all(heard)
    started.house.ledger.flush()
    assert sum(row.calls for row in started.house.ledger.usage("model")) == CALLERS
