"""Deployments of one `model_name` become one model; what LiteLLM counts per deployment, Hanok counts per model.

`order` has no key in Hanok: later orders become models of their own, that the first falls back to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hanok.migration.deployments import Deployment
from hanok.migration.periods import as_allowance
from hanok.migration.routing import Routing, route
from hanok.spec.checks import quoted

RETRY_LIMIT = 10
_LIMITS = {"rpm": "requests_per_minute", "tpm": "tokens_per_minute"}


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """What holds for every model unless its deployments say otherwise, in platform.yaml's form."""

    retries: int | None = None
    timeouts: Mapping[str, float] = field(default_factory=dict[str, float])
    breaker: Mapping[str, float] = field(default_factory=dict[str, float])
    enforces_rates: bool = False
    """As `Routing.enforces_rates`."""


@dataclass(kw_only=True)
class Group:
    """One model to be, with the limits and budgets that belong to it."""

    name: str
    type: str
    model: dict[str, Any]
    limits: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    budgets: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    instead: str | None = None
    """The model that this one's calls come from when that cannot answer: the lower order of the same name."""


def group(deployments: Sequence[Deployment], reliability: Reliability, routing: Routing) -> list[Group]:
    """One group for each name, and one more for each further order."""
    by_name: dict[str, list[Deployment]] = {}
    for each in deployments:
        by_name.setdefault(each.name, []).append(each)
    groups: list[Group] = []
    for name, members in by_name.items():
        groups += _of_one_name(name, _of_one_type(members), reliability, routing, taken=by_name)
    return groups


def _of_one_type(members: Sequence[Deployment]) -> list[Deployment]:
    first = members[0]
    for each in members[1:]:
        if each.type != first.type:
            message = f"is for {each.type}, but {quoted(first.name)} is for {first.type} above: left out"
            each.leave_out("model_name", message)
    return [each for each in members if each.type == first.type]


def _of_one_name(
    name: str, members: Sequence[Deployment], reliability: Reliability, routing: Routing, *, taken: Iterable[str]
) -> list[Group]:
    orders = sorted({each.order for each in members}, key=lambda order: (order is None, order))
    groups: list[Group] = []
    for position, order in enumerate(orders):
        own = name if position == 0 else _free(f"{name}.order-{position + 1}", taken)
        of_order = [each for each in members if each.order == order]
        groups.append(_made(own, of_order, reliability, routing, instead=name if position else None))
        for each in of_order if len(orders) > 1 else ():
            then = f", which {quoted(name)} falls back to" if position else ""
            message = f"Hanok has no order: it is an endpoint of {quoted(own)}{then}"
            each.params.changed("order", message, f"models[{own}]")
    if len(orders) == 1 and orders[0] is not None:
        members[0].params.carried("order", f"models[{name}].serve", "the same for all: no order")
    return groups


def _free(name: str, taken: Iterable[str]) -> str:
    while name in taken:
        name += "-more"
    return name


def _made(
    name: str, members: Sequence[Deployment], reliability: Reliability, routing: Routing, *, instead: str | None
) -> Group:
    model: dict[str, Any] = {"name": name}
    if members[0].type != "chat":
        model["type"] = members[0].type
    endpoints = [each.endpoint for each in members]
    model["serve"] = endpoints[0] if len(endpoints) == 1 else endpoints
    for each in members:
        to = f"models[{name}].serve" + (f"[{members.index(each)}]" if len(members) > 1 else "")
        each.block.carried("model_name", to)
    parts = {
        "routing": route(members, routing),
        "price": _price(members),
        "retries": _retries(members, reliability),
        "timeouts": _timeouts(members, reliability),
        "breaker": _breaker(members, reliability),
    }
    model |= {key: part for key, part in parts.items() if part not in (None, {})}
    limits, budgets = _limits(name, members, reliability), _budgets(name, members)
    return Group(name=name, type=members[0].type, model=model, limits=limits, budgets=budgets, instead=instead)


