"""Where an object's file is: the same in every format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hanok.kubernetes.component import Body, Chart, Placed, Stage
from hanok.kubernetes.writing import HEADER, as_yaml

FOLDERS: dict[Stage, str] = {
    "namespaces": "infrastructure/namespaces",
    "provisioners": "infrastructure/provisioners",
    "nodes": "infrastructure/nodes",
    "controllers": "infrastructure/controllers",
    "configs": "infrastructure/configs",
    "apps": "apps",
}


def folder_of(piece: Placed | Chart) -> str:
    """The folder, as `infrastructure/controllers/keda`; all namespaces are in one."""
    if piece.stage == "namespaces":
        return FOLDERS["namespaces"]
    named = piece.folder or (piece.chart if isinstance(piece, Chart) else "")
    return f"{FOLDERS[piece.stage]}/{named}"


def file_of(body: Body) -> str:
    """The file's name, as `deployment-chat.yaml`."""
    return f"{body['kind'].lower()}-{body['metadata']['name']}.yaml".replace(":", "-")


def folders_of(paths: Iterable[str]) -> list[str]:
    """The folders with objects in them, in order."""
    return sorted({path.rpartition("/")[0] for path in paths})


def kustomization(names: Sequence[str]) -> str:
    """A folder's kustomization.yaml: these files."""
    body = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": sorted(names)}
    return HEADER + as_yaml(body)
