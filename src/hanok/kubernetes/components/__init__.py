"""What a cluster is made of, a file for each component; `COMPONENTS` names them all, in the order they are told."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import import_module

from hanok.kubernetes.component import Component

_MODULES = (
    "namespaces",
    "cert_manager",
    "external_secrets",
    "karpenter",
    "gpu_operator",
    "dra",
    "dcgm",
    "storage",
    "vllm",
    "lws",
    "keda",
    "agentgateway",
    "llm_d",
    "litellm",
    "own",
    "entry",
    "redis",
    "postgres",
    "milvus",
    "kagent",
    "prometheus",
    "otel",
    "langfuse",
    "mlflow",
    "jobs.walls",
    "jobs.kueue",
    "jobs.trainer",
    "jobs.kuberay",
    "jobs.efa",
)
"""Modules of this package; each has its `COMPONENT`."""


@cache
def components() -> tuple[Component, ...]:
    """Every component that Hanok can render."""
    return tuple(_found())


def _found() -> Iterator[Component]:
    for name in _MODULES:
        yield import_module(f"hanok.kubernetes.components.{name}").COMPONENT
