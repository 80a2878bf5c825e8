"""kagent: agents as resources of the cluster, with Hanok's door as their model and Hanok's knowledge among their tools.

What kagent cannot be told of an agent, Hanok keeps: that agent is one whose model is Hanok's agent.
"""

from __future__ import annotations

from collections.abc import Iterator

from hanok.errors import Problem, SpecError
from hanok.kubernetes.component import Body, Chart, Component, Piece, Placed
from hanok.kubernetes.components.kagent.agents import KEY, KEY_VARIABLE, follows, objects
from hanok.kubernetes.components.kagent.expressing import chosen, inexpressible, servers
from hanok.kubernetes.notes import Known, Told
from hanok.kubernetes.places import GATEWAY, KAGENT
from hanok.kubernetes.plan import ClusterPlan
from hanok.spec.tree import Agent

NAME, CRDS = "kagent", "kagent-crds"
SAMPLES = (
    "k8s", "kgateway", "istio", "promql", "observability", "argo-rollouts", "helm", "cilium-policy", "cilium-manager",
    "cilium-debug",
)  # fmt: skip
"""Agents that the chart brings by default; each waits for a model of its own."""


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """kagent, and the chosen agents. Its chart brings kmcp, which starts MCP servers."""
    yield Chart(chart=CRDS, release=CRDS, namespace=KAGENT)
    yield Chart(chart=NAME, release=NAME, namespace=KAGENT, values=_values(plan), needs=(CRDS,))
    for body in objects(plan):
        yield Placed(stage="apps", folder=KAGENT, body=body)


def _values(plan: ClusterPlan) -> Body:
    first = plan.platform.first("chat")
    door = {
        "model": first.name if first else "",
        "apiKeySecretRef": KEY,
        "apiKeySecretKey": "key",
        "config": {"baseUrl": f"{GATEWAY}/v1"},
    }
    started = any(tool.url is None for each in chosen(plan) for tool in servers(plan.platform, each))
    return {
        "providers": {"default": "openAI", "openAI": door},
        "kmcp": {"enabled": started},
        "kagent-tools": {"enabled": False},
        "grafana-mcp": {"enabled": False},
        "querydoc": {"enabled": False},
        **{f"{each}-agent": {"enabled": False} for each in SAMPLES},
    }


def refuse_new(plan: ClusterPlan) -> Iterator[Piece]:
    """v1alpha3 asks for what no platform file says. Raises `SpecError`."""
    message = "agents of API v1alpha3 (kagent 1.0) run on WorkerPools of Agent Substrate, with images by digest"
    hint = "keep kagent 0.9.12 and `api: v1alpha2`; there is no way up from it yet"
    raise SpecError([Problem(file=plan.lock.source, line=0, column=0, path="kagent.api", message=message, hint=hint)])
    yield


def refuse(plan: ClusterPlan) -> Iterator[Problem]:
    """Patterns that no agent has."""
    if not chosen(plan):
        patterns = ", ".join(plan.cluster.kagent.agents)
        place = (
            ("cluster", "kagent", "agents")
            if "agents" in plan.cluster.kagent.model_fields_set
            else ("cluster", "kagent")
        )
        message = f"no agent is called {patterns}" if plan.platform.agents else "no agents are declared"
        yield plan.written.problem(place, message, "name agents, or take `kagent` out")


def notes(plan: ClusterPlan) -> Iterator[Told]:
    """The key, and which agents Hanok leads."""
    yield plan.value(KEY_VARIABLE, "made by `hanok keys create kagent` once Hanok runs", later="kagent")
    for each in chosen(plan):
        yield from map(Known, _of_agent(plan, each))
    yield Known("kagent keeps conversations in its chart's own PostgreSQL, which is for trying out")


def _of_agent(plan: ClusterPlan, agent: Agent) -> Iterator[str]:
    if missing := inexpressible(plan, agent):
        led = f"its model is `agent/{agent.name}`, so that Hanok leads its runs"
        yield f"{agent.name}: kagent has no word for {', '.join(missing)}; {led}"
    if follows(agent):
        yield f"{agent.name}: metrics-server must run: it tells how busy its pods are, by which their number follows"


COMPONENT = Component(
    name=NAME,
    wanted=lambda plan: plan.cluster.kagent.enabled,
    adapters={"v1alpha2": render, "v1alpha3": refuse_new},
    refuse=refuse,
    notes=notes,
)
