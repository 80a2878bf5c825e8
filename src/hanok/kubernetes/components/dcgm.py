"""NVIDIA's DCGM exporter alone, where no GPU operator brings it: EKS Auto Mode has drivers and device plugin itself."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.component import Body, Chart, Component, Piece, Placed
from hanok.kubernetes.components.gpu_operator.alerts import alerts
from hanok.kubernetes.components.gpu_operator.monitor import monitor
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.pools import TOLERATION

NAME = SPACE = "dcgm-exporter"
MAKER = "eks.amazonaws.com/instance-gpu-manufacturer"


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """The exporter on every node with NVIDIA's GPUs, and alerts.

    Auto Mode's nodes run Bottlerocket, which shows GPUs to pods that ask for some and to privileged ones: to others
    the exporter would say `Failed to initialize NVML`. https://github.com/NVIDIA/dcgm-exporter/issues/279
    """
    values: Body = {
        "nodeSelector": {MAKER: "nvidia"},
        "tolerations": [TOLERATION],
        "securityContext": {"privileged": True},
        "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
        "serviceMonitor": monitor(),
    }
    yield Chart(chart=NAME, release=NAME, namespace=SPACE, values=values, stage="configs")
    yield Placed(stage="configs", folder=NAME, body=alerts(plan))


def is_wanted(plan: ClusterPlan) -> bool:
    """In Auto Mode, where there are GPUs and somebody who reads their metrics."""
    watched = plan.cluster.observe.prometheus and plan.target == "eks-auto"
    return watched and bool(plan.needs_gpus or plan.cluster.jobs.gpus)


COMPONENT = Component(name=NAME, wanted=is_wanted, adapters={"": render})
