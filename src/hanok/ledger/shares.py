"""This process' share of accounts that several processes have in common (`ledger.shared`).

A process reserves calls within the grants that it holds, as it would alone. What it lacks it draws; what it has used it
reports a few times a second, and then gives back what it is not likely to need. Grants get smaller as an account nears
its limit, so that little of it lies with a process that does not need it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hanok.errors import StoreError
from hanok.ledger.accounts import NEVER, Account, Amounts, Terms
from hanok.ledger.shared import SharedAccounts, Want

SHARE_OF_REST = 16
FORGET_AFTER_S = 3600.0


class Shares:
    """The accounts that this process takes part in. `last_charge` tells the id of the newest charge settled."""

    def __init__(
        self, store: SharedAccounts, *, last_charge: Callable[[], int], monotonic: Callable[[], float]
    ) -> None:
        self._store = store
        self._last_charge = last_charge
        self._monotonic = monotonic
        self._tenure = store.tenure
        self._parts: dict[str, _Part] = {}

    def open(self, terms: Terms, used: int) -> Account:
        """An account of which nothing is granted yet. `used` is what the ledger knows was used before."""
        account = Account(terms, granted=0)
        self._parts[terms.id] = _Part(account, used)
        return account

    def close(self, account: Account) -> None:
        """Take no more part in an account. What is still granted of it falls back with the process' lease."""
        self._parts.pop(account.terms.id, None)

    async def draw(self, accounts: Sequence[Account], amounts: Amounts) -> None:
        """Ask for what these accounts lack of `amounts`. Raises `StoreError` when the others cannot be asked."""
        self._drop_lost()
        lacking = [each for each in accounts if each.used + amounts[each.unit] > each.granted]
        if not lacking:
            return
        wants = [self._want(each, each.used + amounts[each.unit] - each.granted) for each in lacking]
        answers = await self._store.draw(wants)
        self._drop_lost()
        for account, granted in zip(lacking, answers, strict=True):
            account.granted += granted.amount
            account.others = max(0, granted.spent + granted.held - account.granted)
            if granted.settles_s:
                message = "the shared budgets were lost and are being counted anew"
                raise StoreError(f"{message}, for {granted.settles_s:.0f} s more")

    async def report(self) -> None:
        """Tell the others what was used, and give back what is not likely to be needed. Raises `StoreError`."""
        self._drop_lost()
        spent = {name: part.unreported for name, part in self._parts.items() if part.unreported}
        surplus = {name: idle for name, part in self._parts.items() if (idle := part.take_surplus())}
        for name, amount in spent.items():
            self._parts[name].report(amount)
        await self._store.report(spent, until_charge=self._last_charge())
        await self._store.give_back(surplus)
        await self._store.beat()
        self._drop_lost()

    def _drop_lost(self) -> None:
        """What is held is void once the lease has lapsed: nothing more is reserved of it."""
        lapsed = self._monotonic() > self._store.lease_ends
        if lapsed or self._store.tenure != self._tenure:
            self._tenure = self._store.tenure
            for part in self._parts.values():
                part.account.granted = min(part.account.granted, part.account.used)

    def _want(self, account: Account, need: int) -> Want:
        terms = account.terms
        rest = max(0, terms.limit - account.others - account.granted)
        return Want(
            account=terms.id,
            need=need,
            wish=max(need, rest // SHARE_OF_REST),
            limit=terms.limit,
            opening=self._parts[terms.id].opening,
            until=None if terms.ends == NEVER else terms.ends + FORGET_AFTER_S,
            lasts=terms.counts,
        )


class _Part:
    """What this process knows of one account beside its own figures."""

    __slots__ = ("_reported", "_used_before", "account", "opening")

    def __init__(self, account: Account, opening: int) -> None:
        self.account = account
        self.opening = opening
        self._reported = 0
        self._used_before = 0

    @property
    def unreported(self) -> int:
        return self.account.settled - self._reported

    def report(self, amount: int) -> None:
        """That much is known to the others now. What went beyond the grant counts as granted."""
        self._reported += amount
        self.account.granted = max(self.account.granted, self._reported)

    def take_surplus(self) -> int:
        """What is idle beyond twice the use since the last time: no longer granted here."""
        account = self.account
        lately = max(0, account.used - self._used_before)
        self._used_before = account.used
        surplus = max(0, account.granted - account.used - 2 * lately)
        account.granted -= surplus
        return surplus
