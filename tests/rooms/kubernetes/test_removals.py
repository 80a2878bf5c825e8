"""A flat tree says how what it no longer has is deleted; of the others Flux and Argo CD see to that."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from hanok.cli.app import app
from hanok.kubernetes import Format
from hanok.kubernetes.removals import removals
from tests.rooms.kubernetes.rendering import made

MORE = """\
name: acme
models:
  - {name: chat, serve: {engine: echo}, deploy: {weights: Qwen/Qwen3-8B, gpu: [l40s]}, scale: {min: 1, max: 2}}
teams: [{name: search}]
cluster: {target: kubernetes, repository: {url: "https://git.example/x.git"}, jobs: {kueue: true}}
"""
LESS = MORE.replace("scale: {min: 1, max: 2}", "scale: {min: 1, max: 1}").replace("teams: [{name: search}]\n", "")
LESS = LESS.replace(", jobs: {kueue: true}", "")


def test_what_is_gone_is_deleted_from_the_last_stage_to_the_first_with_charts_between() -> None:
    old, new = made(MORE, form="flat").files, made(LESS, form="flat").files
    told = removals(old, new)
    assert "kubectl delete scaledobject.v1alpha1.keda.sh chat -n models --ignore-not-found" in told
    assert "helm uninstall keda -n keda --ignore-not-found" in told
    assert "kubectl delete namespace team-search --ignore-not-found" in told
    places = [
        next(index for index, each in enumerate(told) if each.startswith(words))
        for words in ("kubectl delete scaledobject", "helm uninstall keda", "kubectl delete namespace keda")
    ]
    assert places == sorted(places)
    kept = {each["name"] for each in yaml.safe_load(new["helmfile.yaml"])["releases"]}
    assert not kept & set(re.findall(r"helm uninstall (\S+)", "\n".join(told)))
    assert removals(old, old) == []
    assert removals({}, new) == []


@pytest.mark.parametrize("form", ["flux", "argocd"])
def test_where_others_delete_nothing_is_said(form: Format) -> None:
    assert removals(made(MORE, form=form).files, made(LESS, form=form).files) == []


def test_the_terminal_tells_it_before_and_when_the_tree_is_written(tmp_path: Path) -> None:
    file, command = tmp_path / "platform.yaml", "helm uninstall keda -n keda"
    render = ["render", str(file), "--format", "flat", "--out", str(tmp_path / "deploy")]
    runner = CliRunner()
    file.write_text(MORE)
    assert "helm uninstall" not in runner.invoke(app, render).stderr
    file.write_text(LESS)
    assert command in runner.invoke(app, [*render, "--diff"]).stderr
    assert any(
        command in each for each in json.loads(runner.invoke(app, [*render, "--diff", "--json"]).stdout)["delete"]
    )
    assert command in runner.invoke(app, render).stderr
    assert "helm uninstall" not in runner.invoke(app, render).stderr
