"""The documentation is true: generated pages match the code, and nothing that is declared goes untold."""

from __future__ import annotations

import re
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
from tests.generated import ROOT, commands, pages


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
