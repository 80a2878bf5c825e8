"""Namespaces: made for whatever stands in one, with the strictest pod security that its pods bear. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from hanok.kubernetes.component import Body, Chart, Piece, Placed
from hanok.kubernetes.objects import labels, thing

Security = Literal["privileged", "baseline", "restricted"]
GIVEN = frozenset({"default", "kube-system", "kube-public", "kube-node-lease", "flux-system"})
"""Namespaces that are there before us."""
PRIVILEGED = frozenset({"gpu-operator", "dcgm-exporter", "dra-driver", "observability", "efa", "fsx-csi-driver"})
"""Their pods see devices, drivers or the node's own files (node-exporter)."""
BASELINE = frozenset({"entry", "kagent", "models", "knowledge", "jobs", "milvus-operator"})
"""Their images are others', some of which run as root."""


def namespaces(pieces: Iterable[Piece]) -> Iterator[Placed]:
    """A Namespace for each that is used and that no component makes itself, by name."""
    pieces = list(pieces)
    made = {each.body["metadata"]["name"] for each in _placed(pieces) if each.body["kind"] == "Namespace"}
    for name in sorted({space for each in pieces if (space := _space(each))} - made - GIVEN):
        yield Placed(stage="namespaces", folder=name, body=namespace(name))


def namespace(name: str, more: Mapping[str, str] | None = None, security: Security | None = None) -> Body:
    """A Namespace with pod security: what it must not do is refused, what is better left is warned of."""
    level = security or security_of(name)
    marks = {f"pod-security.kubernetes.io/{mode}": level for mode in ("enforce", "audit", "warn")}
    return thing("v1", "Namespace", name, labels={**labels(name, "namespace"), **marks, **(more or {})})


def security_of(name: str) -> Security:
    if name in PRIVILEGED:
        return "privileged"
    return "baseline" if name in BASELINE else "restricted"


def _placed(pieces: Iterable[Piece]) -> Iterator[Placed]:
    return (each for each in pieces if isinstance(each, Placed))


def _space(piece: Piece) -> str:
    if isinstance(piece, Chart):
        return piece.namespace
    return piece.body["metadata"].get("namespace", "") if isinstance(piece, Placed) else ""
