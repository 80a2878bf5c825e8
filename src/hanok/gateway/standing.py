"""Headers that tell a caller what is left: budgets in our own words, rate limits as OpenAI and as the IETF say them.

`x-ratelimit-*`: OpenAI's (limit, remaining, reset for requests and tokens). `RateLimit` and `RateLimit-Policy`:
draft-ietf-httpapi-ratelimit-headers-10. Of several accounts of a kind the one with the least left is told.

This runs on every call, so all that does not change while an account lives is written once, as lines with gaps for the
figures that do, and kept with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hanok.ledger import NEVER, Account, Accounts, Unit, iso

_USD, _TOKENS, _REQUESTS = int(Unit.USD), int(Unit.TOKENS), int(Unit.REQUESTS)
_NANO_A_MICRO = 1000
_MICRO = 1_000_000
_LINE = b"\r\n"


class _Budget:
    """What is told of a budget."""

    __slots__ = ("lines", "warning")

    def __init__(self, account: Account) -> None:
        terms = account.terms
        unit, gap = (b"usd", b"%d.%06d") if account.unit == _USD else (b"tokens", b"%d")
        fixed = [
            b"x-hanok-budget-%b: %b" % (unit, _printable(f"{terms.of}/{terms.name}")),
            b"x-hanok-budget-limit-%b: %b" % (unit, gap % _figures(account.unit, terms.limit)),
        ]
        if terms.ends != NEVER:
            fixed.append(b"x-hanok-budget-reset-%b: %b" % (unit, iso(terms.ends).encode()))
        self.lines = _LINE.join(fixed).replace(b"%", b"%%") + b"\r\nx-hanok-budget-remaining-%b: %b" % (unit, gap)
        self.warning = b"\r\nx-hanok-budget-warning-%b: beyond %d %%" % (unit, round(terms.soft * 100))


class _Rate:
    """What is told of a rate limit."""

    __slots__ = ("item", "lines", "policy")

    def __init__(self, account: Account) -> None:
        name, limit = b"tokens" if account.unit == _TOKENS else b"requests", account.limit
        self.lines = (b"x-ratelimit-limit-%b: %d\r\nx-ratelimit-remaining-%b: %%d\r\nx-ratelimit-reset-%b: %%ds") % (
            name,
            limit,
            name,
            name,
        )
        self.policy = b'"%b";q=%d;w=60' % (name, limit)
        self.item = b'"%b";r=%%d;t=%%d' % name


class _Kinds:
    """The accounts of a call that are told, by kind."""

    __slots__ = ("budgets", "rates")

    def __init__(self, accounts: Iterable[Account]) -> None:
        every = list(accounts)

        def kind(counts: bool, unit: int) -> list[Account]:
            return [each for each in every if each.terms.counts == counts and each.unit == unit]

        self.budgets = [group for unit in (_USD, _TOKENS) if (group := kind(True, unit))]
        self.rates = [group for unit in (_REQUESTS, _TOKENS) if (group := kind(False, unit))]


def standing_lines(accounts: Accounts, now: float) -> bytes:
    """What to tell of these accounts at `now` (Unix seconds): lines of headers; empty for nothing."""
    kinds = accounts.notes
    if not isinstance(kinds, _Kinds):
        kinds = accounts.notes = _Kinds(accounts)
    told = [_tell_budget(_tightest(group)) for group in kinds.budgets]
    if kinds.rates:
        _tell_rates([_tightest(group) for group in kinds.rates], now, told)
    return _LINE.join(told)


def _tightest(group: Sequence[Account]) -> Account:
    """The one with the least left, the first of several."""
    found, least = group[0], None
    for account in group:
        left = account.limit - account.others - account.used
        if least is None or left < least:
            found, least = account, left
    return found


def _tell_budget(account: Account) -> bytes:
    about = account.notes
    if not isinstance(about, _Budget):
        about = account.notes = _Budget(account)
    lines = about.lines % _figures(account.unit, account.remaining)
    return lines + about.warning if account.beyond_soft else lines


def _tell_rates(rates: list[Account], now: float, told: list[bytes]) -> None:
    policies: list[bytes] = []
    items: list[bytes] = []
    for account in rates:
        about = account.notes
        if not isinstance(about, _Rate):
            about = account.notes = _Rate(account)
        figures = (account.remaining, max(0, round(account.terms.ends - now)))
        told.append(about.lines % figures)
        policies.append(about.policy)
        items.append(about.item % figures)
    told.append(b"ratelimit-policy: " + b", ".join(policies))
    told.append(b"ratelimit: " + b", ".join(items))


def _printable(text: str) -> bytes:
    """What a header may hold of a name that a caller may have chosen."""
    return "".join(each if " " <= each <= "~" else "?" for each in text).encode("ascii")


def _figures(unit: int, amount: int) -> tuple[int, ...]:
    """Dollars and millionths of them; tokens."""
    return divmod(amount // _NANO_A_MICRO, _MICRO) if unit == _USD else (amount,)
