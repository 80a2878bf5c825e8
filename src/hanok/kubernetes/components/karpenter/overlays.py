"""NodeOverlays: what a node will offer once its GPUs are shared out, told to Karpenter before there is a node.

Without one it knows whole GPUs alone, and starts nothing for a pod that asks for a slice. Alpha in Karpenter 1.14.
"""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.component import Body
from hanok.kubernetes.components.karpenter.kinds import KARPENTER, NodeKind
from hanok.kubernetes.objects import labels, thing

POOL, TYPE = "karpenter.sh/nodepool", "node.kubernetes.io/instance-type"


def overlays(kind: NodeKind) -> Iterator[Body]:
    """One for a pool whose GPUs are shared out."""
    if kind.overlay:
        spec: Body = {
            "requirements": [
                {"key": POOL, "operator": "In", "values": [kind.name]},
                {"key": TYPE, "operator": "In", "values": kind.names},
            ],
            "capacity": {name: str(count) for name, count in kind.overlay.items()},
        }
        yield thing("karpenter.sh/v1alpha1", "NodeOverlay", kind.name, labels=labels(kind.name, KARPENTER), spec=spec)
