"""How fast documents are ingested beside what the embedder alone does, what calls notice, and what memory it takes.

    .venv/bin/python bench/ingest.py                      # a few minutes: 400 passages, 16 MiB for memory
    .venv/bin/python bench/ingest.py --gib 1 --only memory
    .venv/bin/python bench/ingest.py --json

Three parts: `rate` (with the real encoder: the same passages sent to the model alone, before and after, and ingested),
`calls` (an echo model asked at a steady pace, without and with an ingest in the house), `memory` (as many MiB of text
as asked for, with vectors and a store that cost nothing, so that only the pipeline is seen).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

SIZE = 1000
BATCH, CONCURRENCY = 16, 2
PACE_S = 0.02
DIMENSIONS = 512
talk = Console(stderr=True)
PLATFORM = """\
name: bench
gateway: {{port: {port}}}
models:
  - {{name: echo, serve: {{engine: echo}}}}
  - {{name: embed, type: embedding, serve: {{engine: sentence-encoder}}}}
knowledge:
  - name: docs
    on_start: {on_start}
    sources: {{path: texts, include: ["*.txt"]}}
    split: {{strategy: fixed, size: 1000, overlap: 0}}
    embed: {{batch: 16, concurrency: 2}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=400, help="for rate and calls")
    parser.add_argument("--mib", type=float, default=16.0, help="text for memory")
    parser.add_argument("--gib", type=float, help="the same in GiB")
    parser.add_argument("--only", choices=("rate", "calls", "memory"))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--pipeline", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.pipeline is not None:
        print(json.dumps(asyncio.run(run_pipeline(options.pipeline))))
        return
    mib = options.mib if options.gib is None else options.gib * 1024
    parts = {
        "rate": lambda: rate(options.passages),
        "calls": lambda: calls(options.passages),
        "memory": lambda: memory(mib),
    }
    found: dict[str, Any] = {}
    for name, part in parts.items():
        if options.only in (None, name):
            with talk.status(name):
                found[name] = part()
            talk.print(name, found[name])
    if options.json:
        print(json.dumps(found, indent=2))


# rate


def rate(passages: int) -> dict[str, float]:
    """Passages a second: the model alone, asked through the gateway as an ingest asks, then end to end."""
    with place(passages, on_start=False) as (folder, port), up(folder):
        texts = texts_of(folder)
        alone = asyncio.run(embed_all(folder, port, texts))
        told = hanok(folder, "knowledge", "ingest", "docs", "--json")
        [report] = json.loads(told)["ingests"]
        again = asyncio.run(embed_all(folder, port, texts))
    own = (alone + again) / 2
    return {
        "passages": report["passages"],
        "embedder_per_s": round(own, 1),
        "ingest_per_s": report["passages_per_s"],
        "share": round(report["passages_per_s"] / own, 3),
        "seconds": report["seconds"],
    }


async def embed_all(folder: Path, port: int, texts: list[str]) -> float:
    """Passages a second that the model embeds."""
    from hanok.serving.client import Pool
    from hanok.serving.engines.openai import OpenAIEngine
    from hanok.spec import Timeouts
    from hanok.wire import TaskRequest

    key = (folder / ".hanok" / "local.key").read_text().strip()
    pool = Pool(f"http://127.0.0.1:{port}/v1", timeouts=Timeouts(), headers={"authorization": f"Bearer {key}"})
    engine = OpenAIEngine(pool, model="embed", endpoint="bench", served_name="embed")
    batches = [texts[at : at + BATCH] for at in range(0, len(texts), BATCH)]
    began = time.monotonic()

    async def work() -> None:
        while batches:
            result = await engine.perform(TaskRequest.embed("embed", batches.pop(), encoding_format="base64"))
            result.packed_vectors()

    await asyncio.gather(*(work() for _ in range(CONCURRENCY)))
    seconds = time.monotonic() - began
    await engine.aclose()
    return len(texts) / seconds


# calls


