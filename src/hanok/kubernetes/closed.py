"""Namespaces where jobs run: nobody comes in but their own pods, and who leads these. Pure."""

from __future__ import annotations

from hanok.kubernetes.component import Body
from hanok.kubernetes.objects import labels, thing
from hanok.kubernetes.places import RAY
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.walls import own_pods, pods_in


def own_pods_only(plan: ClusterPlan, space: str, component: str) -> Body:
    """The wall. KubeRay's operator asks the head of a Ray cluster how its job goes; unheard, every RayJob fails."""
    comers = [own_pods(), *([pods_in(RAY, "kuberay-operator")] if plan.cluster.jobs.ray else [])]
    spec: Body = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": comers}]}
    marks = labels("walls", component)
    return thing("networking.k8s.io/v1", "NetworkPolicy", "own-pods-only", space, labels=marks, spec=spec)
