"""The bill: what the nodes of a placement cost, who causes it, and what nobody uses.

The idea that makes it simple: a node's price belongs to its pods, each by the resource of which it takes the largest
share of that node (the dominant one); what is left is idle. USD an hour everywhere; a month has 730 hours. Spot has no
price of its own: the catalogue's range, a share of on demand, stands for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from hanok.errors import PlanError
from hanok.gpu import Anatomy, Catalog, Option, Shape, Split, api_million, api_price, option_on, want
from hanok.gpu.catalog import ApiPrice, Share
from hanok.preflight.engines import Engine
from hanok.preflight.placement import Node, Placement
from hanok.preflight.platform.planned import Planned
from hanok.preflight.quantities import PODS, add, times
from hanok.preflight.workloads import Workload
from hanok.spec import Deploy

MONTH_H = 730
"""Hours of a month, as clouds reckon: 365 · 24 / 12."""


@dataclass(frozen=True, kw_only=True)
class Rent:
    """USD an hour. From `low` to `high` as the pools allow, spot where they may take it; `on_demand` without spot."""

    on_demand: float = 0.0
    low: float = 0.0
    high: float = 0.0

    def plus(self, other: Rent) -> Rent:
        return Rent(on_demand=self.on_demand + other.on_demand, low=self.low + other.low, high=self.high + other.high)

    def part(self, share: float) -> Rent:
        return Rent(on_demand=self.on_demand * share, low=self.low * share, high=self.high * share)


def together(rents: Iterable[Rent]) -> Rent:
    """Their sum."""
    total = Rent()
    for each in rents:
        total = total.plus(each)
    return total


@dataclass(frozen=True, kw_only=True, eq=False)
class PoolCost:
    """What the nodes of one pool cost. `instances` are their types, with how many of each at most replicas."""

    pool: str
    nodes: tuple[int, int]
    instances: Mapping[str, int]
    least: Rent
    most: Rent


@dataclass(frozen=True, kw_only=True, eq=False)
class WorkloadCost:
    """A workload's share of its nodes."""

    workload: Workload
    least: Rent
    most: Rent


@dataclass(frozen=True, kw_only=True, eq=False)
class EngineCost:
    """USD per million tokens of usual calls, prompt and answer together: always full, and with `at_load` calls at once.

    `replica` is what one copy of the model costs; `api` is an API's price for a model of the same class.
    """

    engine: Engine
    instance: str
    replica: Rent
    shape: Shape
    at_load: int
    million_full: float
    million_load: float
    api: ApiPrice | None

    @property
    def api_million(self) -> float | None:
        return api_million(self.api, self.shape) if self.api else None


@dataclass(frozen=True, kw_only=True, eq=False)
class Bill:
    """Everything that costs. `models` are those of platform files, planned, that no engine of manifests serves."""

    pools: Sequence[PoolCost] = ()
    workloads: Sequence[WorkloadCost] = ()
    engines: Sequence[EngineCost] = ()
    models: Sequence[Planned] = ()
    unpriced: Sequence[Node] = ()
    """Nodes whose instance type has no price; nothing above counts them."""
    left_out: Sequence[Workload] = ()
    """Workloads whose nodes are not known, so that nothing above counts them."""
    idle: tuple[float, float] = (0.0, 0.0)
    """USD an hour, on demand, of what no pod asked for: at the fewest and at the most replicas."""
    least: Rent = field(default_factory=Rent)
    most: Rent = field(default_factory=Rent)

    @cached_property
    def is_empty(self) -> bool:
        return not (self.pools or self.models or self.unpriced)


def make_bill(
    placement: Placement,
    workloads: Sequence[Workload],
    engines: Sequence[Engine],
    models: Sequence[Planned],
    *,
    catalog: Catalog,
    anatomy: Callable[[str], Anatomy],
) -> Bill:
    """The bill of a placement, and of the models that were planned."""
    spot = catalog.spot
    rendered = {each.model for each in engines if each.workload in placement.seats}
    own = [each for each in models if each.best and each.weights not in rendered]
    return Bill(
        pools=list(_pools(placement, spot)),
        workloads=list(_workloads(placement, workloads, spot)),
        engines=list(_engines(placement, engines, catalog, anatomy)),
        models=own,
        unpriced=[each for each in placement.most if each.seat.usd_hour is None],
        left_out=[each for each in workloads if each.most and not each.per_node and each not in placement.seats],
        idle=(_idle(placement.least), _idle(placement.most)),
        least=together([*(least_of(each) for each in own), *_rents(placement.least, spot)]),
        most=together([*(most_of(each) for each in own), *_rents(placement.most, spot)]),
    )


def _rents(nodes: Iterable[Node], spot: Share) -> Iterator[Rent]:
    return (rent(each, spot).part(each.count) for each in nodes)


def rent(node: Node, spot: Share) -> Rent:
    """What one node costs. Reserved capacity is paid whether it is used or not: as on demand here."""
    price = node.seat.usd_hour or 0.0
    may = node.seat.capacities or {node.capacity}
    low = price * spot.low if "spot" in may else price
    high = price * spot.high if may == {"spot"} else price
    return Rent(on_demand=price, low=low, high=high)


def least_of(model: Planned) -> Rent:
    """What a planned model costs at its fewest replicas; nothing where its machine has no price."""
    return _rent_of_plan(model, model.machines[0])


def most_of(model: Planned) -> Rent:
    """The same at its most replicas."""
    return _rent_of_plan(model, model.machines[1])


def _rent_of_plan(model: Planned, machines: int) -> Rent:
    cost = model.best.cost if model.best else None
    if model.best is None or cost is None:
        return Rent()
    low, high = cost.spot_hour if model.deploy.spot else (cost.hour, cost.hour)
    return Rent(on_demand=cost.hour, low=low, high=high).part(machines / model.best.count)