def calls(passages: int) -> dict[str, float]:
    """What the slowest hundredth of calls takes, in ms, in a house that ingests and in one that does not."""
    found: dict[str, float] = {}
    for name, on_start in (("idle", False), ("ingesting", True)):
        with place(passages, on_start=on_start) as (folder, port), up(folder):
            last = folder / ".hanok" / "knowledge" / "docs" / "last.json"
            if on_start:
                wait_for(lambda last=last: last.exists() and json.loads(last.read_text())["passages"] > 0)
            times = chat(folder, port, seconds=15.0)
            if on_start:
                found["still_ingesting"] = float(json.loads(last.read_text())["state"] == "running")
        times.sort()
        found |= {
            f"{name}_p50_ms": round(1000 * times[len(times) // 2], 2),
            f"{name}_p99_ms": round(1000 * times[int(len(times) * 0.99)], 2),
        }
    return found | {"added_p99_ms": round(found["ingesting_p99_ms"] - found["idle_p99_ms"], 2)}


def chat(folder: Path, port: int, *, seconds: float) -> list[float]:
    """How long each of many calls took, asked at a steady pace over one connection."""
    import http.client

    key = (folder / ".hanok" / "local.key").read_text().strip()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    body = json.dumps({"model": "echo", "messages": [{"role": "user", "content": "Hello, who is there?"}]})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    times: list[float] = []
    end = time.monotonic() + seconds
    while (began := time.monotonic()) < end:
        connection.request("POST", "/v1/chat/completions", body, headers)
        connection.getresponse().read()
        times.append(time.monotonic() - began)
        time.sleep(max(0.0, PACE_S - times[-1]))
    connection.close()
    return times


# memory


def memory(mib: float) -> dict[str, float]:
    """Peak resident memory, in MiB, of the process that ingests and of the largest of its parsers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_texts(folder / "texts", int(mib * 2**20), bytes_each=2 * 2**20)
        (folder / "platform.yaml").write_text(PLATFORM.format(port=1, on_start="false"))
        command = [sys.executable, __file__, "--pipeline", str(folder)]
        told = subprocess.run(command, capture_output=True, text=True, check=True, env=environment())
        return {"text_mib": mib, **json.loads(told.stdout)}


async def run_pipeline(folder: Path) -> dict[str, float]:
    """An ingest with vectors and a store that cost nothing."""
    from hanok.knowledge.ingesting import Ingest, ingest
    from hanok.knowledge.ingesting.tools_launch import open_tools
    from hanok.knowledge.stores.memory import MemoryStore
    from hanok.spec import load
    from hanok.wire import TaskRequest, TaskResult, Usage, json_bytes

    vector = base64.b64encode(b"\0\0\x80?" + bytes(4 * (DIMENSIONS - 1))).decode()

    class Free:
        async def open(self, request: Any) -> Any:
            raise NotImplementedError

        async def perform(self, request: TaskRequest) -> TaskResult:
            data = [{"index": index, "embedding": vector} for index in range(request.inputs)]
            return TaskResult(json_bytes({"data": data}), Usage(), "free", "free")

    class Forgetful(MemoryStore):
        async def write(self, name: str, rows: Any) -> None:
            await super().write(name, [row for row in rows if row.head is not None])

    async def models() -> Any:
        return Free()

    loaded = load(folder / "platform.yaml", {})
    order = Ingest(
        loaded=loaded,
        base=loaded.platform.knowledge[0],
        store=Forgetful(),
        models=models,
        tools=open_tools,
        wall=time.time,
    )
    report = await ingest(order)
    return {
        "documents": report.documents,
        "passages": report.passages,
        "seconds": round(report.seconds(time.time()), 1),
        "passages_per_s": round(report.rate(time.time()), 1),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "parser_peak_mib": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, 1),
    }


# what all parts share


@contextlib.contextmanager
def place(passages: int, *, on_start: bool) -> Iterator[tuple[Path, int]]:
    """A folder with a platform and texts of about so many passages."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_texts(folder / "texts", passages * SIZE, bytes_each=20 * SIZE)
        (folder / "platform.yaml").write_text(PLATFORM.format(port=port, on_start=str(on_start).lower()))
        yield folder, port


@contextlib.contextmanager
def up(folder: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "hanok", "up"]
    log = (folder / "up.log").open("wb")
    with subprocess.Popen(command, cwd=folder, env=environment(), stdout=log, stderr=log) as process:
        try:
            wait_for(lambda: b"Ready" in (folder / "up.log").read_bytes())
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
            log.close()


def hanok(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "hanok", *arguments]
    return subprocess.run(command, cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True, check=True).stdout


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1] / "src")])}


def wait_for(true: Any, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise SystemExit("it never came true")
        time.sleep(0.1)


def texts_of(folder: Path) -> list[str]:
    """The passages that the declared rule makes, near enough."""
    whole = [file.read_text() for file in sorted((folder / "texts").iterdir())]
    return [text[at : at + SIZE] for text in whole for at in range(0, len(text), SIZE)]


def write_texts(folder: Path, total: int, *, bytes_each: int) -> None:
    """Prose of made-up words, the same every time."""
    folder.mkdir(parents=True)
    chosen = random.Random(7)
    words = ["".join(chosen.choices("aeioubcdfghklmnprstvwz", k=chosen.randint(2, 9))) for _ in range(5000)]
    number = 0
    while total > 0:
        size = min(total, bytes_each)
        text = " ".join(chosen.choices(words, k=size // 5))[:size]
        (folder / f"{number:05}.txt").write_text(text)
        total, number = total - size, number + 1


if __name__ == "__main__":
    main()