def _price(members: Sequence[Deployment]) -> dict[str, float]:
    """One price for the model: the highest, so that no budget is overrun."""
    price: dict[str, float] = {}
    for kind in ("input", "output", "cached_input", "cache_write", "batch"):
        given = [each.price[kind] for each in members if kind in each.price]
        if given:
            price[kind] = max(given)
        if len(set(given)) > 1:
            message = (
                f"its deployments differ in price; Hanok has one for the model: the highest {kind} price was taken"
            )
            members[0].block.changed("model_name", message, f"models[{members[0].name}].price.{kind}")
    if "batch" in price and any("batch" not in each.price for each in members):
        del price["batch"]
        message = "another deployment of this name has no price for batches, so their lines cost the whole price"
        members[0].block.changed("model_name", message, f"models[{members[0].name}].price.batch")
    return price


def _agreed(members: Sequence[Deployment], keys: Sequence[str], what: str) -> float | None:
    """The greatest of what the deployments say, told when they differ."""
    given = [(each, key, each.numbers[key]) for each in members for key in keys if key in each.numbers]
    if not given:
        return None
    value = max(number for _, _, number in given)
    for each, key, number in given:
        if number == value:
            each.params.carried(key, f"models[].{what}")
        else:
            each.params.changed(
                key, f"Hanok has one for the model: the greatest, {value:g}, was taken", f"models[].{what}"
            )
    return value


def _retries(members: Sequence[Deployment], reliability: Reliability) -> int | None:
    own = _agreed(members, ("num_retries", "max_retries"), "retries")
    if own is None:
        return reliability.retries
    return min(int(own), RETRY_LIMIT)


def _timeouts(members: Sequence[Deployment], reliability: Reliability) -> dict[str, float]:
    timeouts = dict(reliability.timeouts)
    if (whole := _agreed(members, ("timeout", "request_timeout"), "timeouts.first_byte_s")) is not None:
        timeouts["first_byte_s"] = whole
    if (stream := _agreed(members, ("stream_timeout",), "timeouts.idle_s")) is not None:
        timeouts["idle_s"] = stream
    return timeouts


def _breaker(members: Sequence[Deployment], reliability: Reliability) -> dict[str, float]:
    breaker = dict(reliability.breaker)
    cooldown = _agreed(members, ("cooldown_time",), "breaker.cooldown_s")
    if cooldown:
        breaker["cooldown_s"] = cooldown
    elif cooldown == 0:
        members[0].params.wrong("cooldown_time", "LiteLLM takes 0 for its default; a breaker needs seconds above 0")
    return breaker


def _limits(name: str, members: Sequence[Deployment], reliability: Reliability) -> list[dict[str, Any]]:
    """One limit for the model: the sum, where every deployment has one."""
    limit: dict[str, Any] = {}
    for key, to in _LIMITS.items():
        having = [each for each in members if key in each.numbers]
        if not having:
            continue
        if len(having) < len(members):
            for each in having:
                each.params.left(key, "another deployment of this name has none, so the model has no limit")
            continue
        limit[to] = int(sum(each.numbers[key] for each in having))
        for each in having:
            _tell_limit(each, key, to, limit[to], alone=len(having) == 1, reliability=reliability)
    return [{"of": "model", "name": name, **limit}] if limit else []


def _tell_limit(each: Deployment, key: str, to: str, total: int, *, alone: bool, reliability: Reliability) -> None:
    counted = "" if alone else f"counted for the model as a whole: {total} for all its deployments. "
    if reliability.enforces_rates and alone:
        each.params.carried(key, f"limits[].{to}")
        return
    soft = "" if reliability.enforces_rates else (
        f"LiteLLM uses {key} to choose among deployments only; Hanok refuses calls beyond it with 429"
    )  # fmt: skip
    each.params.changed(key, f"{counted}{soft}".strip(), f"limits[].{to}")


def _budgets(name: str, members: Sequence[Deployment]) -> list[dict[str, Any]]:
    having = [each for each in members if "max_budget" in each.numbers]
    if not having:
        return []
    durations = {each.budget_duration for each in having}
    if len(having) < len(members) or len(durations) > 1:
        for each in having:
            each.params.left("max_budget", "its deployments differ; Hanok keeps budgets for the model as a whole")
        return []
    usd = sum(each.numbers["max_budget"] for each in having)
    return as_allowance(having[0].params, "max_budget", usd, durations.pop(), of="model", name=name)
