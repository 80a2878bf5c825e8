"""Whether what may be started is enough: limits of pools, nodes that are there, and the cloud account's quotas.

A packing that was found proves that it is. That it is not is proved by trying everything, or by a bound: what pods ask
for at the best rate that any instance type gives. Between the two it stays open.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hanok.preflight.findings import Finding, Rule
from hanok.preflight.manifests import Manifest
from hanok.preflight.placement import Node
from hanok.preflight.quantities import CPU, say
from hanok.preflight.scheduling.asks import Ask
from hanok.preflight.scheduling.packing import NODES, bound
from hanok.preflight.scheduling.pools import Pool
from hanok.preflight.scheduling.seating import Ground
from hanok.preflight.scheduling.types import vcpus
from hanok.preflight.wording import listed

if TYPE_CHECKING:
    from hanok.preflight.case import Case

OVER_LIMIT = Rule(
    "HK321", "error", "more pods than a pool's limits allow", "raise the limit, or allow fewer replicas at most"
)
MAYBE_OVER = Rule(
    "HK322",
    "warning",
    "pods for which no room was found",
    "add nodes, or raise a limit: whether the pods can be packed closer is not known",
    open=True,
)
OVER_QUOTA = Rule(
    "HK323",
    "error",
    "more processors than the cloud account may start",
    "ask AWS for a higher quota, or allow fewer replicas",
)
MAYBE_OVER_QUOTA = Rule(
    "HK324",
    "warning",
    "nodes that may go beyond the cloud account's quota",
    "ask AWS for a higher quota, or allow fewer replicas",
    open=True,
)


@dataclass(frozen=True, kw_only=True)
class Quota:
    """Quotas on processors of running instances: codes of Service Quotas, general knowledge of October 2026."""

    title: str
    on_demand: str
    spot: str
    families: re.Pattern[str]


QUOTAS: Sequence[Quota] = (
    Quota(title="G and VT", on_demand="L-DB2E81BA", spot="L-3819A6DF", families=re.compile(r"(g|gr|vt)\d")),
    Quota(title="P", on_demand="L-417A185B", spot="L-7212CCBC", families=re.compile(r"p[1-4]")),
    Quota(title="P", on_demand="L-417A185B", spot="L-C4BD4855", families=re.compile(r"p[5-9]")),
    Quota(title="Inf", on_demand="L-1945791B", spot="L-B5D1601B", families=re.compile(r"inf\d")),
    Quota(title="Trn", on_demand="L-2C3B7624", spot="L-6B0D517C", families=re.compile(r"trn\d")),
    Quota(title="DL", on_demand="L-6E869C2A", spot="L-85EED4F7", families=re.compile(r"dl\d")),
    Quota(title="X", on_demand="L-7295265B", spot="L-E3A00192", families=re.compile(r"x\d")),
    Quota(title="Standard", on_demand="L-1216C47A", spot="L-34B43A08", families=re.compile(r"[acdhimrtz]\d|im|is")),
)


def check_limits(case: Case) -> Iterator[Finding]:
    """All replicas that there may be find room."""
    counts, ground = case.counts, case.ground
    left = counts.most.left
    if not left or counts.has_room:
        return
    proved = [each for each in (_proof(ground, ask, counts.wanted) for ask in left) if each]
    told: set[tuple[str, str]] = set()
    for each in proved:
        if (each.pools[0].name, each.resource) not in told:
            told.add((each.pools[0].name, each.resource))
            yield each.finding()
    if not proved:
        scales = any(pool.cloud != "node" for ask in left for pool in _pools(ground, ask))
        for ask, count in left.items():
            rule = OVER_LIMIT if counts.has_room is False and scales else MAYBE_OVER
            yield rule.on(ask.workload.manifest, message=_left_words(ground, ask, count))


def _left_words(ground: Ground, ask: Ask, count: int) -> str:
    names = ", ".join(pool.name for pool in _pools(ground, ask)[:3])
    return f"{count} of {ask.workload.most} pods find no room: what {names} may hold is taken"


def _pools(ground: Ground, ask: Ask) -> list[Pool]:
    return [pool for pool in ground.reach(ask) if ground.fitting(ask, pool)]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Proof:
    """Pods that need more of something than the limits of their pools allow."""

    pools: Sequence[Pool]
    asks: Sequence[Ask]
    resource: str
    needed: int
    allowed: int

    def finding(self) -> Finding:
        pool = self.pools[0]
        who = listed((f"{each.workload.most}× {each.workload.title}" for each in self.asks), 3)
        names = " and ".join(each.name for each in self.pools)
        message = (
            f"allows {_said(self.resource, self.allowed)}{'' if len(self.pools) == 1 else f' (all of {names})'}, and "
            f"nodes for {who} take at least {_said(self.resource, self.needed)}"
        )
        return OVER_LIMIT.on(pool.manifest, "spec", "limits", self.resource, message=message)


def _said(resource: str, value: int) -> str:
    return f"{value} nodes" if resource == NODES else say(resource, value)


def _proof(ground: Ground, ask: Ask, wanted: Mapping[Ask, int]) -> _Proof | None:
    """That the pools which a pod may go to cannot hold all pods that may go nowhere else."""
    pools = _pools(ground, ask)
    if any(pool.replicas is not None for pool in pools):
        return None
    names = {pool.name for pool in pools}
    among = {each: count for each, count in wanted.items() if {pool.name for pool in _pools(ground, each)} <= names}
    for resource in sorted({name for pool in pools for name in pool.limits}):
        if all(resource in pool.limits for pool in pools):
            needed = bound(ground, among, pools, resource)
            allowed = sum(pool.limits[resource] for pool in pools)
            if needed > allowed:
                asks = sorted(among, key=lambda each: each.workload.title)
                return _Proof(pools=pools, asks=asks, resource=resource, needed=needed, allowed=allowed)
    return None


def check_quotas(case: Case) -> Iterator[Finding]:
    """The account may start as many processors as the nodes have."""
    given = case.facts.quotas
    if not given:
        return
    for quota in QUOTAS:
        nodes = [each for each in case.placement.most if quota.families.match(each.seat.instance)]
        yield from _judge(case, quota, nodes, given)


def _judge(case: Case, quota: Quota, nodes: Sequence[Node], given: Mapping[str, float]) -> Iterator[Finding]:
    """Nodes that can be bought in one way only have to stay below that way's quota; the others below both together."""
    on_demand, spot = (given.get(code) for code in (quota.on_demand, quota.spot))
    ways = [frozenset({"on-demand"}), frozenset({"spot"}), frozenset({"on-demand", "spot"})]
    allowed = [on_demand, spot, None if on_demand is None or spot is None else on_demand + spot]
    codes = [quota.on_demand, quota.spot, f"{quota.on_demand} and {quota.spot}"]
    for way, most, code in zip(ways, allowed, codes, strict=True):
        bought = [each for each in nodes if _ways(each) and _ways(each) <= way]
        taken = sum(vcpus(each.seat.host) * each.count for each in bought)
        if most is not None and taken > most:
            yield _over(case, quota, way, code, bought, taken, most)
            return


