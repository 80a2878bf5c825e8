"""A charge: one call, written down once. Money is whole nano-dollars (1 USD = 10⁹), so that sums are exact."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from hanok.wire.observed import Ending

NANO = 1_000_000_000


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """What one call used and cost.

    `id` is unique and grows with time; `at` is Unix seconds; `first_token_ms` is 0 when nothing came.
    `estimated` says that tokens were counted by us because the engine did not report them.
    """

    id: int
    at: float
    key_id: str
    key_name: str
    model: str
    endpoint: str
    operation: str
    status: Ending
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    estimated: bool
    cost_nano_usd: int
    latency_ms: float
    first_token_ms: float
    request_id: str = ""
    team: str | None = None
    user: str | None = None
    session: str | None = None
    run: str | None = None


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
