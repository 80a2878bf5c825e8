"""Checks of what takes pods away: Karpenter's consolidation and expiry, spot, rollouts, and how long a pod may finish.

Defaults are Karpenter 1.14's (consolidationPolicy WhenEmptyOrUnderutilized, consolidateAfter 0s, expireAfter 720h) and
Kubernetes 1.37's (terminationGracePeriodSeconds 30, maxSurge and maxUnavailable 25 %).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hanok.preflight.case import Case
from hanok.preflight.cost.serving import answers, share_of
from hanok.preflight.durations import seconds
from hanok.preflight.engines import Engine
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.manifests import Manifest, at, labels_at, list_at, mapping_at, mappings_at, text_at, texts_at
from hanok.preflight.placement import Capacity, Node, Seat
from hanok.preflight.quantities import CPU, MEMORY, NOTHING, Amounts, add, amounts, say, times
from hanok.preflight.schema.lifetimes import AUTO_MODE, LONGEST_S
from hanok.preflight.workloads import GPU, Workload

MOVED = Rule(
    "HK615",
    "warning",
    "model servers that Karpenter moves about",
    '`consolidationPolicy: WhenEmpty`, or the annotation `karpenter.sh/do-not-disrupt: "true"` on their pods',
)
HASTY = Rule(
    "HK616",
    "info",
    "GPU nodes that are given up at once",
    "`consolidateAfter: 10m` keeps a node for the next replica, whose model else is loaded anew",
)
CUT_OFF = Rule(
    "HK617",
    "warning",
    "work that lasts longer than its node",
    "raise `expireAfter` beyond the longest job, or cut the job into shorter ones",
)
SPOT_ONLY = Rule(
    "HK618",
    "warning",
    "served from spot alone",
    "allow `on-demand` beside `spot` in a pool that these pods may use: Karpenter takes it when there is no spot",
)
NO_FALLBACK = Rule(
    "HK619",
    "info",
    "a pool of spot nodes without a second",
    "add `on-demand` to the capacity types, or a pool with the same labels and taints and a lower weight",
)
STREAMS_CUT = Rule(
    "HK620",
    "info",
    "answers that are cut off when a pod ends",
    "set `terminationGracePeriodSeconds` to the longest answer, and a `preStop` that sleeps until no call comes in",
)
NO_ROOM = Rule(
    "HK621",
    "warning",
    "a rollout that waits for GPUs that may not be had",
    "`rollingUpdate: {maxSurge: 0, maxUnavailable: 1}`, or room for one more replica",
)
CAPACITY_TYPE = "karpenter.sh/capacity-type"
_SPOT_ALONE: frozenset[Capacity] = frozenset({"spot"})
_UNDISTURBED = "karpenter.sh/do-not-disrupt"
_SPOT_LABELS: Mapping[str, str] = {
    CAPACITY_TYPE: "spot",
    "eks.amazonaws.com/capacityType": "SPOT",
    "cloud.google.com/gke-spot": "true",
    "kubernetes.azure.com/scalesetpriority": "spot",
}
AUTO_MODE_LIFE = "336h"
"""`expireAfter` of pools in EKS Auto Mode that say nothing."""
HASTY_S = 60
GRACE_S = 30


def check_consolidation(case: Case) -> Iterator[Finding]:
    for pool in case.cluster.of("NodePool", group="karpenter.sh"):
        policy = text_at(pool.body, "spec", "disruption", "consolidationPolicy") or "WhenEmptyOrUnderutilized"
        if policy == "WhenEmpty" or _is_left_alone(pool):
            continue
        moved = [each for each in _engines_on(case, pool) if not _may_stay(each.workload)]
        if not moved:
            continue
        guarded = all(case.serving.guards(each.workload) for each in moved)
        who = ", ".join(dict.fromkeys(each.title for each in moved))
        message = f"{policy} evicts {who} whenever a cheaper node would do; each move loads the model again"
        path = ("spec", "disruption", "consolidationPolicy")
        yield MOVED.on(pool, *path, message=message, severity="info" if guarded else "warning")


def _is_left_alone(pool: Manifest) -> bool:
    """Whether consolidation is off: by `consolidateAfter: Never`, by a budget of no nodes, or by an annotation."""
    disruption = mapping_at(pool.body, "spec", "disruption")
    budgets = mappings_at(disruption, "budgets")
    shut = any(_shuts(at(each, "nodes"), texts_at(each, "reasons")) for each in budgets if "schedule" not in each)
    kept = labels_at(pool.body, "spec", "template", "metadata", "annotations").get(_UNDISTURBED, "").lower() == "true"
    return shut or kept or text_at(disruption, "consolidateAfter") == "Never"


def _shuts(nodes: object, reasons: Sequence[str]) -> bool:
    return str(nodes) in ("0", "0%") and (not reasons or "Underutilized" in reasons)


def _may_stay(workload: Workload) -> bool:
    return workload.annotations.get(_UNDISTURBED, "").lower() == "true"


def _engines_on(case: Case, pool: Manifest) -> list[Engine]:
    """The engines that may land on a pool: by their seats, and where they have none anywhere, by their selector."""
    return [each for each in case.engines if _lands_on(case, each.workload, pool)]


def _lands_on(case: Case, workload: Workload, pool: Manifest) -> bool:
    if seats := case.placement.first_seats(workload):
        return any(each.manifest is pool for each in seats)
    wanted = labels_at(workload.spec, "nodeSelector")
    labels = labels_at(pool.body, "spec", "template", "metadata", "labels")
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())


def check_haste(case: Case) -> Iterator[Finding]:
    for pool in case.cluster.of("NodePool", group="karpenter.sh"):
        after = text_at(pool.body, "spec", "disruption", "consolidateAfter") or "0s"
        wait = seconds(after)
        if wait is not None and wait < HASTY_S and not _is_left_alone(pool) and _engines_on(case, pool):
            message = f"an empty node goes after {after}, and a new replica waits for a new one and its model"
            yield HASTY.on(pool, "spec", "disruption", "consolidateAfter", message=message)


def check_expiry(case: Case) -> Iterator[Finding]:
    """Jobs that may run longer than any node that they may stand on."""
    for workload in case.workloads:
        longest = at(workload.manifest.body, *workload.path[:-1], "activeDeadlineSeconds") if workload.finite else None
        if not isinstance(longest, int):
            continue
        pools = [each.manifest for each in case.placement.first_seats(workload) if each.manifest]
        lives = [(_life(each), each) for each in pools if each.kind == "NodePool"]
        if not lives or len(lives) < len(pools):
            continue
        life, pool = max(lives, key=lambda each: each[0])
        if longest > life:
            message = (
                f"may run {longest / 3600:g} h, but nodes of pool {pool.name} are replaced after {life / 3600:g} h"
            )
            yield CUT_OFF.on(workload.manifest, *workload.path[:-1], "activeDeadlineSeconds", message=message)


def _life(pool: Manifest) -> float:
    """How long its nodes live: as long as can be where that is not known, in Auto Mode 21 days."""
    spec = mapping_at(pool.body, "spec", "template", "spec")
    auto = text_at(spec, "nodeClassRef", "group") == AUTO_MODE
    written = text_at(spec, "expireAfter") or (AUTO_MODE_LIFE if auto else "720h")
    longest = LONGEST_S if auto else float("inf")
    return min(seconds(written) or longest, longest)


def check_spot(case: Case) -> Iterator[Finding]:
    """What callers wait for, and what keeps state, where nothing but spot may carry it."""
    for workload in case.workloads:
        stateful = workload.manifest.kind == "StatefulSet" and answers(workload)
        if not (stateful or case.serving.is_on_path(workload)):
            continue
        if where := _spot_alone(case, workload):
            what = "keeps state" if stateful else "answers calls"
            message = f"{what} on spot nodes alone ({where}): they may go with two minutes' notice, all at once"
            yield SPOT_ONLY.on(workload.manifest, *workload.path, "spec", "nodeSelector", message=message)


def _spot_alone(case: Case, workload: Workload) -> str:
    """Why these pods stand on spot alone, in a word; empty where they need not."""
    wanted = labels_at(workload.spec, "nodeSelector")
    if told := next((key for key, value in _SPOT_LABELS.items() if wanted.get(key) == value), ""):
        return f"nodeSelector {told}"
    seats = case.placement.first_seats(workload)
    if seats and all(each.capacities == _SPOT_ALONE for each in seats):
        return f"pool {', '.join(sorted({each.pool for each in seats}))}"
    return ""


def check_spot_pools(case: Case) -> Iterator[Finding]:
    pools = list(case.cluster.of("NodePool", group="karpenter.sh"))
    for pool in pools:
        if _capacities(pool) == {"spot"} and not any(_stands_in(each, pool) for each in pools if each is not pool):
            message = "has spot capacity alone, and no other pool takes the same pods: without spot they stay pending"
            yield NO_FALLBACK.on(pool, "spec", "template", "spec", "requirements", message=message)


def _capacities(pool: Manifest) -> set[str]:
    for each in mappings_at(pool.body, "spec", "template", "spec", "requirements"):
        if text_at(each, "key") == CAPACITY_TYPE and text_at(each, "operator") == "In":
            return set(texts_at(each, "values"))
    return {"on-demand", "spot", "reserved"}


def _stands_in(other: Manifest, pool: Manifest) -> bool:
    """Whether another pool takes what this one takes, and has more than spot."""
    where = ("spec", "template", "metadata", "labels")
    wanted, labels = labels_at(pool.body, *where), labels_at(other.body, *where)
    same = all(labels.get(key) == value for key, value in wanted.items()) and _taints(other) <= _taints(pool)
    return same and _capacities(other) != {"spot"}


def _taints(pool: Manifest) -> set[tuple[str, str]]:
    found = mappings_at(pool.body, "spec", "template", "spec", "taints")
    return {(text_at(each, "key"), str(at(each, "value"))) for each in found}


def check_grace(case: Case) -> Iterator[Finding]:
    for engine in case.engines:
        spec, container = engine.workload.spec, engine.container
        grace = at(spec, "terminationGracePeriodSeconds")
        given = grace if isinstance(grace, int) else GRACE_S
        if not answers(engine.workload) or given > GRACE_S or mapping_at(container.body, "lifecycle", "preStop"):
            continue
        message = f"answers that take longer than {given} s end in the middle when its pod is moved or updated"
        path = (*engine.workload.path, "spec", "terminationGracePeriodSeconds")
        yield STREAMS_CUT.on(engine.workload.manifest, *path, message=message)


@dataclass(frozen=True, kw_only=True)
class _Stock:
    """The nodes of one pool, and what they are together."""

    nodes: Sequence[Node]
    used: Amounts


_Stocks = Mapping[int, _Stock]
"""By the identity of the pool's manifest."""


