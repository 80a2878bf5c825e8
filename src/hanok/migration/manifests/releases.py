"""Where a chart is installed: the release's name, by which its Services are called, and the namespace."""

from __future__ import annotations

from hanok.preflight.charts import Chart, release_name
from hanok.preflight.manifests import text_at


def release_of(chart: Chart) -> tuple[str, str]:
    """The release and its namespace, by Flux, Argo CD or k3s."""
    manifest = chart.manifest
    match manifest.kind:
        case "HelmRelease":
            return release_name(manifest), text_at(manifest.body, "spec", "targetNamespace") or manifest.namespace
        case "Application":
            named = text_at(manifest.body, *chart.place[:-1], "releaseName")
            return named or manifest.name, text_at(manifest.body, "spec", "destination", "namespace") or "default"
        case _:
            return manifest.name, text_at(manifest.body, "spec", "targetNamespace") or manifest.namespace
