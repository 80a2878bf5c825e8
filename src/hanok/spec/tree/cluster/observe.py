"""What is watched in a cluster, and where it is shown."""

from typing import Literal

from pydantic import Field, SecretStr

from hanok.spec.tree.cluster.data import Bucket
from hanok.spec.tree.values import HttpUrl, Tree, Whole


class Told(Tree):
    """Who hears of alerts."""

    to: Literal["webhook", "slack"] = Field(default="webhook", description="What listens there.")
    url: SecretStr = Field(description="Its address, as `${env:ALERTS_URL}`: whoever has it can write there.")
    channel: str | None = Field(default=None, min_length=1, description="Slack's channel, as `#platform`.")


class Observe(Tree):
    """Metrics, dashboards, traces, experiments."""

    prometheus: bool = Field(default=True, description="kube-prometheus-stack: metrics, alerts and dashboards.")
    retention_days: Whole = Field(default=15, ge=1, description="How long metrics are kept.")
    storage_gib: Whole = Field(default=50, ge=5, description="Disk of each of the two Prometheus servers.")
    alerts: Told | None = Field(default=None, description="Who hears of alerts; by default they are shown only.")
    collector: bool = Field(default=True, description="An OpenTelemetry collector that takes spans and hands them on.")
    langfuse: bool = Field(default=False, description="Langfuse in the cluster.")
    langfuse_url: HttpUrl | None = Field(
        default=None, description="The address that people open it by; by default by a forwarded port."
    )
    mlflow: bool = Field(default=False, description="MLflow in the cluster.")
    mlflow_database: str | None = Field(
        default=None,
        min_length=1,
        description="Host of the PostgreSQL with MLflow's database `mlflow`, where the cluster makes none.",
    )
    bucket: Bucket | None = Field(
        default=None, description="S3 bucket of Langfuse and MLflow; by default each keeps its files on a volume."
    )
    role: str | None = Field(
        default=None,
        min_length=1,
        description="ARN of the IAM role that reaches the bucket; by default `CLUSTER-observe` of `cluster.account`.",
    )
