"""What one platform changes of another, in few words, and without a secret. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from hanok.spec import Budget, Gateway, Limit, Loaded, Platform, Rates
from hanok.spec.tree import Tree

AT_NEXT_START = ("name", "state", "ledger", "milvus")
GATEWAY_AT_NEXT_START = ("host", "port", "workers")
_SECRET = frozenset({"admin_key"})
_UNITS = {"usd": "USD", "tokens": "tokens"}
_PERIODS = {"day": "per day", "month": "per month", "ever": "in all"}
Named = TypeVar("Named", bound=Tree)


def fixed(running: Loaded, declared: Loaded) -> Loaded:
    """The declared platform with what cannot change while it runs left as it is."""
    old, new = running.platform, declared.platform
    gateway = new.gateway.model_copy(update={name: getattr(old.gateway, name) for name in GATEWAY_AT_NEXT_START})
    platform = new.model_copy(update={"gateway": gateway, **{name: getattr(old, name) for name in AT_NEXT_START}})
    return replace(declared, platform=platform, state=running.state)


def at_next_start(running: Loaded, declared: Loaded) -> list[str]:
    """What is declared otherwise, and cannot change while it runs."""
    old, new = running.platform, declared.platform
    told = [f"{name} {getattr(old, name)} → {getattr(new, name)}" for name in _changed(old, new, AT_NEXT_START[:2])]
    told += [f"ledger.{name}" for name in _changed(old.ledger, new.ledger)]
    told += [f"milvus.{name}" for name in _changed(old.milvus, new.milvus)]
    changed = _changed(old.gateway, new.gateway, GATEWAY_AT_NEXT_START)
    return told + [_from_to("gateway", name, old.gateway, new.gateway) for name in changed]


def differences(old: Platform, new: Platform) -> list[str]:
    """What `new` changes of `old`."""
    return [
        *_named("model", old.models, new.models, lambda each: each.name),
        *_named("tiers", old.tiers, new.tiers, lambda each: each.name),
        *_gateway(old.gateway, new.gateway),
        *_block("telemetry", old.telemetry, new.telemetry),
        *_block("cache", old.cache, new.cache),
        *_block("batches", old.batches, new.batches),
        *_named("knowledge", old.knowledge, new.knowledge, lambda each: each.name),
        *_block("vector_stores", old.vector_stores, new.vector_stores),
        *_named("team", old.teams, new.teams, lambda each: each.name),
        *_named("user", old.users, new.users, lambda each: each.name),
        *_amounts("budget", _budgets(old.budgets), _budgets(new.budgets)),
        *_amounts("limit", _limits(old.limits), _limits(new.limits)),
    ]


def _named(kind: str, old: Sequence[Named], new: Sequence[Named], name: Callable[[Named], str]) -> Iterator[str]:
    before, after = {name(each): each for each in old}, {name(each): each for each in new}
    for each in before | after:
        if each not in after:
            yield f"{kind} {each} removed"
        elif each not in before:
            yield f"{kind} {each} added"
        elif changed := _changed(before[each], after[each]):
            yield f"{kind} {each} changed ({', '.join(changed)})"


def _gateway(old: Gateway, new: Gateway) -> Iterator[str]:
    for name in _changed(old, new):
        yield f"gateway.{name} changed" if name in _SECRET else _from_to("gateway", name, old, new)


def _block(name: str, old: Tree, new: Tree) -> Iterator[str]:
    if changed := _changed(old, new):
        yield f"{name} changed ({', '.join(changed)})"


Amounts = dict[tuple[str, str], str]
"""From what an amount is for, and its unit, to the amount."""


def _amounts(kind: str, before: Amounts, after: Amounts) -> Iterator[str]:
    """Amounts that came, went, or are larger or smaller than before."""
    for what, unit in before | after:
        old, new = before.get((what, unit)), after.get((what, unit))
        if old is None:
            yield f"{kind} of {what} added: {new} {unit}"
        elif new is None:
            yield f"{kind} of {what} removed: {old} {unit}"
        elif old != new:
            yield f"{kind} of {what} {old} → {new} {unit}"


def _budgets(budgets: Iterable[Budget]) -> Amounts:
    return {
        (f"{_subject(budget)} {_PERIODS[budget.per]}", unit): _amount(budget, name)
        for budget in budgets
        for name, unit in _UNITS.items()
        if getattr(budget, name) is not None
    }


def _amount(budget: Budget, name: str) -> str:
    more = f" then {budget.downgrade_to}" if budget.downgrade_to else ""
    return (
        f"{getattr(budget, name):g} (soft {budget.soft:g}{more})"
        if _is_special(budget)
        else f"{getattr(budget, name):g}"
    )


def _is_special(budget: Budget) -> bool:
    return budget.downgrade_to is not None or budget.soft != Budget.model_fields["soft"].default


def _limits(limits: Iterable[Limit]) -> Amounts:
    return {
        (_subject(limit), name): str(getattr(limit, name))
        for limit in limits
        for name in Rates.model_fields
        if getattr(limit, name) is not None
    }


def _subject(each: Budget | Limit) -> str:
    return f"{each.of} {each.name}" if each.name else f"each {each.of}"


def _changed(old: Tree, new: Tree, names: Iterable[str] | None = None) -> list[str]:
    kind = type(old)
    return [name for name in names or kind.model_fields if getattr(old, name) != getattr(new, name)]


def _from_to(block: str, name: str, old: Tree, new: Tree) -> str:
    return f"{block}.{name} {getattr(old, name)} → {getattr(new, name)}"
