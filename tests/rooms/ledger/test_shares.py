"""Several processes on one budget, as several `Admission`s on one shared account: what they cannot overspend."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as replaced

from hanok.errors import BudgetExceeded, RateLimited, StoreError
from hanok.ledger import (
    Admission,
    Allotment,
    Holder,
    HolderFile,
    Ledger,
    Metered,
    Offer,
    Policies,
    PriceList,
    Total,
    left_holders,
    make_key,
)
from hanok.ledger.accounts import Account, Terms
from hanok.ledger.holder import drawn_by
from hanok.ledger.shared import SharedAccounts, Want
from hanok.ledger.shares import Shares
from hanok.ledger.stores.holders import Mark
from hanok.ledger.stores.memory import MemoryAccounts, MemoryServer
from hanok.ledger.stores.redis import RedisAccounts
from hanok.spec import Allowance, Budget, Limit
from hanok.wire import NANO, Caller, ChatRequest
from tests.charges import charge
from tests.rooms.ledger.test_admission import DOLLAR_A_TOKEN, Books, NothingSpent, Talker, listen, stream
from tests.seams.shared_places import Restartable, eventually, restartable


class Process:
    """One of several that share `server`."""

    def __init__(self, server: MemoryServer, name: str, policies: Policies, chunks: int = 60, tokens: int = 3) -> None:
        self.books = Books()
        self.store = MemoryAccounts(server, holder=name)
        self.shares = Shares(self.store, last_charge=lambda: len(self.books.charges), monotonic=server.monotonic)
        self.admission = Admission(
            policies,
            prices=PriceList({"m": DOLLAR_A_TOKEN}),
            offers={"m": Offer(max_output_tokens=1000)},
            totals=NothingSpent(),
            wall=lambda: 1_000_000.0,
            shares=self.shares,
        )
        self.metered = Metered(
            Talker(chunks, tokens), books=self.books, admission=self.admission, wall=lambda: 0.0, monotonic=lambda: 0.0
        )

    async def report_now_and_then(self, done: asyncio.Event) -> None:
        while not done.is_set():
            await self.shares.report()
            for _ in range(7):
                await asyncio.sleep(0)

    def limit_to(self, usd: float) -> None:
        """From now on the team's budget is this."""
        prices, offers = PriceList({"m": DOLLAR_A_TOKEN}), {"m": Offer(max_output_tokens=1000)}
        self.admission.change(Policies([Budget(of="team", usd=usd, per="ever")]), prices, offers)

    @property
    def spent(self) -> int:
        return sum(charge.cost_nano_usd for charge in self.books.charges)


