"""Headers that tell a caller what is left: budgets in our own words, rate limits as OpenAI and as the IETF say them.

`x-ratelimit-*`: OpenAI's (limit, remaining, reset for requests and tokens). `RateLimit` and `RateLimit-Policy`:
draft-ietf-httpapi-ratelimit-headers-10. Of several accounts of a kind the one with the least left is told.
"""

from __future__ import annotations

from collections.abc import Sequence

from hanok.ledger import NEVER, Account, Unit, figure, iso

Header = tuple[bytes, bytes]
_RATES = {Unit.REQUESTS: b"requests", Unit.TOKENS: b"tokens"}


def standing_headers(accounts: Sequence[Account], now: float) -> list[Header]:
    """What to tell of these accounts at `now` (Unix seconds)."""
    budgets: dict[int, Account] = {}
    rates: dict[int, Account] = {}
    for account in accounts:
        if account.terms.counts:
            _keep_tightest(budgets, account)
        elif account.unit != Unit.CONCURRENT:
            _keep_tightest(rates, account)
    headers: list[Header] = []
    for account in budgets.values():
        headers += _budget(account)
    if rates:
        headers += _rates(rates, now)
    return headers


def _keep_tightest(found: dict[int, Account], account: Account) -> None:
    other = found.get(account.unit)
    if other is None or account.remaining < other.remaining:
        found[account.unit] = account


def _budget(account: Account) -> list[Header]:
    terms = account.terms
    unit = b"usd" if account.unit == Unit.USD else b"tokens"
    headers = [
        (b"x-hanok-budget-" + unit, f"{terms.of}/{terms.subject}".encode("ascii", "replace")),
        (b"x-hanok-budget-limit-" + unit, _number(terms.unit, terms.limit)),
        (b"x-hanok-budget-remaining-" + unit, _number(terms.unit, account.remaining)),
    ]
    if terms.ends != NEVER:
        headers.append((b"x-hanok-budget-reset-" + unit, iso(terms.ends).encode()))
    if account.beyond_soft:
        headers.append((b"x-hanok-budget-warning-" + unit, b"beyond %d %%" % round(terms.soft * 100)))
    return headers


def _rates(rates: dict[int, Account], now: float) -> list[Header]:
    headers: list[Header] = []
    policies: list[bytes] = []
    standings: list[bytes] = []
    for unit, account in rates.items():
        name, left, limit = _RATES[Unit(unit)], account.remaining, account.terms.limit
        seconds = max(0, round(account.terms.ends - now))
        headers += [
            (b"x-ratelimit-limit-" + name, b"%d" % limit),
            (b"x-ratelimit-remaining-" + name, b"%d" % left),
            (b"x-ratelimit-reset-" + name, b"%ds" % seconds),
        ]
        policies.append(b'"%b";q=%d;w=60' % (name, limit))
        standings.append(b'"%b";r=%d;t=%d' % (name, left, seconds))
    headers += [(b"ratelimit-policy", b", ".join(policies)), (b"ratelimit", b", ".join(standings))]
    return headers


def _number(unit: Unit, amount: int) -> bytes:
    return f"{figure(unit, amount):.6f}".encode() if unit == Unit.USD else b"%d" % amount
