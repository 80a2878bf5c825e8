"""Blocks of prompts, and the index of what an engine should have of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanok.routing.prefix import MOST_BLOCKS, PrefixIndex, hash_blocks, seed_of

SEED = seed_of("m")
prompts = st.lists(st.integers(0, 2), min_size=1, max_size=8)
"""Prompts of a small alphabet, so that many share a front."""


def chain(letters: Sequence[int]) -> tuple[int, ...]:
    return hash_blocks(bytes(letters), seed=SEED, block_bytes=1)


def test_an_engine_that_tells_of_more_room_than_there_can_be_does_not_take_ours() -> None:
    index = PrefixIndex(10**22)
    assert index.capacity == MOST_BLOCKS
    index.resize(10**15)
    assert index.capacity == MOST_BLOCKS


@given(st.binary(max_size=200), st.binary(max_size=200), st.integers(1, 40))
def test_prompts_share_as_many_blocks_as_they_share_whole_blocks_of_bytes(one: bytes, other: bytes, size: int) -> None:
    shared = 0
    while (shared + 1) * size <= min(len(one), len(other)) and one[: (shared + 1) * size] == other[
        : (shared + 1) * size
    ]:
        shared += 1
    first, second = hash_blocks(one, seed=SEED, block_bytes=size), hash_blocks(other, seed=SEED, block_bytes=size)
    assert first[:shared] == second[:shared]
    assert not set(first[shared:]) & set(second[shared:])


def test_a_block_that_comes_again_later_in_the_prompt_has_another_hash() -> None:
    assert len(set(hash_blocks(b"abab" * 10, seed=SEED, block_bytes=4))) == 10


def test_a_rest_that_fills_no_block_has_no_hash() -> None:
    assert hash_blocks(b"abc", seed=SEED, block_bytes=4) == ()
    assert len(hash_blocks(b"abcde", seed=SEED, block_bytes=4)) == 1


def test_other_models_and_other_salts_share_nothing() -> None:
    seeds = {seed_of("m"), seed_of("n"), seed_of("m", "tenant"), seed_of("m", "other")}
    assert len({hash_blocks(b"x" * 64, seed=seed, block_bytes=64) for seed in seeds}) == 4


def test_hashes_are_the_same_in_every_process() -> None:
    text = "from hanok.routing.prefix import *; print(hash_blocks(b'a' * 3000, seed=seed_of('m', 's')))"
    said = subprocess.run([sys.executable, "-c", text], capture_output=True, check=True, text=True).stdout
    assert said.strip() == str(hash_blocks(b"a" * 3000, seed=seed_of("m", "s")))


def test_a_block_without_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="must have one or more"):
        hash_blocks(b"abc", seed=SEED, block_bytes=0)


def test_what_was_sent_is_matched_as_far_as_it_is_the_same() -> None:
    index = PrefixIndex(100)
    index.hold(chain([1, 2, 3, 4]))
    assert index.match(chain([1, 2, 3, 4])) == 4
    assert index.match(chain([1, 2, 9])) == 2
    assert index.match(chain([9, 2, 3])) == 0
    assert index.match(()) == 0


def test_the_prompt_that_was_idle_for_longest_goes_first_and_its_end_before_its_front() -> None:
    index = PrefixIndex(6)
    for letters in ([1, 1, 1], [2, 2, 2]):
        index.hold(chain(letters))
        index.release(chain(letters))
    index.hold(chain([3, 3]))
    assert [index.match(chain(letters)) for letters in ([1, 1, 1], [2, 2, 2], [3, 3])] == [1, 3, 2]


def test_what_running_calls_hold_stays() -> None:
    index = PrefixIndex(3)
    index.hold(chain([1, 1, 1]))
    index.hold(chain([2, 2]))
    assert index.match(chain([1, 1, 1])) == 3
    assert index.held == 5
    index.release(chain([1, 1, 1]))
    assert index.match(chain([1, 1, 1])) == 1
    assert index.held == 2


def test_answers_take_room_and_match_nothing() -> None:
    index = PrefixIndex(4)
    index.hold(chain([1, 1]))
    index.release(chain([1, 1]), own=2)
    index.hold(chain([2]))
    assert index.match(chain([1, 1])) == 2  # the answer's blocks went before the prompt's
    index.hold(chain([3, 3]))
    assert index.match(chain([1, 1])) == 1


def test_an_index_that_shrinks_forgets_and_one_that_was_cleared_knows_nothing() -> None:
    index = PrefixIndex(10)
    index.hold(chain([1, 1, 1]))
    index.release(chain([1, 1, 1]))
    index.resize(2)
    assert index.match(chain([1, 1, 1])) == 2
    index.clear()
    assert (index.match(chain([1])), len(index), index.held) == (0, 0, 0)
    index.release(chain([1, 1, 1]))  # a call from before the restart ends
    assert (index.match(chain([1])), len(index), index.held) == (0, 0, 0)


@given(st.lists(st.tuples(prompts, st.integers(0, 3), st.booleans()), max_size=40), st.integers(0, 12))
def test_whatever_happens_what_is_known_of_a_prompt_is_its_front_and_idle_blocks_fit(
    calls: list[tuple[list[int], int, bool]], capacity: int
) -> None:
    index = PrefixIndex(capacity)
    running: list[tuple[list[int], int]] = []
    for letters, own, ends in calls:
        index.hold(chain(letters))
        running.append((letters, own))
        if ends:
            done, blocks = running.pop(0)
            index.release(chain(done), own=blocks)
        held = {block for each, _ in running for block in chain(each)}
        assert index.held == len(held)
        assert len(index) <= max(capacity, len(held))
        for each, _ in running:
            assert index.match(chain(each)) == len(each)
        for each, _, _ in calls:
            known = [index.match(chain(each)[: end + 1]) == end + 1 for end in range(len(each))]
            assert known == sorted(known, reverse=True)
            assert index.match(chain(each)) == sum(known)
