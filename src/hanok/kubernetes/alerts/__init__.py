"""Alerts: what a person should hear of. Each is a value with its expression, and what to do; groups by subject. Pure.

They tell of what callers feel and of what will soon be felt, not of every figure: dashboards show those.
"""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.alerts.alert import Alert, Group, Recorded
from hanok.kubernetes.alerts.engines import engine_alerts
from hanok.kubernetes.alerts.gateway import budget_alerts, gateway_alerts, span_alerts
from hanok.kubernetes.alerts.gpus import gpu_alerts, gpu_records
from hanok.kubernetes.alerts.work import agent_alerts, knowledge_alerts, milvus_alerts
from hanok.kubernetes.plan import ClusterPlan

__all__ = ["Alert", "Group", "Recorded", "groups"]


def groups(plan: ClusterPlan) -> Iterator[Group]:
    """Every group of which there is something in the cluster."""
    yield Group(name="gateway", rules=[*gateway_alerts(plan), *span_alerts(plan)])
    yield Group(name="budgets", rules=budget_alerts())
    if plan.engines:
        yield Group(name="engines", rules=engine_alerts(plan))
    if plan.needs_gpus:
        yield Group(name="gpus", rules=[*gpu_records(plan), *gpu_alerts(plan)])
    if plan.keeps_passages:
        yield Group(name="knowledge", rules=knowledge_alerts())
    if plan.milvus:
        yield Group(name="milvus", rules=milvus_alerts())
    if plan.platform.agents:
        yield Group(name="agents", rules=agent_alerts())
