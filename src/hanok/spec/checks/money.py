"""Budgets and limits must limit something, once."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.spec.checks.findings import Finding, unknown
from hanok.spec.tree import Platform


def check_money(platform: Platform) -> Iterator[Finding]:
    """Budgets and limits, and what they are kept for."""
    yield from _unfit_budgets(platform)
    yield from _repeated_budgets(platform)
    yield from _unfit_limits(platform)


def _unfit_budgets(platform: Platform) -> Iterator[Finding]:
    models = [model.name for model in platform.models]
    for index, budget in enumerate(platform.budgets):
        place = ("budgets", index)
        if budget.usd is None and budget.tokens is None:
            yield Finding(place=place, message="limits nothing", hint="add `usd`, or `tokens`, or both")
        if budget.name is not None and budget.of in ("session", "run"):
            message = f"a {budget.of} is not known by name before it begins"
            yield Finding(place=(*place, "name"), message=message, hint="take `name` out: it holds for each one")
        elif budget.name is not None:
            yield from _unknown_subject(platform, budget.of, budget.name, (*place, "name"))
        if budget.downgrade_to is not None and budget.downgrade_to not in models:
            yield unknown("model", budget.downgrade_to, models, (*place, "downgrade_to"))


def _repeated_budgets(platform: Platform) -> Iterator[Finding]:
    """Two amounts for the same thing: one would be lost, or both be counted."""
    first: dict[tuple[str, str | None, str, str], int] = {}
    for index, budget in enumerate(platform.budgets):
        for unit in ("usd", "tokens"):
            if getattr(budget, unit) is None:
                continue
            before = first.setdefault((budget.of, budget.name, budget.per, unit), index)
            if before != index:
                message = f"budgets[{before}] says the same thing already, per {budget.per} in {unit}"
                yield Finding(place=("budgets", index, unit), message=message, hint="keep one of them")


def _unfit_limits(platform: Platform) -> Iterator[Finding]:
    for index, limit in enumerate(platform.limits):
        if limit.requests_per_minute is None and limit.tokens_per_minute is None and limit.concurrent is None:
            hint = "add `requests_per_minute`, `tokens_per_minute` or `concurrent`"
            yield Finding(place=("limits", index), message="limits nothing", hint=hint)
        if limit.name is not None:
            yield from _unknown_subject(platform, limit.of, limit.name, ("limits", index, "name"))


def _unknown_subject(platform: Platform, of: str, name: str, place: tuple[str | int, ...]) -> Iterator[Finding]:
    """Teams and models are declared here; keys are in the ledger, and users may be named by callers."""
    declared = {"team": [team.name for team in platform.teams], "model": [model.name for model in platform.models]}
    if of in declared and name not in declared[of]:
        yield unknown(of, name, declared[of], place)
