"""Published routing rules, as their sources and documents state them, over the same picture of the engines.

They are rules, not the products: each gets what its documents give it, and more where in doubt. A scrape is as fresh
as the product's (`Seen`), an index is as large as named, events of the engines' caches arrive at once, tokens are
counted exactly where a product runs the model's tokenizer. What a product decides beside its rule (retries, admission,
batches in the router) is left out for all alike.
"""

# ruff: noqa: ARG002 – a policy looks at what it needs of what it is told

from __future__ import annotations

import math
import random
from collections import OrderedDict
from collections.abc import Sequence
from typing import ClassVar

from simulated import GROUP_TOKENS, Engine, Request


class Seen:
    """An engine as a scrape shows it: the figures of the last tick of the clock, not those of now."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._changes: list[tuple[float, int, int, float]] = [(-1.0, 0, 0, 0.0)]

    def note(self, now: float) -> None:
        engine = self.engine
        self._changes.append((now, len(engine.waiting), len(engine.running), engine.cache.usage))
        if len(self._changes) > 4096:
            del self._changes[:2048]

    def at(self, now: float, every_s: float) -> tuple[int, int, float]:
        """Waiting, running and cache usage at the last scrape."""
        tick = math.floor(now / every_s) * every_s
        for when, waiting, running, usage in reversed(self._changes):
            if when <= tick:
                return waiting, running, usage
        return 0, 0, 0.0


class Policy:
    """Which engine gets a request. It is told what a router sees: what it sent, first tokens and ends."""

    name: ClassVar[str] = ""

    def __init__(self, engines: Sequence[Seen], seed: int) -> None:
        self.engines = engines
        self.range = range(len(engines))
        self.random = random.Random(seed)
        self.in_flight = [0] * len(engines)

    def choose(self, request: Request, now: float) -> int:
        raise NotImplementedError

    def sent(self, index: int, request: Request, now: float) -> None:
        self.in_flight[index] += 1

    def first(self, index: int, request: Request, now: float) -> None: ...

    def done(self, index: int, request: Request, now: float) -> None:
        self.in_flight[index] -= 1

    def least(self, among: Sequence[int]) -> int:
        """The least busy of these by calls in flight; ties at random."""
        fewest = min(self.in_flight[each] for each in among)
        return self.random.choice([each for each in among if self.in_flight[each] == fewest])

    def best(self, scores: Sequence[float]) -> int:
        """The one with the highest score; ties at random."""
        highest = max(scores)
        return self.random.choice([index for index, score in enumerate(scores) if score >= highest - 1e-12])


class Index:
    """Which blocks were sent to whom, least recently used out first: what routers without events keep."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def match(self, request: Request) -> int:
        """Groups of the prompt's front that should be there."""
        found = 0
        for each in request.hashes:
            if each not in self._blocks:
                break
            found += 1
        return found

    def add(self, request: Request) -> None:
        blocks = self._blocks
        for each in request.hashes:
            blocks[each] = None
            blocks.move_to_end(each)
        while len(blocks) > self._capacity:
            blocks.popitem(last=False)


class RoundRobin(Policy):
    name = "round-robin"
    turn = -1

    def choose(self, request: Request, now: float) -> int:
        self.turn = (self.turn + 1) % len(self.engines)
        return self.turn


class LeastBusy(Policy):
    """Fewest calls in flight: what Hanok does without prefix routing, and LiteLLM's least-busy."""

    name = "least-busy"

    def choose(self, request: Request, now: float) -> int:
        return self.least(self.range)


