"""The example's tree is what Hanok renders now, down to the byte; and nothing is wrong with it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hanok.errors import SpecError
from hanok.kubernetes.store import read_tree
from tests.generated import RENDERED
from tests.rooms.kubernetes.rendering import faults, made
from tests.rooms.kubernetes.test_kubectl import library


def test_the_tree_in_the_repository_is_what_is_rendered() -> None:
    written, rendered = read_tree(RENDERED / "deploy"), dict(library().files)
    assert sorted(written) == sorted(rendered), "run `make docs`"
    for path, text in rendered.items():
        assert written[path] == text, f"{path}: run `make docs`"


def test_preflight_finds_nothing_in_it(tmp_path: Path) -> None:
    assert faults(library(), tmp_path) == []


def test_preflight_finds_nothing_in_what_kubectl_and_helmfile_would_install(tmp_path: Path) -> None:
    text = (RENDERED / "platform.yaml").read_text("utf-8")
    assert faults(made(text, target="eks", form="flat"), tmp_path) == []


def test_every_name_that_it_looks_for_in_the_secret_store_is_told() -> None:
    stored = [each for secret in library().all("ExternalSecret") for each in secret["spec"].get("data", [])]
    assert stored
    for each in stored:
        assert f"`{each['remoteRef']['key']}`" in library().files["APPLY.md"]


@pytest.mark.slow
def test_its_certificate_still_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from hanok.cli import app

    shutil.copytree(RENDERED, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    again = ["certificate", "verify", "certificate.json", "--again"]
    told = CliRunner().invoke(app, again)
    assert told.exit_code == 0, told.output


def test_what_two_components_refuse_alike_is_told_once() -> None:
    text = (RENDERED / "platform.yaml").read_text("utf-8")
    with pytest.raises(SpecError) as refused:
        made(text, target="kubernetes")
    told = [(each.line, each.message) for each in refused.value.problems]
    assert told
    assert len(told) == len(set(told))
