"""Dashboards for Grafana, made of values: each query can be read, and checked, before anybody looks at it."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.kubernetes.alerts.gpus import prices
from hanok.kubernetes.dashboards.engines import engine_board
from hanok.kubernetes.dashboards.gateway import gateway_board
from hanok.kubernetes.dashboards.gpus import gpu_board
from hanok.kubernetes.dashboards.panel import Board, Panel, Query, Row
from hanok.kubernetes.dashboards.work import work_board
from hanok.kubernetes.plan import ClusterPlan

__all__ = ["Board", "Panel", "Query", "Row", "boards", "dashboards"]


def boards(plan: ClusterPlan) -> Iterator[Board]:
    """Those of which there is something in the cluster."""
    yield gateway_board()
    if plan.engines:
        yield engine_board()
    if plan.needs_gpus:
        yield gpu_board(priced=bool(prices(plan.pools)))
    if plan.platform.agents or plan.keeps_passages:
        yield work_board(milvus=plan.milvus)


def dashboards(plan: ClusterPlan) -> Iterator[tuple[str, str]]:
    """Each by its name, as text."""
    return ((each.name, each.text()) for each in boards(plan))
