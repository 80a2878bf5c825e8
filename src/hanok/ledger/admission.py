"""Letting calls in within their budgets and limits: reserve before the call, extend while it runs, settle after.

A call is admitted when each of its accounts has room for what it may use at most: its prompt (estimated) and its
`max_tokens`, at the model's price. A stream without `max_tokens` begins with a step and reserves further steps as it
runs; where none is left it is cut. So no budget is ever passed by more than the chunk during which it was met.

Reserving is arithmetic between two awaits on one event loop, so it is atomic. What is awaited is the opening of an
account that this process has not met before (its past is read from the ledger), and where several processes share
accounts, a further grant.
"""

from __future__ import annotations

import asyncio
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from typing import Protocol, TypeVar

import msgspec

from hanok.errors import BudgetExceeded, StoreError
from hanok.ledger.accounts import (
    NEVER,
    NO_ACCOUNTS,
    Account,
    Accounts,
    Amounts,
    Terms,
    Unit,
    affordable,
    reserve,
)
from hanok.ledger.entries import Allotment
from hanok.ledger.hold import NOTHING, Hold
from hanok.ledger.keys import Key
from hanok.ledger.policies import Policies
from hanok.ledger.prices import PriceList, Rate, Tariff
from hanok.ledger.shares import Shares
from hanok.ledger.standing import refusal
from hanok.ledger.usage import Kind, Total
from hanok.wire import NO_OPTIONS, Caller, ChatRequest, Options, TaskRequest

PROMPT_BYTES_A_TOKEN = 3
"""For reservations: on the safe side of English (4) and Korean (3)."""
STEP_TOKENS = 256
DRAWS = 64
"""So often a call draws again what others were quicker to use; then it is told to come back."""
FORGET_AFTER_S = 3600.0
RATES_KEPT_S = 60.0
UNBOUNDED = 1 << 62
_CONTENDED = "too many calls draw on the shared budgets at once"
_MANY = frozenset({"user", "session", "run"})
"""Of these there may be any number, by callers' word."""
_Name = tuple[str, str | None, str | None, str | None]
"""A key, team, user and model; or a tenant, session and run."""
Request = TypeVar("Request", ChatRequest, TaskRequest)


class Totals(Protocol):
    """What was used before this process met an account."""

    def total(self, kind: Kind, subject: str, *, since: float, tenant: str | None = None) -> Total:
        """What a subject spent since a moment (Unix seconds)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What admission knows of a declared model: how much it may answer, and cheaper models to offer `instead`."""

    max_output_tokens: int
    instead: tuple[str, ...] = ()
    type: str = "chat"


NO_OFFER = Offer(max_output_tokens=4096)
"""For a model that is gone since the call was let in."""


class _Ready(msgspec.Struct):
    """The accounts of a key, team, user and model, until the first of their periods ends. `seen`: when last used.

    Those of a session and run are `joined` with those that its last call drew on `beside` them.
    """

    accounts: Accounts
    ends: float
    seen: float = 0.0
    beside: _Ready | None = None
    joined: Accounts = NO_ACCOUNTS

    def join(self, beside: _Ready) -> Accounts:
        """All of both."""
        if self.beside is not beside:
            self.beside, self.joined = beside, Accounts(beside.accounts + self.accounts)
        return self.joined


