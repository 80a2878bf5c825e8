"""What is rendered, given to kubectl and helm: both read the very objects that we wrote."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from hanok.kubernetes.store import write_tree
from tests.generated import ROOT
from tests.rooms.kubernetes.kubectl import run
from tests.rooms.kubernetes.rendering import Made, made

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def library() -> Made:
    return made((ROOT / "examples" / "12-render-eks" / "platform.yaml").read_text("utf-8"))


def told(objects: Iterable[Any]) -> list[str]:
    return sorted(json.dumps(each, sort_keys=True) for each in objects if each)


def test_kubectl_builds_every_folder_as_it_was_written(tmp_path: Path) -> None:
    write_tree(library().files, tmp_path)
    folders = [path.parent.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("kustomization.yaml")]
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({"resources": sorted(folders)}))
    built = yaml.load_all(run("kubectl", "kustomize", ".", cwd=tmp_path), Loader=_Loader)
    written = [body for path, body in library().objects() if not path.startswith("clusters/")]
    assert told(built) == told(written)


def test_helm_reads_every_object_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: tree\nversion: 0.0.0\n")
    written = [body for _, body in library().objects()]
    for number, body in enumerate(written):
        text = yaml.safe_dump(body).replace("{{", '{{ "{{" }}')
        (tmp_path / "templates" / f"{number}.yaml").write_text(text)
    built = yaml.load_all(run("helm", "template", "tree", ".", cwd=tmp_path), Loader=_Loader)
    assert told(built) == told(written)
