"""Who may stand where: pods and pools brought together.

The idea that makes it fast: pods that ask for the same and pools that give the same are looked at once, and every
demand on instance types is a set of their names, so that looking is intersecting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from hanok.gpu.catalog import Instance
from hanok.preflight.engines import Engine, by_workload, engines
from hanok.preflight.facts import Facts
from hanok.preflight.manifests import Cluster, mappings_at, text_at
from hanok.preflight.placement import Capacity, Seat, Sharing
from hanok.preflight.quantities import CPU, DISK, PODS, Amounts, add
from hanok.preflight.scheduling.asks import Ask, ask
from hanok.preflight.scheduling.choices import ABSENT, ANY, Choice, Choices, conflict
from hanok.preflight.scheduling.pools import Pool, read_pools
from hanok.preflight.scheduling.taints import untolerated
from hanok.preflight.scheduling.types import CAPACITY, KNOWN, NODEPOOL, Types
from hanok.preflight.workloads import Workload, operated

ASSUMED: Amounts = {CPU: 150, PODS: 2}
"""What `aws-node` (50m) and `kube-proxy` (100m) take of each node of EC2: EKS's own defaults, general knowledge."""
MOST_TOGETHER = 64
"""A node is chosen for no more pods than so many: what comes later may be less."""
KINDS_KEPT = 32
UNPRICED_USD = 1e6
"""What has no price is taken last."""
_ASSUMED_NAMES = frozenset({"aws-node", "kube-proxy"})
_TOLD_LATER = ("nvidia.com/", "feature.node.kubernetes.io/")
"""Labels that a node is given once it runs: a DaemonSet may wait for them, a pending pod waits for ever."""


@dataclass(frozen=True)
class Room:
    """What is left of an empty node: `seen` by whoever starts nodes, `real` once its kubelet runs; both have to do."""

    free: Amounts
    seen: Amounts
    real: Amounts


