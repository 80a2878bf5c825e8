"""Who may come in, as a NetworkPolicy says it: pods of a namespace, all or some. Pure."""

from __future__ import annotations

from hanok.kubernetes.objects import Body

SPACE_NAME = "kubernetes.io/metadata.name"
"""The label by which Kubernetes itself names every namespace."""


def all_of(space: str) -> Body:
    """Every pod of a namespace."""
    return {"namespaceSelector": {"matchLabels": {SPACE_NAME: space}}}


def pods_in(space: str, name: str) -> Body:
    """Those pods of a namespace that have the name."""
    return {**all_of(space), "podSelector": {"matchLabels": {"app.kubernetes.io/name": name}}}
