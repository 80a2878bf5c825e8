"""Charges added up: for people by any group, and for budgets by day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import msgspec

from hanok.wire.charge import NANO, Charge

Grouping = Literal["key", "team", "user", "model", "tier", "endpoint", "session", "run", "day"]
Kind = Literal["key", "team", "user", "model", "session", "run"]
"""What totals are kept for: a key (by its id), a team, a user, a model, a session, a run with those it started."""

DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """A group of charges added up.

    `group` is the key's name, the team, user, model, tier, endpoint, session, run or day (UTC); empty for charges
    without. `saved_nano_usd` is what was saved by tiers and by answers from a cache. `first_tokens` of the calls have
    a first token, and its mean is over those.
    """

    group: str
    calls: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    cost_nano_usd: int
    mean_latency_ms: float
    mean_first_token_ms: float
    saved_nano_usd: int = 0
    first_tokens: int = 0

    @property
    def cost_usd(self) -> float:
        return self.cost_nano_usd / NANO

    @property
    def saved_usd(self) -> float:
        return self.saved_nano_usd / NANO


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """What was spent. `tokens` are prompt and completion together."""

    cost_nano_usd: int = 0
    tokens: int = 0
    calls: int = 0


class DayTotal(msgspec.Struct, frozen=True):
    """What was spent by one subject on one day, counted in days since 1970-01-01 UTC."""

    kind: Kind
    subject: str
    day: int
    cost_nano_usd: int
    tokens: int
    calls: int


def day_of(at: float) -> int:
    """The day of a moment in Unix seconds: days since 1970-01-01 UTC."""
    return int(at // DAY_S)


def add_up(charges: Iterable[Charge]) -> list[DayTotal]:
    """Daily totals of these charges, in order of kind, subject and day.

    Adds up by everything at once first: the writer shares Python's lock with calls, so a charge costs one look-up here,
    not four. The order matters to PostgreSQL, where two writers lock the same rows one after another.
    """
    sums: dict[tuple[str, str | None, str | None, str, float], list[int]] = {}
    for charge in charges:
        group = (charge.key_id, charge.team, charge.user, charge.model, charge.at // DAY_S)
        if (found := sums.get(group)) is None:
            found = sums[group] = [0, 0, 0]
        found[0] += charge.cost_nano_usd
        found[1] += charge.prompt_tokens + charge.completion_tokens
        found[2] += 1
    return _by_subject(sums)


def _by_subject(sums: Mapping[tuple[str, str | None, str | None, str, float], Sequence[int]]) -> list[DayTotal]:
    totals: dict[tuple[Kind, str, int], list[int]] = {}
    for (key, team, user, model, at_day), (cost_nano_usd, tokens, calls) in sums.items():
        day = int(at_day)
        for kind, subject in (("key", key), ("team", team), ("user", user), ("model", model)):
            if subject is None:
                continue
            found = totals.setdefault((cast("Kind", kind), subject, day), [0, 0, 0])
            found[0] += cost_nano_usd
            found[1] += tokens
            found[2] += calls
    return [DayTotal(*place, *amounts) for place, amounts in sorted(totals.items())]
