"""Vector stores at a real `hanok up`: killed in the middle, and filled by one of several workers."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import yaml

from tests.conftest import ECHO, free_port
from tests.engine import Asked, FakeEngine, fake_engine, status
from tests.journeys.test_hanok_up import Up, start_up

pytest.importorskip("pymilvus", reason='Milvus is not installed: pip install "hanok[rag]"')
BATCH = 4
SENTENCES = [f"Sentence {number} tells of the number {number * 7919} and of nothing else." for number in range(600)]
SIZES: Any = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}}


@pytest.fixture
def embedder() -> Iterator[FakeEngine]:
    """An engine that makes vectors, takes a while, and outlives whoever asks it."""

    async def answer(asked: Asked, writer: Any) -> None:
        await asyncio.sleep(0.05)
        vectors = [
            {"index": index, "embedding": [byte / 255 for byte in hashlib.sha256(text.encode()).digest()[:8]]}
            for index, text in enumerate(asked.json["input"])
        ]
        body = {"object": "list", "data": vectors, "usage": {"prompt_tokens": 1, "total_tokens": 1}}
        await status(200, json.dumps(body).encode())(asked, writer)

    with fake_engine(answer) as running:
        yield running


def write(folder: Path, engine: FakeEngine, **gateway: Any) -> None:
    model = {"name": "embed", "type": "embedding", "serve": {"engine": "openai", "url": engine.url, "model": "x"}}
    stores = {"embed": {"batch": BATCH}}
    settings = {"name": "t", "models": [model], "vector_stores": stores, "gateway": gateway}
    (folder / "platform.yaml").write_text(yaml.safe_dump(settings))


def client(up: Up) -> openai.OpenAI:
    secret = up.headers["authorization"][7:]
    return openai.OpenAI(base_url=f"{up.url}/v1", api_key=secret, max_retries=0, timeout=60)


def embedded(engine: FakeEngine) -> Counter[str]:
    """How often each text was embedded."""
    return Counter(text for asked in engine.calls() for text in asked.json["input"])


def wait(true: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ready(stack: contextlib.ExitStack, folder: Path) -> Up:
    up = start_up(stack, folder, free_port())
    up.wait_for("Ready.", 90)
    return up


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_file_whose_reader_is_killed_is_read_by_the_next_and_nothing_is_double(
    tmp_path: Path, embedder: FakeEngine
) -> None:
    write(tmp_path, embedder)
    with contextlib.ExitStack() as stack:
        up = ready(stack, tmp_path)
        api = client(up)
        uploaded = api.files.create(file=("long.txt", " ".join(SENTENCES).encode()), purpose="assistants")
        store = api.vector_stores.create(name="killed").id
        api.vector_stores.files.create(store, file_id=uploaded.id, chunking_strategy=SIZES)
        for _ in range(2):
            seen = len(embedder.calls())
            wait(lambda seen=seen: len(embedder.calls()) > seen + 4)
            up.process.send_signal(signal.SIGKILL)
            up.process.wait(20)
            up = ready(stack, tmp_path)
            api = client(up)
        file = api.vector_stores.files.poll(uploaded.id, vector_store_id=store, poll_interval_ms=50)
        assert (file.status, file.last_error) == ("completed", None)
        pieces = [each.text or "" for each in api.vector_stores.files.content(uploaded.id, vector_store_id=store)]
        assert len(pieces) == len(set(pieces)) > 60
        assert " ".join(pieces).split() == " ".join(SENTENCES).split()
        found = api.vector_stores.search(store, query="what tells of the number 1583800", max_num_results=50).data
        texts = [each.content[0].text for each in found]
        assert len(texts) == len(set(texts))
        assert "1583800" in texts[0]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_one_of_several_workers_fills_what_all_of_them_take(tmp_path: Path, embedder: FakeEngine) -> None:
    write(tmp_path, embedder, workers=2)
    with contextlib.ExitStack() as stack:
        up = ready(stack, tmp_path)
        store = client(up).vector_stores.create(name="shared").id
        names = [f"file number {number}" for number in range(8)]
        ids = [attach(client(up), store, name) for name in names]  # a client each: connections go to both workers
        for id_ in ids:
            done = client(up).vector_stores.files.poll(id_, vector_store_id=store, poll_interval_ms=50)
            assert done.status == "completed"
        assert {text: times for text, times in embedded(embedder).items() if text in names} == dict.fromkeys(names, 1)
        for number, name in enumerate(names):
            found = client(up).vector_stores.search(store, query=name, max_num_results=8).data
            assert {each.file_id for each in found} == set(ids)
            assert found[0].file_id == ids[number]


def attach(api: openai.OpenAI, store: str, text: str) -> str:
    uploaded = api.files.create(file=(f"{text}.txt", text.encode()), purpose="assistants")
    return api.vector_stores.files.create(store, file_id=uploaded.id).id


@pytest.mark.timeout(60)
def test_a_platform_without_knowledge_starts_nothing_for_it(tmp_path: Path) -> None:
    (tmp_path / "platform.yaml").write_text(yaml.safe_dump({"name": "t", "models": [ECHO]}))
    with contextlib.ExitStack() as stack:
        up = ready(stack, tmp_path)
        with pytest.raises(openai.NotFoundError, match="no model that makes vectors"):
            client(up).vector_stores.create(name="x")
        maps = Path(f"/proc/{up.process.pid}/maps").read_text()
        for library in ("numpy", "pyarrow", "faiss", "grpc", "kreuzberg"):
            assert f"/{library}/" not in maps
        state = {each.name for each in (tmp_path / ".hanok").iterdir()}
        assert not [name for name in state if name.startswith(("librarian", "vector_stores", "knowledge"))]
