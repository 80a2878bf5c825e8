"""What every pod of ours is bound by: no root, no way to more rights, nothing written outside of what is mounted.

These are what the Pod Security Standard `restricted` asks for, and a read-only root.
"""

from __future__ import annotations

from hanok.kubernetes.component import Body

USER = 10001


def pod_security(user: int = USER) -> Body:
    """Of a pod: it runs as that user, and volumes belong to its group."""
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Body:
    """Of a container."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def spread(labels: Body) -> list[Body]:
    """Over zones, then over machines, as far as there are any: volumes may hold a pod where it is."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": labels},
        }
        for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    ]
