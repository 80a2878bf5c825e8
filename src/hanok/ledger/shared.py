"""Budgets and rate limits that several processes keep together: what they ask of the place where they agree.

The idea is escrow. Nobody asks for each call: a process *draws* an amount from an account, spends it on its own,
*reports* what it spent and *gives back* what it does not need. The store grants a draw only while

    spent + held by all + amount <= limit

so that the sum of what processes may spend never passes the limit, however many there are. What a process holds is on a
lease: one that is not heard of for `lease_s` loses it to the others, and must not spend it any more
(`lease_ends`). `docs/notes/shared-budgets.md` says what holds when the store goes away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

LEASE_S = 15.0
AMOUNT_LIMIT = 2**62


@dataclass(frozen=True, kw_only=True, slots=True)
class Want:
    """What a process would like to draw from an account; amounts are whole (nano-dollars, tokens, calls), 0 to 2⁶².

    `need` is the least that is of use, `wish` as much as is welcome: `wish`, or what is left of it, is granted, and
    nothing where less than `need` is left. One holder holds less than 2⁵³ of an account. `opening` is what was spent
    already, for an account that is not known there yet. `until` is the Unix time in seconds after which the account may
    be forgotten; None keeps it. `lasts` says that what was spent stays spent, as in a budget: such an account grants
    nothing for a while after a store has lost its data (`Granted.settles_s`), unlike a rate, whose window is over soon.
    """

    account: str
    need: int
    wish: int
    limit: int
    opening: int = 0
    until: float | None = None
    lasts: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.need <= self.wish <= AMOUNT_LIMIT:
            raise ValueError(f"need {self.need} and wish {self.wish}: 0 <= need <= wish <= 2**62 must hold")
        if not (0 <= self.limit <= AMOUNT_LIMIT and 0 <= self.opening <= AMOUNT_LIMIT):
            raise ValueError(f"limit {self.limit} and opening {self.opening} must lie between 0 and 2**62")


@dataclass(frozen=True, kw_only=True, slots=True)
class Granted:
    """An answer to a `Want`: `amount` is now held in addition; `spent` and `held` (by all) stand there after it.

    `settles_s` above 0 says that nothing was granted because the store lost its data, and for how many seconds more.
    """

    account: str
    amount: int
    spent: int
    held: int
    settles_s: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How an account stands: spent, and held by all."""

    spent: int
    held: int


class SharedAccounts(Protocol):
    """One process' (holder's) view of the accounts that it shares with others. Used in one event loop."""

    @property
    def lease_ends(self) -> float:
        """Monotonic seconds until which what is held may be spent; every contact with the store moves it on."""
        ...

    @property
    def tenure(self) -> int:
        """How many times everything held was lost, since the lease had lapsed. Look at it after each call.

        When it has changed, amounts granted before are void: neither to be spent nor to be given back.
        """
        ...

    @property
    def losses(self) -> int:
        """How many times the store was found to have lost its data. Look at it after each call.

        When it has changed, the `opening` of accounts that last must be read anew before they are drawn from.
        """
        ...

    async def draw(self, wants: Sequence[Want]) -> Sequence[Granted]:
        """Ask for amounts, each on its own, in one round trip; answers in the order of `wants`. Raises `StoreError`.

        After a `StoreError` nothing is held in addition, even if the answer only was lost.
        """
        ...

    async def report(self, spent: Mapping[str, int], *, until_charge: int) -> None:
        """Say what was spent. It comes off what is held here, as far as that goes, and all of it counts as spent.

        `until_charge` is the highest id of the charges that this and earlier reports include; it is remembered in the
        same step. Each amount is reported once: when the store cannot be reached nothing is raised, the amounts are
        kept, and go with the next contact (`beat`), counted once even when an answer is lost.
        """
        ...

    async def give_back(self, amounts: Mapping[str, int]) -> None:
        """Give up amounts that are held here. They are gone at once; the store is told as with `report`."""
        ...

    async def reported(self, holder: str) -> int | None:
        """The `until_charge` that a holder last reported; None when it is not known. Raises `StoreError`."""
        ...

    async def beat(self) -> None:
        """Renew the lease, tell what is untold, and free what others hold whose lease has lapsed. Raises `StoreError`.

        To be called a few times in `lease_s`.
        """
        ...

    async def release(self, holder: str) -> None:
        """Free all that a holder holds: this one before it stops, or one that is dead for sure. Raises `StoreError`."""
        ...

    async def look(self, accounts: Sequence[str]) -> Mapping[str, Standing]:
        """How accounts stand; those not known there are left out. Raises `StoreError`."""
        ...

    async def aclose(self) -> None:
        """Close the connection. Frees nothing: `release` first."""
        ...


def refuse_negative(amounts: Mapping[str, int]) -> None:
    """Raises `ValueError` where an amount is below 0: it would make room that is not there."""
    for account, amount in amounts.items():
        if amount < 0:
            raise ValueError(f"{account}: {amount} is below 0")
