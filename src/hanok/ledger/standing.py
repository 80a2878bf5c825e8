"""What callers are told about their accounts: what is left, and why a call was refused."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from hanok.errors import BudgetExceeded, RateLimited
from hanok.ledger.accounts import NEVER, Account, Terms, Unit
from hanok.ledger.books import Ledger
from hanok.ledger.keys import Key
from hanok.ledger.policies import Policies
from hanok.spec import Platform
from hanok.wire import NANO, Caller

_WHAT = {Unit.USD: "dollars", Unit.TOKENS: "tokens", Unit.REQUESTS: "calls", Unit.CONCURRENT: "calls at once"}
_HAS = {Unit.USD: "USD", Unit.TOKENS: "tokens", Unit.REQUESTS: "calls a minute", Unit.CONCURRENT: "calls at once"}
BUSY_RETRY_S = 1.0


def describe(account: Account) -> dict[str, Any]:
    """An account in JSON's terms: dollars as numbers, times as ISO 8601 in UTC. `used` counts what is reserved."""
    terms = account.terms
    used = account.others + account.used
    return {
        "of": terms.of,
        "name": terms.name,
        "unit": terms.unit.name.lower(),
        "per": terms.per,
        "limit": figure(terms.unit, terms.limit),
        "used": figure(terms.unit, used),
        "remaining": figure(terms.unit, account.remaining),
        "resets_at": None if terms.ends == NEVER else iso(terms.ends),
    }


def standings(platform: Platform, ledger: Ledger, *, now: float) -> list[dict[str, Any]]:
    """Every budget of the keys in use, and of the declared teams, users and models, as `describe` tells them.

    What is reserved by running calls is not in it. Raises `StoreError`.
    """
    keys = {key.id: key for key in ledger.list_keys() if key.revoked_at is None}
    shown: list[dict[str, Any]] = []
    for terms in _every_term(platform, keys.values(), now):
        total = ledger.total(terms.of, terms.subject, since=terms.begins)
        used = total.cost_nano_usd if terms.unit == Unit.USD else total.tokens
        shown.append({**describe(Account(terms, used=used)), "soft": terms.soft})
    return shown


def _every_term(platform: Platform, keys: Iterable[Key], now: float) -> Iterable[Terms]:
    """The terms of all budgets, each once."""
    policies = Policies.of(platform)
    callers = [(Caller(key_id=key.id, key_name=key.name, team=key.team, user=key.user), key, "") for key in keys]
    nobody = Caller(key_id="", key_name="")
    asked = [
        *callers,
        *((replace(nobody, team=team.name), None, "") for team in platform.teams),
        *((replace(nobody, user=user.name), None, "") for user in platform.users),
        *((nobody, None, model.name) for model in platform.models),
    ]
    found = {terms.id: terms for each in asked for terms in policies.standing(*each, now)}
    return (terms for terms in found.values() if terms.counts)


def refusal(account: Account, needed: int, now: float) -> BudgetExceeded | RateLimited:
    """The error for a call that this account has no room for."""
    terms = account.terms
    detail = {**describe(account), "needed": figure(terms.unit, needed)}
    owner = f"{terms.of} {terms.name!r}"
    if terms.counts:
        left = f"{_shown(detail['remaining'])} of {_shown(detail['limit'])} {_HAS[terms.unit]}"
        needed_text = _shown(detail["needed"])
        message = f"the budget of {owner} has {left} left ({_per(terms.per)}); this call may need {needed_text}"
        return BudgetExceeded(message, detail=detail)
    if needed > terms.limit:
        message = f"this call may need {needed:,} {_WHAT[terms.unit]}; {owner} may have {terms.limit:,} a minute"
        return RateLimited(f"{message}: lower `max_tokens`", detail=detail, retry_after_s=None)
    message = f"{owner} is limited to {terms.limit:,} {_limit_name(terms.unit)}"
    wait_s = BUSY_RETRY_S if terms.ends == NEVER else max(0.001, terms.ends - now)
    return RateLimited(message, detail=detail, retry_after_s=wait_s)


def figure(unit: Unit, amount: int) -> float | int:
    """Nano-dollars as dollars, other amounts as they are."""
    return amount / NANO if unit == Unit.USD else amount


def iso(seconds: float) -> str:
    """A moment (Unix seconds) in ISO 8601, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _shown(amount: float) -> str:
    return f"{amount:,}" if isinstance(amount, int) else f"{amount:,.6f}".rstrip("0").rstrip(".")


def _limit_name(unit: Unit) -> str:
    return "tokens a minute" if unit == Unit.TOKENS else _HAS[unit]


def _per(per: str) -> str:
    return "for ever" if per == "ever" else f"this {per}"
