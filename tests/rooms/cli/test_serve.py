"""What the server says when it has started."""

from __future__ import annotations

from collections.abc import Callable
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