class Admission:
    """Admits calls. `totals` tells what was used before; `shares` has the grants where processes share accounts."""

    def __init__(
        self,
        policies: Policies,
        *,
        prices: PriceList,
        offers: Mapping[str, Offer],
        totals: Totals,
        wall: Callable[[], float],
        shares: Shares | None = None,
    ) -> None:
        self._policies = policies
        self._prices = prices
        self._offers = offers
        self._totals = totals
        self._wall = wall
        self._shares = shares
        self._keys: Mapping[str, Key] = {}
        self._led: dict[tuple[str, str], Allotment] = {}
        self._allotments: ChainMap[tuple[str, str], Allotment] = ChainMap(self._led)
        self._turn = 0
        self._accounts: dict[str, Account] = {}
        self._ready: dict[_Name, _Ready] = {}

    # what may change while running

    def change(self, policies: Policies, prices: PriceList, offers: Mapping[str, Offer]) -> None:
        """Go on under other policies and prices; what is used and reserved stays. Running calls feel it, too."""
        self._policies, self._prices, self._offers = policies, prices, offers
        self._begin_anew()

    def _begin_anew(self, of: Kind | None = None) -> None:
        """Put open accounts (or only those kept `of` something) under the terms that hold from now on."""
        self._ready.clear()
        self._turn += 1
        now = self._wall()
        for account in self._accounts.values():
            if of is None or account.terms.of == of:
                self._renew(account, now)

    def _renew(self, account: Account, now: float) -> None:
        """Put the account under the terms that hold now; where there are none, nothing is counted in it any more."""
        terms = account.terms
        if terms.ends <= now:
            return
        key = self._keys.get(terms.subject) if terms.of == "key" else None
        renewed = self._policies.renewed(terms, key, self._allotments, now)
        if renewed is not None:
            self._put_under(account, renewed)
        else:
            account.stale = True

    def _put_under(self, account: Account, terms: Terms) -> None:
        if self._shares is None:
            account.change(terms, alone=True)
        else:
            self._shares.renew(account, terms)

    def know(self, keys: Iterable[Key], allotments: Mapping[tuple[str, str], Allotment]) -> None:
        """Take up the ledger's keys and the limits given to runs."""
        self._keys = {key.id: key for key in keys}
        self._allotments = ChainMap(self._led, dict(allotments))
        self._begin_anew("key")

    def allot(self, tenant: str, run: str, allotment: Allotment) -> None:
        """Take up a limit that was given to a run just now."""
        self._allotments = ChainMap(self._led, {**self._allotments.parents, (tenant, run): allotment})
        self._begin_anew("run")

    def lead(self, tenant: str, run: str, allotment: Allotment | None) -> None:
        """Limit a run that only this process leads, as long as it does: None when it has ended.

        Nothing is written: what the run has spent is in the books, and who leads it next gives it its limit again.
        """
        if allotment is None:
            self._led.pop((tenant, run), None)
        else:
            self._led[(tenant, run)] = allotment
            self._begin_anew("run")

    def open_accounts(self) -> list[Account]:
        """Every account that is open now."""
        return [account for account in self._accounts.values() if not account.stale]

    def forget(self) -> None:
        """Drop accounts whose period is over, and those of users, sessions and runs long silent.

        The ledger remembers.
        """
        now = self._wall()
        before = now - FORGET_AFTER_S
        self._ready = {name: each for name, each in self._ready.items() if each.ends > now and each.seen > before}
        ready = {account.terms.id for each in self._ready.values() for account in each.accounts}
        over = [
            name
            for name, each in self._accounts.items()
            if each.terms.ends < (before if each.terms.counts else now - RATES_KEPT_S)
            or each.stale
            or (each.terms.of in _MANY and name not in ready)
        ]
        for name in over:
            account = self._accounts.get(name)
            if account is not None and account.reserved:
                continue
            if account is None or self._shares is None or self._shares.close(account):
                self._accounts.pop(name, None)
                self._turn += 1

    # admitting

    async def admit(self, request: Request) -> tuple[Request, Hold]:
        """Reserve for a call. The request that comes back may name a cheaper model, or a limit to the answer.

        Raises `BudgetExceeded` and `RateLimited`; `StoreError` when the past of an account cannot be read.
        """
        now = self._wall()
        accounts = await self.accounts(request.caller, request.model, now)
        if accounts.downgrading and (cheaper := self._downgrade(accounts.downgrading, request.model)):
            request = msgspec.structs.replace(request, model=cheaper)
            accounts = await self.accounts(request.caller, cheaper, now)
        try:
            return await self._reserve(request, accounts)
        except BudgetExceeded as refused:
            for instead in self._offer(request.model).instead:
                other = msgspec.structs.replace(request, model=instead)
                try:
                    return await self._reserve(other, await self.accounts(request.caller, instead, now))
                except BudgetExceeded:
                    continue
            raise refused

    def _offer(self, model: str) -> Offer:
        return self._offers.get(model, NO_OFFER)

    def _downgrade(self, accounts: Sequence[Account], model: str) -> str | None:
        """The cheaper model of the same type that calls go to beyond a softer line; None when there is none."""
        for account in accounts:
            to = account.terms.downgrade_to
            if to is not None and to != model and account.beyond_soft:
                offer = self._offers.get(to)
                if offer is not None and offer.type == self._offer(model).type:
                    return to
        return None

    def tariff(self, model: str, options: Options = NO_OPTIONS) -> Tariff:
        """What the model's tokens cost, in a call with these options."""
        return self._prices.tariff_of_lines(model) if options.batch else self._prices.tariff(model)

    async def readmit(self, request: Request, hold: Hold, model: str) -> Hold:
        """Reserve anew for another model that answers instead, at its price. Raises as `admit` does."""
        accounts = await self.accounts(request.caller, model, self._wall())
        request = msgspec.structs.replace(request, model=model)
        if isinstance(request, ChatRequest) and request.cap_tokens is not None:  # the engine was told this limit
            request = msgspec.structs.replace(request, max_tokens=request.cap_tokens)
        hold.release()
        try:
            return (await self._reserve(request, accounts))[1]
        except BaseException:
            hold.take_again()
            raise

    async def move(self, request: TaskRequest, hold: Hold, model: str) -> Hold:
        """Have the accounts of another model, which has answered already, take the place of those reserved in."""
        accounts = await self.accounts(request.caller, model, self._wall())
        hold.release()
        return Hold(accounts, NOTHING, self.tariff(model, request.options), 0)

    def affords(self, request: ChatRequest | TaskRequest, model: str) -> bool:
        """Whether the caller's budgets pay for this model in the place of the one that was reserved for."""
        wanted = request.most_tokens if isinstance(request, ChatRequest) else 0
        if wanted is None:
            wanted = STEP_TOKENS
        elif isinstance(request, ChatRequest):
            wanted *= request.choices
        prompt = request.prompt_bytes() // PROMPT_BYTES_A_TOKEN
        before = _amounts(self.tariff(request.model, request.options).most, prompt, wanted)
        after = _amounts(self.tariff(model, request.options).most, prompt, wanted)
        more = after[Unit.USD] - before[Unit.USD]
        return all(account.used + more <= account.granted for account in self._dollars(request.caller, request.model))

    def _dollars(self, caller: Caller, model: str) -> Iterator[Account]:
        """The budgets in dollars that a call draws on and that are open, as those of a running call are."""
        now = self._wall()
        for terms in (*self._standing_terms(caller, model, now), *self._own_terms(caller, now)):
            account = self._accounts.get(terms.id)
            if account is not None and terms.counts and terms.unit == Unit.USD:
                yield account

    async def accounts(self, caller: Caller, model: str, now: float) -> Accounts:
        """The accounts that a call draws on. Those that this process has not met are opened."""
        while True:
            turn = self._turn
            name: _Name = (caller.key_id, caller.team, caller.user, model)
            ready = self._ready.get(name)
            if ready is None or now >= ready.ends:
                ready = await self._open(name, lambda at: self._standing_terms(caller, model, at), now)
                turn = self._turn
            ready.seen = now
            if (caller.session is None and caller.run is None) or not (self._has_runs or self._policies.has_sessions):
                return ready.accounts
            name = (caller.tenant, caller.session, caller.run, None)
            own = self._ready.get(name)
            if own is None or now >= own.ends:
                own = await self._open(name, lambda at: self._own_terms(caller, at), now)
            own.seen = now
            if turn == self._turn:
                return own.join(ready)
            now = self._wall()  # the first ones may have been forgotten, or go by other terms, since they were found

    async def _open(self, name: _Name, terms_at: Callable[[float], Iterator[Terms]], now: float) -> _Ready:
        """Open the accounts of these terms, and keep them ready under this name."""
        while True:
            turn = self._turn
            terms = {each.id: each for each in terms_at(now)}.values()
            opened = [await self._account(each) for each in terms]
            if turn == self._turn:
                ready = _Ready(Accounts(opened), min((each.ends for each in terms), default=NEVER))
                self._ready[name] = ready
                return ready
            now = self._wall()  # other terms have come to hold while the past was read

    @property
    def _has_runs(self) -> bool:
        return self._policies.has_runs or bool(self._allotments)

    def _standing_terms(self, caller: Caller, model: str, now: float) -> Iterator[Terms]:
        """Of the call's key, team, user and model, as they are known now."""
        return self._policies.standing(caller, self._keys.get(caller.key_id), model, now)

    def _own_terms(self, caller: Caller, now: float) -> Iterator[Terms]:
        """Of the call's session and run."""
        if self._policies.has_sessions:
            yield from self._policies.session(caller, now)
        if self._has_runs:
            yield from self._policies.runs(caller, self._allotments, now)

    async def _account(self, terms: Terms) -> Account:
        account = self._accounts.get(terms.id)
        if account is None:
            used = await self._past(terms) if terms.counts else 0
            account = self._accounts.get(terms.id)  # another call may have opened it meanwhile
            if account is None:
                account = Account(terms, used=used) if self._shares is None else self._shares.open(terms, used)
                self._accounts[terms.id] = account
        if account.stale:
            account.stale = False
            if terms.counts and self._shares is None:
                account.reopen(await self._past(terms))
        if account.terms != terms:
            self._put_under(account, terms)
        return account

    async def _past(self, terms: Terms) -> int:
        """Nano-dollars or tokens used before."""
        total = await asyncio.to_thread(
            self._totals.total, terms.of, terms.subject, since=terms.begins, tenant=terms.tenant
        )
        return total.cost_nano_usd if terms.unit == Unit.USD else total.tokens

    async def _reserve(self, request: Request, accounts: Accounts) -> tuple[Request, Hold]:
        tariff = self.tariff(request.model, request.options)
        if not accounts:
            return request, Hold(NO_ACCOUNTS, NOTHING, tariff, UNBOUNDED)
        rate = tariff.most
        prompt = request.prompt_bytes() // PROMPT_BYTES_A_TOKEN
        wanted, may_shrink = self._wanted(request)
        amounts = _amounts(rate, prompt, wanted)
        if self._shares is None:
            refused = reserve(accounts, amounts)
        else:
            least = _amounts(rate, prompt, 1) if may_shrink else amounts
            refused = await self._draw(self._shares, accounts, amounts, least)
        if refused is not None and may_shrink and refused.terms.counts:
            least = _amounts(rate, prompt, 0)
            wanted = affordable(accounts, least, nano_usd_a_token=rate.output_nano_usd, most=wanted)
            if wanted >= (1 if _streams(request) else _choices(request)):
                amounts = _amounts(rate, prompt, wanted)
                refused = reserve(accounts, amounts)
        if refused is not None:
            raise refusal(refused, amounts[refused.unit], self._wall())
        if may_shrink and isinstance(request, ChatRequest) and not request.stream and any(_budgets(accounts)):
            request = msgspec.structs.replace(request, cap_tokens=max(1, wanted // request.choices))
        return request, Hold(accounts, amounts, tariff, wanted)

    async def _draw(self, shares: Shares, accounts: Accounts, amounts: Amounts, least: Amounts) -> Account | None:
        """Reserve, and draw what is wanting where that can help; `least` says what would still be of use."""
        if shares.holds and reserve(accounts, amounts) is None:
            return None
        for _ in range(DRAWS):
            exhausted = await shares.draw(accounts, amounts, least, self._past)
            refused = reserve(accounts, amounts)
            if refused is None or refused in exhausted:
                return refused  # else others have used meanwhile what was enough when we asked for the rest
        raise StoreError(_CONTENDED)

    def _wanted(self, request: ChatRequest | TaskRequest) -> tuple[int, bool]:
        """How many completion tokens to reserve, and whether fewer would do."""
        if isinstance(request, TaskRequest):
            return 0, False
        if request.max_tokens is not None:
            return request.max_tokens * request.choices, False
        most = self._offer(request.model).max_output_tokens * request.choices
        return (min(STEP_TOKENS, most), True) if request.stream else (most, True)

    # while a stream runs

    async def extend(self, hold: Hold) -> Account | None:
        """Reserve a further step for a running stream. Where no budget pays for one token more: the one that does not.

        A rate limit never ends a stream; what it uses counts against the minute. Raises `StoreError` when more cannot
        be drawn because the others cannot be asked.
        """
        budgets = list(_budgets(hold.accounts))
        if not budgets:
            hold.paid_tokens = UNBOUNDED
            return None
        price = hold.rate.output_nano_usd
        away = None if self._shares is None else await self._draw_step(self._shares, budgets, hold.rate)
        tokens = affordable(budgets, NOTHING, nano_usd_a_token=price, most=STEP_TOKENS)
        if tokens >= 1:
            hold.add(_step(hold.rate, tokens), tokens)
            return None
        if away is not None:
            raise away
        return next(each for each in budgets if affordable([each], NOTHING, nano_usd_a_token=price, most=1) < 1)

    async def _draw_step(self, shares: Shares, budgets: Sequence[Account], rate: Rate) -> StoreError | None:
        """Draw for a step. What kept us from it, where there may be enough all the same; raises where nothing holds."""
        price = rate.output_nano_usd
        try:
            for _ in range(DRAWS):
                exhausted = await shares.draw(budgets, _step(rate, STEP_TOKENS), (ceil(price), 1, 0, 0), self._past)
                if exhausted or affordable(budgets, NOTHING, nano_usd_a_token=price, most=1) >= 1:
                    return None
            return StoreError(_CONTENDED)
        except StoreError as error:
            if not shares.holds:
                raise
            return error

    async def look(self, accounts: Sequence[Account]) -> None:
        """See what other processes have used, where accounts are shared. Without news the last known stands."""
        if self._shares is not None and accounts:
            with suppress(StoreError):
                await self._shares.look(accounts)


def _budgets(accounts: Sequence[Account]) -> Iterator[Account]:
    return (account for account in accounts if account.terms.counts)


def _streams(request: ChatRequest | TaskRequest) -> bool:
    return isinstance(request, ChatRequest) and request.stream


def _choices(request: ChatRequest | TaskRequest) -> int:
    return request.choices if isinstance(request, ChatRequest) else 1


def _amounts(rate: Rate, prompt_tokens: int, completion_tokens: int) -> Amounts:
    return (rate.uncached_nano_usd(prompt_tokens, completion_tokens), prompt_tokens + completion_tokens, 1, 1)


def _step(rate: Rate, tokens: int) -> Amounts:
    return (int(rate.output_nano_usd * tokens), tokens, 0, 0)
