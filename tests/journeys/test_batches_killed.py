"""Batches at a real `hanok up`: killed in the middle, taken over by another process, drained, and by the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import yaml

from tests.calls import call
from tests.conftest import free_port
from tests.engine import Asked, FakeEngine, fake_engine, whole
from tests.journeys.test_hanok_up import Up, hanok, start_up
from tests.journeys.test_workers import workers
from tests.rooms.batches.orders import chat_line, jsonl, order, wait, written

LINES = 200
CONCURRENCY = 5


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    """An engine that takes a while, and outlives whoever asks it."""

    async def answer(asked: Asked, writer: Any) -> None:
        await asyncio.sleep(0.02)
        await whole()(asked, writer)

    with fake_engine(answer) as running:
        yield running


def write(folder: Path, engine: FakeEngine, **more: Any) -> None:
    model = {"name": "m", "serve": {"engine": "openai", "url": engine.url}}
    settings = {"name": "t", "models": [model], "batches": {"concurrency": CONCURRENCY}, **more}
    (folder / "platform.yaml").write_text(yaml.safe_dump(settings))


def client(up: Up) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{up.url}/v1", api_key=up.headers["authorization"][7:], max_retries=0)


def asked_times(engine: FakeEngine) -> Counter[str]:
    return Counter(each.json["messages"][0]["content"] for each in engine.calls())


def lines() -> list[Any]:
    return [chat_line(f"line-{each}", f"question {each}", "m") for each in range(LINES)]


@pytest.mark.timeout(180)
def test_a_batch_that_is_killed_again_and_again_asks_no_finished_line_twice(tmp_path: Path, engine: FakeEngine) -> None:
    write(tmp_path, engine)
    finished: list[set[str]] = []
    with contextlib.ExitStack() as stack:
        up = start_up(stack, tmp_path, free_port())
        up.wait_for("Ready.", 60)
        batch = order(client(up), lines())
        for seen in (40, 100, 150):
            wait_until_asked(engine, seen)
            up.process.send_signal(signal.SIGKILL)
            up.process.wait(20)
            finished.append(on_disk(tmp_path, batch.id))
            before = asked_times(engine)
            assert not [id_ for id_ in finished[-1] if before[id_.replace("line-", "question ")] == 0]
            up = start_up(stack, tmp_path, free_port())
            up.wait_for("Ready.", 60)
        api = client(up)
        done = wait(api, batch, timeout=60)
        output = written(api, done.output_file_id)
        up.process.send_signal(signal.SIGTERM)
        up.process.wait(20)
    assert done.status == "completed"
    assert done.request_counts is not None
    assert done.request_counts.completed == len(output) == LINES
    assert done.usage is not None
    assert done.usage.input_tokens == 7 * LINES
    times = asked_times(engine)
    assert sum(times.values()) <= LINES + 3 * CONCURRENCY  # those that ran when it was killed
    assert not (tmp_path / ".hanok" / "batches" / batch.id).exists()
    assert finished[0] <= finished[1] <= finished[2]


def wait_until_asked(engine: FakeEngine, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(asked_times(engine)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def on_disk(folder: Path, batch: str) -> set[str]:
    """The lines that had ended when the process was killed."""
    text = (folder / ".hanok" / "batches" / batch / "output.jsonl").read_bytes()
    return {json.loads(line)["custom_id"] for line in text.splitlines(keepends=True) if line.endswith(b"\n")}


@pytest.mark.timeout(120)
def test_of_two_processes_one_runs_batches_and_the_other_takes_over_when_it_dies(
    tmp_path: Path, engine: FakeEngine
) -> None:
    write(tmp_path, engine)
    with contextlib.ExitStack() as stack:
        first, second = (start_up(stack, tmp_path, free_port()) for _ in range(2))
        for each in (first, second):
            each.wait_for("Ready.", 60)
        api = client(second)
        batch = order(api, lines())
        wait_until_asked(engine, 60)
        running, other = (first, second) if lines_in_hand(first) else (second, first)
        assert lines_in_hand(other) == 0
        running.process.send_signal(signal.SIGKILL)
        done = wait(client(other), batch, timeout=60)
        output = written(client(other), done.output_file_id)
    assert (done.status, len(output)) == ("completed", LINES)
    assert sum(asked_times(engine).values()) <= LINES + CONCURRENCY


def lines_in_hand(up: Up) -> float:
    text = call(f"{up.url}/metrics").body.decode()
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith("hanok_batch_lines{"))


@pytest.mark.timeout(120)
def test_a_house_that_stops_lets_running_lines_end_and_leaves_the_others(tmp_path: Path, engine: FakeEngine) -> None:
    write(tmp_path, engine)
    with contextlib.ExitStack() as stack:
        up = start_up(stack, tmp_path, free_port())
        up.wait_for("Ready.", 60)
        batch = order(client(up), lines())
        wait_until_asked(engine, 30)
        up.process.send_signal(signal.SIGTERM)
        assert up.process.wait(20) == 0
        assert len(on_disk(tmp_path, batch.id)) == sum(asked_times(engine).values()) < LINES
        again = start_up(stack, tmp_path, free_port())
        again.wait_for("Ready.", 60)
        assert wait(client(again), batch, timeout=60).status == "completed"
    assert set(asked_times(engine).values()) == {1}


@pytest.mark.timeout(120)
def test_a_batch_from_the_terminal(tmp_path: Path, engine: FakeEngine) -> None:
    write(tmp_path, engine)
    (tmp_path / "lines.jsonl").write_bytes(jsonl(lines()[:20]))
    (tmp_path / "bad.jsonl").write_bytes(jsonl([chat_line("a", "x", "nobody")]))
    assert "no server of this platform runs here" in hanok(tmp_path, "batches", "list").stderr
    with contextlib.ExitStack() as stack:
        up = start_up(stack, tmp_path, free_port())
        up.wait_for("Ready.", 60)
        assert "No batches yet" in hanok(tmp_path, "batches", "list").stdout
        done = hanok(tmp_path, "batches", "create", "lines.jsonl", "--wait", "--json")
        assert (done.returncode, json.loads(done.stdout)["status"]) == (0, "completed"), done.stderr
        id_ = json.loads(done.stdout)["id"]
        assert hanok(tmp_path, "batches", "results", id_, "-o", "answers.jsonl").returncode == 0
        assert len((tmp_path / "answers.jsonl").read_text().splitlines()) == 20
        again = hanok(tmp_path, "batches", "results", id_, "-o", "answers.jsonl")
        assert (again.returncode, "--force" in again.stderr) == (1, True)
        assert hanok(tmp_path, "batches", "results", id_, "-o", "answers.jsonl", "--force").returncode == 0
        told = hanok(tmp_path, "batches", "create", "-", "--wait", input=(tmp_path / "lines.jsonl").read_text())
        assert (told.returncode, "Next: hanok batches results batch_" in told.stderr) == (0, True), told.stderr
        assert "no line failed" in hanok(tmp_path, "batches", "results", id_, "--errors").stderr
        assert "20 answered" in hanok(tmp_path, "batches", "show", id_).stdout
        assert json.loads(hanok(tmp_path, "batches", "list", "--json").stdout)["batches"][1]["id"] == id_
        assert "it is completed" in hanok(tmp_path, "batches", "cancel", id_).stderr
        failed = hanok(tmp_path, "batches", "create", "bad.jsonl", "--wait")
        assert failed.returncode == 1
        assert "line 1: there is no model 'nobody'" in failed.stderr
        file = hanok(tmp_path, "files", "upload", "lines.jsonl").stdout.strip()
        assert hanok(tmp_path, "files", "get", file).stdout == (tmp_path / "lines.jsonl").read_text()
        assert file in hanok(tmp_path, "files", "list").stdout
        assert hanok(tmp_path, "files", "delete", file).returncode == 0
        assert "there is no file" in hanok(tmp_path, "files", "get", file).stderr
        assert hanok(tmp_path, "files", "upload", "nothing.jsonl").returncode == 1


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_workers_that_die_one_after_the_other_take_over_from_each_other(tmp_path: Path, engine: FakeEngine) -> None:
    write(tmp_path, engine, gateway={"workers": 2})
    with contextlib.ExitStack() as stack:
        up = start_up(stack, tmp_path, free_port())
        up.wait_for("Ready.", 60)
        api = client(up)
        batch = order(api, lines())
        wait_until_asked(engine, 50)
        for worker in workers(up):
            os.kill(worker, signal.SIGKILL)
        api = client(up)  # new connections: those of the dead are gone
        wait_for_workers(up)
        done = wait(api, batch, timeout=90)
        output = written(api, done.output_file_id)
    assert (done.status, len(output)) == ("completed", LINES)
    assert sum(asked_times(engine).values()) <= LINES + 2 * CONCURRENCY


def wait_for_workers(up: Up) -> None:
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError):
            if call(f"{up.url}/health/ready").status == 200:
                return
        assert time.monotonic() < deadline
        time.sleep(0.05)
