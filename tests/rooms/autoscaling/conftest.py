"""Engines for these tests: real processes that do what files tell them (`tests.vllm_program`)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests import vllm_program


@pytest.fixture
def hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that keeps engines from answering while it is there; `vllm` is on the PATH."""
    program = tmp_path / "bin" / "vllm"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -S {vllm_program.__file__} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setenv("HOLD", str(tmp_path / "hold"))
    return tmp_path / "hold"
