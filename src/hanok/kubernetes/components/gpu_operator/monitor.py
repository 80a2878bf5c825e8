"""How the DCGM exporter is asked: every metric gets the name of its node, as Kubernetes has it, as the label `node`.

The exporter's own label for it was renamed on the way (`Hostname` before 4.8.3, `hostname` since), so nothing reads it.
"""

from __future__ import annotations

from hanok.kubernetes.component import Body
from hanok.kubernetes.places import PROMETHEUS_RELEASE


def monitor() -> Body:
    """The value `serviceMonitor`, which the operator's chart and the exporter's own have alike."""
    node: Body = {"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "node"}
    return {"enabled": True, "additionalLabels": {"release": PROMETHEUS_RELEASE}, "relabelings": [node]}
