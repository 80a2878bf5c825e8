"""Accounts: how much of something may be used in a while, and how much is. The arithmetic of budgets and rate limits.

A budget of dollars or tokens, a rate limit of calls or tokens a minute, and a limit of calls at once are all the same:
an account with a unit, a limit and an end. A call *reserves* in all of its accounts or in none, before it begins, and
*settles* to what it used. Both are plain arithmetic on one thread with nothing awaited in between, which makes them
atomic.

Where several processes share an account, each holds a grant of it, and `granted` is less than the limit
(`ledger.shared`); alone, everything is granted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from hanok.ledger.usage import Kind

NEVER = float("inf")


class Unit(IntEnum):
    """What an account counts; also the place of its figure in `Amounts`."""

    USD = 0
    TOKENS = 1
    REQUESTS = 2
    CONCURRENT = 3


Amounts = tuple[int, int, int, int]
"""Nano-dollars, tokens, calls, calls at once: indexed by `Unit`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an account is, apart from what is used of it.

    `of` and `subject` say what it is kept for (`team`, `research`); `limit` is in nano-dollars, tokens or calls; the
    account runs from `begins` to `ends` (Unix seconds). Beyond `soft` of the limit calls go to `downgrade_to`, if set.
    `counts` says that it is a budget, filled from the ledger at start; a rate limit begins empty.
    """

    id: str
    of: Kind
    subject: str
    unit: Unit
    limit: int
    per: str
    begins: float = 0.0
    ends: float = NEVER
    soft: float = 1.0
    downgrade_to: str | None = None
    counts: bool = False
    tenant: str | None = None
    label: str = ""

    @property
    def name(self) -> str:
        """What people call the subject: a key by its name, not its id."""
        return self.label or self.subject


class Account:
    """An account now. `used` is what this process has settled and reserved of it, `others` what others have.

    `settled` is the part of `used` that this process is done with (its past before this process is not in it).
    `opening` is what was used before this process; `stale` says that nothing was counted for a while, as the budget was
    taken back. `notes` is whatever somebody who shows the account wants to remember of it while its terms stay.
    """

    __slots__ = (
        "granted", "limit", "notes", "opening", "others", "settled", "soft_line", "stale", "terms", "unit", "used",
    )  # fmt: skip

    def __init__(self, terms: Terms, *, used: int = 0, granted: int | None = None) -> None:
        self.terms = terms
        self.unit = int(terms.unit)
        self.limit = terms.limit
        self.used = used
        self.opening = used
        self.stale = False
        self.others = 0
        self.granted = terms.limit if granted is None else granted
        self.settled = 0
        self.notes: object = None
        self.soft_line = int(terms.limit * terms.soft)

    @property
    def remaining(self) -> int:
        """What nobody has used or reserved yet; 0 when the limit was lowered below what is used."""
        return max(0, self.limit - self.others - self.used)

    @property
    def reserved(self) -> int:
        """What running calls have set aside."""
        return self.used - self.opening - self.settled

    def reopen(self, used: int) -> None:
        """Begin from what the ledger knows was used; what running calls have set aside stays."""
        self.used, self.opening, self.settled = used + self.reserved, used, 0
        self.stale = False

    @property
    def beyond_soft(self) -> bool:
        return self.others + self.used >= self.soft_line

    def change(self, terms: Terms, *, alone: bool) -> None:
        """Go on under other terms, as after a reload. What is used stays used; who is `alone` is granted everything."""
        if alone:
            self.granted = terms.limit
        self.terms = terms
        self.limit = terms.limit
        self.soft_line = int(terms.limit * terms.soft)
        self.notes = None


class Accounts(tuple[Account, ...]):
    """The accounts that a call draws on, also `by_unit`. Made once for calls that are alike.

    `notes` is as an account's: whatever somebody who shows these accounts wants to remember of them.
    """

    by_unit: tuple[tuple[int, tuple[Account, ...]], ...]
    downgrading: tuple[Account, ...]
    """Those beyond whose softer line calls go to a cheaper model."""
    notes: object

    def __new__(cls, accounts: Iterable[Account] = ()) -> Accounts:
        made = super().__new__(cls, accounts)
        groups: dict[int, list[Account]] = {}
        for account in made:
            groups.setdefault(account.unit, []).append(account)
        made.by_unit = tuple((unit, tuple(group)) for unit, group in groups.items())
        made.downgrading = tuple(each for each in made if each.terms.downgrade_to is not None)
        made.notes = None
        return made


NO_ACCOUNTS = Accounts()


def reserve(accounts: Accounts, amounts: Amounts) -> Account | None:
    """Reserve in every account, or in none: then the first that has too little left is given back."""
    for unit, group in accounts.by_unit:
        amount = amounts[unit]
        for account in group:
            if account.used + amount > account.granted:
                return next(each for each in accounts if each.used + amounts[each.unit] > each.granted)
    for unit, group in accounts.by_unit:
        amount = amounts[unit]
        for account in group:
            account.used += amount
    return None


def settle(accounts: Accounts, reserved: Amounts, actual: Amounts) -> None:
    """Put what was used in the place of what was reserved."""
    for unit, group in accounts.by_unit:
        amount, more = actual[unit], actual[unit] - reserved[unit]
        for account in group:
            account.used += more
            account.settled += amount


def affordable(accounts: Sequence[Account], amounts: Amounts, *, nano_usd_a_token: float, most: int) -> int:
    """How many tokens more than `amounts` every account would pay for, up to `most`; negative when not even those."""
    for account in accounts:
        left = account.granted - account.used - amounts[account.unit]
        if left < 0:
            return -1
        if account.unit == Unit.TOKENS:
            most = min(most, left)
        elif account.unit == Unit.USD and nano_usd_a_token > 0:
            most = min(most, int(left / nano_usd_a_token))
    return most
