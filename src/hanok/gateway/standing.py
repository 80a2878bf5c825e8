"""Headers that tell a caller what is left: budgets in our own words, rate limits as OpenAI and as the IETF say them.

`x-ratelimit-*`: OpenAI's (limit, remaining, reset for requests and tokens). `RateLimit` and `RateLimit-Policy`:
draft-ietf-httpapi-ratelimit-headers-10. Of several accounts of a kind the one with the least left is told.

This runs on every call, so all that does not change while an account lives is written once, as bytes, and kept with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from hanok.ledger import NEVER, Account, Unit, iso

Header = tuple[bytes, bytes]
_USD, _TOKENS = int(Unit.USD), int(Unit.TOKENS)
_BUDGETS = ((True, _USD), (True, _TOKENS))
_RATES = ((False, int(Unit.REQUESTS)), (False, _TOKENS))
_NANO_A_MICRO = 1000
_MICRO = 1_000_000


class _Budget:
    """What is told of a budget: the headers that stay, and the name of the one that changes."""

    __slots__ = ("fixed", "remaining", "warning")

    def __init__(self, account: Account) -> None:
        terms = account.terms
        unit = b"usd" if account.unit == _USD else b"tokens"
        self.fixed: list[Header] = [
            (b"x-hanok-budget-" + unit, _printable(f"{terms.of}/{terms.name}")),
            (b"x-hanok-budget-limit-" + unit, _number(account.unit, terms.limit)),
        ]
        if terms.ends != NEVER:
            self.fixed.append((b"x-hanok-budget-reset-" + unit, iso(terms.ends).encode()))
        self.remaining = b"x-hanok-budget-remaining-" + unit
        self.warning: Header = (b"x-hanok-budget-warning-" + unit, b"beyond %d %%" % round(terms.soft * 100))


class _Rate:
    """What is told of a rate limit."""

    __slots__ = ("item", "limit", "policy", "remaining", "reset")

    def __init__(self, account: Account) -> None:
        name = b"tokens" if account.unit == _TOKENS else b"requests"
        self.limit: Header = (b"x-ratelimit-limit-" + name, b"%d" % account.terms.limit)
        self.remaining = b"x-ratelimit-remaining-" + name
        self.reset = b"x-ratelimit-reset-" + name
        self.policy = b'"%b";q=%d;w=60' % (name, account.terms.limit)
        self.item = b'"%b";r=%%d;t=%%d' % name


def standing_headers(accounts: Sequence[Account], now: float) -> list[Header]:
    """What to tell of these accounts at `now` (Unix seconds)."""
    tightest: dict[tuple[bool, int], Account] = {}
    lefts: dict[tuple[bool, int], int] = {}
    for account in accounts:
        terms = account.terms
        kind, left = (terms.counts, account.unit), terms.limit - account.others - account.used
        if kind not in lefts or left < lefts[kind]:
            tightest[kind], lefts[kind] = account, left
    headers: list[Header] = []
    for kind in _BUDGETS:
        if kind in tightest:
            _tell_budget(tightest[kind], headers)
    if rates := [tightest[kind] for kind in _RATES if kind in tightest]:
        _tell_rates(rates, now, headers)
    return headers


def _tell_budget(account: Account, headers: list[Header]) -> None:
    about = account.notes
    if not isinstance(about, _Budget):
        about = account.notes = _Budget(account)
    headers += about.fixed
    headers.append((about.remaining, _number(account.unit, account.remaining)))
    if account.beyond_soft:
        headers.append(about.warning)


def _tell_rates(rates: list[Account], now: float, headers: list[Header]) -> None:
    policies: list[bytes] = []
    items: list[bytes] = []
    for account in rates:
        about = account.notes
        if not isinstance(about, _Rate):
            about = account.notes = _Rate(account)
        left, seconds = account.remaining, max(0, round(account.terms.ends - now))
        headers += (about.limit, (about.remaining, b"%d" % left), (about.reset, b"%ds" % seconds))
        policies.append(about.policy)
        items.append(about.item % (left, seconds))
    headers += ((b"ratelimit-policy", b", ".join(policies)), (b"ratelimit", b", ".join(items)))


def _printable(text: str) -> bytes:
    """What a header may hold of a name that a caller may have chosen."""
    return "".join(each if " " <= each <= "~" else "?" for each in text).encode("ascii")


def _number(unit: int, amount: int) -> bytes:
    if unit != _USD:
        return b"%d" % amount
    return b"%d.%06d" % divmod(amount // _NANO_A_MICRO, _MICRO)