def _stocks(nodes: Sequence[Node]) -> _Stocks:
    by_pool: dict[int, list[Node]] = {}
    for each in nodes:
        by_pool.setdefault(id(each.seat.manifest), []).append(each)
    return {
        pool: _Stock(nodes=found, used=add({}, *(times(_capacity(each.seat), each.count) for each in found)))
        for pool, found in by_pool.items()
    }


def check_surge(case: Case) -> Iterator[Finding]:
    least, most = _stocks(case.placement.least), _stocks(case.placement.most)
    for workload in case.workloads:
        if not workload.gpus or not _needs_one_more(workload):
            continue
        stocks = most if workload.least == workload.most else least
        for why in (_beyond_limits(case, workload, stocks), _beyond_quota(case, workload)):
            if why:
                message = (
                    f"an update starts a pod with {workload.gpus} GPUs before it ends an old one, but {why}: it hangs"
                )
                yield NO_ROOM.on(workload.manifest, "spec", "strategy", message=message)


def _needs_one_more(workload: Workload) -> bool:
    """Whether an update must start a pod before it may end one."""
    body, count = workload.manifest.body, _usual(workload)
    if workload.manifest.kind != "Deployment" or text_at(body, "spec", "strategy", "type") == "Recreate" or not count:
        return False
    rolling = mapping_at(body, "spec", "strategy", "rollingUpdate")
    surge = share_of(rolling.get("maxSurge", "25%"), count, up=True)
    gone = share_of(rolling.get("maxUnavailable", "25%"), count, up=False)
    return bool(surge) and not gone


