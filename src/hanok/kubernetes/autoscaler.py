"""An autoscaler that keeps pods busy to a share of the processors that they request."""

from __future__ import annotations

from collections.abc import Mapping

from hanok.kubernetes.component import Body
from hanok.kubernetes.objects import thing

STABLE_S = 300


def by_processors(
    target: tuple[str, str], namespace: str, *, fewest: int, most: int, percent: int, labels: Mapping[str, str]
) -> Body:
    """A HorizontalPodAutoscaler of `target`, a kind of apps/v1 and its name, which is the autoscaler's too."""
    kind, name = target
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": name},
        "minReplicas": fewest,
        "maxReplicas": most,
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}},
            }
        ],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": STABLE_S}},
    }
    return thing("autoscaling/v2", "HorizontalPodAutoscaler", name, namespace, labels=labels, spec=spec)
