"""Shared accounts in memory: for several holders in one process, and for tests, with the promises of the others.

`MemoryServer` stands where a server stands; each `MemoryAccounts` is one holder's view of it. Nothing waits, so each
method is one atomic step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from hanok.ledger.shared import LEASE_S, Granted, Standing, Want, refuse_negative

ROOM_TO_STAY_S = 60.0


@dataclass(slots=True)
class _Account:
    spent: int = 0
    opened: bool = False
    until: float | None = None
    held: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(slots=True)
class _Holder:
    life: int = 0
    until_charge: int | None = None
    lease_ends: float = 0.0


class MemoryServer:
    """Accounts and holders. `wall` gives Unix seconds, for windows; `monotonic` seconds for leases."""

    def __init__(
        self, *, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.wall = wall
        self.monotonic = monotonic
        self.accounts: dict[str, _Account] = {}
        self.holders: dict[str, _Holder] = {}

    def hear(self, holder: str, lease_s: float) -> _Holder:
        """Renew one's lease; free what the others hold whose lease has lapsed, and forget accounts that are over."""
        now, wall = self.monotonic(), self.wall()
        heard = self.holders.setdefault(holder, _Holder())
        heard.lease_ends = now + lease_s
        for name in [name for name, other in self.holders.items() if other.lease_ends < now]:
            self.free(name)
        for name in [name for name, each in self.accounts.items() if each.until is not None and each.until < wall]:
            del self.accounts[name]
        return heard

    def free(self, holder: str) -> None:
        """All that a holder holds goes back, once: it lives on with a lease that does not end, and nothing."""
        freed = self.holders.get(holder)
        if freed is None:
            return
        freed.life += 1
        freed.lease_ends = float("inf")
        for account in self.accounts.values():
            account.held.pop(holder, None)

    def draw(self, holder: str, want: Want) -> Granted:
        """Grant what is left, as `Want` says."""
        account = self._opened(want)
        left = want.limit - account.spent - sum(account.held.values())
        amount = min(want.wish, left)
        if amount < max(want.need, 1):
            amount = 0
        else:
            account.held[holder] = account.held.get(holder, 0) + amount
        return Granted(
            account=want.account, amount=amount, spent=account.spent, held=sum(account.held.values())
        )  # fmt: skip

    def spend(self, holder: str, name: str, amount: int) -> None:
        """Count an amount as spent, and take it off what the holder holds."""
        if amount:
            self.accounts.setdefault(name, _Account()).spent += amount
        self.take_off(holder, name, amount)

    def take_off(self, holder: str, name: str, amount: int) -> None:
        """Make a holder hold less of an account, nothing at least."""
        account = self.accounts.get(name)
        if account is not None and holder in account.held:
            account.held[holder] -= min(account.held[holder], amount)

    def _opened(self, want: Want) -> _Account:
        account = self.accounts.setdefault(want.account, _Account())
        if not account.opened:
            account.opened = True
            account.spent += want.opening
        if want.until is not None:
            account.until = max(account.until or 0.0, want.until, self.wall() + ROOM_TO_STAY_S)
        return account


class MemoryAccounts:
    """One holder's view of a `MemoryServer`."""

    def __init__(self, server: MemoryServer, *, holder: str, lease_s: float = LEASE_S) -> None:
        self._server = server
        self._holder = holder
        self._lease_s = lease_s
        self._tenure = 0
        self._lease_ends = 0.0

    @property
    def lease_ends(self) -> float:
        return self._lease_ends

    @property
    def tenure(self) -> int:
        return self._tenure

    @property
    def losses(self) -> int:
        return 0

    async def draw(self, wants: Sequence[Want]) -> Sequence[Granted]:
        self._hear()
        return [self._server.draw(self._holder, want) for want in wants]

    async def report(self, spent: Mapping[str, int], *, until_charge: int) -> None:
        refuse_negative(spent)
        me = self._hear()
        me.until_charge = max(me.until_charge or 0, until_charge)
        for account, amount in spent.items():
            self._server.spend(self._holder, account, amount)

    async def give_back(self, amounts: Mapping[str, int]) -> None:
        refuse_negative(amounts)
        self._hear()
        for account, amount in amounts.items():
            self._server.take_off(self._holder, account, amount)

    async def reported(self, holder: str) -> int | None:
        known = self._server.holders.get(holder)
        return None if known is None else known.until_charge

    async def beat(self) -> None:
        self._hear()

    async def release(self, holder: str) -> None:
        self._server.free(holder)
        self._learn()

    async def look(self, accounts: Sequence[str]) -> Mapping[str, Standing]:
        known = self._server.accounts
        return {
            name: Standing(spent=known[name].spent, held=sum(known[name].held.values()))
            for name in accounts
            if name in known
        }

    async def aclose(self) -> None:
        """Nothing is open."""

    def _hear(self) -> _Holder:
        heard = self._server.hear(self._holder, self._lease_s)
        self._lease_ends = heard.lease_ends
        self._learn()
        return heard

    def _learn(self) -> None:
        known = self._server.holders.get(self._holder)
        self._tenure = known.life if known is not None else 0
