"""Checks of the bill: a ceiling that is broken, prices that are missing, GPUs that nobody uses."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.preflight.case import Case
from hanok.preflight.cost.bill import MONTH_H, most_of
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.placement import Node

CEILING = Rule(
    "HK601",
    "error",
    "more than it may cost",
    "lower the most replicas or NodePool limits, choose cheaper instance types, or raise `--max-usd-month`",
)
NO_PRICE = Rule(
    "HK602",
    "warning",
    "a cost that is not known",
    "give the instance type a price in a catalogue of your own: `--catalog FILE`",
    open=True,
)
IDLE = Rule(
    "HK603",
    "info",
    "GPUs that are paid for and not used",
    "choose an instance type with as many GPUs as the pods ask for",
)


def check_ceiling(case: Case) -> Iterator[Finding]:
    ceiling, bill = case.facts.ceiling_usd_month, case.bill
    if ceiling is None:
        return
    most = bill.most.high * MONTH_H
    if most > ceiling:
        least = bill.least.high * MONTH_H
        message = f"at the most replicas ${most:,.0f} a month, at the fewest ${least:,.0f}; allowed are ${ceiling:,.0f}"
        dearest = sorted(bill.pools, key=lambda pool: -pool.most.high)[:3]
        message += "".join(f"; pool {each.pool} ${each.most.high * MONTH_H:,.0f}" for each in dearest)
        models = sorted(bill.models, key=lambda model: -most_of(model).high)[:3]
        message += "".join(f"; model {each.model.name} ${most_of(each).high * MONTH_H:,.0f}" for each in models)
        yield CEILING.at("", 0, message)
    for workload in bill.left_out:
        message = "its nodes are not among the files, so the ceiling cannot be held against it"
        yield NO_PRICE.on(workload.manifest, message=message, hint="add the NodePools, or the nodes, that it runs on")


def check_prices(case: Case) -> Iterator[Finding]:
    """Each instance type without a price once, at its pool."""
    told: set[tuple[str, str]] = set()
    for node in case.bill.unpriced:
        seat = node.seat
        if (seat.pool, seat.instance) not in told:
            told.add((seat.pool, seat.instance))
            message = f"pool {seat.pool}: the catalogue has no price of {seat.instance}, so the bill leaves it out"
            yield NO_PRICE.on(seat.manifest, message=message) if seat.manifest else NO_PRICE.at("", 0, message)


def check_idle_gpus(case: Case) -> Iterator[Finding]:
    """By pool and instance type: GPUs left over at the most replicas."""
    found: dict[tuple[str, str], list[Node]] = {}
    for node in case.placement.most:
        found.setdefault((node.seat.pool, node.seat.instance), []).append(node)
    for (pool, instance), nodes in found.items():
        idle = sum(each.free.get("nvidia.com/gpu", 0) * each.count for each in nodes)
        gpus = sum(each.seat.host.gpus * each.count for each in nodes)
        seat = nodes[0].seat
        if seat.sharing is None and seat.manifest is not None and idle and gpus >= idle:
            cost = sum((each.seat.usd_hour or 0.0) * each.count for each in nodes) * idle / gpus * MONTH_H
            message = (
                f"pool {pool}: {idle} of the {gpus} GPUs of {sum(each.count for each in nodes)}× {instance} have no pod"
            )
            yield IDLE.on(seat.manifest, message=f"{message}: ${cost:,.0f} a month")


CHECKS = (check_ceiling, check_prices, check_idle_gpus)
