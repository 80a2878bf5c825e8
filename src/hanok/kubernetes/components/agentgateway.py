"""agentgateway: what stands behind Gateways: the entry's, and the one before InferencePools."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.component import Body, Chart, Component, Piece
from hanok.kubernetes.notes import Definitions, Told
from hanok.kubernetes.plan import ClusterPlan

NAME, CRDS = "agentgateway", "agentgateway-crds"
SPACE = "agentgateway-system"
_SECURE: Body = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": 10101,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """Its definitions, then its controller, twice; the proxies it makes for each Gateway are no part of it."""
    yield Chart(chart=CRDS, release=CRDS, namespace=SPACE)
    values: Body = {
        "controller": {"replicaCount": 2, "podDisruptionBudget": {"minAvailable": 1}},
        "securityContext": _SECURE,
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
    }
    if is_before_pools(plan):
        values["inferenceExtension"] = {"enabled": True}
    yield Chart(chart=NAME, release=NAME, namespace=SPACE, values=values, needs=(CRDS,))


def is_before_pools(plan: ClusterPlan) -> bool:
    """Whether a Gateway stands before InferencePools."""
    return plan.needs_gpus and plan.cluster.serving.route == "llm-d"


def is_wanted(plan: ClusterPlan) -> bool:
    """Wherever there is a Gateway."""
    return plan.cluster.entry.expose != "none" or is_before_pools(plan)


def notes(plan: ClusterPlan) -> Iterator[Told]:
    """Definitions that no chart brings."""
    version = plan.lock.pin("gateway-api").version
    url = f"https://github.com/kubernetes-sigs/gateway-api/releases/download/{version}/standard-install.yaml"
    yield Definitions(name=f"Gateway API {version}", url=url)


COMPONENT = Component(name=NAME, wanted=is_wanted, adapters={"v1alpha1": render}, notes=notes)
