"""Whether pods can be put on nodes at all, tried out: asked where packing by rule of thumb left some over.

Every way is tried, so an answer is a proof; the number of steps is bounded, and no answer is one, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hanok.preflight.quantities import DISK
from hanok.preflight.scheduling.asks import Ask
from hanok.preflight.scheduling.choices import Choice, Choices
from hanok.preflight.scheduling.packing import affordable, agreed, is_welcome, repels, room_for, size, spend
from hanok.preflight.scheduling.pools import Pool
from hanok.preflight.scheduling.seating import Ground
from hanok.preflight.scheduling.types import NODEPOOL

STEPS, MOST_PODS = 50_000, 200


class TooMuch(Exception):
    """Not everything could be tried."""


@dataclass(kw_only=True, eq=False)
class _Node:
    pool: Pool
    name: str
    free: dict[str, int]
    choices: Choices
    pods: dict[Ask, int]


class _Search:
    def __init__(self, ground: Ground, pods: Sequence[Ask]) -> None:
        self.ground, self.pods, self.steps = ground, pods, 0
        self.budgets = {pool.name: dict(pool.limits) for pool in ground.pools}
        self.nodes = [
            _Node(pool=pool, name=name, free=dict(ground.room(pool, name).free), choices=pool.choices, pods={})
            for pool in ground.pools
            if pool.replicas and pool.names
            for name in [min(pool.names, key=ground.price_order)]
            for _ in range(pool.replicas)
        ]

    def place(self, index: int, first: int) -> bool:
        """Whether the pods from `index` on can be placed; of pods alike, each stands no further left than the last."""
        if index == len(self.pods):
            return True
        self.steps += 1
        if self.steps > STEPS:
            raise TooMuch
        ask = self.pods[index]
        alike = index > 0 and self.pods[index - 1] is ask
        for number in range(first if alike else 0, len(self.nodes)):
            if self._stand(ask, self.nodes[number], index, number):
                return True
        return self._start(ask, index)

    def _stand(self, ask: Ask, node: _Node, index: int, number: int) -> bool:
        choices = agreed(ask, node.choices)
        fits = node.name in self.ground.fitting(ask, node.pool) and room_for(ask, node.free) > 0
        if choices is None or not fits or not is_welcome(ask, node.pods) or (ask in node.pods and repels(ask, ask)):
            return False
        before = node.free, node.choices, node.pods
        node.free = {**node.free}
        for name, wanted in ask.requests.items():
            if name != DISK or name in node.free:
                node.free[name] = node.free.get(name, 0) - wanted
        node.choices, node.pods = choices, {**node.pods, ask: node.pods.get(ask, 0) + 1}
        if self.place(index + 1, number):
            return True
        node.free, node.choices, node.pods = before
        return False

    def _start(self, ask: Ask, index: int) -> bool:
        for pool in self.ground.pools:
            if pool.replicas is not None:
                continue
            for name in self.ground.fitting(ask, pool):
                budget = self.budgets[pool.name]
                if not affordable(self.ground, pool, name, budget):
                    continue
                free = dict(self.ground.room(pool, name).free)
                choices = {**pool.choices, NODEPOOL: Choice(frozenset({pool.name}))}
                self.nodes.append(_Node(pool=pool, name=name, free=free, choices=choices, pods={}))
                spend(self.ground, pool, name, budget, 1)
                if self._stand(ask, self.nodes[-1], index, len(self.nodes) - 1):
                    return True
                spend(self.ground, pool, name, budget, -1)
                self.nodes.pop()
        return False


def can_place(ground: Ground, counts: Mapping[Ask, int]) -> bool | None:
    """Whether so many pods can be placed; None where that would take too long to find out.

    Pods that a pool without limits takes are left out: it can always start one more node.
    """
    endless = [pool for pool in ground.pools if pool.replicas is None and not pool.limits]
    asks = [each for each in counts if not any(ground.fitting(each, pool) for pool in endless)]
    if sum(counts[each] for each in asks) > MOST_PODS:
        return None
    pods = [each for each in sorted(asks, key=size, reverse=True) for _ in range(counts[each])]
    try:
        return _Search(ground, pods).place(0, 0)
    except TooMuch:
        return None


def limited(ground: Ground, ask: Ask) -> Iterator[Pool]:
    """The pools that a pod may go to."""
    yield from (pool for pool in ground.pools if ground.fitting(ask, pool))