def _usual(workload: Workload) -> int:
    """Replicas while it is updated: as declared, or with an autoscaler as few as there may be."""
    return workload.most if workload.least == workload.most else workload.least


def _beyond_limits(case: Case, workload: Workload, stocks: _Stocks) -> str:
    """Why no pool may start a node for one more pod, in words; empty where one may, or has room."""
    firsts = case.placement.first_seats(workload)
    if not firsts or any(each.manifest is None or each.manifest.kind != "NodePool" for each in firsts):
        return ""
    if any(not _is_full([each], stocks) for each in firsts):
        return ""
    mine = (stocks[id(each.manifest)].nodes for each in firsts if id(each.manifest) in stocks)
    if any(_has_room(each, workload.requests) for nodes in mine for each in nodes):
        return ""
    return _is_full(case.placement.seats.get(workload, ()), stocks)


def _has_room(node: Node, wanted: Amounts) -> bool:
    return all(node.free.get(name, 0) >= each for name, each in wanted.items())


def _is_full(seats: Sequence[Seat], stocks: _Stocks) -> str:
    """Why none of these seats may be had any more, in words; empty where one may."""
    told = ""
    for seat in seats:
        limits = amounts(at(seat.manifest and seat.manifest.body, "spec", "limits"))
        stock = stocks.get(id(seat.manifest))
        used = stock.used if stock else NOTHING
        over = [name for name, each in add(used, _capacity(seat)).items() if name in limits and each > limits[name]]
        if not over:
            return ""
        may, has = (say(over[0], each.get(over[0], 0)) for each in (limits, used))
        told = told or f"pool {seat.pool} may have {may}, and {has} are in use"
    return told


def _capacity(seat: Seat) -> dict[str, int]:
    host = seat.host
    return {GPU: host.gpus, CPU: round(host.cpu * 1000), MEMORY: host.memory_mib << 20}


def _beyond_quota(case: Case, workload: Workload) -> str:
    """Why a ResourceQuota refuses the pod, in words."""
    key = f"requests.{GPU}"
    for quota in case.cluster.of("ResourceQuota"):
        if quota.namespace != workload.namespace or list_at(quota.body, "spec", "scopes"):
            continue
        hard = amounts(mapping_at(quota.body, "spec", "hard")).get(key)
        near = [each for each in case.workloads if each.namespace == workload.namespace and not each.per_node]
        used = sum(each.requests.get(GPU, 0) * _usual(each) for each in near)
        if hard is not None and used <= hard < used + workload.requests.get(GPU, 0):
            return f"ResourceQuota {quota.name} allows {hard}, and {used} are in use"
    return ""


CHECKS = (
    check_consolidation,
    check_haste,
    check_expiry,
    check_spot,
    check_spot_pools,
    check_grace,
    check_surge,
)
