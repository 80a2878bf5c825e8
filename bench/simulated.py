"""A simulated vLLM engine: what it caches, when it schedules what, and how long its steps take.

It follows vLLM's V1 scheduler where that decides hits and waiting: a step has a budget of tokens; running requests come
first, a token each for those that decode; then waiting ones, first come first served, as far as budget, sequences and
blocks reach; prompts are prefilled in chunks; a request is admitted when the whole of its prompt fits
(`scheduler_reserve_full_isl`); when blocks run out the request admitted last is preempted and computed again. Blocks
of 16 tokens are matched from the front, never the whole prompt (the last token must be computed), held while requests
run, and freed tail first into one queue from whose old end they are taken for others.

The idea that makes it fast: steps in which all only decode are alike, so that one event stands for many of them, until
one ends or a request comes.

Where it is simpler than the engine: all blocks of a prompt are taken when it is admitted, not chunk by chunk; answers'
blocks take room but are never hit (the traces do not say what they hold); two requests that compute the same prefix at
the same moment keep two copies, of which one can be hit.
"""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass

BLOCK = 16
"""Tokens of a KV block: vLLM's default."""
GROUP_TOKENS = 512
"""Tokens that one hash of the Mooncake trace stands for."""
GROUP = GROUP_TOKENS // BLOCK
GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """What an engine runs on, and what it runs. Times follow from the roofline: the slower of computing and reading.

    Defaults: Qwen3-32B in bfloat16 on two H100-80GB (tensor parallel), the model and cards of llm-d's published
    comparison. Sources: the model's `config.json` (layers, heads, KV bytes a token); NVIDIA's data sheet of the H100
    SXM (989 TFLOP/s, 3.35 TB/s); `prefill_tokens_per_s` is llm-d's `peakPrefillThroughput`, and is what half of those
    TFLOP/s give; activations and other overhead as llm-d-planner 0.3.3 measured them for vLLM; vLLM's own defaults for
    `gpu_memory_utilization`, `max_num_batched_tokens` and `max_num_seqs` (API server on cards of 70 GiB and more).
    `bandwidth_used` and `overhead_s` (launching kernels, sampling) are assumptions: 80 %, 2 ms a step.
    """

    name: str = "Qwen3-32B, 2×H100"
    cards: int = 2
    parameters: float = 32.76e9
    layers: int = 64
    heads: int = 64
    head_size: int = 128
    kv_bytes_a_token: int = 262_144
    bytes_a_parameter: float = 2.0
    card_memory_gib: float = 80.0
    memory_utilization: float = 0.9
    activations_gib: float = 2.21
    other_overhead_gib: float = 2.10
    flops: float = 989e12
    flops_used: float = 0.53
    bandwidth_bytes_per_s: float = 3.35e12
    bandwidth_used: float = 0.8
    prefill_tokens_per_s: float = 15_928.0
    overhead_s: float = 0.002
    max_num_batched_tokens: int = 8192
    max_num_seqs: int = 1024
    blocks_factor: float = 1.0

    @property
    def blocks(self) -> int:
        """KV blocks that fit beside the weights."""
        weights_gib = self.parameters * self.bytes_a_parameter / self.cards / GIB
        free_gib = self.card_memory_gib * self.memory_utilization - weights_gib
        free_gib -= self.activations_gib + self.other_overhead_gib
        return int(self.blocks_factor * free_gib * self.cards * GIB / self.kv_bytes_a_token / BLOCK)

    @property
    def linear_s(self) -> float:
        """Seconds a token of a batch takes in all layers but attention."""
        return 1.0 / self.prefill_tokens_per_s

    @property
    def weights_s(self) -> float:
        """Seconds to read the weights once: no step is faster."""
        read = self.parameters * self.bytes_a_parameter / self.cards
        return read / (self.bandwidth_bytes_per_s * self.bandwidth_used)

    @property
    def attention_s(self) -> float:
        """Seconds for one prompt token to attend to one token before it: 4 × layers × heads × head size operations."""
        return 4.0 * self.layers * self.heads * self.head_size / (self.cards * self.flops * self.flops_used)

    @property
    def read_s(self) -> float:
        """Seconds to read one token's keys and values when decoding."""
        return self.kv_bytes_a_token / self.cards / (self.bandwidth_bytes_per_s * self.bandwidth_used)