class CacheAware(Policy):
    """SGLang's router, SMG and vllm-router, `cache_aware` with the defaults of their command lines.

    A tree of the prompts sent to each worker, 2^26 characters in all per worker, taken at 4 a token. Imbalanced, by
    more than 64 calls and 1.5 times: the least busy. Else the best match when more than 30 % of the prompt, else the
    least busy.
    """

    name = "sglang-cache-aware"

    def __init__(self, engines: Sequence[Seen], seed: int) -> None:
        super().__init__(engines, seed)
        self.indexes = [Index(2**26 // 4 // GROUP_TOKENS) for _ in engines]

    def choose(self, request: Request, now: float) -> int:
        most, fewest = max(self.in_flight), min(self.in_flight)
        if most - fewest > 64 and most > 1.5 * fewest:
            return self.least(self.range)
        matches = [float(each.match(request)) for each in self.indexes]
        if max(matches) / len(request.hashes) > 0.3:
            return self.best(matches)
        return self.least(self.range)

    def sent(self, index: int, request: Request, now: float) -> None:
        super().sent(index, request, now)
        self.indexes[index].add(request)


class LlmD(Policy):
    """llm-d's scheduler with the weights of its Helm chart: queue 2, KV usage 2, prefix 3; scraped every 50 ms.

    The index has the engine's size (`factor` 1), or four times that, as with autoTune where blocks of 64 tokens are
    counted as if they were the engine's of 16.
    """

    name = "llm-d"
    factor: ClassVar[float] = 1.0
    every_s: ClassVar[float] = 0.05

    def __init__(self, engines: Sequence[Seen], seed: int) -> None:
        super().__init__(engines, seed)
        self.indexes = [Index(int(self.factor * each.engine.cache.blocks * 16 / GROUP_TOKENS)) for each in engines]

    def choose(self, request: Request, now: float) -> int:
        seen = [each.at(now, self.every_s) for each in self.engines]
        queues = [waiting for waiting, _, _ in seen]
        most, fewest = max(queues), min(queues)
        spread = most - fewest
        scores: list[float] = []
        for index, (waiting, _, usage) in enumerate(seen):
            queue = (most - waiting) / spread if spread else 1.0
            scores.append(2 * queue + 2 * (1 - usage) + 3 * self.share(index, request))
        return self.best(scores)

    def share(self, index: int, request: Request) -> float:
        return self.indexes[index].match(request) / len(request.hashes)

    def sent(self, index: int, request: Request, now: float) -> None:
        super().sent(index, request, now)
        self.indexes[index].add(request)


class LlmD4(LlmD):
    name = "llm-d-autotune"
    factor = 4.0


class LlmDPrecise(LlmD):
    """The same weights over what the engines' events say is in their caches, and what was sent in the last 2 s."""

    name = "llm-d-precise"

    def __init__(self, engines: Sequence[Seen], seed: int) -> None:
        super().__init__(engines, seed)
        self.recent: list[OrderedDict[int, float]] = [OrderedDict() for _ in engines]
        self.now = 0.0

    def choose(self, request: Request, now: float) -> int:
        self.now = now
        return super().choose(request, now)

    def share(self, index: int, request: Request) -> float:
        known = self.engines[index].engine.cache.match(request) * 16 / request.tokens
        found = 0
        for each in request.hashes:
            if self.recent[index].get(each, -9.0) < self.now - 2.0:
                break
            found += 1
        return max(known, found / len(request.hashes))

    def sent(self, index: int, request: Request, now: float) -> None:
        Policy.sent(self, index, request, now)
        recent = self.recent[index]
        for each in request.hashes:
            recent[each] = now
            recent.move_to_end(each)
        while recent and next(iter(recent.values())) < now - 2.0:
            recent.popitem(last=False)


class Dynamo(Policy):
    """Dynamo's KV router: the lowest of prefill to do + blocks of decoding; overlap by the engines' events.

    It keeps its own books of active requests: their prefill counts until their first token, their blocks until the end.
    """

    name = "dynamo-kv"

    def __init__(self, engines: Sequence[Seen], seed: int) -> None:
        super().__init__(engines, seed)
        self.prefill = [0.0] * len(engines)
        self.decode = [0.0] * len(engines)
        self.books: dict[int, float] = {}

    def choose(self, request: Request, now: float) -> int:
        costs = []
        for index in self.range:
            uncached = request.blocks - self.engines[index].engine.cache.match(request)
            costs.append(-(max(self.prefill[index] + uncached, 0.0) + self.decode[index] + request.blocks))
        return self.best(costs)

    def sent(self, index: int, request: Request, now: float) -> None:
        super().sent(index, request, now)
        uncached = request.blocks - self.engines[index].engine.cache.match(request)
        self.books[request.number] = uncached
        self.prefill[index] += uncached
        self.decode[index] += request.blocks

    def first(self, index: int, request: Request, now: float) -> None:
        self.prefill[index] -= self.books.pop(request.number)

    def done(self, index: int, request: Request, now: float) -> None:
        super().done(index, request, now)
        self.decode[index] -= request.blocks


class AiBrix(Policy):
    """AIBrix `prefix-cache`: more than 16 calls apart, the least busy; else the best match that runs no more than the
    mean and two deviations; 200,000 blocks of 16 tokens in the index."""

    name = "aibrix-prefix"

    def __init__(self, engines: Sequence[Seen], seed: int) -> None:
        super().__init__(engines, seed)
        self.indexes = [Index(200_000 * 16 // GROUP_TOKENS) for _ in engines]

    def choose(self, request: Request, now: float) -> int:
        running = self.in_flight
        if max(running) - min(running) > 16:
            return self.least(self.range)
        mean = sum(running) / len(running)
        deviation = math.sqrt(sum((each - mean) ** 2 for each in running) / len(running))
        fit = [index for index in self.range if running[index] <= mean + 2 * deviation]
        matches = {index: self.indexes[index].match(request) for index in fit}
        most = max(matches.values(), default=0)
        if most == 0:
            return self.least(self.range)
        return self.least([index for index in fit if matches[index] == most])

    def sent(self, index: int, request: Request, now: float) -> None:
        super().sent(index, request, now)
        self.indexes[index].add(request)


ANCHORS: tuple[type[Policy], ...] = (RoundRobin, LeastBusy, CacheAware, LlmD, LlmD4, LlmDPrecise, Dynamo, AiBrix)
