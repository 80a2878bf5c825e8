"""`hanok up` with two workers and a real Valkey: one address, one budget, one sum, whatever dies."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hanok.ledger import Ledger
from hanok.ledger.stores.redis import RedisAccounts
from tests.calls import Reply, call
from tests.conftest import free_port
from tests.journeys.test_hanok_up import Up, start_up
from tests.seams.shared_places import Restartable, restartable

NANO_USD_A_TOKEN = 1_000_000
PRICED: dict[str, Any] = {"price": {"input": 0.0, "output": 1000.0}}
TALKER = {"name": "talker", **PRICED, "serve": {"engine": "echo", "delay_ms": 2}}
SLOW = {"name": "slow", **PRICED, "serve": {"engine": "echo", "delay_ms": 20}}


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Restartable]:
    folder = tmp_path / "valkey"
    folder.mkdir()
    with restartable(folder) as server:
        yield server


@pytest.fixture
def up(tmp_path: Path, valkey: Restartable) -> Iterator[Callable[..., Up]]:
    """Start `hanok up` with two workers and this budget for each key."""
    with contextlib.ExitStack() as stack:

        def start(usd: float) -> Up:
            platform = {
                "name": "workers",
                "gateway": {"workers": 2, "drain_s": 20.0},
                "ledger": {"redis": valkey.url},
                "budgets": [{"of": "key", "usd": usd, "per": "month"}],
                "models": [TALKER, SLOW],
            }
            (tmp_path / "platform.yaml").write_text(yaml.safe_dump(platform))
            started = start_up(stack, tmp_path, free_port())
            started.wait_for("Ready.")
            return started

        yield start


def new_key(started: Up, name: str) -> dict[str, str]:
    """A key's headers; all workers know it when this returns."""
    with Ledger(started.folder / ".hanok") as ledger:
        secret = ledger.create_key(name).secret
    headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
    known: set[int] = set()
    wait_until(lambda: known.update(meets(started, headers)) or known == {1, 2})
    return headers


def meets(started: Up, headers: dict[str, str]) -> Iterator[int]:
    """Which worker answers, if it knows the key: over one connection, so that it is the same."""
    connection = http.client.HTTPConnection("127.0.0.1", started.port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/v1/models", headers=headers)
        response = connection.getresponse()
        response.read()
        connection.request("GET", "/health/ready")
        about = json.loads(connection.getresponse().read())
        if response.status == 200:
            yield about["worker"]


def wait_until(happens: Callable[[], Any], timeout: float = 20.0) -> None:
    deadline = time.monotonic() + timeout
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Asking:
    """Streams asked for at once, and what came of each; a connection that breaks gives what came before."""

    def __init__(self, started: Up, headers: dict[str, str], model: str, count: int, words: int) -> None:
        self.seen: list[str] = []
        content = " ".join(["word"] * words)
        self.body = {"model": model, "messages": [{"role": "user", "content": content}], "stream": True}
        self._started, self._headers = started, headers
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._started.port, timeout=60)
        text = b""
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("POST", "/v1/chat/completions", json.dumps(self.body).encode(), self._headers)
            response = connection.getresponse()
            while data := response.read1(65536):
                text += data
        self.seen.append(text.decode())

    def join(self) -> list[str]:
        for thread in self._threads:
            thread.join()
        return self.seen


def words_in(text: str) -> int:
    return text.count('"content":"word') + text.count('"content":" word')


