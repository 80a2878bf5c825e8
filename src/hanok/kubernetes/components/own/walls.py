"""Who may reach what in Hanok's namespace, and what its pods may reach."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.component import Body
from hanok.kubernetes.objects import labels, selector, thing
from hanok.kubernetes.places import GATEWAY_PORT, HANOK
from hanok.kubernetes.walls import every_pod, port

METADATA_V4, METADATA_V6 = "169.254.169.254/32", "fd00:ec2::254/128"
"""Where clouds tell a machine its credentials: no pod of ours has business there."""
PART = "app.kubernetes.io/part-of"


def walls() -> Iterator[Body]:
    """Nobody comes in anywhere but as is said; callers come to the gateway, from wherever in the cluster they are."""
    yield _policy("nobody-by-default", {"podSelector": {}, "policyTypes": ["Ingress"]})
    door: Body = {"from": [every_pod()], "ports": [port(GATEWAY_PORT)]}
    yield _policy(
        "callers", {"podSelector": {"matchLabels": selector("hanok")}, "policyTypes": ["Ingress"], "ingress": [door]}
    )
    yield _policy("not-to-metadata", {"podSelector": own(), "policyTypes": ["Egress"], "egress": [{"to": _anywhere()}]})


def own() -> Body:
    """Selects the pods that read platform.yaml: gateways and ingests."""
    return {"matchExpressions": [{"key": "hanok.dev/reads", "operator": "In", "values": ["platform"]}]}


def _anywhere() -> list[Body]:
    """Pods of the cluster, and every address but those that tell credentials."""
    return [
        every_pod(),
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": [METADATA_V4]}},
        {"ipBlock": {"cidr": "::/0", "except": [METADATA_V6]}},
    ]


def _policy(name: str, spec: Body) -> Body:
    return thing("networking.k8s.io/v1", "NetworkPolicy", name, HANOK, labels=labels(name, "walls"), spec=spec)
