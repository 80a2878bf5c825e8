"""`hanok up` as a user starts it: a process, a terminal, a signal."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest
import yaml

from tests import forked
from tests.calls import Reply, call
from tests.conftest import ECHO, free_port

SLOW = {"name": "slow", "serve": {"engine": "echo", "delay_ms": 40}}


@dataclass
class Up:
    """A running `hanok up`, and what it has said."""

    process: subprocess.Popen[str]
    port: int
    folder: Path
    lines: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def said(self) -> str:
        return "".join(self.lines)

    @property
    def headers(self) -> dict[str, str]:
        key = (self.folder / ".hanok" / "local.key").read_text().strip()
        return {"authorization": f"Bearer {key}", "content-type": "application/json"}

    def wait_for(self, text: str, timeout: float = 30) -> None:
        deadline = time.monotonic() + timeout
        while text not in self.said:
            assert time.monotonic() < deadline, self.said
            assert self.process.poll() is None or text in self.said, self.said
            time.sleep(0.01)

    def chat(self, model: str = "echo", content: str = "hello", **more: Any) -> Reply:
        body = {"model": model, "messages": [{"role": "user", "content": content}], **more}
        return call(f"{self.url}/v1/chat/completions", "POST", body, self.headers)


def hanok(folder: Path, *arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a `hanok` command to its end."""
    return forked.command(folder, *arguments, **more)


def start_up(stack: contextlib.ExitStack, folder: Path, port: int, **more: Any) -> Up:
    """Start `hanok up` in `folder`; it is ended with the `stack`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hanok", "up", "--port", str(port)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **more,
    )
    started = Up(process, port, folder)
    output = process.stdout
    assert output is not None

    def read() -> None:
        with output:
            started.lines.extend(iter(output.readline, ""))

    reader = threading.Thread(target=read)
    reader.start()
    stack.callback(reader.join, 10)
    stack.callback(process.wait, 20)
    stack.callback(process.terminate)
    return started


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Start `hanok up` with these models; it is ended with the test."""
    with contextlib.ExitStack() as stack:

        def start(*models: dict[str, Any], **more: Any) -> Up:
            text = yaml.safe_dump({"name": "test", **more, "models": list(models)})
            (tmp_path / "platform.yaml").write_text(text)
            return start_up(stack, tmp_path, free_port())

        yield start


def test_it_says_where_it_listens_and_the_printed_curl_line_works(up: Callable[..., Up]) -> None:
    started = up(ECHO)
    started.wait_for("Ready.")
    assert f"listens on {started.url}/v1" in started.said
    curl = re.search(
        r"curl (\S+) \\\n\s+-H [\"'](\S+): (.+)[\"'] \\\n\s+-H '(\S+): (.+)' \\\n\s+-d '(.+)'", started.said
    )
    assert curl, started.said
    url, *headers, body = curl.groups()
    reply = call(url, "POST", body.encode(), dict(zip(headers[::2], headers[1::2], strict=True)))
    assert reply.json["choices"][0]["message"]["content"] == "What is the capital of France?"


@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM])
def test_on_a_signal_it_lets_a_running_stream_finish_and_takes_no_more(up: Callable[..., Up], name: int) -> None:
    started = up(SLOW, ECHO)
    started.wait_for("Ready.")
    replies: list[Reply] = []
    words = " ".join(["word"] * 30)
    streaming = threading.Thread(target=lambda: replies.append(started.chat("slow", words, stream=True)))
    streaming.start()
    while "hanok_in_flight_requests 1.0" not in call(f"{started.url}/metrics").body.decode():
        pass
    started.process.send_signal(name)
    started.wait_for("Stopping")
    streaming.join()
    assert replies[0].events[-1] == "[DONE]"
    assert started.process.wait(10) == 0
    assert json.loads(hanok(started.folder, "usage", "--json").stdout)["rows"][0]["completion_tokens"] == 30


def test_a_second_signal_ends_it_at_once(up: Callable[..., Up]) -> None:
    started = up({"name": "slow", "serve": {"engine": "echo", "delay_ms": 5000}})
    started.wait_for("Ready.")

    def ask() -> None:
        with contextlib.suppress(Exception):
            started.chat("slow", stream=True)

    asking = threading.Thread(target=ask)
    asking.start()
    while "hanok_in_flight_requests 1.0" not in call(f"{started.url}/metrics").body.decode():
        pass
    started.process.send_signal(signal.SIGINT)
    started.wait_for("Stopping")
    started.process.send_signal(signal.SIGINT)
    assert started.process.wait(5) == 130
    asking.join()


def test_calls_that_outlast_the_drain_are_cut_charged_and_told_so(up: Callable[..., Up]) -> None:
    started = up({"name": "slow", "serve": {"engine": "echo", "delay_ms": 200}}, gateway={"drain_s": 0.3})
    started.wait_for("Ready.")
    with ThreadPoolExecutor() as pool:
        streamed = pool.submit(started.chat, "slow", "word " * 100, stream=True)
        whole = pool.submit(started.chat, "slow", "word " * 100)
        while "hanok_in_flight_requests 2.0" not in call(f"{started.url}/metrics").body.decode():
            pass
        started.process.terminate()
        assert started.process.wait(10) == 0
    assert streamed.result().status == 200
    assert streamed.result().events[-1]["error"]["code"] == "draining"
    assert (whole.result().status, whole.result().error["code"]) == (503, "draining")
    assert json.loads(hanok(started.folder, "usage", "--json").stdout)["rows"][0]["calls"] == 2


