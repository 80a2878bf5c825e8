"""Two workers whose platform.yaml is only looked at when asked: one is asked, both follow, and so does a new one."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.calls import call
from tests.conftest import ECHO, free_port
from tests.journeys.test_hanok_up import Up, start_up
from tests.journeys.test_workers import wait_until, workers

ADMIN = {"authorization": "Bearer an-admin-key-of-tests"}


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    with contextlib.ExitStack() as stack:
        write(tmp_path, drain_s=20.0)
        started = start_up(stack, tmp_path, free_port())
        started.wait_for("Ready.")
        yield started


def write(folder: Path, *, drain_s: float) -> str:
    """Write the file, and give the digest of its text."""
    gateway = {"workers": 2, "reload": False, "admin_key": "an-admin-key-of-tests", "drain_s": drain_s}
    text = yaml.safe_dump({"name": "test", "gateway": gateway, "models": [ECHO]})
    (folder / "platform.yaml").write_text(text)
    return hashlib.sha256(text.encode()).hexdigest()


def running(started: Up) -> dict[int, str]:
    """What the worker that answers works by, over one connection, so that it is the same; nothing of one that dies."""
    connection = http.client.HTTPConnection("127.0.0.1", started.port, timeout=10)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/admin/config", headers=ADMIN)
        config = json.loads(connection.getresponse().read())
        connection.request("GET", "/health/ready")
        return {json.loads(connection.getresponse().read())["worker"]: config["sha256"]}
    return {}


def all_work_by(started: Up, digest: str) -> None:
    seen: dict[int, str] = {}
    wait_until(lambda: seen.update(running(started)) or seen == {1: digest, 2: digest})


def test_what_one_is_asked_to_take_up_reaches_all_and_those_started_later(up: Up) -> None:
    asked = write(up.folder, drain_s=7.0)
    assert call(f"{up.url}/admin/reload", "POST", {}, ADMIN).json["taken"]
    all_work_by(up, asked)
    write(up.folder, drain_s=8.0)  # nobody is asked to look at this one
    victim, survivor = workers(up)
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len(workers(up)) == 2 and victim not in workers(up))
    assert survivor in workers(up)
    all_work_by(up, asked)
    signalled = write(up.folder, drain_s=9.0)
    up.process.send_signal(signal.SIGHUP)
    all_work_by(up, signalled)
    up.process.terminate()
    up.wait_for("Stopping: running calls have up to 9 s")
    assert up.process.wait(20) == 0


@pytest.mark.slow
def test_a_supervisor_that_does_not_answer_makes_metrics_late_but_breaks_nothing(up: Up) -> None:
    assert call(f"{up.url}/metrics").status == 200
    up.process.send_signal(signal.SIGSTOP)
    try:
        late = call(f"{up.url}/metrics")
    finally:
        up.process.send_signal(signal.SIGCONT)
    assert (late.status, late.error["code"]) == (503, "metrics_late")
    wait_until(lambda: call(f"{up.url}/metrics").status == 200)
    assert "Traceback" not in up.said