class Ground:
    """Pools, asks, and who may stand where."""

    def __init__(self, cluster: Cluster, facts: Facts, workloads: Sequence[Workload]) -> None:
        self.cluster, self.facts = cluster, facts
        self.types = Types(facts.catalog)
        self.pools = read_pools(cluster, self.types)
        self._alike: dict[tuple[str, str], Ask] = {}
        self.asks = [self._ask(each) for each in (*workloads, *operated(cluster)) if _is_own(each, cluster)]
        self._daemons = [(each, self._reach(each)) for each in self.asks if each.workload.per_node]
        names = {each.workload.manifest.name for each, _ in self._daemons}
        self.assumed: Amounts = {} if names & _ASSUMED_NAMES else ASSUMED
        self._numbers: dict[object, int] = {}
        self._wheres: dict[Ask, int] = {}
        self._sizes: dict[Ask, int] = {}
        for each in self.asks:  # sizes in the order of the requests: of several MIG profiles the first is taken
            first = self.first_like(each)
            self._wheres[each] = self._number(each.where) if each is first else self._wheres[first]
            self._sizes[each] = self._number(tuple(each.requests.items())) if each is first else self._sizes[first]
        self._kinds = {each: self._number(each.signature) for each in self.pools}
        self._rooms: dict[tuple[int, str], Room] = {}
        self._room_kinds: dict[Pool, int] = {}
        self._daemons_by_kind: dict[int, Sequence[Ask]] = {}
        self._fitting: dict[tuple[int, frozenset[str], int], Sequence[str]] = {}
        self._holding: dict[tuple[int, Sequence[str], int], Sequence[tuple[str, int]]] = {}
        self._costs: dict[tuple[int, Sequence[str], int, int], Sequence[tuple[str, int]]] = {}
        self._open: dict[tuple[int, int], frozenset[str] | None] = {}
        self._tables: dict[tuple[frozenset[str], int], Sequence[tuple[str, Amounts]]] = {}
        self._reaches: dict[int, Mapping[Pool, frozenset[str]]] = {}
        self._aims: dict[int, tuple[str, Choice | None]] = {}
        self._ordered: dict[frozenset[str], Sequence[str]] = {}
        self._seats: dict[tuple[str, str, frozenset[Capacity], Sharing | None], Seat] = {}
        self._seated: dict[tuple[int, int], bool] = {}
        self._firsts: dict[tuple[int, int], Sequence[Seat]] = {}
        self._machines: dict[tuple[int, int], Sequence[Seat]] = {}

    def _ask(self, workload: Workload) -> Ask:
        """What a pod asks for; of pods that are alike it is worked out once."""
        like = (workload.namespace, workload.likeness)
        first = self._alike.get(like)
        if first is None:
            self._alike[like] = first = ask(workload, self.cluster)
        return first if first.workload is workload else replace(first, workload=workload)

    def first_like(self, ask: Ask) -> Ask:
        """The first of all pods with the same spec in the same namespace: what nodes take it take this one, too."""
        return self._alike[ask.workload.namespace, ask.workload.likeness]

    def kind(self, ask: Ask) -> tuple[int, int]:
        """Equal for pods that ask for the same, of the same nodes."""
        return self._sizes[ask], self._wheres[ask]

    def _number(self, key: object) -> int:
        """The same small number for what is the same: quicker to compare than what it stands for."""
        return self._numbers.setdefault(key, len(self._numbers))

    def _reach(self, daemon: Ask) -> frozenset[str]:
        return _all(self.types.left(_told_now(each)) for each in daemon.alternatives)

    @cached_property
    def engines(self) -> Mapping[Workload, Sequence[Engine]]:
        """Engines by the workload that they run in."""
        return by_workload(engines([each.workload for each in self.asks]))

    @cached_property
    def pods(self) -> Sequence[Ask]:
        """Those that look for a node, DaemonSets not among them."""
        return [each for each in self.asks if not each.workload.per_node]

    @cached_property
    def seats(self) -> Mapping[Workload, Sequence[Seat]]:
        """Where each pod may stand; looked up when asked for, since thousands of pods have thousands of seats."""
        return Seats(self, self.seats_of)

    @cached_property
    def first_seats(self) -> Mapping[Workload, Sequence[Seat]]:
        """The cheapest seat in each pool that takes a pod."""
        return Seats(self, self.first_seats_of)

    @cached_property
    def machines(self) -> Mapping[Workload, Sequence[Seat]]:
        """Where each pod may stand, of nodes that are alike the first."""
        return Seats(self, self.machines_of)

    def machines_of(self, ask: Ask) -> Sequence[Seat]:
        """Kept for the last few kinds of pods: engines of a tree are of few, and their seats may be many."""
        kind = self.kind(ask)
        if kind not in self._machines:
            if len(self._machines) >= KINDS_KEPT:
                self._machines.clear()
            different: dict[tuple[object, ...], Seat] = {}
            for each in self.seats_of(ask):
                there = each.manifest is not None and each.manifest.kind == "Node"
                key = (each.instance, each.host, each.capacities, each.sharing) if there else (id(each),)
                different.setdefault(key, each)
            self._machines[kind] = tuple(different.values())
        return self._machines[kind]

    def first_seats_of(self, ask: Ask) -> Sequence[Seat]:
        kind = self.kind(ask)
        found = self._firsts.get(kind)
        if found is None:
            pairs = ((pool, self.fitting(ask, pool)[:1]) for pool in self.reach(ask))
            found = self._firsts[kind] = tuple(self.seat(ask, pool, name) for pool, names in pairs for name in names)
        return found

    def seats_of(self, ask: Ask) -> Iterator[Seat]:
        for pool in self.reach(ask):
            for name in self.fitting(ask, pool):
                yield self.seat(ask, pool, name)

    def is_seated(self, ask: Ask) -> bool:
        """Whether any node takes the pod."""
        kind = self.kind(ask)
        found = self._seated.get(kind)
        if found is None:
            found = self._seated[kind] = any(self.fitting(ask, pool) for pool in self.reach(ask))
        return found

    def fitting(self, ask: Ask, pool: Pool) -> Sequence[str]:
        """The instance types of a pool that a pod may be put on, cheapest first."""
        names = self.reach(ask).get(pool)
        if not names:
            return ()
        key = (self._sizes[ask], names, self.room_kind(pool))
        found = self._fitting.get(key)
        if found is None:
            wanted = tuple(ask.requests.items())
            found = tuple(name for name, free in self._rows(names, pool) if _is_enough(wanted, free))
            self._fitting[key] = found
        return () if pool.least_values and self.too_few(pool, found) else found

    def too_few(self, pool: Pool, names: Sequence[str]) -> str:
        """The label of which these types have fewer values than Karpenter wants to choose from; empty for none."""
        for key, least in pool.least_values.items():
            if len({self.types.labels[name].get(key) for name in names}) < least:
                return key
        return ""

    def _rows(self, names: frozenset[str], pool: Pool) -> Sequence[tuple[str, Amounts]]:
        """Types, cheapest first, and what their empty nodes leave to pods."""
        key = (names, self.room_kind(pool))
        found = self._tables.get(key)
        if found is None:
            found = self._tables[key] = [(name, self.room(pool, name).free) for name in self.ordered(names)]
        return found

    def is_meant(self, ask: Ask, pool: Pool) -> bool:
        """Whether what the pod says of pools' and nodes' names allows this one."""
        aim = self._aims.get(self._wheres[ask])
        if aim is None:
            named = [each.get(NODEPOOL) for each in ask.alternatives]
            whole = _any_of([each for each in named if each]) if named and all(named) else None
            aim = self._aims[self._wheres[ask]] = (ask.node_name, whole)
        node, wanted = aim
        if node or pool.cloud == "node":
            return pool.cloud == "node" and node in ("", pool.name)
        return wanted is None or wanted.has(pool.name)

    def reach(self, ask: Ask) -> Mapping[Pool, frozenset[str]]:
        """The types of each pool whose labels and taints suit the pod."""
        where = self._wheres[ask]
        found = self._reaches.get(where)
        if found is None:
            pairs = ((pool, self.reachable(ask, pool)) for pool in self.pools if self.is_meant(ask, pool))
            found = self._reaches[where] = {pool: names for pool, names in pairs if names}
        return found

    def by_cost(self, ask: Ask, pool: Pool, company: int) -> Sequence[tuple[str, int]]:
        """Types by what one pod costs on them, where so many are to come, and how many each holds."""
        names = self.fitting(ask, pool)
        if not names:
            return ()
        most = min(company, MOST_TOGETHER)
        key = (self._sizes[ask], names, self.room_kind(pool), most)
        found = self._costs.get(key)
        if found is None:
            rooms = self._holds(ask, pool, names)
            ranked = sorted((self._price(name) / min(each, most), name, each) for name, each in rooms)
            found = self._costs[key] = [(name, each) for _, name, each in ranked]
        return found

    def _holds(self, ask: Ask, pool: Pool, names: Sequence[str]) -> Sequence[tuple[str, int]]:
        """How many of these pods an empty node of each type holds."""
        key = (self._sizes[ask], names, self.room_kind(pool))
        found = self._holding.get(key)
        if found is None:
            found = [(name, room_in(ask.requests, self.room(pool, name).free)) for name in names]
            self._holding[key] = found
        return found

    def _price(self, name: str) -> float:
        found = self.types.instances.get(name)
        return (found.usd_hour if found else None) or UNPRICED_USD

    def ordered(self, names: frozenset[str]) -> Sequence[str]:
        """Instance types, cheapest first."""
        if names not in self._ordered:
            self._ordered[names] = sorted(names, key=self.price_order)
        return self._ordered[names]

    def reachable(self, ask: Ask, pool: Pool) -> frozenset[str] | None:
        """The types of a pool whose labels and taints suit; None where the pool's own do not."""
        key = (self._wheres[ask], self._kinds[pool])
        if key not in self._open:
            self._open[key] = self._reachable(ask, pool)
        return self._open[key]

    def _reachable(self, ask: Ask, pool: Pool) -> frozenset[str] | None:
        if untolerated(pool.taints, ask.tolerations):
            return None
        agreed = [each for each in ask.alternatives if disagreement(each, pool) is None]
        if not agreed:
            return None
        if pool.cloud == "node":
            return pool.names
        return _all(pool.names & self.types.left(each) for each in agreed)

    def fits(self, ask: Ask, pool: Pool, name: str) -> bool:
        return _is_enough(tuple(ask.requests.items()), self.room(pool, name).free)

    def just_fitting(self, ask: Ask, pool: Pool) -> Sequence[str]:
        """Types that the pod fits on where nothing runs that is not in the tree."""
        if pool.cloud != "ec2" or not self.assumed or not self.suits(ask, pool):
            return ()
        lighter = {each: value - self.assumed.get(each, 0) for each, value in ask.requests.items()}
        rooms = [(name, self.room(pool, name).free) for name in sorted(self.reachable(ask, pool) or ())]
        if any(self.fits(ask, pool, name) for name, _ in rooms):
            return ()
        return [name for name, free in rooms if _is_enough(tuple(lighter.items()), free)]

    def suits(self, ask: Ask, pool: Pool) -> bool:
        """Whether labels, taints and names suit, whatever the pod's size."""
        return pool in self.reach(ask)

    def room(self, pool: Pool, name: str) -> Room:
        """What an empty node of this type leaves to pods that are no daemons."""
        key = (self.room_kind(pool), name)
        found = self._rooms.get(key)
        if found is None:
            found = self._rooms[key] = self._room(pool, name)
        return found

    def room_kind(self, pool: Pool) -> int:
        """The same number for pools whose nodes leave pods the same, type by type."""
        found = self._room_kinds.get(pool)
        if found is None:
            own = pool.name if pool.cloud == "node" else ""
            overlays = tuple(id(each) for each in pool.overlays)
            daemons = tuple(id(each) for each in self._daemons_of(pool))
            key = (own, pool.cloud, pool.disk, pool.most_pods, overlays, id(pool.shared), daemons)
            found = self._room_kinds[pool] = self._number(key)
        return found

    def _room(self, pool: Pool, name: str) -> Room:
        whole = self.whole(pool, name)
        real = self._real(pool, name, whole)
        taken = add({}, *(each.requests for each in self.daemons(pool, name)))
        taken = add(taken, self.assumed) if pool.cloud == "ec2" else taken
        seen = {each: value - taken.get(each, 0) for each, value in whole.items()}
        free = {each: min(seen.get(each, 0), real.get(each, 0)) for each in {*seen, *real}}
        return Room(free=free, seen=seen, real=real)

    def whole(self, pool: Pool, name: str) -> Amounts:
        """What whoever starts nodes believes that one offers."""
        if name in pool.fixed:
            return pool.fixed[name][1]
        found = self.types.offers(name, disk=pool.disk, pods=pool.most_pods)
        added = [each for each in pool.overlays if name in self.types.left(each.choices)]
        for each in added:
            found = {**found, **each.capacity}
        return found

    def _real(self, pool: Pool, name: str, whole: Amounts) -> Amounts:
        """What the node will offer: GPUs that are shared out are offered otherwise than they are sold."""
        host = self.host(pool, name)
        if pool.cloud == "node" or self.types.makers.get(host.accelerator) != "nvidia":
            return whole
        shared = pool.shared.offers(host.gpus, self.types.slices.get(host.accelerator, {}))
        return {**{each: value for each, value in whole.items() if not each.startswith("nvidia.com/")}, **shared}

    def daemons(self, pool: Pool, name: str) -> Iterator[Ask]:
        """The DaemonSets whose pods stand on such a node."""
        reach = dict(self._daemons)
        gpu = bool(self.host(pool, name).accelerator)
        for each in self._daemons_of(pool):
            if (gpu or not _waits_for_gpu(each)) and (name in reach[each] or pool.cloud == "node"):
                yield each

    def _daemons_of(self, pool: Pool) -> Sequence[Ask]:
        kind = self._kinds[pool]
        if kind not in self._daemons_by_kind:
            self._daemons_by_kind[kind] = [each for each, _ in self._daemons if _is_daemon_of(each, pool)]
        return self._daemons_by_kind[kind]

    def host(self, pool: Pool, name: str) -> Instance:
        return pool.fixed[name][0] if name in pool.fixed else self.types.instances[name]

    def seat(self, ask: Ask | None, pool: Pool, name: str) -> Seat:
        """The seat of a pod; without one, of an empty node."""
        capacities = capacities_of(ask, pool) if ask else pool.capacities
        sharing = sharing_of(ask, pool) if ask else None
        key = (pool.name, name, capacities, sharing)
        found = self._seats.get(key)
        if found is None:
            host = self.host(pool, name)
            found = self._seats[key] = Seat(
                pool=pool.name, manifest=pool.manifest, instance=name, host=host, capacities=capacities,
                sharing=sharing, usd_hour=host.usd_hour,
            )  # fmt: skip
        return found

    def price_order(self, name: str) -> tuple[bool, float, str]:
        """Cheapest first; without a price last."""
        found = self.types.instances.get(name)
        price = found.usd_hour if found else None
        return price is None, price or 0.0, name


