"""Hanok's own documentation: `builtin: handbook`, in a checkout and in what is built from it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from hanok.errors import SourceUnreadable
from tests.generated import ROOT
from tests.rooms.knowledge.opening import entries_of, read_from

PAGES = {"README.md", "docs/budgets.md", "docs/platform-yaml.md", "docs/notes/shared-budgets.md"}
"""Some of them."""
PROJECT = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "src", "docs")


def test_a_checkout_is_read_where_it_is_written(tmp_path: Path) -> None:
    entries = entries_of(tmp_path, builtin="handbook", known=lambda path: path.endswith(".md"))
    names = {entry.path for entry in entries}
    assert names >= PAGES
    assert names.isdisjoint({"docs/rules.md", "docs/decisions/001-our-own-protocol-in-uvicorn.md", "CHANGELOG.md"})
    assert {entry.type for entry in entries} == {"documentation"}
    readme = next(entry for entry in entries if entry.uri == "handbook:README.md")
    assert read_from(tmp_path, readme, builtin="handbook") == (ROOT / "README.md").read_bytes()


def test_the_handbook_can_be_narrowed_like_any_source(tmp_path: Path) -> None:
    entries = entries_of(tmp_path, builtin="handbook", include=["docs/b*.md"], exclude=["batches.md"], team="red")
    assert [entry.path for entry in entries] == ["docs/budgets.md"]
    assert entries[0].reader == "red"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is needed to build the package, since building writes beside it."""
    folder = tmp_path_factory.mktemp("project")
    without = shutil.ignore_patterns("__pycache__", "*.egg-info", ".hanok")
    for name in PROJECT:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name, **({"ignore": without} if (ROOT / name).is_dir() else {}))
    return folder


def build(folder: Path, *arguments: str) -> None:
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_a_wheel_has_the_same_pages_as_the_checkout(project: Path, tmp_path: Path) -> None:
    build(project, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", "out", ".")
    (wheel,) = (project / "out").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    handbook = tmp_path / "installed" / "hanok" / "handbook"
    shipped = {path.relative_to(handbook).as_posix() for path in handbook.rglob("*") if path.is_file()}
    assert shipped == {entry.path for entry in entries_of(tmp_path, builtin="handbook")}
    said = subprocess.run(
        [sys.executable, "-c", "from hanok.knowledge.sources.load_handbook import find_handbook as f; print(f())"],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(said.stdout.strip()) == handbook


def test_a_source_distribution_has_what_the_wheel_is_built_from(project: Path) -> None:
    build(project, "-c", "from setuptools.build_meta import build_sdist; build_sdist('dist')")
    (packed,) = (project / "dist").glob("*.tar.gz")
    with tarfile.open(packed) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= {*PAGES, "setup.py"}


def test_an_installation_without_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hanok.__file__", str(tmp_path / "site-packages" / "hanok" / "__init__.py"))
    with pytest.raises(SourceUnreadable, match="has no handbook"):
        entries_of(tmp_path, builtin="handbook")
