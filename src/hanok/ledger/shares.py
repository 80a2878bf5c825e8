"""This process' share of accounts that several processes have in common (`ledger.shared`).

A process reserves calls within the grants that it holds, as it would alone. What it lacks it draws; what it has used it
reports a few times a second, and then gives back what it is not likely to need. Grants get smaller as an account nears
its limit, so that little of it lies with a process that does not need it.

One figure holds both sides together: what is granted here less what was reported is what the store holds for us.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence

from hanok.errors import StoreError
from hanok.ledger.accounts import NEVER, Account, Amounts, Terms, Unit
from hanok.ledger.shared import AMOUNT_LIMIT, Granted, SharedAccounts, Want

SHARE_OF_REST = 16
FORGET_AFTER_S = 3600.0
Past = Callable[[Terms], Awaitable[int]]
"""What the ledger knows was used of an account."""


class Shares:
    """The accounts that this process takes part in. `last_charge` tells the id of the newest charge settled."""

    def __init__(
        self, store: SharedAccounts, *, last_charge: Callable[[], int], monotonic: Callable[[], float]
    ) -> None:
        self._store = store
        self._last_charge = last_charge
        self._monotonic = monotonic
        self._tenure = store.tenure
        self._losses = store.losses
        self._parts: dict[str, _Part] = {}
        self._left: list[_Part] = []

    def open(self, terms: Terms, used: int) -> Account:
        """An account of which nothing is granted yet. `used` is what the ledger knows was used before."""
        account = Account(terms, granted=0)
        self._parts[terms.id] = _Part(account, used)
        return account

    def close(self, account: Account) -> bool:
        """Take no more part in an account: the next report ends it. Not (False) while calls have reserved of it, or
        are about to."""
        part = self._parts.get(account.terms.id)
        if account.used != account.settled or (part is not None and part.awaited):
            return False
        part = self._parts.pop(account.terms.id, None)
        if part is not None:
            self._left.append(part)
        return True

    def renew(self, account: Account, terms: Terms) -> None:
        """Go on under other terms. Under a lower limit what was granted and is not in use must be drawn again."""
        if terms.limit < account.limit:
            self._parts[account.terms.id].set_aside()
        account.change(terms, alone=False)

    @property
    def holds(self) -> bool:
        """Whether what is granted here may be used: not when the store has not been reached for a lease."""
        return self._monotonic() <= self._store.lease_ends and self._store.tenure == self._tenure

    async def draw(self, accounts: Sequence[Account], wanted: Amounts, least: Amounts, past: Past) -> Sequence[Account]:
        """Ask for what these accounts lack of `wanted`; `least` is of use where a budget has no more.

        Gives the accounts that have no more for all of it. While this waits, others may use what was there, so what is
        granted now need not be enough although there is more: then draw again. Raises `StoreError` when the others
        cannot be asked; where it still `holds` then, what is granted may be used.
        """
        parts = [self._parts[account.terms.id] for account in accounts]
        for part in parts:
            part.awaited += 1
        try:
            if not self.holds:
                await self._store.beat()
                self._take_note()
            return await self._draw([part for part in parts if part.lacks(wanted) > 0], wanted, least, past)
        finally:
            for part in parts:
                part.awaited -= 1

    async def _draw(self, parts: Sequence[_Part], wanted: Amounts, least: Amounts, past: Past) -> Sequence[Account]:
        if not parts:
            return ()
        await self._open_anew(parts, past)
        await self._return(parts)
        wants = [self._want(part, wanted, least) for part in parts]
        lacks = [part.lacks(wanted) for part in parts]
        answers = await self._ask(parts, wants)
        self._take_note()
        for part, want, granted in zip(parts, wants, answers, strict=True):
            part.take(want, granted)
        self._refuse_while_settling(answers)
        return [
            part.account
            for part, lack, want, got in zip(parts, lacks, wants, answers, strict=True)
            if got.amount < lack and want.limit == part.account.limit
        ]

    async def _ask(self, parts: Sequence[_Part], wants: Sequence[Want]) -> Sequence[Granted]:
        for part in parts:
            part.drawing += 1
        try:
            return await self._store.draw(wants)
        finally:
            for part in parts:
                part.drawing -= 1

    async def _return(self, parts: Sequence[_Part]) -> None:
        """Give back what was set aside, so that what is drawn now is judged by what is really left."""
        aside = {part.account.terms.id: amount for part in parts if (amount := part.take_aside())}
        if aside:
            await self._store.give_back(aside)
            self._take_note()

    async def look(self, accounts: Iterable[Account]) -> None:
        """See what others have used and reserved of these accounts. Raises `StoreError`."""
        shared = {account.terms.id: account for account in accounts}
        for name, standing in (await self._store.look(list(shared))).items():
            account = shared[name]
            account.others = max(0, standing.spent + standing.held - account.granted)

    async def report(self) -> int:
        """Tell the others what was used, and give back what is not likely to be needed. Raises `StoreError`.

        Gives the id of the newest charge that everyone knows of now.
        """
        self._take_note()
        until_charge = self._last_charge()
        left = list(self._left)
        spent: Counter[str] = Counter()
        for part in (*self._parts.values(), *left):
            if amount := part.take_unreported():
                spent[part.account.terms.id] += amount
        if spent:
            await self._store.report(spent, until_charge=until_charge)
            self._take_note()
        await self._give_back(left)
        await self._store.beat()
        self._take_note()
        return until_charge

    async def _give_back(self, left: Sequence[_Part]) -> None:
        idle: Counter[str] = Counter()
        for part in self._parts.values():
            if surplus := part.take_surplus():
                idle[part.account.terms.id] += surplus
        for part in left:
            self._left.remove(part)
            if surplus := part.take_all():
                idle[part.account.terms.id] += surplus
        if idle:
            await self._store.give_back(idle)

    def _take_note(self) -> None:
        """When all that was held is lost, calls that run draw again; when the store lost its data, the past is read
        again: what it begins with must hold what was spent since."""
        if self._store.tenure != self._tenure:
            self._tenure = self._store.tenure
            for part in (*self._parts.values(), *self._left):
                part.lose()
        elif self._store.losses == self._losses:
            return
        self._losses = self._store.losses
        for part in self._parts.values():
            part.opening = None

    async def _open_anew(self, parts: Iterable[_Part], past: Past) -> None:
        for part in parts:
            if part.opening is None:
                terms = part.account.terms
                part.opening = await past(terms) if terms.counts else 0

    def _refuse_while_settling(self, answers: Sequence[Granted]) -> None:
        settles_s = max(granted.settles_s for granted in answers)
        if settles_s:
            for granted in answers:
                self._parts[granted.account].opening = None
            message = "the shared budgets were lost and are being counted anew"
            raise StoreError(f"{message}, for {settles_s:.0f} s more")

    def _want(self, part: _Part, wanted: Amounts, least: Amounts) -> Want:
        account, terms = part.account, part.account.terms
        short = account.used - account.granted
        rest = max(0, terms.limit - account.others - account.granted)
        need = short + (least if terms.counts else wanted)[account.unit]
        # One call at a time draws ahead for all; the others do not count on a rest that those before them count on.
        ahead = wanted[account.unit] if part.drawing else _spare(account, rest)
        wish = max(need, short + wanted[account.unit], ahead)
        return Want(
            account=terms.id,
            need=min(max(0, need), AMOUNT_LIMIT),
            wish=min(max(0, wish), AMOUNT_LIMIT),
            limit=terms.limit,
            opening=part.opening or 0,
            until=None if terms.ends == NEVER else terms.ends + FORGET_AFTER_S,
            lasts=terms.counts,
        )


def _spare(account: Account, rest: int) -> int:
    """How much to draw ahead. Of calls at once nothing: they come back, and others may want them."""
    return 0 if account.unit == Unit.CONCURRENT else rest // SHARE_OF_REST


class _Part:
    """What this process knows of one account beside its own figures.

    `opening` is what the ledger knew when it was last asked, None when it must be asked again. `awaited` is how many
    calls are about to reserve of it: while there are, nothing is given back, as they count on it, and it is not closed.
    `drawing` is how many of them wait for a grant of it. What is set aside is granted to nobody here any more, and
    held until it is given back.
    """

    __slots__ = ("_aside", "_reported", "_used_before", "account", "awaited", "drawing", "opening")

    def __init__(self, account: Account, opening: int) -> None:
        self.account = account
        self.opening: int | None = opening
        self.awaited = 0
        self.drawing = 0
        self._aside = 0
        self._reported = 0
        self._used_before = 0

    def lacks(self, wanted: Amounts) -> int:
        """What is not granted of that much more; 0 or less when all of it is."""
        account = self.account
        return account.used + wanted[account.unit] - account.granted

    def take(self, want: Want, granted: Granted) -> None:
        """Take what was granted; not what was asked for under a limit that is lower by now."""
        account = self.account
        account.granted += granted.amount
        account.others = max(0, granted.spent + granted.held - account.granted)
        if account.limit < want.limit:
            self.set_aside()

    def set_aside(self) -> None:
        """Let nobody here use what is not in use."""
        surplus = max(0, self.account.granted - self.account.used)
        self.account.granted -= surplus
        self._aside += surplus

    def take_aside(self) -> int:
        """What was set aside: to be given back now."""
        aside, self._aside = self._aside, 0
        return aside

    def take_unreported(self) -> int:
        """What is settled and not reported yet: it is now. What went beyond the grant counts as granted."""
        account = self.account
        amount = account.settled - self._reported
        if amount:
            self._reported = account.settled
            account.granted = max(account.granted, account.settled)
        return amount

    def take_surplus(self) -> int:
        """What is idle beyond twice the use since the last time, or set aside: no longer granted here."""
        account = self.account
        lately = 0 if account.unit == Unit.CONCURRENT else max(0, account.used - self._used_before)
        self._used_before = account.used
        surplus = 0 if self.awaited else max(0, account.granted - account.used - 2 * lately)
        account.granted -= surplus
        return surplus + self.take_aside()

    def take_all(self) -> int:
        """Everything that is not spent: nothing runs here any more."""
        surplus = max(0, self.account.granted - self._reported)
        self.account.granted -= surplus
        return surplus + self.take_aside()

    def lose(self) -> None:
        """Others may have been given all that was held here. What running calls reserved is wanting now."""
        self._aside = 0
        self.account.granted = min(self.account.granted, self._reported)
