"""What preflight knows besides the manifests: figures, models, schemas, and what the user says of the cluster."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hanok.gpu import Anatomy, Catalog
from hanok.preflight.schema.kind_schemas import BuiltinSchemas, CustomSchemas, NoSchemas


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All of it. `anatomy` raises `PlanError` for a model that it does not know."""

    catalog: Catalog
    anatomy: Callable[[str], Anatomy]
    today: datetime.date
    kubernetes: str = "1.37"
    builtins: BuiltinSchemas | None = None
    """Schemas of that version of Kubernetes; None where they are not installed."""
    custom: CustomSchemas = field(default_factory=NoSchemas)
    """Schemas of custom kinds."""
    quotas: Mapping[str, float] = field(default_factory=dict[str, float])
    """Quotas of the cloud account by their code, in their unit."""
    ceiling_usd_month: float | None = None
    """USD that a month may cost at most."""