def metric(started: Up, name: str) -> float:
    text = call(f"{started.url}/metrics").body.decode()
    return sum(float(value) for value in re.findall(rf"^{re.escape(name)}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE))


def charged(started: Up) -> tuple[int, int]:
    """How many calls the key `ann` made, and how many tokens it got."""
    with Ledger(started.folder / ".hanok") as ledger:
        rows = [row for row in ledger.usage("key") if row.group == "ann"]
    return sum(row.calls for row in rows), sum(row.completion_tokens for row in rows)


def spent_in(valkey: Restartable, started: Up) -> tuple[int, int]:
    """What Valkey says the key `ann` has spent of its budget, and what all processes hold of it; in tokens."""
    with Ledger(started.folder / ".hanok") as ledger:
        key_id = ledger.find_key("ann").id
    account = f"usd:key:{key_id}:month:{time.strftime('%Y-%m', time.gmtime())}"

    async def look() -> tuple[int, int]:
        store = RedisAccounts(valkey.url, platform="workers", holder="onlooker")
        try:
            standing = (await store.look([account]))[account]
        finally:
            await store.aclose()
        return standing.spent // NANO_USD_A_TOKEN, standing.held // NANO_USD_A_TOKEN

    return asyncio.run(look())


def workers(started: Up) -> list[int]:
    children = Path(f"/proc/{started.process.pid}/task/{started.process.pid}/children").read_text().split()
    return [int(each) for each in children if b"hanok.cli.worker" in Path(f"/proc/{each}/cmdline").read_bytes()]


def test_a_budget_is_exact_over_both_and_metrics_speak_for_both(up: Callable[..., Up], valkey: Restartable) -> None:
    started = up(2.0)  # 2000 tokens
    headers = new_key(started, "ann")
    asking = Asking(started, headers, "talker", 24, 400)
    seen = asking.join()
    cut = sum("budget_exceeded" in text and words_in(text) > 0 for text in seen)
    assert cut > 0
    tokens = sum(words_in(text) for text in seen)
    assert 2000 <= tokens <= 2000 + cut
    refused = sum("error" in text and words_in(text) == 0 for text in seen)
    wait_until(lambda: charged(started) == (24 - refused, tokens))
    assert call(f"{started.url}/v1/chat/completions", "POST", asking.body, headers).status == 429
    wait_until(lambda: spent_in(valkey, started) == (tokens, 0))
    assert metric(started, "hanok_requests_total") == 24 - refused
    assert metric(started, "hanok_workers") == 2
    budgets = call(f"{started.url}/v1/budgets", headers=headers).json["budgets"]
    assert budgets[0]["remaining"] == 0


def test_a_worker_that_is_killed_loses_no_charge_and_is_started_again(
    up: Callable[..., Up], valkey: Restartable
) -> None:
    started = up(1000.0)
    headers = new_key(started, "ann")
    for _ in range(4):
        assert Asking(started, headers, "talker", 1, 5).join()
    before = metric(started, "hanok_requests_total")
    asking = Asking(started, headers, "slow", 16, 100)
    wait_until(lambda: metric(started, "hanok_in_flight_requests") == 16)
    victim, survivor = workers(started)
    os.kill(victim, signal.SIGKILL)
    seen = asking.join()
    whole = [text for text in seen if "[DONE]" in text]
    assert 0 < len(whole) < 16, "one of two workers died"
    wait_until(lambda: metric(started, "hanok_workers") == 2)
    assert survivor in workers(started)
    assert metric(started, "hanok_worker_restarts_total") == 1
    assert metric(started, "hanok_requests_total") >= before + len(whole), "sums never go down"
    wait_until(lambda: charged(started)[0] == 4 + 16)
    tokens = charged(started)[1]
    passed = 4 * 5 + sum(words_in(text) for text in seen)
    assert passed <= tokens <= passed + 16 * 2, "a tab may be a chunk or two ahead of what its caller has read"
    wait_until(lambda: spent_in(valkey, started) == (tokens, 0))
    holders = started.folder / ".hanok" / "holders"
    wait_until(lambda: len(list(holders.iterdir())) == 2)
    started.process.terminate()
    assert started.process.wait(20) == 0
    assert list(holders.iterdir()) == []


@pytest.mark.slow
def test_valkey_may_go_away_and_return_and_a_signal_lets_streams_finish(
    up: Callable[..., Up], valkey: Restartable
) -> None:
    started = up(1000.0)
    headers = new_key(started, "ann")

    def ask(tokens: int) -> Reply:
        body = {"model": "talker", "max_tokens": tokens, "messages": [{"role": "user", "content": "word"}]}
        reply = call(f"{started.url}/v1/chat/completions", "POST", body, headers)
        answered.append(reply.status == 200)
        return reply

    answered: list[bool] = []
    running = Asking(started, headers, "slow", 4, 100)
    wait_until(lambda: metric(started, "hanok_in_flight_requests") == 4)
    valkey.kill()
    refused = ask(400_000)
    assert (refused.status, refused.error["code"]) == (503, "books_unreachable")
    assert refused.headers["retry-after"]
    assert all("[DONE]" in text for text in running.join()), "what was reserved is paid for"
    valkey.come_back()
    wait_until(lambda: all(ask(400_000).status == 200 for _ in range(8)))  # one alone, of either worker
    tokens = 4 * 100 + sum(answered)
    wait_until(lambda: spent_in(valkey, started)[0] == tokens)
    wait_until(lambda: charged(started)[1] == tokens)

    last = Asking(started, headers, "slow", 12, 100)
    wait_until(lambda: metric(started, "hanok_in_flight_requests") == 12)
    started.process.send_signal(signal.SIGINT)
    started.wait_for("Stopping")
    assert all("[DONE]" in text for text in last.join())
    assert started.process.wait(20) == 0
    assert charged(started)[1] == tokens + 12 * 100
    assert not (started.folder / ".hanok" / "server.json").exists()