def _pools(placement: Placement, spot: Share) -> Iterator[PoolCost]:
    fewest, all_most = _by_pool(placement.least), _by_pool(placement.most)
    for name in {**all_most, **fewest}:
        least, most = fewest.get(name, []), all_most.get(name, [])
        types = Counter[str]()
        for each in most:
            types[each.seat.instance] += each.count
        yield PoolCost(
            pool=name,
            nodes=(sum(each.count for each in least), sum(types.values())),
            instances=dict(types),
            least=together(_rents(least, spot)),
            most=together(_rents(most, spot)),
        )


def _by_pool(nodes: Iterable[Node]) -> dict[str, list[Node]]:
    found: dict[str, list[Node]] = {}
    for each in nodes:
        found.setdefault(each.seat.pool, []).append(each)
    return found


def _workloads(placement: Placement, workloads: Sequence[Workload], spot: Share) -> Iterator[WorkloadCost]:
    least, most = (_by_workload(nodes, spot) for nodes in (placement.least, placement.most))
    for each in workloads:
        if each in least or each in most:
            yield WorkloadCost(workload=each, least=least.get(each, Rent()), most=most.get(each, Rent()))


def _by_workload(nodes: Iterable[Node], spot: Share) -> dict[Workload, Rent]:
    found: dict[Workload, Rent] = {}
    for node in nodes:
        price = rent(node, spot)
        for workload, share in shares(node).items():
            found[workload] = found.get(workload, Rent()).plus(price.part(share * node.count))
    return found


def shares(node: Node) -> dict[Workload, float]:
    """The share of a node that each of its workloads pays for. Together at most 1; what is missing is idle."""
    taken = [(workload, times(workload.requests, count)) for workload, count in node.pods]
    whole = add(node.free, *(each for _, each in taken))
    found: dict[Workload, float] = {}
    for workload, each in taken:
        parts = [amount / whole[name] for name, amount in each.items() if name != PODS and whole[name] > 0]
        found[workload] = found.get(workload, 0.0) + max(parts, default=0.0)
    total = max(1.0, sum(found.values()))
    return {workload: share / total for workload, share in found.items()}


def _idle(nodes: Iterable[Node]) -> float:
    idle = ((each, max(0.0, 1 - sum(shares(each).values()))) for each in nodes)
    return sum((each.seat.usd_hour or 0.0) * share * each.count for each, share in idle)


def _engines(
    placement: Placement, engines: Sequence[Engine], catalog: Catalog, anatomy: Callable[[str], Anatomy]
) -> Iterator[EngineCost]:
    """Engines of text whose model and node are known, and that have their GPUs for themselves."""
    nodes = {workload: node for node in reversed(placement.most) for workload, _ in node.pods}
    for engine in engines:
        node = None if engine.pooling or engine.unsettled else nodes.get(engine.workload)
        if node and node.seat.usd_hour is not None and (node.seat.sharing is None or node.seat.sharing.kind == "mig"):
            yield from _engine(engine, node, catalog, anatomy)


def _engine(engine: Engine, node: Node, catalog: Catalog, anatomy: Callable[[str], Anatomy]) -> Iterator[EngineCost]:
    deploy = _deploy(engine)
    try:
        wanted = want(anatomy(engine.model), deploy, catalog)
        option = _option(engine, node, wanted.anatomy, deploy, catalog)
    except PlanError:
        return
    if option is None:
        return
    replica, shape = _of_one_copy(engine, node, catalog.spot), wanted.shape
    yield EngineCost(
        engine=engine,
        instance=node.seat.instance,
        replica=replica,
        shape=shape,
        at_load=option.load.batch,
        million_full=_million(replica.on_demand, option.full.requests_per_s, shape),
        million_load=_million(replica.on_demand, option.load.requests_per_s, shape),
        api=api_price(wanted.anatomy, catalog),
    )


def _deploy(engine: Engine) -> Deploy:
    """What its flags say, for usual calls and as many at once as the planner takes for usual."""
    length, used = engine.whole("max-model-len", 0), engine.number("gpu-memory-utilization", 0.0)
    usual = Deploy()
    return Deploy(
        context_tokens=min(length, 10**8) if length > 0 else usual.context_tokens,
        memory_utilization=used if 0 < used <= 1 else None,
        kv_dtype="fp8" if (engine.given.get("kv-cache-dtype") or "").startswith("fp8") else "auto",
        quantization="fp8" if engine.given.get("quantization") == "fp8" else "auto",
    )


def _option(engine: Engine, node: Node, anatomy: Anatomy, deploy: Deploy, catalog: Catalog) -> Option | None:
    """How fast one copy is there; None where it does not fit, which another layer tells. Raises `PlanError`."""
    sharing = node.seat.sharing
    profile = sharing.profile if sharing and sharing.kind == "mig" else None
    split = Split(tensor=engine.tensor, pipeline=engine.pipeline)
    found = option_on(anatomy, deploy, catalog, instance=node.seat.instance, split=split, profile=profile)
    return found if isinstance(found, Option) else None


def _of_one_copy(engine: Engine, node: Node, spot: Share) -> Rent:
    """What one copy of the model costs: its pods, as many as its GPUs need, among the copies that share them."""
    count = sum(count for workload, count in node.pods if workload is engine.workload)
    gpus = engine.tensor * engine.pipeline * engine.data
    pods = max(1.0, gpus / max(1, engine.workload.gpus)) / engine.data
    return rent(node, spot).part(shares(node)[engine.workload] / max(1, count) * pods)


def _million(usd_hour: float, requests_per_s: float, shape: Shape) -> float:
    return usd_hour / (requests_per_s * shape.total * 3600) * 1e6
