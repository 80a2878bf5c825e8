"""Charges added up."""

from __future__ import annotations

from dataclasses import dataclass

from hanok.wire.charge import NANO


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """A group of charges added up. `group` is the key's name, the model, the session or the day (UTC)."""

    group: str
    calls: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    cost_nano_usd: int
    mean_latency_ms: float
    mean_first_token_ms: float

    @property
    def cost_usd(self) -> float:
        return self.cost_nano_usd / NANO
