"""Databases in a cluster: made by operators there, or reached by URL."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from hanok.spec.tree.values import Tree, Whole

Bucket = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]


class MilvusServer(Tree):
    """Milvus by its operator."""

    mode: Literal["standalone", "cluster"] = Field(
        default="cluster", description="One process, or one for each of its parts."
    )
    bucket: Bucket | None = Field(
        default=None, description="S3 bucket for vectors, reached by the pod's role; by default MinIO in the cluster."
    )
    role: str | None = Field(
        default=None,
        min_length=1,
        description="ARN of the IAM role that reaches the bucket; by default `CLUSTER-milvus` of `cluster.account`.",
    )
    storage_gib: Whole = Field(default=100, ge=1, description="Disk of each of MinIO's four servers, without a bucket.")
    passages: Whole = Field(default=1_000_000, ge=1, description="Passages to have room for; all are kept in memory.")
    query_nodes: Whole = Field(
        default=2, ge=1, le=100, description="Processes that search, each with its part of the passages in memory."
    )


class PostgresServer(Tree):
    """PostgreSQL by CloudNativePG."""

    instances: Whole = Field(default=3, ge=1, le=9, description="Servers, one of which writes.")
    storage_gib: Whole = Field(default=20, ge=1, description="Disk of each.")
    backup_bucket: Bucket | None = Field(default=None, description="S3 bucket for backups.")


class RedisServer(Tree):
    """Valkey, a Redis, as a StatefulSet."""

    storage_gib: Whole = Field(default=4, ge=1, description="Disk.")
    memory_gib: Whole = Field(default=1, ge=1, description="Memory.")
