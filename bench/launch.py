"""What a gateway is to the benchmark: a way to install it, and a command that starts it in front of the engine.

Rivals go into throw-away environments under the cache folder; nothing of theirs gets into the environment of this
program.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fake_engine import MODEL
from load import PATH, Target

INSTALL_PATIENCE = 900.0
KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")


class NotInstalled(Exception):
    """A gateway that is not there and cannot be had. The text is the reason, for the table."""


@dataclass(frozen=True)
class Place:
    """Where one gateway runs."""

    folder: Path  # a temporary one, of its own
    installed: Path  # what its install made
    port: int
    engine_port: int
    collector_port: int  # for spans

    @property
    def engine(self) -> str:
        return f"http://127.0.0.1:{self.engine_port}"


@dataclass(frozen=True)
class Launch:
    command: list[str]
    headers: dict[str, str]  # what a client has to send
    env: dict[str, str] = field(default_factory=dict[str, str])
    path: str = PATH
    model: str = MODEL  # as its clients have to call it
    port_file: Path | None = None  # for one that chooses its port itself: where it writes it

    def target(self, port: int) -> Target:
        return Target(port, self.path, self.model, self.headers)


@dataclass(frozen=True)
class Gateway:
    name: str
    does: str  # beside handing requests on: a gateway that does more has more to pay
    ready_path: str | None  # None: it has none; it is ready when it answers
    install: Callable[[Path, bool], Path]  # (cache folder, whether it may install now): where it is
    launch: Callable[[Place], Launch]
    exports: bool = False  # it has to send spans to the collector


def clean_env(folder: Path) -> dict[str, str]:
    """A child's environment: no proxy, account, database or setting of the user's gets into a measurement."""
    return {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ} | {"HOME": str(folder)}


def install_once(cache: Path, name: str, may_install: bool, install: Callable[[Path], None]) -> Path:
    """A marker is written last, so a half-made install is seen and made anew."""
    folder = cache / name
    marker = folder / "installed"
    if marker.exists():
        return folder
    if not may_install:
        raise NotInstalled("it is not in the cache yet; a run without --quick installs it")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    install(folder)
    marker.touch()
    return folder


def run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"{Path(command[0]).name} took more than {INSTALL_PATIENCE:.0f} s") from None
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())
        raise NotInstalled(f"{Path(command[0]).name} failed: {said[:400]}")


def find_uv() -> str | None:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv")


def install_python(folder: Path, packages: list[str], any_version: tuple[str, ...] = ()) -> None:
    """Into an environment of its own, with uv where there is one.

    any_version: packages whose pins may be let go when the index does not have (or does not have yet) the exact ones.
    """
    uv = find_uv()
    if uv is None:
        run([sys.executable, "-m", "venv", str(folder / "venv")])
        run([str(folder / "venv/bin/python"), "-m", "pip", "install", "--quiet", *packages])
        return
    run([uv, "venv", "--quiet", "--python", sys.executable, str(folder / "venv")])
    # Compiled now: else a start would compile thousands of modules each time, which no deployment does.
    install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(folder / "venv/bin/python")]
    try:
        run([*install, *packages])
    except NotInstalled:
        if not any_version:
            raise
        overrides = folder / "overrides.txt"
        overrides.write_text("\n".join(any_version) + "\n")
        run([*install, "--override", str(overrides), *packages])
