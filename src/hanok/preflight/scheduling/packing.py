"""How many nodes it takes: pods put on nodes, the largest first, nodes started where the next ones are cheapest.

As Karpenter does, pools are asked in their order, and a pod goes to the first that can start a node for it; of that
pool's types the one is taken that costs least for each pod that it would hold. Alike nodes are one entry with a count,
so that ten thousand replicas cost no more than ten. A packing that is found is a proof; none found is not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hanok.preflight.manifests import selects
from hanok.preflight.placement import Capacity, Node
from hanok.preflight.quantities import CPU, DISK, MEMORY, Amounts
from hanok.preflight.scheduling.asks import Ask
from hanok.preflight.scheduling.choices import ANY, Choice, Choices
from hanok.preflight.scheduling.pools import Pool
from hanok.preflight.scheduling.seating import Ground, room_in
from hanok.preflight.scheduling.types import CAPACITY, NODEPOOL, vcpus

NODES = "nodes"
_VM_SHARE = 0.925
"""Of the memory that is sold, what Karpenter counts against a pool's limits."""


@dataclass(kw_only=True, eq=False)
class Started:
    """So many nodes alike, and what stands on each."""

    pool: Pool
    name: str
    count: int
    free: dict[str, int]
    choices: Choices
    pods: dict[Ask, int] = field(default_factory=dict["Ask", int])


@dataclass(frozen=True, kw_only=True, eq=False)
class Packed:
    """Nodes, and pods that were not placed although there are seats for them."""

    nodes: Sequence[Started]
    left: Mapping[Ask, int]


def pack(ground: Ground, counts: Mapping[Ask, int]) -> Packed:
    """Put so many pods of each kind on nodes."""
    nodes = list(_begun(ground))
    budgets = {pool.name: dict(pool.limits) for pool in ground.pools}
    left: dict[Ask, int] = {}
    order = sorted((each for each, count in counts.items() if count), key=size, reverse=True)
    alike = Counter[tuple[object, ...]]()
    for ask in order:
        alike[_company(ground, ask)] += counts[ask]
    closed: dict[tuple[int, int], int] = {}
    for ask in order:
        rest = _fill(ground, ask, counts[ask], nodes, closed)
        rest = _start(ground, ask, rest, alike[_company(ground, ask)], nodes, budgets) if rest else 0
        alike[_company(ground, ask)] -= counts[ask]
        if rest:
            left[ask] = rest
    return Packed(nodes=nodes, left=left)


def _company(ground: Ground, ask: Ask) -> tuple[object, ...]:
    """Equal for pods that are likely to share nodes: a node is chosen for all that are still to come."""
    _, where = ground.kind(ask)
    return where, frozenset(ask.extended)


def size(ask: Ask) -> tuple[int, int, int, str]:
    """What is hard to place: many GPUs, then processors, then memory, as Karpenter orders pods."""
    wanted = ask.requests
    return sum(ask.extended.values()), wanted.get(CPU, 0), wanted.get(MEMORY, 0), ask.workload.title


def _begun(ground: Ground) -> Iterator[Started]:
    """Nodes that are there before any pod asks."""
    for pool in ground.pools:
        if pool.replicas and pool.names:
            name = min(pool.names, key=ground.price_order)
            yield Started(
                pool=pool, name=name, count=pool.replicas, free=dict(ground.room(pool, name).free), choices=pool.choices
            )  # fmt: skip


def _fill(ground: Ground, ask: Ask, wanted: int, nodes: list[Started], closed: dict[tuple[int, int], int]) -> int:
    """Put pods on nodes that have room; how many are left.

    `closed` counts, for pods that are alike, the first nodes that have no room for one of them: they never will again.
    """
    cpu, memory, reach = ask.requests.get(CPU, 0), ask.requests.get(MEMORY, 0), ground.reach(ask)
    kind = ground.kind(ask)
    first, is_first = closed.get(kind, 0), True
    for index in range(first, len(nodes) if reach else 0):
        if not wanted:
            break
        node, each, choices = nodes[index], 0, None
        if node.free[CPU] >= cpu and node.free[MEMORY] >= memory and node.name in reach.get(node.pool, ()):
            choices, each = agreed(ask, node.choices), room_for(ask, node.free)
        if choices is None or not each:
            if is_first:
                closed[kind] = index + 1
            continue
        is_first = False
        if is_welcome(ask, node.pods):
            wanted -= _put_on(nodes, node, ask, min(wanted, each * node.count), each, choices)
    return wanted


def _put_on(nodes: list[Started], node: Started, ask: Ask, count: int, each: int, choices: Choices) -> int:
    """Put so many pods on these nodes, `each` on one of them until the last; how many that were."""
    full, rest = divmod(count, each)
    _split(nodes, node, full, each, ask, choices)
    if rest:
        _split(nodes, node, 1, rest, ask, choices)
    return count


def _split(nodes: list[Started], node: Started, count: int, each: int, ask: Ask, choices: Choices) -> None:
    """Put so many pods on each of `count` of these nodes."""
    if not count:
        return
    if count < node.count:
        node.count -= count
        node = Started(
            pool=node.pool, name=node.name, count=count, free=dict(node.free), choices=node.choices,
            pods=dict(node.pods),
        )  # fmt: skip
        nodes.append(node)
    put(ask, each, node.free)
    node.choices = choices
    node.pods[ask] = node.pods.get(ask, 0) + each


def put(ask: Ask, count: int, free: dict[str, int]) -> None:
    for name, wanted in ask.requests.items():
        if name != DISK or name in free:
            free[name] = free.get(name, 0) - wanted * count


def room_for(ask: Ask, free: Amounts) -> int:
    """How many of these pods fit in what is free."""
    most = room_in(ask.requests, free)
    return min(most, 1) if repels(ask, ask) else max(0, most)