def test_killed_right_after_an_answer_it_has_lost_no_charge(up: Callable[..., Up]) -> None:
    started = up({**ECHO, "price": {"input": 1.0, "output": 1.0}})
    started.wait_for("Ready.")
    for number in range(20):
        assert started.chat(stream=number % 2 == 0).status == 200
    started.process.kill()
    started.process.wait(5)
    again = up(ECHO)
    again.wait_for("Ready.")
    rows = json.loads(hanok(started.folder, "usage", "--json").stdout)["rows"]
    assert [row["calls"] for row in rows] == [20]


def test_a_taken_port_is_named_with_another_to_try(up: Callable[..., Up], tmp_path: Path) -> None:
    (tmp_path / "platform.yaml").write_text(yaml.safe_dump({"models": [ECHO]}))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        failed = hanok(tmp_path, "up", "--port", str(port))
    assert failed.returncode == 1
    assert f"port {port} on 127.0.0.1 is taken" in failed.stderr
    assert f"hanok up --port {port + 1}" in failed.stderr


def test_started_twice_it_says_that_it_runs_already(up: Callable[..., Up]) -> None:
    started = up(ECHO)
    started.wait_for("Ready.")
    failed = hanok(started.folder, "up", "--port", str(started.port))
    assert failed.returncode == 1
    assert f"running already (process {started.process.pid})" in failed.stderr


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ({"name": "m", "serve": {"engine": "llamacpp", "model": "none.gguf"}}, "there is no model file"),
        ({"name": "m", "serve": {"engine": "vllm", "model": "x"}}, "needs the `vllm` program"),
    ],
)
def test_what_an_engine_lacks_is_said_before_anything_starts(tmp_path: Path, model: dict[str, Any], says: str) -> None:
    platform = {"models": [model], "gateway": {"port": free_port()}}
    (tmp_path / "platform.yaml").write_text(yaml.safe_dump(platform))
    for command in ("up", "check"):
        failed = hanok(tmp_path, command)
        assert failed.returncode == 1
        assert says in failed.stderr
        assert "hint:" in failed.stderr
        assert "Traceback" not in failed.stderr


def test_with_no_file_it_writes_a_starter_for_what_is_there(tmp_path: Path) -> None:
    found = hanok(tmp_path, "init", "--json", env={**os.environ, "OPENAI_API_KEY": "sk-secret-1"})
    assert found.returncode == 0, found.stderr
    text = (tmp_path / "platform.yaml").read_text()
    assert "engine: llamacpp" in text
    assert "key: ${env:OPENAI_API_KEY}" in text
    assert "sk-secret-1" not in text
    checked = hanok(tmp_path, "check", "--json", env={**os.environ, "OPENAI_API_KEY": "sk-secret-1"})
    assert json.loads(checked.stdout)["valid"] is True
    assert hanok(tmp_path, "init").returncode == 1, "it does not write over a file"


def test_keys_made_and_revoked_beside_a_running_server_count_at_once(up: Callable[..., Up]) -> None:
    started = up(ECHO)
    started.wait_for("Ready.")
    secret = json.loads(hanok(started.folder, "keys", "create", "ann", "--json").stdout)["key"]
    headers = {"authorization": f"Bearer {secret}"}

    def becomes(status: int) -> bool:
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            if call(f"{started.url}/v1/models", headers=headers).status == status:
                return True
        return False

    assert becomes(200)
    assert secret not in hanok(started.folder, "keys", "list").stdout
    hanok(started.folder, "keys", "revoke", "ann")
    assert becomes(401)


def test_ask_and_chat_use_the_running_server_or_start_what_they_need(up: Callable[..., Up]) -> None:
    started = up(ECHO, {"name": "wise", "serve": {"engine": "script", "turns": [{"say": "forty two"}]}})
    started.wait_for("Ready.")
    assert hanok(started.folder, "ask", "hello there").stdout == "hello there\n"
    assert json.loads(hanok(started.folder, "ask", "why", "-m", "wise", "--json").stdout)["answer"] == "forty two"
    assert hanok(started.folder, "ask", "-", input="from stdin").stdout == "from stdin\n"
    talk = hanok(started.folder, "chat", "-m", "wise", input="why?\n/new\nand?\n")
    assert talk.stdout.count("forty two") == 2
    assert "up" in hanok(started.folder, "models").stdout
    started.process.terminate()
    started.process.wait(10)
    assert hanok(started.folder, "ask", "alone now", "--no-stream").stdout == "alone now\n"
    failed = hanok(started.folder, "ask", "x", "-m", "none")
    assert failed.returncode == 1
    assert "chat models here: echo, wise" in failed.stderr
    rows = json.loads(hanok(started.folder, "usage", "--by", "key", "--json").stdout)["rows"]
    assert sum(row["calls"] for row in rows) == 6


def test_ctrl_c_ends_an_answer_and_then_the_chat(up: Callable[..., Up]) -> None:
    started = up(SLOW)
    started.wait_for("Ready.")
    typing, terminal = os.openpty()
    command = [sys.executable, "-m", "hanok", "chat"]
    chat = subprocess.Popen(command, cwd=started.folder, stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.close(terminal)
    try:
        assert chat.stdout
        os.write(typing, b"beginning " + b"on and " * 300 + b"end\n")
        read_until(chat.stdout, b"beginning")
        chat.send_signal(signal.SIGINT)
        read_until(chat.stdout, "\n› ".encode())
        os.write(typing, b"again\n")
        read_until(chat.stdout, "again\n› ".encode())
        chat.send_signal(signal.SIGINT)
        assert chat.wait(20) == 130
    finally:
        chat.kill()
        chat.communicate()
        os.close(typing)


def read_until(pipe: IO[bytes], text: bytes) -> None:
    seen = b""
    while text not in seen:
        piece = os.read(pipe.fileno(), 4096)
        assert piece, seen
        seen += piece
