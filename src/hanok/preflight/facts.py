"""What preflight knows besides the manifests: figures, models, schemas, and what the user says of the cluster."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hanok.gpu import Anatomy, Catalog

Schemas = Mapping[tuple[str, str, str], Mapping[str, Any]]
"""OpenAPI schemas of custom resources by group, version and kind."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All of it. `anatomy` raises `PlanError` for a model that it does not know."""

    catalog: Catalog
    anatomy: Callable[[str], Anatomy]
    today: datetime.date
    kubernetes: str = "1.37"
    schemas: Schemas = field(default_factory=dict[tuple[str, str, str], Mapping[str, Any]])
    quotas: Mapping[str, float] = field(default_factory=dict[str, float])
    """Quotas of the cloud account by their code, in their unit."""
    ceiling_usd_month: float | None = None
    """USD that a month may cost at most."""