@settings(max_examples=40, deadline=None)
@given(
    limit=st.integers(0, 3000),
    processes=st.integers(1, 4),
    calls=st.lists(st.tuples(st.integers(0, 3), st.none() | st.integers(1, 300)), max_size=60),
    tokens=st.integers(1, 5),
)
def test_processes_that_share_a_budget_pass_it_by_less_than_a_chunk_a_stream(
    limit: int, processes: int, calls: list[tuple[int, int | None]], tokens: int
) -> None:
    async def main() -> None:
        server = MemoryServer(monotonic=lambda: 0.0)
        policies = Policies([Budget(of="team", usd=float(limit), per="ever"), Budget(of="key", tokens=limit + 50)])
        crew = [Process(server, str(number), policies, tokens=tokens) for number in range(processes)]
        done = asyncio.Event()
        reports = [asyncio.create_task(each.report_now_and_then(done)) for each in crew]
        listeners = [listen(crew[who % processes].metered, stream(most)) for who, most in calls]
        ends = await asyncio.gather(*listeners)
        done.set()
        await asyncio.gather(*reports)
        for each in crew:
            await each.shares.report()
            await each.shares.report()
        spent = sum(each.spent for each in crew)
        assert spent <= (limit + tokens * (len(ends) - ends.count("refused"))) * NANO
        for account in server.accounts.values():
            assert sum(account.held.values()) == 0
            assert account.spent in (spent, spent // NANO)
        for each in crew:
            for account in each.admission.open_accounts():
                assert account.used == account.settled == account.granted

    asyncio.run(main())


def test_the_last_of_a_budget_is_of_use_to_whoever_asks() -> None:
    async def main() -> None:
        server = MemoryServer(monotonic=lambda: 0.0)
        policies = Policies([Budget(of="team", usd=10.0, per="ever")])
        first, second = (Process(server, name, policies) for name in "ab")
        (await first.admission.admit(stream(6)))[1].settle(6, 6 * NANO)
        assert await listen(second.metered, stream()) == "cut"
        assert 4 * NANO <= second.spent <= 7 * NANO

    asyncio.run(main())


def test_calls_at_once_are_counted_over_all_processes_and_come_back() -> None:
    async def main() -> None:
        server = MemoryServer(monotonic=lambda: 0.0)
        policies = Policies([], [Limit(of="key", concurrent=2)])
        first, second = (Process(server, name, policies) for name in "ab")
        _, one = await first.admission.admit(stream(1))
        _, two = await second.admission.admit(stream(1))
        with pytest.raises(RateLimited):
            await first.admission.admit(stream(1))
        two.settle(1, 0)
        await second.shares.report()
        _, three = await first.admission.admit(stream(1))
        one.settle(1, 0)
        three.settle(1, 0)

    asyncio.run(main())


class Away(MemoryAccounts):
    """A place that can be out of reach."""

    away = False

    async def draw(self, wants: Any) -> Any:
        self._reach()
        return await super().draw(wants)

    async def beat(self) -> None:
        self._reach()
        await super().beat()

    def _reach(self) -> None:
        if self.away:
            raise StoreError("out of reach")


class Slow(MemoryAccounts):
    """A place that takes its time: its answers are under way until told to arrive."""

    arrive = asyncio.Event()

    async def draw(self, wants: Any) -> Any:
        granted = await super().draw(wants)
        await self.arrive.wait()
        return granted


async def slowly(process: Process, server: MemoryServer) -> Slow:
    """From now on the process hears of its grants when `arrive` is set."""
    process.store = store = Slow(server, holder="a")
    process.shares._store = store  # pyright: ignore[reportPrivateUsage]
    store.arrive = asyncio.Event()
    store.arrive.set()
    (await process.admission.admit(stream(1)))[1].settle(1, NANO)
    store.arrive.clear()
    return store


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_what_is_given_back_while_a_grant_is_under_way_refuses_nobody() -> None:
    async def main() -> None:
        server = MemoryServer(monotonic=lambda: 0.0)
        process = Process(server, "a", Policies([Budget(of="team", usd=1600.0, per="ever")]))
        store = await slowly(process, server)
        asking = asyncio.create_task(process.admission.admit(stream(150)))  # more than the sixteenth that it holds
        await turns(3)
        for _ in range(3):  # nothing was used lately: what is held looks idle
            await process.shares.report()
        store.arrive.set()
        (await asking)[1].settle(150, 150 * NANO)

    asyncio.run(main())


def test_calls_that_draw_at_once_do_not_count_on_the_same_rest() -> None:
    async def main() -> None:
        server = MemoryServer(monotonic=lambda: 0.0)
        process = Process(server, "a", Policies([Budget(of="team", usd=1600.0, per="ever")]))
        store = await slowly(process, server)
        asking = [asyncio.create_task(process.admission.admit(stream(150))) for _ in range(4)]
        await turns(5)
        store.arrive.set()
        for each in asking:
            (await each)[1].settle(150, 150 * NANO)

    asyncio.run(main())


def test_an_account_is_not_forgotten_while_a_call_waits_for_a_grant_of_it() -> None:
    async def main() -> None:
        server = MemoryServer(monotonic=lambda: 0.0)
        process = Process(server, "a", Policies([Budget(of="session", usd=1600.0, per="ever")]))
        store = await slowly(process, server)
        asking = asyncio.create_task(process.admission.admit(stream(150)))
        await turns(3)
        process.admission.know([], {})  # nothing is ready any more
        process.admission.forget()
        await process.shares.report()
        store.arrive.set()
        (await asking)[1].settle(150, 150 * NANO)
        await process.shares.report()
        (account,) = (each for name, each in server.accounts.items() if "session" in name)
        assert account.spent == 151 * NANO

    asyncio.run(main())


def test_accounts_forgotten_while_others_are_opened_are_looked_up_again() -> None:
    async def main() -> None:
        server = MemoryServer(monotonic=lambda: 0.0)
        budgets = [Budget(of="user", usd=1600.0, per="ever"), Budget(of="session", usd=1600.0, per="ever")]
        process = Process(server, "a", Policies(budgets))
        forget_before_the_past_is_read(process, "session")  # the user's account is open by then
        (await process.admission.admit(of_a_user(150)))[1].settle(150, 150 * NANO)
        await process.shares.report()
        assert [each.spent for each in server.accounts.values()] == [150 * NANO] * 2

    asyncio.run(main())


def test_an_account_is_not_forgotten_while_a_call_that_draws_on_it_waits_for_its_past() -> None:
    async def main() -> None:
        server = MemoryServer(monotonic=lambda: 0.0)
        budgets = [Budget(of="user", usd=1600.0, per="ever"), Budget(of="session", usd=100.0, per="ever")]
        process = Process(server, "a", Policies(budgets))
        (await process.admission.admit(of_a_user(1)))[1].settle(1, NANO)
        process.shares._losses = -1  # pyright: ignore[reportPrivateUsage] - the store lost its data: pasts are read anew
        await process.shares.report()
        forget_before_the_past_is_read(process, "session")
        (await process.admission.admit(of_a_user(50)))[1].settle(50, 50 * NANO)
        await process.shares.report()
        assert [each.spent for each in server.accounts.values()] == [51 * NANO] * 2

    asyncio.run(main())


def of_a_user(tokens: int) -> ChatRequest:
    request = stream(tokens)
    return replaced(request, caller=replaced(request.caller, user="u"))


def forget_before_the_past_is_read(process: Process, of: str) -> None:
    """Have everything forgotten that can be, in the midst of a call."""
    admission = process.admission
    past = admission._past  # pyright: ignore[reportPrivateUsage]

    async def forgetful(terms: Terms) -> int:
        if terms.of == of:
            admission.know([], {})  # nothing is ready any more
            admission.forget()
            await process.shares.report()
        return await past(terms)

    admission._past = forgetful  # pyright: ignore[reportPrivateUsage]


class Contended(MemoryAccounts):
    """A place where others of the same process are quicker, so many times, to use what is granted."""

    thieves = 0
    account: Account

    async def draw(self, wants: Any) -> Any:
        granted = await super().draw(wants)
        if self.thieves:
            self.thieves -= 1
            self.account.used += 1 + max(0, self.account.granted - self.account.used)
        return granted


@pytest.mark.parametrize(("thieves", "ends"), [(20, None), (200, StoreError)])
def test_a_call_that_others_are_quicker_than_is_not_told_that_the_budget_is_spent(
    thieves: int, ends: type[Exception] | None
) -> None:
    async def main() -> None:
        server = MemoryServer(monotonic=lambda: 0.0)
        process = Process(server, "a", Policies([Budget(of="team", usd=100_000.0, per="ever")]))
        store = process.shares._store = Contended(server, holder="a")  # pyright: ignore[reportPrivateUsage]
        (await process.admission.admit(stream(1)))[1].settle(1, NANO)
        (store.account,) = process.admission.open_accounts()
        process.limit_to(2_000_000.0)
        store.thieves = thieves
        process.shares._parts[store.account.terms.id].drawing = 1  # pyright: ignore[reportPrivateUsage] - nobody else draws ahead
        with pytest.raises(ends) if ends else contextlib.nullcontext():
            await process.admission.admit(stream(7000))

    asyncio.run(main())


def test_a_limit_that_falls_binds_what_was_granted_before() -> None:
    async def main() -> None:
        server = MemoryServer(monotonic=lambda: 0.0)
        process = Process(server, "a", Policies([Budget(of="team", usd=1600.0, per="ever")]))
        other = Process(server, "b", Policies([Budget(of="team", usd=1600.0, per="ever")]))
        (await process.admission.admit(stream(1)))[1].settle(1, NANO)  # and holds a sixteenth, 100 dollars
        for each in (process, other):
            each.limit_to(50.0)
        with pytest.raises(BudgetExceeded):
            await process.admission.admit(stream(60))
        (await process.admission.admit(stream(9)))[1].settle(9, 9 * NANO)
        with pytest.raises(BudgetExceeded):
            await other.admission.admit(stream(41))
        (await other.admission.admit(stream(38)))[1].settle(38, 38 * NANO)

    asyncio.run(main())


def test_a_limit_that_falls_while_a_grant_is_under_way_binds_it() -> None:
    async def main() -> None:
        server = MemoryServer(monotonic=lambda: 0.0)
        process = Process(server, "a", Policies([Budget(of="team", usd=1600.0, per="ever")]))
        store = await slowly(process, server)
        asking = asyncio.create_task(process.admission.admit(stream(150)))
        await turns(3)
        process.limit_to(50.0)
        store.arrive.set()
        with pytest.raises(BudgetExceeded):
            await asking
        (await process.admission.admit(stream(40)))[1].settle(40, 40 * NANO)

    asyncio.run(main())


class Unhurried(MemoryAccounts):
    """A place whose answers are under way for some turns of the loop."""

    async def draw(self, wants: Any) -> Any:
        granted = await super().draw(wants)
        await turns(5)
        return granted


@settings(max_examples=40, deadline=None)
@given(calls=st.lists(st.tuples(st.integers(0, 2), st.integers(60, 200)), min_size=2, max_size=4))
def test_nobody_is_refused_while_half_of_a_budget_is_left(calls: list[tuple[int, int]]) -> None:
    async def main() -> None:
        server = MemoryServer(monotonic=lambda: 0.0)
        policies = Policies([Budget(of="team", usd=1600.0, per="ever"), Budget(of="key", tokens=1700)])
        crew = [Process(server, str(number), policies) for number in range(3)]
        for each in crew:
            each.shares._store = Unhurried(server, holder=each.store._holder)  # pyright: ignore[reportPrivateUsage]
            (await each.admission.admit(stream(1)))[1].settle(1, NANO)  # from now on it holds a part
        done = asyncio.Event()
        reports = [asyncio.create_task(each.report_now_and_then(done)) for each in crew]

        async def one(who: int, tokens: int) -> None:
            _, hold = await crew[who].admission.admit(stream(tokens))
            await turns(tokens % 7)
            hold.settle(tokens, tokens * NANO)

        await asyncio.gather(*(one(*call) for call in calls))
        done.set()
        await asyncio.gather(*reports)

    asyncio.run(main())


def test_what_is_held_may_be_used_while_nobody_can_be_asked_until_the_lease_ends() -> None:
    async def main() -> None:
        now = [0.0]
        server = MemoryServer(monotonic=lambda: now[0])
        process = Process(server, "a", Policies([Budget(of="team", usd=1600.0, per="ever")]))
        process.store = store = Away(server, holder="a")
        process.shares._store = store  # pyright: ignore[reportPrivateUsage]
        _, hold = await process.admission.admit(stream(1))
        store.away = True
        for _ in range(20):
            (await process.admission.admit(stream(1)))[1].settle(1, NANO)
        with pytest.raises(StoreError):
            await process.admission.admit(stream(200))
        now[0] += 16
        with pytest.raises(StoreError):
            await process.admission.admit(stream(1))
        store.away = False
        (await process.admission.admit(stream(1)))[1].settle(1, NANO)
        hold.settle(1, NANO)
        await process.shares.report()
        assert server.accounts["usd:team:team:ever:"].spent == 22 * NANO

    asyncio.run(main())


def test_a_stream_that_needs_more_while_nobody_can_be_asked_is_cut_and_charged() -> None:
    async def main() -> None:
        process = Process(
            MemoryServer(monotonic=lambda: 0.0), "a", Policies([Budget(of="team", usd=300.0)]), chunks=200
        )
        process.shares._store = store = Away(MemoryServer(monotonic=lambda: 0.0), holder="a")  # pyright: ignore[reportPrivateUsage]
        answer = await process.metered.open(stream())
        store.away = True
        with pytest.raises(StoreError):
            async for _ in answer:
                pass
        await answer.aclose()
        (charge,) = process.books.charges
        assert (charge.status, charge.error) == ("cut", "books_unreachable")
        assert 256 <= charge.completion_tokens < 256 + 3 + 256

    asyncio.run(main())


def test_a_store_that_comes_back_empty_begins_from_what_the_ledger_knows_by_then(tmp_path: Path) -> None:
    class Totals:
        spent = 0

        def total(self, *_: Any, **__: Any) -> Total:
            return Total(cost_nano_usd=self.spent)

    async def main(valkey: Restartable) -> None:
        process = Process(MemoryServer(), "a", Policies([Budget(of="team", usd=100.0, per="ever")]))
        store = RedisAccounts(valkey.url, platform="t", holder="a", settle_s=0.5)
        process.shares._store = store  # pyright: ignore[reportPrivateUsage]
        process.shares._monotonic = time.monotonic  # pyright: ignore[reportPrivateUsage]
        totals = process.admission._totals = Totals()  # pyright: ignore[reportPrivateUsage]
        (await process.admission.admit(stream(60)))[1].settle(60, 60 * NANO)
        await process.shares.report()
        totals.spent = 90 * NANO  # with what others have spent, whom nobody hears of again
        valkey.kill()
        valkey.come_back(empty=True)

        async def is_let_in() -> bool:
            try:
                await process.admission.admit(stream(10))
            except StoreError:
                return False
            return True

        await eventually(is_let_in)
        with pytest.raises(BudgetExceeded):
            await process.admission.admit(stream(5))
        assert (await store.look(["usd:team:team:ever:"]))["usd:team:team:ever:"].spent == 90 * NANO
        await store.aclose()

    with restartable(tmp_path) as valkey:
        asyncio.run(main(valkey))


def test_what_was_held_and_lost_is_drawn_again_by_running_calls() -> None:
    async def main() -> None:
        now = [0.0]
        server = MemoryServer(monotonic=lambda: now[0])
        policies = Policies([Budget(of="team", usd=100.0, per="ever")])
        asleep, awake = (Process(server, name, policies) for name in "ab")
        _, hold = await asleep.admission.admit(stream(60))
        now[0] += 16
        _, other = await awake.admission.admit(stream(100))
        hold.settle(60, 60 * NANO)  # cannot be taken back
        with pytest.raises(BudgetExceeded):
            await asleep.admission.admit(stream(1))
        other.settle(30, 30 * NANO)
        for each in (asleep, awake, awake):  # the second time nothing was used lately
            await each.shares.report()
        assert server.accounts["usd:team:team:ever:"].spent == 90 * NANO
        (await asleep.admission.admit(stream(10)))[1].settle(10, 10 * NANO)
        with pytest.raises(BudgetExceeded):
            await awake.admission.admit(stream(1))

    asyncio.run(main())


@pytest.mark.parametrize("told", [0, 3, 5])
def test_a_successor_tells_what_a_dead_holder_had_not_and_nobody_does_so_twice(tmp_path: Path, told: int) -> None:
    async def main() -> None:
        server = MemoryServer()
        policies = Policies([Budget(of="team", usd=100.0, per="ever")])
        account, folder = "usd:team:research:ever:", tmp_path / "holders"
        with Ledger(tmp_path / "books") as ledger:
            ledger.start()
            begun = ledger.next_id()
            ids = [ledger.next_id() for _ in range(5)]
            mark = Mark(holder="dead", begun=begun, own_bits=ledger.own_bits)
            HolderFile.make(folder, mark).leave()
            cut_short = charge(ids[0], status="failed", error="crashed", team="research", cost_nano_usd=7 * NANO)
            for each in (cut_short, *(charge(number, team="research", cost_nano_usd=NANO) for number in ids[1:])):
                ledger.record(each)
            dead = MemoryAccounts(server, holder="dead")
            await dead.draw([Want(account=account, need=50 * NANO, wish=50 * NANO, limit=100 * NANO)])
            if told:
                await dead.report({account: (told - 1) * NANO}, until_charge=ids[told - 1])
            left = list(left_holders(folder))
            assert list(left_holders(folder)) == [], "locked by the first to find it"

            def make(name: str) -> SharedAccounts:
                return MemoryAccounts(server, holder=name)

            first = Holder(make, name="next", folder=folder, left=left, ledger=ledger, policies=policies)
            living = asyncio.create_task(first.live())
            await eventually(lambda: becomes(not (folder / "dead.holder").exists()))
            living.cancel()
            assert server.accounts[account].spent == 11 * NANO
            assert sum(server.accounts[account].held.values()) == 0
            HolderFile.make(folder, mark).leave()  # as if the successor had died before it was done
            left = list(left_holders(folder))
            second = Holder(make, name="third", folder=folder, left=left, ledger=ledger, policies=policies)
            living = asyncio.create_task(second.live())
            await eventually(lambda: becomes(not (folder / "dead.holder").exists()))
            living.cancel()
            assert server.accounts[account].spent == 11 * NANO
            await first.leave()
            await second.leave()
            assert list(folder.iterdir()) == []

    asyncio.run(main())


async def becomes(true: bool) -> bool:
    return true


@settings(max_examples=30, deadline=None)
@given(
    charges=st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.none() | st.sampled_from(["red", "blue"]),
            st.none() | st.just("s"),
            st.none() | st.sampled_from(["r", "r/child"]),
            st.integers(0, 1000),
        ),
        max_size=20,
    )
)
def test_what_charges_drew_is_what_admission_settled(charges: list[Any]) -> None:
    """The accounts found afterwards are the ones that the calls reserved in."""

    async def main() -> None:
        subjects: tuple[Any, ...] = ("key", "team", "user", "model", "session", "run")
        policies = Policies([Budget(of=of, usd=1e6, tokens=10**9, per="month") for of in subjects])
        key = replace(make_key("a", now=0.0, random_bytes=bytes).key, id="a", budgets=(Allowance(usd=9.0, per="day"),))
        gate = Process(MemoryServer(), "a", policies).admission
        gate.know([key], {("red", "r"): Allotment(cost_nano_usd=10**12, tokens=None)})
        made: list[Any] = []
        for number, (of, team, session, run, cost) in enumerate(charges):
            caller = Caller(key_id=of, key_name=of, team=team, session=session, run=run)
            _, hold = await gate.admit(replaced(stream(1), caller=caller))
            hold.settle(15, cost)
            more = {"key_id": of, "key_name": of, "team": team, "session": session, "run": run}
            made.append(charge(number, **more, cost_nano_usd=cost, at=1_000_000.0))
        allotments = {("red", "r"): Allotment(cost_nano_usd=10**12, tokens=None)}
        found = drawn_by(made, policies, {"a": key}, allotments)
        assert found == {each.terms.id: each.settled for each in gate.open_accounts()}

    asyncio.run(main())


def test_many_calls_at_once_do_not_draw_everything_ahead() -> None:
    async def main() -> None:
        server = MemoryServer(monotonic=lambda: 0.0)
        policies = Policies([Budget(of="team", tokens=1_000_000)])
        first, second = (Process(server, str(number), policies, tokens=1) for number in range(2))
        ends = await asyncio.gather(*(listen(first.metered, stream(10)) for _ in range(64)))
        assert set(ends) == {"whole"} or "cut" in ends
        assert await listen(second.metered, stream(10)) != "refused"

    asyncio.run(main())