def _is_enough(wanted: Sequence[tuple[str, int]], free: Amounts) -> bool:
    """Whether so much is free; disk is not asked after where nobody knows it. A plain loop: it runs a million times."""
    for name, count in wanted:  # noqa: SIM110 - see above
        if free.get(name, 0) < count and (name != DISK or name in free):
            return False
    return True


def room_in(requests: Amounts, free: Amounts) -> int:
    """How many times so much is free."""
    times = [free.get(each, 0) // wanted for each, wanted in requests.items() if each != DISK or each in free]
    return min(times, default=1 << 30)


def _any_of(choices: Sequence[Choice]) -> Choice | None:
    """What any of them allows; None where that is not a plain list of values."""
    if any(each.others for each in choices):
        return choices[0] if len(choices) == 1 else None
    return Choice(_all(each.values for each in choices))


def _all(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset(each for found in sets for each in found)


class Seats(Mapping[Workload, Sequence[Seat]]):
    """Seats by workload, for those that have any."""

    def __init__(self, ground: Ground, seats_of: Callable[[Ask], Iterable[Seat]]) -> None:
        self._seats_of = seats_of
        self._asks = {each.workload: each for each in ground.asks if ground.is_seated(each)}

    def __getitem__(self, workload: Workload) -> Sequence[Seat]:
        return tuple(self._seats_of(self._asks[workload]))

    def __contains__(self, workload: object) -> bool:
        return workload in self._asks

    def __iter__(self) -> Iterator[Workload]:
        return iter(self._asks)

    def __len__(self) -> int:
        return len(self._asks)


def disagreement(wanted: Choices, pool: Pool) -> str | None:
    """The first label on which they do not agree; a node that is there has the labels that it has."""
    if pool.cloud != "node":
        return conflict(pool.choices, wanted, KNOWN)
    return next((key for key, each in wanted.items() if not _has(pool, key, each)), None)


def _has(pool: Pool, key: str, wanted: Choice) -> bool:
    given = pool.choices.get(key, ABSENT)
    return not (given & wanted).is_empty or (given.is_empty and wanted.takes_absent)


def capacities_of(ask: Ask, pool: Pool) -> frozenset[Capacity]:
    """How nodes for this pod may be bought."""
    return frozenset(
        each for each in pool.capacities if any(its.get(CAPACITY, ANY).has(each) for its in ask.alternatives)
    )


def sharing_of(ask: Ask, pool: Pool) -> Sharing | None:
    """How the GPUs that a pod asks for are shared out in this pool."""
    for name in ask.extended:
        if name.startswith("nvidia.com/mig-"):
            return Sharing(kind="mig", profile=name.removeprefix("nvidia.com/mig-"))
    asked = [each for each in ask.extended if each.startswith("nvidia.com/")]
    return pool.shared.only if asked and pool.shared.only else None


def _is_own(workload: Workload, cluster: Cluster) -> bool:
    """Not made by something else that is here, and not over: a cluster's dump holds both."""
    manifest = workload.manifest
    if text_at(manifest.body, "status", "phase") in ("Succeeded", "Failed"):
        return False
    owners = mappings_at(manifest.body, "metadata", "ownerReferences")
    return not any(cluster.find(text_at(each, "kind"), text_at(each, "name"), manifest.namespace) for each in owners)


def _told_now(choices: Choices) -> Choices:
    return {key: each for key, each in choices.items() if not key.startswith(_TOLD_LATER)}


def _waits_for_gpu(daemon: Ask) -> bool:
    return all(any(key.startswith("nvidia.com/") for key in each) for each in daemon.alternatives)


def _is_daemon_of(daemon: Ask, pool: Pool) -> bool:
    if untolerated(pool.taints, daemon.tolerations):
        return False
    return any(disagreement(_told_now(each), pool) is None for each in daemon.alternatives)
