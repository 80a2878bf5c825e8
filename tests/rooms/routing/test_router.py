"""Which endpoint a prompt goes to, by what was sent before."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanok.routing.router import PrefixRouter, Prompt, Ticket

FLEET = ("a", "b", "c")


def text(name: str, size: int) -> bytes:
    return (name * size)[:size].encode()


def answer(router: PrefixRouter[str], key: str, prompt: Prompt, now: float, *, took_s: float = 0.5) -> float:
    """One call from its beginning to its end; when it ended."""
    ticket = router.sent(key, prompt, now)
    router.first_token(ticket, now + took_s)
    router.done(ticket, now + took_s, tokens_in=prompt.size // 4, tokens_out=10)
    return now + took_s


def test_a_conversation_goes_on_where_it_began() -> None:
    router: PrefixRouter[str] = PrefixRouter("m")
    now = 0.0
    history = b""
    homes: set[str] = set()
    for turn in range(6):
        history += text(f"turn {turn} ", 4_000)
        home = router.choose(FLEET, router.read(history), now)
        homes.add(home)
        now = answer(router, home, router.read(history), now) + 5.0
        other = router.read(text(f"somebody else {turn} ", 3_000))
        now = answer(router, router.choose(FLEET, other, now), other, now) + 5.0
    assert len(homes) == 1


def test_a_conversation_leaves_an_engine_that_is_overloaded_and_stays_for_a_little_wait() -> None:
    router: PrefixRouter[str] = PrefixRouter("m")
    prompt = router.read(text("history ", 40_000))
    now = answer(router, "a", prompt, 0.0)
    router.sent("a", router.read(text("short ", 4_000)), now)
    assert router.choose(FLEET, prompt, now) == "a"
    for each in range(10):
        router.sent("a", router.read(text(f"long {each} ", 80_000)), now)
    assert router.choose(FLEET, prompt, now) != "a"


def test_prompts_that_share_nothing_spread_over_all() -> None:
    router: PrefixRouter[str] = PrefixRouter("m")
    chosen: list[str] = []
    for each in range(9):
        prompt = router.read(text(f"prompt {each} ", 8_000))
        chosen.append(router.choose(FLEET, prompt, 0.0))
        router.sent(chosen[-1], prompt, 0.0)
    assert sorted(chosen) == ["a"] * 3 + ["b"] * 3 + ["c"] * 3


def test_a_restarted_engine_has_nothing_cached_and_nothing_waiting() -> None:
    router: PrefixRouter[str] = PrefixRouter("m")
    prompt = router.read(text("history ", 40_000))
    now = answer(router, "a", prompt, 0.0)
    ticket = router.sent("a", prompt, now)
    warm = router.estimate_s("a", prompt, now)
    router.restarted("a")
    assert router.estimate_s("a", prompt, now) == pytest.approx(router.estimate_s("b", prompt, now))
    assert router.estimate_s("a", prompt, now) > warm
    router.first_token(ticket, now + 1.0)  # calls from before end without a trace
    router.done(ticket, now + 1.0)
    assert router.estimate_s("a", prompt, now + 1.0) == pytest.approx(router.estimate_s("b", prompt, now + 1.0))


def test_prompts_with_other_salts_do_not_look_cached() -> None:
    router: PrefixRouter[str] = PrefixRouter("m")
    now = answer(router, "a", router.read(text("x", 40_000), salt="one"), 0.0)
    same, other = router.read(text("x", 40_000), salt="one"), router.read(text("x", 40_000), salt="two")
    assert router.estimate_s("a", same, now) < router.estimate_s("b", same, now)
    assert router.estimate_s("a", other, now) == router.estimate_s("b", other, now)


def test_calls_of_other_gateways_count_as_work_ahead() -> None:
    router: PrefixRouter[str] = PrefixRouter("m")
    prompt = router.read(text("mine ", 8_000))
    now = answer(router, "a", prompt, 0.0)
    own = router.sent("a", router.read(text("other ", 8_000)), now)
    before = router.estimate_s("a", prompt, now)
    router.observe("a", waiting=1, kv_usage=0.0)  # that is ours
    assert router.estimate_s("a", prompt, now) == before
    router.observe("a", waiting=5, kv_usage=0.5)
    assert router.estimate_s("a", prompt, now) > before
    router.done(own, now + 1.0)


def test_a_slow_endpoint_is_found_out() -> None:
    router: PrefixRouter[str] = PrefixRouter("m")
    now = 0.0
    for each in range(120):
        for key, speed in (("a", 1.0), ("b", 1.0), ("c", 4.0)):
            now = answer(router, key, router.read(text(f"{key} {each} ", 8_000)), now, took_s=0.2 * speed) + 1.0
    fresh = router.read(text("fresh ", 8_000))
    assert router.estimate_s("c", fresh, now) > 2.0 * router.estimate_s("a", fresh, now)
    assert router.estimate_s("a", fresh, now) == pytest.approx(0.2, rel=0.5)


def test_an_engine_that_is_stuck_looks_worse_the_longer_it_is() -> None:
    router: PrefixRouter[str] = PrefixRouter("m")
    prompt = router.read(text("mine ", 8_000))
    router.sent("a", prompt, 0.0)
    other = router.read(text("other ", 8_000))
    assert (
        router.estimate_s("a", other, 120.0) > router.estimate_s("a", other, 60.0) > router.estimate_s("b", other, 60.0)
    )


def test_bytes_a_token_are_learned_from_usage() -> None:
    router: PrefixRouter[str] = PrefixRouter("m")
    for each in range(200):
        prompt = router.read(text(f"{each} ", 3_000))
        ticket = router.sent("a", prompt, float(each))
        router.first_token(ticket, each + 0.2)
        router.done(ticket, each + 0.5, tokens_in=1_500)
    assert router.bytes_a_token == pytest.approx(2.0, rel=0.05)


def test_nobody_to_choose_from_is_said() -> None:
    router: PrefixRouter[str] = PrefixRouter("m")
    with pytest.raises(ValueError, match="no endpoint to choose from"):
        router.choose((), router.read(b"x"), 0.0)


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(0, 20_000))
def test_whatever_happens_to_calls_nothing_is_left_of_them_when_all_are_over(
    seed: int, count: int, capacity: int
) -> None:
    rng = random.Random(seed)
    keys = [f"e{each}" for each in range(count)]
    router: PrefixRouter[str] = PrefixRouter("m", block_bytes=64)
    for key in keys:
        router.resize(key, capacity)
    running: list[Ticket] = []
    now = 0.0
    for _ in range(60):
        now += rng.random()
        prompt = router.read(text(rng.choice("abc"), rng.randrange(1, 2_000)))
        running.append(router.sent(router.choose(keys, prompt, now), prompt, now))
        ticket = rng.choice(running)
        match rng.randrange(5):
            case 0 | 1:
                router.first_token(ticket, now)
            case 2 | 3:
                router.done(ticket, now, tokens_in=rng.randrange(500), tokens_out=rng.randrange(500))
            case _:
                router.restarted(rng.choice(keys))
        assert all(router.estimate_s(key, prompt, now) >= 0.0 for key in keys)
    for ticket in running:
        router.done(ticket, now)
        router.done(ticket, now)
    for key in keys:
        book = router._book(key)  # pyright: ignore[reportPrivateUsage]
        assert (len(book.pending), book.pending_s, book.index.held) == (0, 0.0, 0)
        assert len(book.index) <= book.index.capacity
