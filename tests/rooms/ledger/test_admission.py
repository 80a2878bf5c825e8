"""Admission under many calls at once: what hypothesis and five hundred concurrent streams cannot overspend."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hanok.errors import BudgetExceeded, RateLimited
from hanok.ledger import Admission, Key, Metered, Offer, Policies, PriceList, Rate, Total
from hanok.ledger.accounts import Account, Accounts, Terms, Unit, affordable, reserve, settle
from hanok.spec import Allowance, Budget, Limit
from hanok.wire import NANO, Caller, Charge, ChatRequest, Chunk, TaskRequest, TaskResult, Usage

DOLLAR_A_TOKEN = Rate(input=1.0, output=1.0, cached_input=1.0)
ALICE = Caller(key_id="key_a", key_name="alice", team="team", session="s", run="r/child")


class NothingSpent:
    def total(self, kind: str, subject: str, *, since: float, tenant: str | None = None) -> Total:
        return Total()


class Books:
    """Charges in a list."""

    def __init__(self) -> None:
        self.charges: list[Charge] = []

    def next_id(self) -> int:
        return len(self.charges) + 1

    def record(self, charge: Charge) -> None:
        self.charges.append(charge)

    def open_tab(self, charge: Charge, nano_usd_a_token: float) -> int:
        return -1

    def note_tab(self, tab: int, tokens: int) -> None: ...
    def close_tab(self, tab: int) -> None: ...


def admission(*budgets: Budget, limits: tuple[Limit, ...] = (), now: list[float] | None = None) -> Admission:
    clock = now or [1_000_000.0]
    return Admission(
        Policies(budgets, limits),
        prices=PriceList({"m": DOLLAR_A_TOKEN}),
        offers={"m": Offer(max_output_tokens=1000)},
        totals=NothingSpent(),
        wall=lambda: clock[0],
    )


class Talker:
    """A model that streams as many chunks as told, each some tokens, pausing between them as `asyncio` pleases."""

    def __init__(self, chunks: int, tokens: int, usage: Usage | None = None) -> None:
        self.chunks, self.tokens, self.usage = chunks, tokens, usage

    async def open(self, request: ChatRequest) -> Any:
        return _Talk(self, request)

    async def perform(self, request: TaskRequest) -> TaskResult:
        raise NotImplementedError


class _Talk:
    model, endpoint = "m", "m#1"

    def __init__(self, talker: Talker, request: ChatRequest) -> None:
        self.left, self.talker, self.closed = talker.chunks, talker, False

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Chunk:
        await asyncio.sleep(0)
        if self.left == 0:
            return Chunk(b"data: [DONE]\n\n", 0, self.talker.usage, True)
        self.left -= 1
        return Chunk(b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n' * self.talker.tokens, self.talker.tokens)

    async def aclose(self) -> None:
        self.closed = True


def stream(max_tokens: int | None = None) -> ChatRequest:
    request = ChatRequest.ask("m", [], stream=True, max_tokens=max_tokens)
    return msgspec.structs.replace(request, caller=ALICE)


async def listen(metered: Metered, request: ChatRequest) -> str:
    try:
        answer = await metered.open(request)
    except BudgetExceeded:
        return "refused"
    last = b""
    async for chunk in answer:
        last = chunk.data
        if chunk.last:
            break
    await answer.aclose()
    return "cut" if b"budget_exceeded" in last else "whole"


@pytest.mark.parametrize("of", ["key", "team", "model", "session", "run"])
def test_five_hundred_streams_at_once_pass_a_budget_by_less_than_a_chunk_each(of: Any) -> None:
    async def main() -> None:
        books, gate = Books(), admission(Budget(of=of, usd=20_000.0, per="ever"))
        inner = Talker(chunks=200, tokens=3)
        metered = Metered(inner, books=books, admission=gate, wall=lambda: 0.0, monotonic=lambda: 0.0)
        ends = await asyncio.gather(*(listen(metered, stream()) for _ in range(500)))
        spent = sum(charge.cost_nano_usd for charge in books.charges)
        cut = ends.count("cut")
        assert 20_000 * NANO <= spent <= (20_000 + 3 * cut) * NANO
        assert ends.count("refused") > 0
        (account,) = gate.open_accounts()
        assert account.used == spent

    asyncio.run(main())


@settings(max_examples=60, deadline=None)
@example(limit=1, calls=[(0, 1, None, False)])  # a stream that says nothing costs nothing
@given(
    limit=st.integers(0, 400),
    calls=st.lists(
        st.tuples(st.integers(0, 12), st.integers(1, 5), st.none() | st.integers(1, 60), st.booleans()), max_size=40
    ),
)
def test_no_mix_of_calls_overspends(limit: int, calls: list[tuple[int, int, int | None, bool]]) -> None:
    async def one(books: Books, gate: Admission, chunks: int, tokens: int, most: int | None, leaves: bool) -> int:
        metered = Metered(Talker(chunks, tokens), books=books, admission=gate, wall=lambda: 0.0, monotonic=lambda: 0.0)
        try:
            answer = await metered.open(stream(most))
        except BudgetExceeded:
            return 0
        async for chunk in answer:
            if leaves or chunk.last:
                break
        await answer.aclose()
        return tokens

    async def main() -> None:
        books, gate = Books(), admission(Budget(of="team", usd=float(limit)), Budget(of="key", tokens=300))
        over = await asyncio.gather(*(one(books, gate, *each) for each in calls))
        spent = sum(charge.cost_nano_usd for charge in books.charges)
        assert spent <= limit * NANO + sum(over) * NANO
        assert sum(charge.completion_tokens for charge in books.charges) <= 300 + sum(over)
        for account in gate.open_accounts():
            assert account.used == (spent if account.unit == Unit.USD else spent // NANO)

    asyncio.run(main())


@given(
    amounts=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=30),
    limits=st.tuples(st.integers(0, 200), st.integers(0, 200)),
)
def test_reserving_takes_from_every_account_or_from_none(
    amounts: list[tuple[int, int]], limits: tuple[int, int]
) -> None:
    def terms(unit: Unit, limit: int) -> Terms:
        return Terms(id=unit.name, of="key", subject="k", unit=unit, limit=limit, per="ever", counts=True)

    accounts = Accounts([Account(terms(Unit.USD, limits[0])), Account(terms(Unit.TOKENS, limits[1]))])
    held: list[tuple[int, int]] = []
    for usd, tokens in amounts:
        before = [account.used for account in accounts]
        if reserve(accounts, (usd, tokens, 1, 1)) is None:
            held.append((usd, tokens))
        else:
            assert [account.used for account in accounts] == before
        assert all(account.used <= account.terms.limit for account in accounts)
        more = affordable(accounts, (0, 0, 0, 0), nano_usd_a_token=1.0, most=1000)
        assert more <= min(account.remaining for account in accounts)
    for usd, tokens in held:
        settle(accounts, (usd, tokens, 1, 1), (0, 0, 1, 0))
    assert [account.used for account in accounts] == [0, 0]


def test_a_new_month_begins_with_a_full_budget() -> None:
    async def main() -> None:
        now = [1_793_000_000.0]  # 2026-10-26
        gate = admission(Budget(of="team", usd=10.0, per="month"), now=now)
        _, hold = await gate.admit(stream(10))
        hold.settle(10, 10 * NANO)
        with pytest.raises(BudgetExceeded):
            await gate.admit(stream(1))
        now[0] += 7 * 86_400
        assert (await gate.admit(stream(10)))[1].amounts[0] == 10 * NANO

    asyncio.run(main())


def test_a_call_that_began_last_minute_settles_there() -> None:
    async def main() -> None:
        now = [60.0 * 1000 + 59]
        gate = admission(limits=(Limit(of="key", tokens_per_minute=100),), now=now)
        _, hold = await gate.admit(stream(100))
        with pytest.raises(RateLimited) as refused:
            await gate.admit(stream(100))
        assert refused.value.retry_after_s == 1.0
        now[0] += 1
        _, second = await gate.admit(stream(100))
        hold.settle(5, 0)
        with pytest.raises(RateLimited):
            await gate.admit(stream(1))
        second.settle(0, 0)

    asyncio.run(main())


def test_what_names_its_subject_replaces_what_holds_for_each() -> None:
    async def main() -> None:
        each, alice = Budget(of="key", usd=1.0), Budget(of="key", name="alice", usd=100.0)
        gate = admission(each, alice)
        (account,) = await gate.accounts(ALICE, "m", 0.0)
        assert account.terms.limit == 100 * NANO
        bob = msgspec.structs.replace(ALICE, key_id="key_b", key_name="bob")
        assert (await gate.accounts(bob, "m", 0.0))[0].terms.limit == 1 * NANO

    asyncio.run(main())


def test_changing_a_limit_keeps_what_is_used() -> None:
    async def main() -> None:
        gate = admission(Budget(of="team", usd=10.0))
        _, hold = await gate.admit(stream(8))
        prices, offers = PriceList({"m": DOLLAR_A_TOKEN}), {"m": Offer(max_output_tokens=10)}
        gate.change(Policies([Budget(of="team", usd=9.0)]), prices, offers)
        with pytest.raises(BudgetExceeded):
            await gate.admit(stream(2))
        hold.settle(1, 1 * NANO)
        assert (await gate.admit(stream(8)))[1].amounts[0] == 8 * NANO

    asyncio.run(main())


def test_users_and_sessions_that_are_long_silent_are_forgotten_and_the_others_stay() -> None:
    async def main() -> None:
        now = [1_000_000.0]
        gate = admission(
            Budget(of="user", usd=10.0), Budget(of="session", usd=10.0), Budget(of="team", usd=10.0), now=now
        )
        for number in range(50):
            caller = msgspec.structs.replace(ALICE, user=f"u{number}", session=f"s{number}")
            (await gate.admit(msgspec.structs.replace(stream(1), caller=caller)))[1].settle(0, 0)
        assert len(gate.open_accounts()) == 101
        now[0] += 4000
        caller = msgspec.structs.replace(ALICE, user="u7", session="s7")
        _, hold = await gate.admit(msgspec.structs.replace(stream(1), caller=caller))
        gate.forget()
        assert {account.terms.subject for account in gate.open_accounts()} == {"u7", "s7", "team"}
        hold.settle(1, NANO)
        assert {account.used for account in gate.open_accounts()} == {NANO}

    asyncio.run(main())


def test_a_budget_that_is_taken_back_and_given_again_has_forgotten_nothing() -> None:
    async def main() -> None:
        spent = Total()
        gate = admission(Budget(of="team", usd=10.0))
        gate._totals.total = lambda *_, **__: spent  # type: ignore[method-assign]
        _, hold = await gate.admit(stream(4))
        prices, offers = PriceList({"m": DOLLAR_A_TOKEN}), {"m": Offer(max_output_tokens=10)}
        gate.change(Policies(), prices, offers)
        _, free = await gate.admit(stream(5))
        free.settle(5, 0) if free.accounts else None
        spent = Total(cost_nano_usd=5 * NANO)
        gate.change(Policies([Budget(of="team", usd=10.0)]), prices, offers)
        with pytest.raises(BudgetExceeded):
            await gate.admit(stream(2))
        hold.settle(0, 0)
        assert (await gate.admit(stream(5)))[1].amounts[0] == 5 * NANO

    asyncio.run(main())


def test_terms_that_change_while_the_past_is_read_hold() -> None:
    async def main() -> None:
        gate = admission(Budget(of="team", usd=1000.0))
        loop = asyncio.get_running_loop()
        prices, offers = PriceList({"m": DOLLAR_A_TOKEN}), {"m": Offer(max_output_tokens=10)}

        def slow(*_: Any, **__: Any) -> Total:
            done = asyncio.run_coroutine_threadsafe(change(), loop)
            done.result(5)
            return Total()

        async def change() -> None:
            gate.change(Policies([Budget(of="team", usd=1.0)]), prices, offers)

        gate._totals.total = slow  # type: ignore[method-assign]
        with pytest.raises(BudgetExceeded):
            await gate.admit(stream(2))

    asyncio.run(main())


def test_a_key_that_changes_while_the_past_is_read_has_its_new_budget() -> None:
    async def main() -> None:
        gate = admission(Budget(of="team", usd=1000.0))
        loop = asyncio.get_running_loop()
        key = Key(id="key_a", name="alice", digest=b"", shown="", created_at=0.0)
        poor = replace(key, budgets=(Allowance(usd=1.0),))
        gate.know([key], {})

        async def change() -> None:
            gate.know([poor], {})

        def slow(*_: Any, **__: Any) -> Total:
            asyncio.run_coroutine_threadsafe(change(), loop).result(5)
            gate._totals.total = lambda *_, **__: Total()  # type: ignore[method-assign]
            return Total()

        gate._totals.total = slow  # type: ignore[method-assign]
        with pytest.raises(BudgetExceeded):
            await gate.admit(stream(2))

    asyncio.run(main())
