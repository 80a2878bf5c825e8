"""What an engine has in its prefix cache, as seen from outside: the prompts sent to it, by blocks.

An engine keeps what it computed for a prompt and need not compute the same front again. A gateway cannot ask it about
each prompt, but it knows what it sent there, how much room there is (from the engine's metrics) and by which rule room
is made: blocks of running calls stay, idle ones go, those first that were idle for longest, and of one prompt the last
blocks first. `PrefixIndex` does the same with hashes. As a block's hash covers all before it and tails go first, what
it knows of a prompt is always the prompt's front, so that a match is found by bisection.

Blocks are cut by bytes, as a gateway has no tokenizer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from zlib import crc32

BLOCK_BYTES = 1024
"""About 256 tokens of English: fine enough to tell prompts apart, coarse enough to hash 40 KB in some 30 µs."""

MOST_BLOCKS = 1_000_000
"""Blocks known of one engine at most, about 256 million tokens: more room is a mistake, and takes our memory."""

Blocks = Sequence[int]


def seed_of(model: str, salt: str = "") -> int:
    """Where a prompt's chain of hashes begins: prompts of other models and other cache salts share no block."""
    return crc32(f"{model}\0{salt}".encode())


def hash_blocks(prompt: bytes | memoryview, *, seed: int, block_bytes: int = BLOCK_BYTES) -> tuple[int, ...]:
    """One hash for each whole block of the prompt; each covers the blocks before it.

    The block's number and the CRC-32 of all so far, as zlib runs it on: fast, and the same in every process. Two of a
    thousand prompts have the same at some place once in ten thousand times, and somebody may want two to look alike:
    all that comes of it is a slower answer to that call.
    """
    if block_bytes < 1:
        raise ValueError(f"a block has {block_bytes} bytes; it must have one or more")
    code = seed
    hashes: list[int] = []
    for end in range(block_bytes, len(prompt) + 1, block_bytes):
        code = crc32(prompt[end - block_bytes : end], code)
        hashes.append(end << 32 | code)
    return tuple(hashes)


class PrefixIndex:
    """Which blocks one engine should have. `capacity` is what it has room for, in these blocks.

    Blocks are held while calls run and idle afterwards; only idle ones make room. What calls hold may be more than the
    capacity, while they wait in the engine's queue; memory is bounded by both.
    """

    __slots__ = ("_capacity", "_holders", "_idle", "_idle_blocks", "_lots", "_taken")

    def __init__(self, capacity: int) -> None:
        self._capacity = min(max(0, capacity), MOST_BLOCKS)
        self.clear()

    def __len__(self) -> int:
        """How many blocks are known, held or idle."""
        return len(self._holders)

    @property
    def capacity(self) -> int:
        return self._capacity

    @property
    def held(self) -> int:
        """Room that running calls take, in blocks: those known, and those nobody can match."""
        return len(self._holders) + self._taken - self._idle_blocks

    def match(self, blocks: Blocks) -> int:
        """How many blocks at the front of this prompt should be there."""
        known = self._holders
        count = len(blocks)
        if not count or blocks[0] not in known:
            return 0
        if blocks[-1] in known:
            return count
        low, high = 1, count - 1  # blocks[low - 1] is known, blocks[high] is not
        while low < high:
            middle = (low + high) // 2
            if blocks[middle] in known:
                low = middle + 1
            else:
                high = middle
        return low

    def hold(self, blocks: Blocks) -> None:
        """A call with this prompt goes to the engine: its blocks are there from now on, and stay while it runs."""
        holders, idle = self._holders, self._idle
        if blocks and blocks[0] not in holders:
            holders.update(dict.fromkeys(blocks, 1))  # nor is any other: what is known is a front
        else:
            for block in blocks:
                count = holders.get(block)
                holders[block] = (count or 0) + 1
                if count == 0:
                    del idle[block]
                    self._idle_blocks -= 1
        self._make_room()

    def release(self, blocks: Blocks, own: int = 0) -> None:
        """The call is over: its blocks are idle from now on, the last of them next to go.

        `own` is how many blocks its answer filled, which take room until they go but match no prompt.
        """
        holders, idle = self._holders, self._idle
        if own > 0:
            self._lots -= 1
            idle[self._lots] = own
            self._taken += own
            self._idle_blocks += own
        for block in reversed(blocks):
            count = holders.get(block, 0)  # 0: the engine was forgotten since
            if count > 1:
                holders[block] = count - 1
            elif count == 1:
                holders[block] = 0
                idle[block] = 1
                self._idle_blocks += 1
        self._make_room()

    def resize(self, capacity: int) -> None:
        """The engine has room for so many blocks."""
        self._capacity = min(max(0, capacity), MOST_BLOCKS)
        self._make_room()

    def clear(self) -> None:
        """The engine restarted: nothing is there any more."""
        self._holders: dict[int, int] = {}
        self._idle: OrderedDict[int, int] = OrderedDict()
        """Idle blocks by their hash, and answers' lots by -1, -2, …; the one to go next stands first."""
        self._idle_blocks = self._taken = self._lots = 0

    def _make_room(self) -> None:
        excess = len(self._holders) + self._taken - self._capacity
        idle, holders = self._idle, self._holders
        while excess > 0 and idle:
            block, size = idle.popitem(last=False)
            if block >= 0:
                del holders[block]
            elif size > excess:
                idle[block] = size - excess
                idle.move_to_end(block, last=False)
                size = excess
                self._taken -= size
            else:
                self._taken -= size
            self._idle_blocks -= size
            excess -= size