QWEN_32B = Hardware()
LLAMA_8B = Hardware(
    name="Llama-3.1-8B, 1×L40S",
    cards=1,
    parameters=8.03e9,
    layers=32,
    heads=32,
    kv_bytes_a_token=131_072,
    card_memory_gib=45_776 / 1024,
    activations_gib=1.89,
    other_overhead_gib=0.27,
    flops=362e12,
    bandwidth_bytes_per_s=0.864e12,
    prefill_tokens_per_s=362e12 * 0.53 / (2 * 8.03e9),
    max_num_batched_tokens=2048,
    max_num_seqs=256,
)


class Request:
    """One line of a trace: seconds since its start, tokens in and out, and hashes of the prompt's 512-token groups."""

    __slots__ = ("at", "blocks", "bytes_a_token", "hashes", "number", "outputs", "tokens")

    def __init__(self, number: int, at: float, tokens: int, outputs: int, hashes: tuple[int, ...]) -> None:
        self.number = number
        self.at = at
        self.tokens = max(1, tokens)
        self.outputs = max(1, outputs)
        self.hashes = hashes
        self.blocks = -(-self.tokens // BLOCK)
        self.bytes_a_token = 4.0

    def size_of(self, group: int) -> int:
        """Whole blocks of the group at this place: the last one may be short."""
        return min(GROUP, self.tokens // BLOCK - group * GROUP)


class Group:
    """Blocks that one hash stands for: how many are still there (the tail goes first), and who holds them."""

    __slots__ = ("blocks", "held")

    def __init__(self, blocks: int) -> None:
        self.blocks = blocks
        self.held = 1


class BlockCache:
    """The engine's KV blocks. Idle ones stand in a queue, next to go first; what nobody can hit stands there too."""

    def __init__(self, blocks: int) -> None:
        self.blocks = blocks
        self.unused = blocks
        self.idle_blocks = 0
        self._groups: dict[int, Group] = {}
        self._idle: OrderedDict[int, int] = OrderedDict()
        """Groups by hash (their size is in the group), and lots that nobody can hit by -1, -2, … with their size."""
        self._lots = 0

    @property
    def available(self) -> int:
        return self.unused + self.idle_blocks

    @property
    def usage(self) -> float:
        """What vLLM calls `kv_cache_usage_perc`: the share that running requests hold."""
        return 1.0 - self.available / self.blocks

    def match(self, request: Request) -> int:
        """Blocks at the front of the prompt that are here."""
        found = 0
        groups = self._groups
        for place, each in enumerate(request.hashes):
            group = groups.get(each)
            if group is None:
                break
            found += group.blocks
            if group.blocks < request.size_of(place):
                break
        return min(found, (request.tokens - 1) // BLOCK)

    def admit(self, request: Request, blocks: int) -> tuple[int, list[tuple[int, Group]]] | None:
        """Hold what is here of the prompt and take the rest of so many blocks. None when there is no room for it."""
        hit: list[tuple[int, Group]] = []
        found = idle = 0
        for place, each in enumerate(request.hashes):
            group = self._groups.get(each)
            if group is None:
                break
            hit.append((each, group))
            found += group.blocks
            idle += 0 if group.held else group.blocks
            if group.blocks < request.size_of(place):
                break
        found = min(found, (request.tokens - 1) // BLOCK)
        if blocks - found > self.available - idle:
            return None
        for each, group in hit:
            if not group.held:
                del self._idle[each]
                self.idle_blocks -= group.blocks
            group.held += 1
        self.take(blocks - found)
        return found, hit

    def take(self, blocks: int) -> None:
        """Take blocks that are available: unused ones, then those idle for longest."""
        fresh = min(blocks, self.unused)
        self.unused -= fresh
        self._evict(blocks - fresh)

    def keep(self, each: int, size: int, mine: bool) -> tuple[Group | None, int]:
        """Let others hit a group just computed: the group to hold from now on, and how many own blocks went into it."""
        group = self._groups.get(each)
        if group is None:
            self._groups[each] = group = Group(size)
            return group, size
        if not mine and group.held:  # somebody computed the same beside us: theirs is hit, ours stays ours
            group.held += 1
            return group, 0
        added = size - group.blocks
        if not mine:  # an idle copy: ours takes its place
            del self._idle[each]
            self.idle_blocks -= group.blocks
            self.unused += group.blocks
            group.held, added = 1, size
        group.blocks = size
        return (None if mine else group), added

    def free(self, hit: list[tuple[int, Group]], own: int) -> None:
        """Put back what a request held, tail first: its own blocks, then the groups from the last to the first."""
        if own:
            self._lots -= 1
            self._idle[self._lots] = own
            self.idle_blocks += own
        for each, group in reversed(hit):
            group.held -= 1
            if not group.held:
                self._idle[each] = 0
                self.idle_blocks += group.blocks

    def _evict(self, blocks: int) -> None:
        self.idle_blocks -= blocks
        while blocks > 0:
            key = next(iter(self._idle))
            size = self._idle[key] if key < 0 else self._groups[key].blocks
            if size > blocks:
                if key < 0:
                    self._idle[key] = size - blocks
                else:
                    self._groups[key].blocks -= blocks
                return
            blocks -= size
            del self._idle[key]
            if key >= 0:
                del self._groups[key]


class Running:
    """A request inside an engine."""

    __slots__ = (
        "begun",
        "chunk",
        "computed",
        "ends_at",
        "found",
        "generated",
        "hit",
        "kept",
        "own",
        "request",
        "target",
    )

    def __init__(self, request: Request) -> None:
        self.request = request
        self.generated = 0
        self.target = request.tokens
        """Tokens to prefill: the prompt, and after a preemption what was generated."""
        self.computed = 0
        self.chunk = 0
        self.begun = 0
        """The engine's count of decode steps when this one began to decode."""
        self.ends_at = -1
        self.hit: list[tuple[int, Group]] = []
        self.found = 0
        """Groups that were there when it was admitted."""
        self.kept = 0
        self.own = 0


Happened = tuple[str, Request]


class Engine:
    """One engine. The replay calls `arrive` and `finish`, and looks at `ends_at_s` for when its step is over."""

    def __init__(self, hardware: Hardware) -> None:
        self.hardware = hardware
        self.cache = BlockCache(hardware.blocks)
        self.waiting: deque[Running] = deque()
        self.running: list[Running] = []
        self.ends_at_s = math.inf
        self.queried_tokens = self.hit_tokens = self.preempted = 0
        self._step = 0
        self._chunks: list[Running] = []
        self._decoding: set[Running] = set()
        self._ends: list[tuple[int, int, Running]] = []
        self._context = 0
        """Tokens that all who decode have behind them."""
        self._grow = [0] * BLOCK
        """How many need a new block in a step, by the step's number modulo the block."""
        self._serial = 0
        self._steps = 0
        self._began_s = 0.0
        self._first_step_s = 0.0

    def arrive(self, request: Request, now: float) -> None:
        self.waiting.append(Running(request))
        if self.ends_at_s == math.inf:
            self._plan(now)
        elif self._steps > 1 and len(self.waiting) == 1:
            self._shorten(now)

    def finish(self, now: float) -> list[Happened]:
        """The step is over: what became of it, and the next one is begun."""
        happened: list[Happened] = []
        self._decode()
        for each in self._chunks:
            each.computed += each.chunk
            self._keep(each)
            if each.computed >= each.target:
                self._first(each, happened)
        while self._ends and self._ends[0][0] <= self._step:
            ends_at, _, each = heapq.heappop(self._ends)
            if each.ends_at == ends_at:
                self._leave(each)
                happened.append(("done", each.request))
        self._plan(now)
        return happened

    def _decode(self) -> None:
        """Everybody who decodes gets ahead by the steps planned. The blocks for one step were taken when planning."""
        if not self._decoding:
            return
        if not self._chunks:
            self.cache.take(self._growth(self._steps))
        self._step += self._steps
        self._context += self._steps * len(self._decoding)

    def _first(self, each: Running, happened: list[Happened]) -> None:
        if each.generated == 0:
            happened.append(("first", each.request))
        each.generated += 1
        if each.generated >= each.request.outputs:
            self._free(each, 0)
            happened.append(("done", each.request))
            return
        each.begun = self._step
        each.ends_at = self._step + each.request.outputs - each.generated
        self._serial += 1
        heapq.heappush(self._ends, (each.ends_at, self._serial, each))
        self._decoding.add(each)
        self._context += each.target
        self._grow[(each.begun + 1 - each.target) % BLOCK] += 1

    def _leave(self, each: Running) -> None:
        """No longer decode."""
        self._decoding.remove(each)
        self._grow[(each.begun + 1 - each.target) % BLOCK] -= 1
        steps = self._step - each.begun
        self._context -= each.target + steps
        each.generated += steps
        each.ends_at = -1
        self._free(each, -(-(each.target + steps) // BLOCK) - -(-each.target // BLOCK))

    def _free(self, each: Running, grown: int) -> None:
        self.running.remove(each)
        self.cache.free(each.hit, each.own + grown)

    def _keep(self, each: Running) -> None:
        """What is computed can be hit from now on."""
        request = each.request
        while each.kept < len(request.hashes):
            size = request.size_of(each.kept)
            if size <= 0 or (each.kept * GROUP + size) * BLOCK > each.computed:
                return
            group, added = self.cache.keep(request.hashes[each.kept], size, each.kept < each.found)
            each.own -= added
            if group is not None:
                each.hit.append((request.hashes[each.kept], group))
            each.kept += 1

    def _plan(self, now: float) -> None:
        """Decide the next step, or many alike."""
        self._chunks = []
        self._steps = 1
        self._began_s = now
        while self._growth(1) > self.cache.available:
            self._preempt()
        if len(self._decoding) < len(self.running) or self.waiting:
            growth = self._growth(1)
            self.cache.take(growth)
            self._fill(self.hardware.max_num_batched_tokens - len(self._decoding))
            if not self._chunks:  # nobody could be let in: give back, the steps ahead are alike
                self.cache.unused += growth
        if not self._chunks and self._decoding:
            self._plan_many()
        self._first_step_s = self._step_s()
        self.ends_at_s = now + self._steps_s(self._steps) if self.running else math.inf

    def _fill(self, budget: int) -> None:
        if len(self._decoding) < len(self.running):
            for each in self.running:
                if each.computed < each.target and budget > 0:
                    budget = self._give(each, budget)
        while self.waiting and budget > 0 and len(self.running) < self.hardware.max_num_seqs:
            each = self.waiting[0]
            if not self._admit(each):
                return
            self.waiting.popleft()
            self.running.append(each)
            budget = self._give(each, budget)

    def _give(self, each: Running, budget: int) -> int:
        each.chunk = min(budget, each.target - each.computed)
        self._chunks.append(each)
        return budget - each.chunk

    def _admit(self, each: Running) -> bool:
        blocks = -(-each.target // BLOCK)
        admitted = self.cache.admit(each.request, blocks)
        if admitted is None:
            return False
        found, each.hit = admitted
        each.own = blocks - found
        each.found = len(each.hit)
        each.computed = found * BLOCK
        each.kept = max(0, len(each.hit) - 1)
        if each.generated == 0:
            self.queried_tokens += each.request.tokens
            self.hit_tokens += each.computed
        return True

    def _preempt(self) -> None:
        each = self.running[-1]
        self.preempted += 1
        if each in self._decoding:
            self._leave(each)
            each.target = each.request.tokens + each.generated
        else:
            self._free(each, 0)
        each.computed = each.kept = each.own = 0
        each.hit = []
        self.waiting.appendleft(each)

    def _plan_many(self) -> None:
        steps = max(1, self._ends[0][0] - self._step)
        while steps > 1 and self._growth(steps) > self.cache.available:
            steps //= 2
        self._steps = steps

    def _growth(self, steps: int) -> int:
        """Blocks that all who decode need for so many steps."""
        rounds, rest = divmod(steps, BLOCK)
        return rounds * len(self._decoding) + sum(self._grow[(self._step + 1 + each) % BLOCK] for each in range(rest))

    def _step_s(self) -> float:
        hardware = self.hardware
        tokens = len(self._decoding)
        seconds = hardware.overhead_s + hardware.read_s * self._context
        for each in self._chunks:
            tokens += each.chunk
            seconds += hardware.attention_s * each.chunk * (each.computed + each.chunk / 2)
        return seconds + max(hardware.weights_s, tokens * hardware.linear_s)

    def _steps_s(self, steps: int) -> float:
        """So many steps alike: each reads a token more of everybody who decodes."""
        return steps * self._first_step_s + self.hardware.read_s * len(self._decoding) * steps * (steps - 1) / 2

    def _shorten(self, now: float) -> None:
        """A request has come amid many steps: they end with the one that is running now."""
        slope = self.hardware.read_s * len(self._decoding) / 2
        linear = self._first_step_s - slope
        elapsed = now - self._began_s
        steps = (math.sqrt(linear * linear + 4 * slope * elapsed) - linear) / (2 * slope) if slope else elapsed / linear
        self._steps = min(self._steps, max(1, math.ceil(steps - 1e-9)))
        self.ends_at_s = max(now, self._began_s + self._steps_s(self._steps))


def hit_rate(engines: Sequence[Engine]) -> float:
    """Tokens found in caches, of all that were asked for: as vLLM counts them."""
    queried = sum(each.queried_tokens for each in engines)
    return sum(each.hit_tokens for each in engines) / queried if queried else 0.0
