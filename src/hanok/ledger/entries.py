"""What the books hold beside keys and charges: limits given to single runs, and who changed what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Allotment:
    """What one run may spend in all, with those it starts; None where it is not limited."""

    cost_nano_usd: int | None = None
    tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Somebody (`actor`) did something (`action`, as `key.rotate`) to something (`subject`), at Unix seconds."""

    id: int
    at: float
    actor: str
    action: str
    subject: str
    detail: Mapping[str, Any]
