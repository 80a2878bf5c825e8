"""Kept responses: what is too old or too much goes, and a killed process loses none that was told."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from hanok.errors import StoreError
from hanok.gateway.wires import responses_store
from hanok.gateway.wires.responses_store import KeptResponse, ResponseStore
from tests.calls import call
from tests.conftest import ECHO, free_port
from tests.journeys.test_hanok_up import start_up

HOUR = 3600.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ResponseStore]:
    made = ResponseStore(tmp_path / "responses.db", keep_s=HOUR, limit_bytes=10_000)
    yield made
    made.close()


def kept(id_: str, *, previous: str | None = None, at: float = 0.0, size: int = 100, tenant: str = "t") -> KeptResponse:
    return KeptResponse(id=id_, tenant=tenant, previous=previous, at=at, response=b"r" * size, items=b"[]")


def test_what_is_too_old_is_not_there_and_is_swept_out(store: ResponseStore) -> None:
    store.put(kept("a", at=10.0))
    assert store.get("a", "t", now=HOUR) and not store.get("a", "t", now=HOUR + 11)
    assert not store.chain("a", "t", now=HOUR + 11)
    store.close()  # a new process sweeps with its first write
    again = ResponseStore(store._file, keep_s=HOUR, limit_bytes=10_000)
    again.put(kept("b", at=HOUR + 11))
    assert not again.get("a", "t", now=20.0)
    again.close()


def test_of_too_much_the_oldest_goes(store: ResponseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses_store, "SWEEP_EVERY", 2)
    for number in range(32):
        store.put(kept(str(number), at=float(number), size=998))
    there = [number for number in range(32) if store.get(str(number), "t", now=31.0)]
    assert there == list(range(22, 32))


def test_a_chain_is_whole_or_is_none(store: ResponseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        store.put(kept(str(number), previous=str(number - 1) if number else None, at=1.0))
    chain = store.chain("4", "t", now=2.0)
    assert chain and [turn.id for turn in chain] == ["0", "1", "2", "3", "4"]
    assert not store.chain("4", "somebody else", now=2.0)
    monkeypatch.setattr(responses_store, "CHAIN", 4)
    assert not store.chain("4", "t", now=2.0) and store.chain("3", "t", now=2.0)
    monkeypatch.setattr(responses_store, "CHAIN_BYTES", 250)
    assert not store.chain("3", "t", now=2.0)
    store.delete("0", "t")
    assert not store.chain("1", "t", now=2.0)


def test_a_chain_that_goes_round_ends(store: ResponseStore) -> None:
    store.put(kept("a", previous="b", at=1.0))
    store.put(kept("b", previous="a", at=1.0))
    assert not store.chain("a", "t", now=2.0)


def test_many_threads_may_use_it(store: ResponseStore) -> None:
    def work(name: str) -> None:
        for number in range(20):
            store.put(kept(f"{name}{number}", at=1.0, size=1))
            assert store.get(f"{name}{number}", "t", now=2.0)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(store.get(f"{name}19", "t", now=2.0) for name in "abcd")


def test_a_file_that_is_no_store_is_said(tmp_path: Path) -> None:
    file = tmp_path / "responses.db"
    file.write_bytes(b"not a database at all" * 100)
    broken = ResponseStore(file, keep_s=1.0, limit_bytes=1)
    with pytest.raises(StoreError, match=r"responses\.db"):
        broken.get("a", "t", now=0.0)


@pytest.mark.timeout(120)
def test_a_process_that_is_killed_has_lost_no_response_that_it_told(tmp_path: Path) -> None:
    (tmp_path / "platform.yaml").write_text(yaml.safe_dump({"name": "t", "models": [ECHO]}))
    told: list[str] = []
    with contextlib.ExitStack() as stack:
        killed = start_up(stack, tmp_path, free_port())
        killed.wait_for("Ready.", 60)

        def ask(number: int) -> None:
            connection = http.client.HTTPConnection(urlsplit(killed.url).netloc, timeout=20)
            with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
                while True:
                    body = json.dumps({"model": "echo", "input": f"hello {number}", "stream": number % 2 == 0})
                    connection.request("POST", "/v1/responses", body, killed.headers)
                    answer = connection.getresponse().read().decode()
                    last = answer.rpartition("data: ")[2] if number % 2 == 0 else answer
                    told.append(json.loads(last).get("response", json.loads(last))["id"])
                    if len(told) == 60:
                        killed.process.send_signal(signal.SIGKILL)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        again = start_up(stack, tmp_path, free_port())
        again.wait_for("Ready.", 60)
        assert len(told) >= 60
        for each in told:
            assert call(f"{again.url}/v1/responses/{each}", headers=again.headers).status == 200
