"""What the server says when it has started."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hanok.cli.serve import greet
from hanok.cli.state import RunningServer
from hanok.spec import load


@pytest.mark.parametrize("tell", [True, False])
def test_a_new_key_is_shown_only_where_it_may_be_told(
    tell: bool, write_platform: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = load(write_platform({"name": "echo", "serve": {"engine": "echo"}}), {})
    greet(loaded, RunningServer(process_id=1, host="0.0.0.0", port=4242), "hk-secret", tell=tell)
    said = capsys.readouterr().err
    assert ("hk-secret" in said) is tell
    assert "local.key" in said


@pytest.mark.parametrize("tell", [True, False])
def test_the_call_that_is_shown_can_be_pasted(
    tell: bool, write_platform: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = load(write_platform({"name": "echo", "serve": {"engine": "echo"}}), {})
    loaded = replace(loaded, state=loaded.folder / "a folder of 'mine'")
    loaded.state.mkdir()
    (loaded.state / "local.key").write_text("hk-secret\n")
    greet(loaded, RunningServer(process_id=1, host="0.0.0.0", port=4242), "hk-secret", tell=tell)
    shown = capsys.readouterr().err.split("Try:\n")[1].split("or: ")[0]
    pasted = f"curl() {{ printf '%s\\n' \"$@\"; }}\n{shown}"
    done = subprocess.run(["bash", "-c", pasted], capture_output=True, text=True, check=True)
    assert "\nAuthorization: Bearer hk-secret\n" in done.stdout
