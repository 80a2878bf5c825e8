"""cert-manager: certificates of the entry, where an issuer is named, and of operators that the API server calls."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.component import Body, Chart, Component, Piece
from hanok.kubernetes.plan import ClusterPlan

NAME = "cert-manager"


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """The operator. Issuers are the organisation's own."""
    twice: Body = {"replicaCount": 2, "podDisruptionBudget": {"enabled": True}}
    values: Body = {**twice, "crds": {"enabled": True}, "webhook": dict(twice), "cainjector": dict(twice)}
    if plan.cluster.entry.issuer:
        kind = {"apiVersion": "controller.config.cert-manager.io/v1alpha1", "kind": "ControllerConfiguration"}
        values["config"] = {**kind, "enableGatewayAPI": True}
    yield Chart(chart=NAME, release=NAME, namespace=NAME, values=values)


def is_wanted(plan: ClusterPlan) -> bool:
    """By the entry; by the collector's operator and by ClickHouse's, whose webhooks need certificates."""
    watched = plan.cluster.observe
    return bool(plan.cluster.entry.issuer) or watched.collector or watched.langfuse


def notes(plan: ClusterPlan) -> Iterator[str]:
    """The issuer."""
    if issuer := plan.cluster.entry.issuer:
        yield f"the ClusterIssuer `{issuer}` must be there: it signs for {plan.platform.gateway.url}"


COMPONENT = Component(name=NAME, wanted=is_wanted, adapters={"v1": render}, notes=notes)
