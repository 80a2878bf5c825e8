"""A charge: one call, written down once, for the ledger, the metrics and the spans alike.

Money is whole nano-dollars (1 USD = 10⁹), so that sums are exact.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Ending = Literal["ok", "cancelled", "failed", "cut"]
"""How a call ended: answered, given up by its caller, not answered, or cut at the limit of a budget."""

NANO = 1_000_000_000


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """What one call used and cost.

    `id` is unique and grows with time; `at` is when the call began, in Unix seconds; `first_token_ms` is 0 when nothing
    came. `estimated` says that tokens were counted by us because the engine did not report them. `error` is the code of
    what went wrong, as `engine_timeout`, or of what cut the answer, as `budget_exceeded`. Where Hanok chose the model,
    `asked` is the name that was asked for and `tier` what the request was found to be. `saved_nano_usd` is what the
    call would have cost more without a cache of answers, or without tiers.
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
    error: str = ""
    cache_write_tokens: int = 0
    saved_nano_usd: int = 0
    asked: str = ""
    tier: str = ""
