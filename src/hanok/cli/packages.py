"""Packages that a platform file asks for and that are not installed here: told by line before anything is started."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from hanok.errors import Problem
from hanok.spec import Loaded
from hanok.spec.checks.findings import Finding
from hanok.spec.load import problems_of

_POSTGRES = ("psycopg", "postgres")
_REDIS = ("redis", "redis")
_Wanted = tuple[tuple[str | int, ...], tuple[str, str]]


def missing_packages(loaded: Loaded) -> list[Problem]:
    """Each with its line and the command that installs it."""
    return problems_of(loaded, [_finding(*each) for each in _wanted(loaded) if find_spec(each[1][0]) is None])


def _finding(place: tuple[str | int, ...], package: tuple[str, str]) -> Finding:
    module, extra = package
    return Finding(
        place=place,
        message=f"needs the package {module}, which is not installed here",
        hint=f'pip install "hanok[{extra}]"',
    )


def _wanted(loaded: Loaded) -> Iterator[_Wanted]:
    platform = loaded.platform
    if platform.agents:
        yield ("agents",), ("langgraph", "agents")
    if platform.knowledge:
        yield ("knowledge",), ("pymilvus", "rag")
    if platform.ledger.database is not None:
        yield ("ledger", "database"), _POSTGRES
    if platform.ledger.redis is not None:
        yield ("ledger", "redis"), _REDIS
    if (kept := platform.runs.database) is not None:
        is_redis = kept.get_secret_value().startswith(("redis", "unix"))
        yield ("runs", "database"), _REDIS if is_redis else _POSTGRES
    for index, model in enumerate(platform.models):
        if any(endpoint.engine == "litellm" for endpoint in model.serve):
            yield ("models", index, "serve"), ("litellm", "providers")
