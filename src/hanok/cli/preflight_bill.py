"""How the bill of `hanok preflight` looks: for people a small table, for machines figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hanok.cli.money import usd, usd_range
from hanok.cli.terminal import data
from hanok.gpu import Catalog, api_million
from hanok.preflight import Report
from hanok.preflight.cost.bill import (
    MONTH_H,
    Bill,
    EngineCost,
    PoolCost,
    Rent,
    WorkloadCost,
    least_of,
    most_of,
    together,
)
from hanok.preflight.placement import Node
from hanok.preflight.platform.planned import Planned

SHOWN_ENGINES, SHOWN_POOLS = 12, 16


def bill_of(report: Report) -> Bill | None:
    """The report's bill; None where it cannot be made, which a finding tells already."""
    try:
        return report.case.bill
    except Exception:  # noqa: BLE001 - as in the verdict: one slip must not hide all findings
        return None


def show_bill(report: Report, console: Console = data) -> None:
    """The bill for people, on stdout; nothing where nothing costs."""
    bill, catalog = bill_of(report), report.case.facts.catalog
    if bill is None or bill.is_empty:
        return
    console.print(_table(bill))
    for line in _notes(bill, catalog):
        console.print(Text(line, style="bright_black"))
    console.print()


def _table(bill: Bill) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bright_black")
    table.add_column("COST", overflow="fold")
    table.add_column("MACHINES", overflow="fold")
    for title in ("FEWEST", "MOST", "MOST A MONTH", "1M TOKENS"):
        table.add_column(title, justify="right", no_wrap=True)
    shown = _dearest(bill.pools, SHOWN_POOLS)
    for pool in shown:
        machines = ", ".join(f"{count}× {name}" for name, count in pool.instances.items())
        table.add_row(f"pool {pool.pool}", machines, *_rents(pool.least, pool.most), "")
    if others := [each for each in bill.pools if each not in shown]:
        rents = together(each.least for each in others), together(each.most for each in others)
        table.add_row(
            f"{len(others)} more pools", f"{sum(each.nodes[1] for each in others)} machines", *_rents(*rents), ""
        )
    for engine in shown_engines(bill):
        table.add_row(
            f"  {engine.engine.title}", f"a copy on {engine.instance}", "", _hour(engine.replica), "", _million(engine)
        )
    for model in bill.models:
        table.add_row(*_model(model))
    table.add_row(Text("together", style="bold"), "", *_rents(bill.least, bill.most), "")
    return table


def _dearest(pools: Sequence[PoolCost], most: int) -> Sequence[PoolCost]:
    """So many pools, the dearest, in the order of the manifests."""
    chosen = {id(each) for each in sorted(pools, key=lambda each: -each.most.high)[:most]}
    return [each for each in pools if id(each) in chosen]


def shown_engines(bill: Bill) -> Sequence[EngineCost]:
    """The dearest engines, in the order of the manifests: a table of a hundred is no bill to read."""
    dearest = sorted(bill.engines, key=lambda each: -each.replica.high)[:SHOWN_ENGINES]
    return [each for each in bill.engines if each in dearest]


def _rents(least: Rent, most: Rent) -> tuple[str, str, str]:
    return _hour(least), _hour(most), usd_range(most.low * MONTH_H, most.high * MONTH_H)


def _hour(rent: Rent) -> str:
    return f"{usd_range(rent.low, rent.high)}/h"


def _million(engine: EngineCost) -> str:
    return usd_range(engine.million_full, engine.million_load)


def _model(model: Planned) -> tuple[str, str, str, str, str, str]:
    best = model.best
    assert best is not None
    name = f"{best.machine.profile} of {best.instance}" if best.machine.profile else best.instance
    title, machines, cost = f"model {model.model.name}", f"{_span(*model.machines)}× {name}", best.cost
    if cost is None:
        return title, machines, "no price", "", "", ""
    million = usd_range(cost.million_full, cost.million_load)
    return title, machines, *_rents(least_of(model), most_of(model)), million


def _span(least: int, most: int) -> str:
    return str(most) if least == most else f"{least}–{most}"


