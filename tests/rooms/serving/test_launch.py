"""Engine processes: started, started again, given up, ended with us."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from hanok.errors import StartError
from hanok.serving import EngineProcess, Fleet, Launch
from hanok.serving import launch as launch_module
from hanok.serving.children.leash import on_a_leash
from hanok.serving.client import Pool
from hanok.serving.engines.openai import OpenAIEngine
from hanok.serving.fleet import Endpoint
from hanok.serving.launch import plan_launch
from hanok.spec import LlamaCppEndpoint, Model, Timeouts, VllmEndpoint
from tests.conftest import free_port, wait_until

SERVER = """
import http.server, sys, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"data":[]}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


async def run_process(
    command: Callable[[int], list[str]],
    tmp_path: Path,
    then: Callable[[Endpoint, EngineProcess], Any],
    load_s: float = 10,
    try_again_s: Sequence[float] = (),
) -> list[str]:
    """Run an engine process, do something with it, stop it; returns how often it was started again."""
    port = free_port()
    restarts: list[str] = []
    pool = Pool(f"http://127.0.0.1:{port}/v1", timeouts=Timeouts(connect_s=1, first_byte_s=1, idle_s=1))
    engine = OpenAIEngine(pool, model="m", endpoint="m#1", served_name="m")
    endpoint = Endpoint(name="m#1", model="m", kind="llamacpp", engine=engine)
    launch = Launch(command=command(port), port=port, load_timeout_s=load_s, log=tmp_path / "m.log")
    process = EngineProcess(launch, endpoint, Fleet([endpoint]), restarted=restarts.append, try_again_s=try_again_s)
    process.start()
    try:
        await then(endpoint, process)
    finally:
        await process.stop()
        await engine.aclose()
    return restarts


async def ends(process_id: int) -> None:
    """A signal is sent in a moment; what it is sent to may take longer to be gone."""
    async with asyncio.timeout(15):
        while alive(process_id):
            await asyncio.sleep(0.01)


async def becomes(endpoint: Endpoint, state: str) -> None:
    async with asyncio.timeout(15):
        while endpoint.state != state:
            await asyncio.sleep(0.01)


