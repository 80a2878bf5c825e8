"""What was rendered, by name: one object or one chart at a time, as each block of `cluster` asks for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from pydantic import ValidationError

from hanok.migration.manifests.told import Block, Told
from hanok.preflight import Case, Manifest
from hanok.preflight.charts import RELEASES, Chart, charts
from hanok.preflight.manifests import NO_BODY, Body, Cluster, at, labels_at, mapping_at, text_at
from hanok.preflight.reading import read_mapping
from hanok.spec.tree import Cluster as ClusterBlock

HANOK, MODELS, KNOWLEDGE, OBSERVABILITY, JOBS = "hanok", "models", "knowledge", "observability", "jobs"
ENTRY = "entry"
"""Namespaces of the platform's own workloads, as they are rendered."""
_HEADER = "# Rendered by Hanok from platform.yaml."
_MARK = "app.kubernetes.io/managed-by"
_RELEASES = (
    "langfuse",
    "mlflow",
    "prometheus",
    "kueue",
    "keda",
    "trainer",
    "kubeflow-trainer",
    "kagent",
    "karpenter",
    "kuberay-operator",
)
_GIB = {"Ki": 2.0**-20, "Mi": 2.0**-10, "Gi": 1.0, "Ti": 2.0**10}


def is_rendered(manifest: Manifest, cluster: Cluster) -> bool:
    """Whether Hanok wrote it: by its label, by its file's first line, or, of charts and kustomizations, by its name."""
    if labels_at(manifest.body, "metadata", "labels").get(_MARK) == "hanok":
        return True
    return manifest.file in headed(cluster) or (manifest.kind in RELEASES and manifest.name in _RELEASES)


def headed(cluster: Cluster) -> frozenset[str]:
    """The files that begin as rendered ones do."""
    return frozenset(each.name for each in cluster.sources if each.parts and each.parts[0][0].startswith(_HEADER))


@dataclass(frozen=True, kw_only=True, eq=False)
class RenderedTree:
    """The case of what was rendered alone."""

    case: Case

    def find(self, kind: str, name: str, space: str = "", *, group: str | None = None) -> Manifest | None:
        return self.case.cluster.find(kind, name, space, group=group)

    def of(self, *kinds: str, group: str | None = None) -> Iterator[Manifest]:
        return self.case.cluster.of(*kinds, group=group)

    @cached_property
    def platform(self) -> Body:
        """The platform file of Hanok's pods, as it was rendered."""
        config = self.find("ConfigMap", "hanok-config", HANOK)
        return read_mapping(text_at(config.body, "data", "platform.yaml")) if config else NO_BODY

    @cached_property
    def _charts(self) -> dict[str, Chart]:
        return {each.manifest.name: each for each in charts(self.case.cluster)}

    def chart(self, release: str) -> Chart | None:
        """The chart of a release."""
        return self._charts.get(release)

    def has_chart(self, *names: str) -> bool:
        """Whether one of these charts is installed, by its release's or its own name."""
        return any(each.manifest.name in names or each.name in names for each in self._charts.values())


def said(manifest: Manifest | None, told: Told, to: str, *path: str | int) -> Any:
    """A value of an object, which is told as carried over; None where either is missing."""
    value = at(manifest.body, *path) if manifest is not None else None
    if manifest is not None and value is not None:
        told.take(manifest)
        told.carried(manifest, path, to)
    return value


def chart_said(chart: Chart | None, told: Told, to: str, *path: str | int) -> Any:
    """The same of what a chart is told."""
    return said(chart.manifest, told, to, *chart.place, *path) if chart is not None else None


def gib(value: object) -> float | None:
    """A quantity of memory or disk in GiB."""
    found = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?)(Ki|Mi|Gi|Ti)", str(value))
    return float(found[1]) * _GIB[found[2]] if found else None


def whole_gib(value: object) -> int | None:
    """The same, where it is a whole number of at least 1."""
    found = gib(value)
    return int(found) if found is not None and found >= 1 and found == int(found) else None


def number(value: object) -> float | int | None:
    """A number or a quantity of processors: `2`, `"0.5"`, `1500m`."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)(m?)", str(value)) if not isinstance(value, bool) else None
    if found is None:
        return None
    size = float(found[1]) / (1000 if found[2] else 1)
    return int(size) if size == int(size) else size


def given(**parts: Any) -> Block:
    """A block without what nothing was read of."""
    return {key: value for key, value in parts.items() if value is not None and value != {} and value != []}


def without_defaults(cluster: Block) -> Block:
    """The block without what is so by default; as it is where Hanok's tree refuses it, which is told later."""
    try:
        ClusterBlock.model_validate(cluster)
    except ValidationError:
        return cluster
    return _differing(cluster, ClusterBlock().model_dump(mode="json"))


def _differing(block: Block, usual: Body) -> Block:
    found: Block = {}
    for key, value in block.items():
        if isinstance(value, dict) and isinstance(usual.get(key), dict):
            if inner := _differing(cast("Block", value), mapping_at(usual, key)):
                found[key] = inner
        elif value != usual.get(key):
            found[key] = value
    return found


def metadata(manifest: Manifest | None, kind: str) -> Body:
    """`labels` or `annotations`."""
    return mapping_at(manifest.body, "metadata", kind) if manifest is not None else NO_BODY
