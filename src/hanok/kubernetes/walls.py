"""Who may come in, as a NetworkPolicy says it: pods of a namespace, all or some. Pure."""

from __future__ import annotations

from hanok.kubernetes.objects import Body
from hanok.kubernetes.places import HANOK

SPACE_NAME = "kubernetes.io/metadata.name"
"""The label by which Kubernetes itself names every namespace."""
READS = {"hanok.dev/reads": "platform"}
"""The label of pods that read platform.yaml, gateways and ingests: both call engines and open databases themselves."""


def all_of(space: str) -> Body:
    """Every pod of a namespace."""
    return {"namespaceSelector": {"matchLabels": {SPACE_NAME: space}}}


def pods_in(space: str, name: str) -> Body:
    """Those pods of a namespace that have the name."""
    return {**all_of(space), "podSelector": {"matchLabels": {"app.kubernetes.io/name": name}}}


def readers() -> Body:
    """Every pod that reads platform.yaml."""
    return {**all_of(HANOK), "podSelector": {"matchLabels": READS}}


def own_pods() -> Body:
    """Every pod of the policy's own namespace."""
    return {"podSelector": {}}


def every_pod() -> Body:
    """Every pod of the cluster."""
    return {"namespaceSelector": {}}


def port(door: int | str) -> Body:
    """A TCP port, by its number or by the name that pods give it."""
    return {"protocol": "TCP", "port": door}
