"""Servers that books and spans go to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hanok.spec.checks.findings import Finding
from hanok.spec.tree import Platform

REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
_POSTGRES_SCHEMES = ("postgresql://", "postgres://")


def check_records(platform: Platform) -> Iterator[Finding]:
    """Servers of the ledger and of agents' runs, and receivers of spans."""
    yield from _unfit_books(platform)
    yield from _unfit_exports(platform)


def _unfit_books(platform: Platform) -> Iterator[Finding]:
    books = platform.ledger
    for place, secret, schemes in (
        (("ledger", "database"), books.database, _POSTGRES_SCHEMES),
        (("ledger", "redis"), books.redis, REDIS_SCHEMES),
        (("runs", "database"), platform.runs.database, (*_POSTGRES_SCHEMES, *REDIS_SCHEMES)),
    ):
        if secret is not None and not secret.get_secret_value().startswith(schemes):
            hint = "a Valkey is named so, too" if schemes[-1] == REDIS_SCHEMES[-1] else None
            yield Finding(place=place, message=f"must begin with {' or '.join(schemes)}", hint=hint)
    if platform.gateway.workers > 1 and books.redis is None and (platform.budgets or platform.limits):
        yield Finding(
            place=("gateway", "workers"),
            message="several workers cannot agree on budgets and limits by themselves",
            hint="name a Redis or Valkey server as `ledger: {redis: redis://…}`, or use one worker",
        )


def _unfit_exports(platform: Platform) -> Iterator[Finding]:
    needs: dict[str, Callable[[Any], bool]] = {
        "langfuse": lambda export: export.public_key is None or export.secret_key is None,
        "langsmith": lambda export: export.secret_key is None,
    }
    for index, export in enumerate(platform.telemetry.export):
        if export.to in needs and needs[export.to](export):
            keys = "`public_key` and `secret_key`" if export.to == "langfuse" else "`secret_key`"
            yield Finding(place=("telemetry", "export", index), message=f"{export.to} needs {keys}")