def alive(process_id: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{process_id}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_killed_engine_is_started_again_and_stopped_with_us(tmp_path: Path) -> None:
    ids: list[int] = []

    async def kill_it(endpoint: Endpoint, process: EngineProcess) -> None:
        await becomes(endpoint, "up")
        ids.append(process.process_id or 0)
        os.kill(ids[0], signal.SIGKILL)
        await becomes(endpoint, "starting")
        await becomes(endpoint, "up")
        ids.append(process.process_id or 0)

    restarts = asyncio.run(run_process(lambda port: [sys.executable, "-c", SERVER, str(port)], tmp_path, kill_it))
    assert restarts == ["m#1"]
    assert ids[0] != ids[1]
    assert not alive(ids[1])


def test_an_engine_that_cannot_start_is_given_up_with_its_last_words(tmp_path: Path) -> None:
    async def wait(endpoint: Endpoint, _: EngineProcess) -> None:
        await becomes(endpoint, "failed")
        assert "exit code 3: the model is rotten" in endpoint.reason
        assert "m.log" in endpoint.reason

    program = "import sys; print('the model is rotten'); sys.exit(3)"
    asyncio.run(run_process(lambda _: [sys.executable, "-c", program], tmp_path, wait))


def test_an_engine_that_never_answers_is_ended_and_given_up(tmp_path: Path) -> None:
    async def wait(endpoint: Endpoint, _: EngineProcess) -> None:
        await becomes(endpoint, "failed")
        assert "did not answer within 0.3 s" in endpoint.reason

    asyncio.run(
        run_process(lambda _: [sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, wait, load_s=0.3)
    )


HOLDER = """
import subprocess, sys, time
from hanok.serving.children import leash
leash.GRACE_S = 0.2
engine = ["sh", "-c", 'trap "" TERM; sleep 60 & echo $$ $!; wait']
subprocess.Popen(leash.on_a_leash(engine), start_new_session=True)
time.sleep(60)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the leash is prctl(2), which only Linux has")
def test_an_engine_that_ignores_sigterm_ends_with_its_children_when_its_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        engine = [int(each) for each in parent.stdout.readline().split()]
        assert all(map(alive, engine))
        parent.kill()
    wait_until(lambda: not any(map(alive, engine)))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the leash is prctl(2), which only Linux has")
def test_an_engine_whose_parent_was_gone_before_it_began_does_not_begin() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    command = on_a_leash(["echo", "begun"])
    command[command.index(str(os.getpid()))] = str(gone.pid)
    ended = subprocess.run(command, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, b"")


def test_what_a_crashed_engine_left_behind_is_ended_before_it_is_started_again(tmp_path: Path) -> None:
    left = tmp_path / "left"
    child = f"import subprocess; open({str(left)!r}, 'a').write(str(subprocess.Popen(['sleep', '60']).pid) + ' ')\n"

    async def kill_it(endpoint: Endpoint, process: EngineProcess) -> None:
        await becomes(endpoint, "up")
        os.kill(process.process_id or 0, signal.SIGKILL)
        await becomes(endpoint, "starting")
        await ends(int(left.read_text().split()[0]))

    asyncio.run(run_process(lambda port: [sys.executable, "-c", child + SERVER, str(port)], tmp_path, kill_it))
    wait_until(lambda: not any(alive(int(each)) for each in left.read_text().split()))


def test_an_engine_that_answered_once_is_not_given_up_after_two_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It crashed, and what it needs is not there at once: a GPU that is still held, a file share that is away."""
    monkeypatch.setattr(launch_module, "BACKOFF_S", (0.0,))
    times = tmp_path / "times"
    fails = f"t = open({str(times)!r}, 'a+'); t.write('x'); t.seek(0); n = len(t.read())\n"
    fails += "if 1 < n < 4: raise SystemExit(n)\n"

    async def kill_it(endpoint: Endpoint, process: EngineProcess) -> None:
        await becomes(endpoint, "up")
        os.kill(process.process_id or 0, signal.SIGKILL)
        await becomes(endpoint, "starting")
        await becomes(endpoint, "up")

    command = [sys.executable, "-c", fails + SERVER]
    restarts = asyncio.run(run_process(lambda port: [*command, str(port)], tmp_path, kill_it))
    assert restarts == ["m#1"] * 3


def test_a_replica_that_was_given_up_is_tried_again_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch_module, "BACKOFF_S", (0.0,))
    mended = tmp_path / "mended"
    command = [
        sys.executable,
        "-c",
        f"import os\nif not os.path.exists({str(mended)!r}): raise SystemExit(9)\n" + SERVER,
    ]

    async def mend(endpoint: Endpoint, _: EngineProcess) -> None:
        await becomes(endpoint, "failed")
        mended.touch()
        await becomes(endpoint, "up")

    asyncio.run(run_process(lambda port: [*command, str(port)], tmp_path, mend, try_again_s=(0.05,)))


def test_vllms_command_carries_the_declared_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "vllm"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    flags: dict[str, str | int | float | bool] = {"max-model-len": 8192, "enable-lora": True, "enforce-eager": False}
    spec = VllmEndpoint(engine="vllm", model="Qwen/Qwen3-8B", flags=flags)
    launch = plan_launch(spec, name="big#1", model=Model(name="big", serve=[spec]), folder=tmp_path, state=tmp_path)
    text = " ".join(launch.command)
    assert f"{program} serve Qwen/Qwen3-8B --host 127.0.0.1 --port {launch.port} --served-model-name big" in text
    assert text.endswith("--max-model-len 8192 --enable-lora")


def test_a_missing_model_file_is_named_with_what_would_do(tmp_path: Path) -> None:
    spec = LlamaCppEndpoint(engine="llamacpp", model="models/none.gguf")
    with pytest.raises(StartError, match=r"models/none\.gguf") as caught:
        plan_launch(spec, name="m#1", model=Model(name="m", serve=[spec]), folder=tmp_path, state=tmp_path)
    assert "gemma3-270m" in (caught.value.hint or "")
