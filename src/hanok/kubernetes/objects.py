"""Kubernetes objects as plain dicts, and what all of Hanok's have alike: names, labels, an order of keys."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

Body = dict[str, Any]
"""An object, or a part of one."""
NAME_LIMIT = 63
_FORBIDDEN = re.compile(r"[^a-z0-9]+")


def label(text: str, limit: int = NAME_LIMIT) -> str:
    """A DNS label (RFC 1123) for a name: what is too long or would be empty ends in eight digits of its SHA-256."""
    plain = _FORBIDDEN.sub("-", text.lower()).strip("-")
    if plain and len(plain) <= limit:
        return plain
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{plain[: limit - 9].rstrip('-')}-{digest}".lstrip("-")


def labels(name: str, component: str, **more: str) -> dict[str, str]:
    """The labels of an object: Kubernetes' recommended ones."""
    return {
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/part-of": "hanok",
        "app.kubernetes.io/managed-by": "hanok",
        **more,
    }


def selector(name: str) -> dict[str, str]:
    """The labels by which the pods of one workload are known; none of these may ever change."""
    return {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "hanok"}


def thing(
    api: str,
    kind: str,
    name: str,
    namespace: str | None = None,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    **rest: Any,
) -> Body:
    """One object. `rest` are its further keys, as `spec`; those that are None are left out."""
    metadata: Body = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = dict(labels)
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {
        "apiVersion": api,
        "kind": kind,
        "metadata": metadata,
        **{key: value for key, value in rest.items() if value is not None},
    }


def given(**values: Any) -> Body:
    """Those values that are not None."""
    return {key: value for key, value in values.items() if value is not None}
