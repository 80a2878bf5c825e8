"""ConfigMaps: the platform file as the cluster has it, and the texts that it names."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.component import Body
from hanok.kubernetes.objects import label, labels, thing
from hanok.kubernetes.places import HANOK
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.rewriting import rewrite

CONFIG, TEXTS = "hanok-config", "hanok-texts"
LIMIT_BYTES = 1024 * 1024
"""The most that a ConfigMap may hold: https://kubernetes.io/docs/concepts/configuration/configmap/"""


def config_maps(plan: ClusterPlan) -> Iterator[Body]:
    """One with platform.yaml, and one with all texts where it names any."""
    yield _map(CONFIG, {"platform.yaml": rewrite(plan)})
    if plan.texts:
        yield _map(TEXTS, {key_of(path): plan.texts[path] for path in sorted(plan.texts)})


def text_items(plan: ClusterPlan) -> list[Body]:
    """Which key becomes which file: the same path as beside the platform file."""
    return [{"key": key_of(path), "path": path} for path in sorted(plan.texts)]


def key_of(path: str) -> str:
    """A key for a path: keys have no slashes, and two paths never the same."""
    return label(path, 200)


def _map(name: str, data: dict[str, str]) -> Body:
    return thing("v1", "ConfigMap", name, HANOK, labels=labels(name, "config"), data=data)
