"""Helm charts that the tree installs: by Flux's HelmRelease, Argo CD's Application, k3s' HelmChart or a helmfile.

Whoever asks what a chart is told asks here, so that each way of installing it counts everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hanok.preflight import helmfiles
from hanok.preflight.manifests import Body, Cluster, Manifest, Step, mapping_at, mappings_at, text_at
from hanok.preflight.reading import read_mapping

RELEASES = ("HelmRelease", "Application", "HelmChart", helmfiles.KIND)
"""Kinds that install charts."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Chart:
    """One chart as it would be installed. `name` has no repository before it; `place` leads to the values."""

    manifest: Manifest
    name: str
    values: Body
    place: tuple[Step, ...]
    version: str = ""
    version_place: tuple[Step, ...] = ()


def charts(cluster: Cluster) -> Iterator[Chart]:
    """Every chart of the tree."""
    for manifest in cluster.of(*RELEASES):
        yield from charts_of(manifest)


def charts_of(manifest: Manifest) -> Iterator[Chart]:
    """The charts that a manifest installs; an Application may have several."""
    match manifest.kind, manifest.group:
        case "HelmRelease", _:
            yield _release(manifest)
        case "Application", "argoproj.io":
            yield from _application(manifest)
        case "HelmChart", "helm.cattle.io":
            yield _written(manifest, ("spec",), ("spec", "valuesContent"), "version")
        case helmfiles.KIND, helmfiles.GROUP:
            yield _written(manifest, ("spec",), ("spec", "values"), "version")
        case _:
            return


def _release(manifest: Manifest) -> Chart:
    inner = ("spec", "chart", "spec")
    named = text_at(manifest.body, *inner, "chart") or text_at(manifest.body, "spec", "chartRef", "name")
    return Chart(
        manifest=manifest, name=_last(named), values=mapping_at(manifest.body, "spec", "values"),
        place=("spec", "values"), version=text_at(manifest.body, *inner, "version"), version_place=(*inner, "version"),
    )  # fmt: skip


def _application(manifest: Manifest) -> Iterator[Chart]:
    several = (("spec", "sources", index) for index in range(len(mappings_at(manifest.body, "spec", "sources"))))
    for source in (("spec", "source"), *several):
        if text_at(manifest.body, *source, "chart"):
            form = "valuesObject" if mapping_at(manifest.body, *source, "helm", "valuesObject") else "values"
            yield _written(manifest, source, (*source, "helm", form), "targetRevision")


def _written(manifest: Manifest, where: tuple[Step, ...], place: tuple[Step, ...], version: str) -> Chart:
    """A chart whose values may be text."""
    values = mapping_at(manifest.body, *place) or read_mapping(text_at(manifest.body, *place))
    return Chart(
        manifest=manifest, name=_last(text_at(manifest.body, *where, "chart")), values=values, place=place,
        version=text_at(manifest.body, *where, version), version_place=(*where, version),
    )  # fmt: skip


def _last(chart: str) -> str:
    return chart.rstrip("/").rsplit("/", 1)[-1]


def space_at(manifest: Manifest, path: tuple[Step, ...]) -> str:
    """The namespace in which names at a path of a manifest mean something: of a chart's values, where the chart goes.

    Empty where that is not written: Argo CD leaves it to the chart, or fills in a template of an ApplicationSet, and so
    does helmfile.
    """
    match manifest.kind, manifest.group:
        case "HelmRelease", _ if path[:2] == ("spec", "values"):
            return text_at(manifest.body, "spec", "targetNamespace") or manifest.namespace
        case (("Application" | "ApplicationSet"), "argoproj.io") if "helm" in path:
            above = ("spec", "template") if manifest.kind == "ApplicationSet" else ()
            space = text_at(manifest.body, *above, "spec", "destination", "namespace")
            return "" if "{{" in space else space
        case helmfiles.KIND, helmfiles.GROUP if helmfiles.is_anywhere(manifest):
            return ""
        case _:
            return manifest.namespace


def release_name(release: Manifest) -> str:
    """The name of Flux's release; where it is put into another namespace, that stands before its own name."""
    target = text_at(release.body, "spec", "targetNamespace")
    return text_at(release.body, "spec", "releaseName") or (f"{target}-{release.name}" if target else release.name)