def _notes(bill: Bill, catalog: Catalog) -> Iterator[str]:
    spot = catalog.spot
    share = f"spot {100 * spot.low:.0f}–{spot.high:.0%} of on demand, an assumption"
    yield f"Prices: {catalog.region}, {catalog.date:%B %Y}; {share}. 1M tokens: always full, to the load."
    idle = bill.idle[1]
    if idle > 0:
        yield f"Nobody's, at the most replicas: ${usd(idle)}/h, {_share(idle, bill.most.on_demand):.0%} of it."
    if bill.unpriced:
        names = sorted({each.seat.instance for each in bill.unpriced})
        yield f"Without a price, and so not in it: {', '.join(names)}."
    if bill.left_out:
        yield f"Not in it, as their nodes are not in the files: {', '.join(each.title for each in bill.left_out[:5])}."
    if len(bill.engines) > SHOWN_ENGINES:
        yield f"The {SHOWN_ENGINES} dearest of {len(bill.engines)} engines; `--json` has all."
    yield from _apis(bill, catalog)


def _apis(bill: Bill, catalog: Catalog) -> Iterator[str]:
    """What APIs take for models of the same class, each model once."""
    asked = [(each.api, each.shape) for each in bill.engines]
    asked += [(each.plan.api, each.plan.wanted.shape) for each in bill.models if each.plan]
    told = {f"${api_million(api, shape):.2f} for {api.model}" for api, shape in asked if api}
    if told:
        yield f"APIs take about {', '.join(sorted(told))} per 1M tokens ({catalog.apis.date:%B %Y})."


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


def bill_form(report: Report) -> dict[str, Any] | None:
    """The bill as JSON, USD; None where it cannot be made. `[low, high]` reach down to spot's lowest price."""
    bill, facts = bill_of(report), report.case.facts
    if bill is None:
        return None
    idle = [_share(each, rent.on_demand) for each, rent in zip(bill.idle, (bill.least, bill.most), strict=True)]
    return {
        "catalog": {"date": str(facts.catalog.date), "region": facts.catalog.region},
        "spot": facts.catalog.spot.model_dump(),
        "hours_a_month": MONTH_H,
        "ceiling_usd_per_month": facts.ceiling_usd_month,
        "least": _rent(bill.least),
        "most": _rent(bill.most),
        "idle_share": {"least": round(idle[0], 4), "most": round(idle[1], 4)},
        "pools": [_pool(each) for each in bill.pools],
        "workloads": [_workload(each) for each in bill.workloads],
        "engines": [_engine(each) for each in bill.engines],
        "models": [_planned(each) for each in bill.models],
        "without_price": [_unpriced(each) for each in bill.unpriced],
        "left_out": [each.title for each in bill.left_out],
    }


def _rent(rent: Rent) -> dict[str, Any]:
    hour = [round(rent.low, 4), round(rent.high, 4)]
    month = [round(rent.low * MONTH_H, 2), round(rent.high * MONTH_H, 2)]
    return {"on_demand_per_hour": round(rent.on_demand, 4), "per_hour": hour, "per_month": month}


def _pool(pool: PoolCost) -> dict[str, Any]:
    return {
        "pool": pool.pool,
        "nodes": list(pool.nodes),
        "instances": dict(pool.instances),
        "least": _rent(pool.least),
        "most": _rent(pool.most),
    }


def _workload(cost: WorkloadCost) -> dict[str, Any]:
    return {"workload": cost.workload.title, "least": _rent(cost.least), "most": _rent(cost.most)}


def _engine(cost: EngineCost) -> dict[str, Any]:
    return {
        "engine": cost.engine.title,
        "model": cost.engine.model,
        "instance": cost.instance,
        "replica": _rent(cost.replica),
        "usual_call": {"prompt_tokens": cost.shape.prompt, "output_tokens": cost.shape.output},
        "calls_at_once": cost.at_load,
        "per_million_tokens": [round(cost.million_full, 4), round(cost.million_load, 4)],
        "api": cost.api and {"model": cost.api.model, "per_million_tokens": round(cost.api_million or 0.0, 4)},
    }


def _planned(model: Planned) -> dict[str, Any]:
    best, plan = model.best, model.plan
    assert best is not None
    assert plan is not None
    cost, shape = best.cost, plan.wanted.shape
    return {
        "model": model.model.name,
        "file": model.declared.manifest.file,
        "instance": best.instance,
        "mig_profile": best.machine.profile,
        "replicas": list(model.replicas),
        "machines": list(model.machines),
        "least": cost and _rent(least_of(model)),
        "most": cost and _rent(most_of(model)),
        "per_million_tokens": cost and [round(cost.million_full, 4), round(cost.million_load, 4)],
        "api": plan.api and {"model": plan.api.model, "per_million_tokens": round(api_million(plan.api, shape), 4)},
    }


def _unpriced(node: Node) -> dict[str, Any]:
    return {"pool": node.seat.pool, "instance": node.seat.instance, "nodes": node.count}
