"""Which accounts a call draws on: from the declared budgets and limits to the terms of accounts. Pure.

A policy that names its subject replaces the general one for the same period; what a key brings with it (its own
budgets and limits) replaces both. Sessions and runs belong to a tenant, the caller's team or else its key, so that one
tenant cannot use up another's. A run is a path: `a/b` is a run that `a` started, and draws on the accounts of both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from hanok.ledger.accounts import NEVER, Terms, Unit
from hanok.ledger.entries import Allotment
from hanok.ledger.keys import Key
from hanok.ledger.usage import Kind
from hanok.spec import Allowance, Budget, Limit, Platform, Rates
from hanok.wire import NANO, Caller

MINUTE_S = 60
DAY_S = 86_400
_RATES = (
    ("requests_per_minute", Unit.REQUESTS, "minute"),
    ("tokens_per_minute", Unit.TOKENS, "minute"),
    ("concurrent", Unit.CONCURRENT, "at once"),
)

Policy = TypeVar("Policy", Budget, Limit)


class Policies:
    """Every budget and limit of a platform."""

    def __init__(self, budgets: Sequence[Budget] = (), limits: Sequence[Limit] = ()) -> None:
        self._budgets = _by_subject(budgets)
        self._limits = _by_subject(limits)
        self.has_sessions = bool(self._budgets.get("session"))
        self.has_runs = bool(self._budgets.get("run"))

    @classmethod
    def of(cls, platform: Platform) -> Policies:
        return cls(platform.budgets, platform.limits)

    def standing(self, caller: Caller, key: Key | None, model: str, now: float) -> Iterator[Terms]:
        """The terms that hold for a key, team, user and model, whatever the session."""
        own_budgets = key.budgets if key else ()
        own_limits = key.limits if key else None
        subjects: list[tuple[Kind, str | None]] = [
            ("key", caller.key_id), ("team", caller.team), ("user", caller.user), ("model", model)
        ]  # fmt: skip
        for of, subject in subjects:
            if not subject:
                continue
            names = (caller.key_name, caller.key_id) if of == "key" else (subject,)
            label = caller.key_name if of == "key" else ""
            own = own_budgets if of == "key" else ()
            for allowance in _most_special(self._budgets.get(of, {}), names, own):
                yield from _budget_terms(of, subject, allowance, now, label=label)
            yield from self._limit_terms(of, subject, names, own_limits if of == "key" else None, now)

    def session(self, caller: Caller, now: float) -> Iterator[Terms]:
        """The terms of the call's session, if it has one."""
        if caller.session:
            tenant = caller.tenant
            for allowance in self._budgets.get("session", {}).get(None, ()):
                yield from _budget_terms("session", caller.session, allowance, now, tenant=tenant)

    def runs(self, caller: Caller, allotments: Mapping[tuple[str, str], Allotment], now: float) -> Iterator[Terms]:
        """The terms of the call's run, and of every run above it. Declared ones hold for runs that nobody started."""
        if not caller.run:
            return
        tenant = caller.tenant
        for depth, path in enumerate(run_paths(caller.run)):
            if allotted := allotments.get((tenant, path)):
                yield from _allotted_terms(path, tenant, allotted)
            if depth == 0:
                for allowance in self._budgets.get("run", {}).get(None, ()):
                    yield from _budget_terms("run", path, allowance, now, tenant=tenant)

    def renewed(
        self, terms: Terms, key: Key | None, allotments: Mapping[tuple[str, str], Allotment], now: float
    ) -> Terms | None:
        """The terms that hold now for an account opened under these; None when none do. `key` is its key, if any."""
        of, subject = terms.of, terms.subject
        caller = Caller(
            key_id=subject if of == "key" else "",
            key_name=key.name if key else "",
            team=terms.tenant or (subject if of == "team" else None),
            user=subject if of == "user" else None,
            session=subject if of == "session" else None,
            run=subject if of == "run" else None,
        )
        if terms.tenant is None:
            found = self.standing(caller, key, subject if of == "model" else "", now)
        else:
            found = self.session(caller, now) if of == "session" else self.runs(caller, allotments, now)
        return next((each for each in found if each.id == terms.id), None)

    def _limit_terms(
        self, of: Kind, subject: str, names: Sequence[str], own: Rates | None, now: float
    ) -> Iterator[Terms]:
        declared = self._limits.get(of, {})
        chosen = [own] if own else []
        chosen += [limit for name in (*names, None) for limit in declared.get(name, ())]
        for field, unit, per in _RATES:
            limit = next((value for rates in chosen if (value := getattr(rates, field)) is not None), None)
            if limit is not None:
                yield _rate_terms(of, subject, unit, limit, per, now, label=names[0] if of == "key" else "")


