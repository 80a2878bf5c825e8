"""Teams and users must be open to models that there are."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from hanok.spec.checks.agents import unknown_agents_in_scopes
from hanok.spec.checks.findings import Finding, duplicates, unknown
from hanok.spec.checks.knowledge import unknown_in_scopes
from hanok.spec.tree import Platform


def check_people(platform: Platform) -> Iterator[Finding]:
    """Teams and users, and the models that are open to them."""
    yield from duplicates("teams", platform.teams, "put what both say into one team")
    yield from duplicates("users", platform.users, "put what both say into one user")
    yield from _unknown_in_scopes(platform)
    yield from unknown_in_scopes(platform)
    yield from unknown_agents_in_scopes(platform)


def _unknown_in_scopes(platform: Platform) -> Iterator[Finding]:
    models = platform.names()
    teams = [team.name for team in platform.teams]
    for block, named in (("teams", platform.teams), ("users", platform.users)):
        for index, each in enumerate(named):
            for position, pattern in enumerate(each.models):
                if not any(fnmatchcase(model, pattern) for model in models):
                    yield unknown("model", pattern, models, (block, index, "models", position))
    for index, user in enumerate(platform.users):
        if user.team is not None and user.team not in teams:
            yield unknown("team", user.team, teams, ("users", index, "team"))
