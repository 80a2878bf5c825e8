"""Each example does what its README says."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.written import run_blocks
from tests.generated import ROOT

EXAMPLES = sorted(path for path in (ROOT / "examples").iterdir() if path.is_dir())


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    copy = tmp_path / request.param.name
    shutil.copytree(request.param, copy, ignore=shutil.ignore_patterns(".hanok", "__pycache__"))
    yield copy


@pytest.mark.slow
@pytest.mark.parametrize("folder", EXAMPLES, indirect=True, ids=lambda path: path.name)
def test_an_examples_readme_works_as_written(folder: Path) -> None:
    with contextlib.ExitStack() as stack:
        run_blocks(stack, folder, (folder / "README.md").read_text("utf-8"))