def run_paths(run: str) -> list[str]:
    """`a/b/c` → `a`, `a/b`, `a/b/c`."""
    steps = run.split("/")
    return ["/".join(steps[: depth + 1]) for depth in range(len(steps))]


def period(per: str, now: float) -> tuple[str, float, float]:
    """The name, beginning and end (Unix seconds, UTC) of the period that `now` lies in."""
    if per == "minute":
        number = int(now // MINUTE_S)
        return str(number), float(number * MINUTE_S), float((number + 1) * MINUTE_S)
    if per == "day":
        number = int(now // DAY_S)
        return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d"), float(number * DAY_S), float((number + 1) * DAY_S)
    if per == "month":
        day = datetime.fromtimestamp(now, UTC)
        first = datetime(day.year, day.month, 1, tzinfo=UTC)
        after = datetime(day.year + day.month // 12, day.month % 12 + 1, 1, tzinfo=UTC)
        return day.strftime("%Y-%m"), first.timestamp(), after.timestamp()
    return "", 0.0, NEVER


def _by_subject(policies: Iterable[Policy]) -> dict[str, dict[str | None, list[Policy]]]:
    found: dict[str, dict[str | None, list[Policy]]] = {}
    for policy in policies:
        found.setdefault(policy.of, {}).setdefault(policy.name, []).append(policy)
    return found


def _most_special(
    declared: Mapping[str | None, Sequence[Budget]], names: Sequence[str], own: Sequence[Allowance]
) -> Iterator[Allowance]:
    """Of each period and unit, what the subject brings itself, else what names it, else what holds for each."""
    taken: set[tuple[str, str]] = set()
    levels: list[Sequence[Allowance]] = [own, *(declared.get(name, ()) for name in (*names, None))]
    for level in levels:
        here: set[tuple[str, str]] = set()
        for allowance in level:
            units = {unit for unit in ("usd", "tokens") if getattr(allowance, unit) is not None}
            free = {unit for unit in units if (allowance.per, unit) not in taken}
            here |= {(allowance.per, unit) for unit in units}
            if free == units:
                yield allowance
            elif free:
                yield allowance.model_copy(update=dict.fromkeys(units - free))
        taken |= here


def _budget_terms(
    of: Kind, subject: str, allowance: Allowance, now: float, *, tenant: str | None = None, label: str = ""
) -> Iterator[Terms]:
    name, begins, ends = period(allowance.per, now)
    owner = f"{tenant}/{subject}" if tenant else subject
    for unit, limit in (
        (Unit.USD, None if allowance.usd is None else round(allowance.usd * NANO)),
        (Unit.TOKENS, allowance.tokens),
    ):
        if limit is not None:
            yield Terms(
                id=f"{unit.name.lower()}:{of}:{owner}:{allowance.per}:{name}",
                of=of,
                subject=subject,
                unit=unit,
                limit=limit,
                per=allowance.per,
                begins=begins,
                ends=ends,
                soft=allowance.soft,
                downgrade_to=allowance.downgrade_to,
                counts=True,
                tenant=tenant,
                label=label,
            )


def _allotted_terms(path: str, tenant: str, allotted: Allotment) -> Iterator[Terms]:
    for unit, limit in ((Unit.USD, allotted.cost_nano_usd), (Unit.TOKENS, allotted.tokens)):
        if limit is not None:
            yield Terms(
                id=f"{unit.name.lower()}:run:{tenant}/{path}:allotted:",
                of="run",
                subject=path,
                unit=unit,
                limit=limit,
                per="ever",
                counts=True,
                tenant=tenant,
            )


def _rate_terms(of: Kind, subject: str, unit: Unit, limit: int, per: str, now: float, *, label: str) -> Terms:
    name, begins, ends = period("minute", now) if per == "minute" else ("", 0.0, NEVER)
    return Terms(
        id=f"{unit.name.lower()}:{of}:{subject}:{per}:{name}",
        of=of,
        subject=subject,
        unit=unit,
        limit=limit,
        per=per,
        begins=begins,
        ends=ends,
        label=label,
    )
