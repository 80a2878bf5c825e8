"""Engine processes and receivers of spans while platform.yaml changes: who is started, who is stopped, and when."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ECHO, RunningHouse
from tests.journeys.test_reload import chat, eventually, quickly, ready, taken
from tests.rooms.telemetry.collector import collector

__all__ = ["quickly"]
Start = Callable[..., RunningHouse]

PROGRAM = """#!{python}
import http.server, json, os, sys, time
model, port = sys.argv[2], int(sys.argv[sys.argv.index("--port") + 1])
if model == "broken":
    sys.exit("cannot load it")
while model == "slow" and not os.path.exists("{folder}/go"):
    time.sleep(0.01)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.say({{"data": []}})
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.say({{"choices": [{{"index": 0, "message": {{"role": "assistant", "content": model}}}}]}})
    def say(self, what):
        body = json.dumps(what).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small program in the place of `vllm`; the model `slow` comes up when there is a file `go` in the folder."""
    folder = tmp_path / "bin"
    folder.mkdir()
    file = folder / "vllm"
    file.write_text(PROGRAM.format(python=sys.executable, folder=folder))
    file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def model(serves: str, **more: Any) -> dict[str, Any]:
    return {"name": "m", "serve": {"engine": "vllm", "model": serves, **more}}


def states(house: RunningHouse) -> dict[str, str]:
    return {each.name: each.state for each in house.house.fleet.of("m")}


def process_ids(house: RunningHouse) -> list[int]:
    posts = house.house.roster._posts  # type: ignore[attr-defined]
    return [post.process.process_id for post in posts if post.process and post.process.process_id]


def runs(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def test_another_model_file_is_loaded_beside_the_old_one_which_goes_when_it_is_up(house: Start, program: Path) -> None:
    started = house(model("first"))
    (old,) = process_ids(started)
    taken(started, model("slow"))
    assert states(started) == {"m#2": "starting", "m#1": "up"}
    assert b"first" in chat(started, "m").body
    assert ready(started).status == 200
    (program / "go").touch()
    eventually(lambda: states(started) == {"m#2": "up"})
    assert b"slow" in chat(started, "m").body
    eventually(lambda: not runs(old))


def test_an_engine_that_cannot_start_does_not_end_the_one_that_runs(house: Start, program: Path) -> None:
    started = house(model("first"))
    (old,) = process_ids(started)
    taken(started, model("broken"))
    eventually(lambda: states(started) == {"m#2": "failed", "m#1": "up"})
    assert b"first" in chat(started, "m").body
    taken(started, model("first"))
    assert states(started) == {"m#1": "up"}
    assert process_ids(started) == [old]


def test_other_time_limits_do_not_start_an_engine_again(house: Start, program: Path) -> None:
    started = house(model("first"))
    before = process_ids(started)
    taken(started, {**model("first"), "timeouts": {"first_byte_s": 9}}, ECHO)
    assert (process_ids(started), states(started)) == (before, {"m#1": "up"})


def test_the_process_of_a_removed_model_ends(house: Start, program: Path) -> None:
    started = house(model("first"), ECHO)
    (old,) = process_ids(started)
    taken(started, ECHO)
    eventually(lambda: not runs(old))


def test_spans_go_to_the_new_receiver_and_the_old_one_is_sent_what_waits(house: Start) -> None:
    with collector() as old, collector() as new:
        started = house(ECHO, telemetry={"export": {"url": old.url}, "every_s": 60})
        chat(started)
        taken(started, ECHO, telemetry={"export": {"url": new.url}, "every_s": 0.05})
        chat(started)
        eventually(lambda: (len(old.spans), len(new.spans)) == (1, 1))
        taken(started, ECHO)
        chat(started)
        assert started.house.exporter is None
