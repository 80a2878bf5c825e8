"""People who wait are told what is being done; programs, and people who need not wait, are not."""

from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console

from hanok.cli import patience


def said(monkeypatch: pytest.MonkeyPatch, *, terminal: bool, moment_s: float) -> str:
    file = io.StringIO()
    monkeypatch.setattr(patience, "talk", Console(file=file, force_terminal=terminal))
    monkeypatch.setattr(patience, "MOMENT_S", moment_s)
    with patience.patience("reading") as tell:
        tell("scheduling")
        for each in threading.enumerate():
            if isinstance(each, threading.Timer) and moment_s == 0:
                each.join()
    return file.getvalue()


def test_whoever_waits_at_a_terminal_sees_what_is_being_done(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "scheduling …" in said(monkeypatch, terminal=True, moment_s=0)


def test_what_is_quick_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(monkeypatch, terminal=True, moment_s=3600) == ""


def test_a_pipe_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(monkeypatch, terminal=False, moment_s=0) == ""