def is_welcome(ask: Ask, pods: Mapping[Ask, int]) -> bool:
    """Whether nobody on the node and the pod repel each other."""
    return not any(repels(ask, each) for each in pods)


def repels(one: Ask, other: Ask) -> bool:
    """Whether two pods may not stand on one node: the same port, or an anti-affinity of either."""
    if not (one.alone or other.alone):
        return False
    return bool(one.ports & other.ports) or _avoids(one, other) or _avoids(other, one)


def _avoids(one: Ask, other: Ask) -> bool:
    where, labels = other.workload.namespace, other.workload.labels
    return any(
        (not each.namespaces or where in each.namespaces) and selects(each.selector, labels) for each in one.repels
    )


def agreed(ask: Ask, choices: Choices) -> Choices | None:
    """What a node's labels may still be with this pod on it; None where they do not agree."""
    for wanted in ask.alternatives:
        if not wanted:
            return choices
        merged = {**choices}
        for key, each in wanted.items():
            given = merged.get(key)
            both = each if given is None else given & each
            if given is not None and both.is_empty and not (given.takes_absent and each.takes_absent):
                break
            merged[key] = both
        else:
            return merged
    return None


def _start(
    ground: Ground, ask: Ask, wanted: int, company: int, nodes: list[Started], budgets: dict[str, dict[str, int]]
) -> int:
    """Start nodes for pods, of which `company` more are to come; how many are left."""
    for pool in ground.reach(ask):
        budget = budgets[pool.name]
        while wanted and pool.replicas is None:
            best = _cheapest(ground, ask, pool, max(wanted, company), budget)
            if best is None:
                break
            name, each, most = best
            each = 1 if repels(ask, ask) else each
            pods = min(each, wanted)
            count = max(1, min(most, wanted // each))
            choices = agreed(ask, {**pool.choices, NODEPOOL: Choice(frozenset({pool.name}))})
            node = Started(
                pool=pool, name=name, count=count, free=dict(ground.room(pool, name).free), choices=choices or {}
            )  # fmt: skip
            put(ask, pods, node.free)
            node.pods[ask] = pods
            nodes.append(node)
            spend(ground, pool, name, budget, count)
            wanted -= pods * count
    return wanted


def _cheapest(ground: Ground, ask: Ask, pool: Pool, company: int, budget: Amounts) -> tuple[str, int, int] | None:
    """The type that costs least a pod, how many pods it holds, and how many nodes of it the limits allow."""
    for name, each in ground.by_cost(ask, pool, company):
        most = affordable(ground, pool, name, budget)
        if most:
            return name, each, most
    return None


def cost(ground: Ground, pool: Pool, name: str, resource: str) -> int:
    """What one node counts against a limit of its pool."""
    if resource == NODES:
        return 1
    if name not in pool.fixed:
        host = ground.types.instances[name]
        if resource == CPU:
            return vcpus(host) * 1000
        if resource == MEMORY:
            return int((host.installed_mib or host.memory_mib) * _VM_SHARE) << 20
    return ground.whole(pool, name).get(resource, 0)


def affordable(ground: Ground, pool: Pool, name: str, budget: Amounts) -> int:
    """How many nodes of a type a pool's limits still allow."""
    counts = ((left, cost(ground, pool, name, resource)) for resource, left in budget.items())
    return min((max(0, left) // each for left, each in counts if each), default=1 << 100)


def spend(ground: Ground, pool: Pool, name: str, budget: dict[str, int], count: int) -> None:
    for resource in budget:
        budget[resource] -= cost(ground, pool, name, resource) * count


def nodes_of(ground: Ground, packed: Packed, prefer: Sequence[Capacity]) -> list[Node]:
    """The nodes, alike ones as one, each bought in the first of these ways that its pods and its pool allow."""
    return [_node(ground, each, prefer) for each in packed.nodes if each.pods or each.pool.replicas]


def _node(ground: Ground, each: Started, prefer: Sequence[Capacity]) -> Node:
    asks = sorted(each.pods, key=lambda ask: (-sum(ask.extended.values()), ask.workload.title))
    seat = ground.seat(asks[0] if asks else None, each.pool, each.name)
    wanted = each.choices.get(CAPACITY, ANY)
    ways: list[Capacity] = [way for way in prefer if way in each.pool.capacities and wanted.has(way)]
    pods = tuple((ask.workload, each.pods[ask]) for ask in asks)
    return Node(seat=seat, capacity=ways[0] if ways else prefer[0], pods=pods, free=dict(each.free), count=each.count)


def bound(ground: Ground, counts: Mapping[Ask, int], pools: Sequence[Pool], resource: str) -> int:
    """At least so much of a limit's resource do these pods take in these pools, however they are packed.

    What pods ask for on a node is never more than it offers; so of each resource, a pod takes at least what it asks
    for at the rate of the pools' best type. The dearest resource counts.
    """
    totals: dict[str, float] = {}
    for ask, count in counts.items():
        rates = _rates(ground, ask, pools, resource)
        for name, rate in rates.items():
            totals[name] = totals.get(name, 0.0) + rate * ask.requests[name] * count
    return math.ceil(max(totals.values(), default=0.0) - 1e-6)


def _rates(ground: Ground, ask: Ask, pools: Sequence[Pool], resource: str) -> dict[str, float]:
    """What one unit of each thing that a pod asks for costs at least."""
    found: dict[str, float] = {}
    for pool in pools:
        for name in ground.fitting(ask, pool):
            free, price = ground.room(pool, name).free, cost(ground, pool, name, resource)
            for each in ask.requests:
                if free.get(each):
                    found[each] = min(found.get(each, math.inf), price / free[each])
    return found
