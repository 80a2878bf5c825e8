"""An agent's run at a real `hanok up` whose workers are killed while they lead it: it ends, and sends nothing twice."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.calls import call
from tests.conftest import free_port, wait_until
from tests.journeys.test_hanok_up import Up, start_up
from tests.journeys.test_workers import workers
from tests.seams.shared_places import restartable

SENDS = 8


@pytest.fixture
def post_office() -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """A server that counts what is sent to it: its URL, and (idempotency key, number) of each."""
    got: list[tuple[str, int]] = []

    class Office(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            got.append((self.headers["idempotency-key"], body["x"]))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *told: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Office)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/send", got
    server.shutdown()
    thread.join()
    server.server_close()


def write(folder: Path, url: str, **runs: Any) -> None:
    sends = [{"call": {"name": "send", "arguments": {"x": x}}, "delay_ms": 200} for x in range(SENDS)]
    script = {"engine": "script", "ordered": True, "turns": [*sends, {"say": "All sent."}]}
    tool = {
        "name": "send",
        "type": "http",
        "url": url,
        "method": "POST",
        "private": True,
        "parameters": {"x": "integer"},
    }
    platform = {
        "models": [{"name": "m", "serve": script}],
        "tools": [tool],
        "agents": [{"name": "sender", "tools": ["send"]}],
        "runs": {"lease_s": 1, **runs},
        "gateway": {"workers": 2},
    }
    (folder / "platform.yaml").write_text(yaml.safe_dump(platform))


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_each_worker_that_leads_a_run_is_killed_and_it_ends_as_if_nothing_had_been(
    tmp_path: Path, post_office: tuple[str, list[tuple[str, int]]]
) -> None:
    url, got = post_office
    write(tmp_path, url)
    with contextlib.ExitStack() as stack:
        up = start_up(stack, tmp_path, free_port())
        up.wait_for("Ready.", 60)
        begun = call(f"{up.url}/v1/agents/sender/runs", "POST", {"input": "go"}, up.headers)
        assert begun.status in (200, 201, 202), begun.body
        for seen in (2, 5):
            wait_until(lambda seen=seen: len(got) >= seen)
            for worker in workers(up):
                os.kill(worker, signal.SIGKILL)
        run = finished(up, begun.json["id"])
    assert (run["state"], run["answer"]) == ("done", "All sent."), run
    numbers = [number for _, number in got]
    assert sorted(set(numbers)) == list(range(SENDS))
    assert len(numbers) == len(set(numbers)) == len({key for key, _ in got}), got


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_redis_that_keeps_runs_hangs_and_dies_and_they_end_with_nothing_sent_twice(
    tmp_path: Path, post_office: tuple[str, list[tuple[str, int]]]
) -> None:
    url, got = post_office
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(restartable(tmp_path / "redis"))
        write(tmp_path, url, database=redis.url)
        up = start_up(stack, tmp_path, free_port())
        up.wait_for("Ready.", 60)
        wait_until(lambda: both_run(up))
        runs = [
            call(f"{up.url}/v1/agents/sender/runs", "POST", {"input": "go", "wait": 0}, up.headers) for _ in range(4)
        ]
        assert {run.status for run in runs} == {202}
        wait_until(lambda: len(got) >= 4)
        redis.signal(signal.SIGSTOP)
        wait_until(lambda: ask(up, runs[0].json["id"]).status == 503)
        redis.signal(signal.SIGCONT)
        wait_until(lambda: len(got) >= 12)
        redis.kill()
        os.kill(workers(up)[0], signal.SIGKILL)
        away = ask(up, runs[0].json["id"])
        assert (away.status, away.headers["retry-after"]) == (503, "5"), away.body
        redis.come_back()
        ended = [finished(up, run.json["id"]) for run in runs]
    assert [(run["state"], run["answer"]) for run in ended] == [("done", "All sent.")] * 4, ended
    assert len(got) == len({key for key, _ in got}), got


def both_run(up: Up) -> bool:
    counts = call(f"{up.url}/health/ready").json["workers"]
    return counts["running"] == counts["declared"]


def ask(up: Up, run: str) -> Any:
    """Also while the worker that answers is being killed."""
    for _ in range(5):
        with contextlib.suppress(OSError):
            return call(f"{up.url}/v1/agent-runs/{run}", headers=up.headers, timeout=10)
    raise AssertionError("no worker answers")


def finished(up: Up, run: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = []

    def ended() -> bool:
        with contextlib.suppress(OSError):
            reply = call(f"{up.url}/v1/agent-runs/{run}", headers=up.headers, timeout=5)
            if reply.status == 200 and reply.json["state"] in ("done", "failed", "limited", "cancelled"):
                found.append(reply.json)
        return bool(found)

    for _ in range(6):
        with contextlib.suppress(AssertionError):
            wait_until(ended)
            break
    assert found, "the run did not end"
    return found[0]