def _ways(node: Node) -> frozenset[str]:
    return frozenset(node.seat.capacities) - {"reserved"}


def _over(
    case: Case, quota: Quota, way: frozenset[str], code: str, nodes: Sequence[Node], taken: int, most: float
) -> Finding:
    ground, wanted = case.ground, case.counts.wanted
    among = {each: count for each, count in wanted.items() if _is_bound_to(case, each, quota, way)}
    least = bound(ground, among, ground.pools, CPU) / 1000
    bought = " or ".join(sorted(way))
    kinds = {each.seat.instance: 0 for each in nodes}
    for each in nodes:
        kinds[each.seat.instance] += each.count
    told = ", ".join(f"{count}× {name}" for name, count in kinds.items())
    message = f"{quota.title} instances, {bought}: {told} have {taken} vCPUs, and the account may run {most:g} ({code})"
    manifest = _first(nodes)
    if least > most:
        return OVER_QUOTA.on(manifest, message=f"{message}; no choice of types takes less than {least:g}")
    return MAYBE_OVER_QUOTA.on(manifest, message=message)


def _first(nodes: Sequence[Node]) -> Manifest:
    pods = next((each.pods for each in nodes if each.pods), ())
    held = nodes[0].seat.manifest
    return pods[0][0].manifest if pods else held or Manifest(body={}, file="")


def _is_bound_to(case: Case, ask: Ask, quota: Quota, way: frozenset[str]) -> bool:
    """Whether a pod can stand nowhere but on nodes that this quota counts."""
    seats = case.ground.seats[ask.workload]
    return all(
        quota.families.match(each.instance) and frozenset(each.capacities) - {"reserved"} <= way for each in seats
    )


CHECKS = (check_limits, check_quotas)
