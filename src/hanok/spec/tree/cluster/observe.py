"""What is watched in a cluster, and where it is shown."""

from __future__ import annotations

from pydantic import Field

from hanok.spec.tree.values import Tree, Whole


class Observe(Tree):
    """Metrics, dashboards, traces, experiments."""

    prometheus: bool = Field(default=True, description="kube-prometheus-stack: metrics, alerts and dashboards.")
    retention_days: Whole = Field(default=15, ge=1, description="How long metrics are kept.")
    collector: bool = Field(default=True, description="An OpenTelemetry collector that takes spans and hands them on.")
    langfuse: bool = Field(default=False, description="Langfuse in the cluster.")
    mlflow: bool = Field(default=False, description="MLflow in the cluster.")
    bucket: str | None = Field(default=None, description="S3 bucket of Langfuse and MLflow.")
