"""Karpenter's feature gates: what is alpha is read only where the chart was told so.

Without its gate a NodeOverlay is passed over, and a static NodePool starts nothing, both without a word. Source:
Karpenter 1.14, settings: feature gates NodeOverlay and StaticCapacity, both off by default.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hanok.preflight.charts import Chart, charts
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.manifests import Manifest, at, text_at, whole_at

if TYPE_CHECKING:
    from hanok.preflight.case import Case

CLOSED_GATE = Rule(
    "HK317",
    "error",
    "a resource of Karpenter behind a closed gate",
    "open it in the chart's values: `settings.featureGates.NAME: true`",
)


def check_gates(case: Case) -> Iterator[Finding]:
    """Each alpha resource has its gate open, where the chart stands in the tree."""
    chart = next((each for each in charts(case.cluster) if each.name == "karpenter"), None)
    if chart is None:
        return
    for manifest in case.cluster.of("NodeOverlay", group="karpenter.sh"):
        yield from _closed(chart, manifest, "nodeOverlay", (), "is passed over")
    for manifest in case.cluster.of("NodePool", group="karpenter.sh"):
        own = text_at(manifest.body, "spec", "template", "spec", "nodeClassRef", "group") == "karpenter.k8s.aws"
        if own and whole_at(manifest.body, "spec", "replicas") is not None:
            yield from _closed(chart, manifest, "staticCapacity", ("spec", "replicas"), "starts no nodes")


def _closed(chart: Chart, manifest: Manifest, gate: str, where: tuple[str, ...], what: str) -> Iterator[Finding]:
    if at(chart.values, "settings", "featureGates", gate) is not True:
        message = f"{what}: the gate `{gate}` is closed in {chart.manifest.title}"
        hint = f"`settings.featureGates.{gate}: true` in the chart's values"
        yield CLOSED_GATE.on(manifest, *where, message=message, hint=hint)


CHECKS = (check_gates,)
