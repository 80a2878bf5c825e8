"""The simulated engine does what vLLM's scheduler and its block cache are documented to do."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

from simulated import BLOCK, GROUP_TOKENS, QWEN_32B, Engine, Request  # pyright: ignore

SMALL = replace(QWEN_32B, max_num_batched_tokens=1024)


def ask(number: int, hashes: tuple[int, ...], *, tokens: int = 0, outputs: int = 1) -> Request:
    return Request(number, 0.0, tokens or GROUP_TOKENS * len(hashes), outputs, hashes)


def run(engine: Engine, *requests: Request, at: float = 0.0) -> dict[tuple[str, int], float]:
    """Send all at once and let the engine work until it is idle: when what happened."""
    for each in requests:
        engine.arrive(each, at)
    happened: dict[tuple[str, int], float] = {}
    while engine.ends_at_s < math.inf:
        now = engine.ends_at_s
        happened |= {(what, request.number): now for what, request in engine.finish(now)}
    return happened


def with_blocks(blocks: int) -> Engine:
    return Engine(replace(SMALL, blocks_factor=blocks / QWEN_32B.blocks + 1e-9))


def test_a_prompt_seen_before_is_found_but_for_its_last_block() -> None:
    engine = Engine(SMALL)
    run(engine, ask(1, (1, 2, 3)))
    assert engine.hit_tokens == 0
    run(engine, ask(2, (1, 2, 3)), at=100.0)
    assert engine.hit_tokens == 3 * GROUP_TOKENS - BLOCK


def test_a_shared_front_is_found_while_the_first_is_still_running() -> None:
    engine = Engine(SMALL)
    run(engine, ask(1, (1, 2, 3, 4), outputs=50), ask(2, (1, 2, 9)))
    assert engine.hit_tokens == 2 * GROUP_TOKENS


def test_the_tail_of_the_prompt_idle_for_longest_is_evicted_first() -> None:
    engine = with_blocks(5 * 32)
    run(engine, ask(1, (1, 2)))
    run(engine, ask(2, (3, 4)), at=100.0)
    run(engine, ask(3, (5,), tokens=512), at=200.0)
    run(engine, ask(4, (6,), tokens=256), at=300.0)  # 16 blocks: half of the group 2
    assert engine.cache.match(ask(5, (1, 2, 7))) == 32 + 16
    assert engine.cache.match(ask(6, (3, 4, 7))) == 64


def test_long_prompts_are_prefilled_in_chunks_and_who_came_first_is_served_first() -> None:
    engine = Engine(SMALL)
    happened = run(engine, ask(1, tuple(range(1, 9))), ask(2, (20,)))
    assert happened["first", 1] < happened["first", 2]
    alone = run(Engine(SMALL), ask(2, (20,)))
    assert happened["first", 2] > 4 * alone["first", 2]


def test_answers_have_as_many_steps_as_tokens_and_prefills_beside_them_slow_them_down() -> None:
    alone = run(Engine(SMALL), ask(1, (1,), outputs=100))
    decode_s = (alone["done", 1] - alone["first", 1]) / 99
    assert decode_s == pytest.approx(SMALL.weights_s + SMALL.overhead_s + 560 * SMALL.read_s, rel=0.01)
    disturbed = run(Engine(SMALL), ask(1, (1,), outputs=100), ask(2, tuple(range(2, 40))))
    assert disturbed["done", 1] > alone["done", 1] + 38 * GROUP_TOKENS / SMALL.prefill_tokens_per_s


def test_who_does_not_fit_waits_and_who_outgrows_the_cache_is_preempted_and_still_answered() -> None:
    engine = with_blocks(3 * 32)
    happened = run(engine, ask(1, (1,), outputs=20), ask(2, (2, 3, 4), outputs=2, tokens=1500))
    assert happened["first", 2] > happened["done", 1]
    engine = with_blocks(2 * 32 + 10)
    happened = run(engine, ask(1, (1,), outputs=200), ask(2, (2,), outputs=200))
    assert engine.preempted > 0
    assert {("done", 1), ("done", 2)} <= set(happened)
    assert engine.cache.available == engine.cache.blocks


def test_a_request_that_comes_amid_many_steps_waits_for_one_of_them_only() -> None:
    engine = Engine(SMALL)
    engine.arrive(ask(1, (1,), outputs=2000), 0.0)
    engine.finish(engine.ends_at_s)
    began = engine.ends_at_s
    assert began > 10.0  # many steps at once
    engine.arrive(ask(2, (2,)), 5.0)
    assert 5.0 <= engine.ends_at_s < 5.0 + 2 * (SMALL.weights_s + SMALL.overhead_s + 3000 * SMALL.read_s)
