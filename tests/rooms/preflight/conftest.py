"""What the tests of preflight share: a look at some text, as the command line would take it."""

from __future__ import annotations

import datetime
import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from hanok.cli import main
from hanok.gpu import Anatomy, Catalog, load_catalog, load_model
from hanok.preflight import Case, Facts, Finding, Report, Terms, declare, gather, preflight
from hanok.preflight.schema.load import load_builtins
from hanok.spec import Loaded
from hanok.spec.load import parse

CRDS = Path(__file__).parents[4] / "shared" / "data" / "crds"
SEEDS = Path(__file__).parents[4] / "shared" / "seeds"
Look = Callable[..., Report]
Told = tuple[int, str, str]
Hanok = Callable[..., Told]
"""`hanok(*arguments)`: the command, run; its exit code, stdout and stderr."""


@cache
def catalog() -> Catalog:
    return load_catalog()[0]


@cache
def anatomy(model: str) -> Anatomy:
    return load_model(model, folder=Path("/nonexistent"), fetch=None)


def facts(**more: Any) -> Facts:
    """What is known in tests: the catalogue that ships, a day that stays the same."""
    known = {"catalog": catalog(), "anatomy": anatomy, "today": datetime.date(2026, 11, 1)}
    return Facts(**{**known, "builtins": load_builtins(more.get("kubernetes", "1.37")), **more})


def look_at(folder: Path, files: Mapping[str, str | bytes], *, select: Sequence[str] = (), **more: Any) -> Report:
    """The report on these files; only on what `select` begins with, as `HK2`, where it is given."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    gathered = gather([folder])
    platforms = [declare(each, parse_leniently) for each in gathered.platforms]
    case = Case(cluster=gathered.cluster, facts=facts(**more), platforms=platforms)
    return preflight(case, terms=Terms(select=select))


def parse_leniently(text: str, file: Path) -> Loaded:
    """A platform file as the command line reads it, where no variable is set."""
    return parse(text, file, {}, lenient=True)


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """`look(text)` or `look({"a.yaml": text})`: the report on it."""

    def look(files: str | Mapping[str, str | bytes], **more: Any) -> Report:
        return look_at(tmp_path, {"all.yaml": files} if isinstance(files, str) else files, **more)

    return look


@pytest.fixture
def hanok(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Hanok:
    """`hanok(*arguments)` in an empty folder: the exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))

    def run(*arguments: str, stdin: bytes = b"") -> Told:
        monkeypatch.setattr(sys, "argv", ["hanok", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return run


def write(name: str, text: str | bytes) -> None:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def told(hanok: Hanok, *arguments: str, **more: Any) -> tuple[int, dict[str, Any]]:
    status, out, _ = hanok("preflight", *arguments, "--json", **more)
    found = json.loads(out)
    assert {"verdict", "findings"} <= set(found)
    return status, found


def look_by(*select: str) -> Any:
    """A fixture `look` for tests of one layer: only rules that begin so are asked."""

    @pytest.fixture(name="look")
    def look_by_these(look: Look) -> Look:
        return partial(look, select=select)

    return look_by_these


def ids(report: Report) -> list[str]:
    """The rules of the findings that count, in order."""
    return [each.rule.id for each in report.findings]


def only(report: Report, rule: str) -> Finding:
    """The one finding of a rule."""
    (found,) = [each for each in report.findings if each.rule.id == rule]
    return found


__all__ = [
    "CRDS",
    "SEEDS",
    "Hanok",
    "Look",
    "facts",
    "ids",
    "look_at",
    "look_by",
    "only",
    "parse_leniently",
    "told",
    "write",
]
