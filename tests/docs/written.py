"""Runs the shell blocks of a page as a reader would, and holds what they say against the page."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import free_port
from tests.journeys.test_hanok_up import Up, start_up

_BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def run_blocks(stack: contextlib.ExitStack, folder: Path, text: str) -> None:
    """`sh` blocks are run in order (`hanok up` in the background); the lines of `text` blocks must have been said."""
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
