"""What a key opens: its own scope, within its team's and its user's. Patterns are shell patterns, as `small-*`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from hanok.ledger import Key
from hanok.spec import Platform, Scope

KNOWLEDGE = "knowledge/"
"""What stands before a knowledge base's name where it is asked as if it were a model."""
AGENT = "agent/"
"""The same before an agent's."""


@dataclass(frozen=True, kw_only=True)
class _Opened:
    """What a key, as it was then, opens."""

    key: Key
    models: frozenset[str]
    knowledge: frozenset[str]
    agents: frozenset[str]


class Access:
    """Who may use what. What a key opens is worked out once and remembered while the key stays as it is."""

    def __init__(self, platform: Platform) -> None:
        self._models = platform.names()
        self._knowledge = [base.name for base in platform.knowledge]
        self._agents = [agent.name for agent in platform.agents]
        self._teams: dict[str, Scope] = {team.name: team for team in platform.teams}
        self._users: dict[str, Scope] = {user.name: user for user in platform.users}
        self._user_teams = {user.name: user.team for user in platform.users}
        self._found: dict[str, _Opened] = {}

    def models(self, key: Key) -> frozenset[str]:
        """The names that this key may ask for: models, and `knowledge/NAME` and `agent/NAME` of what it opens there."""
        return self._opened(key).models

    def knowledge(self, key: Key) -> frozenset[str]:
        """The names of the knowledge bases that this key may ask."""
        return self._opened(key).knowledge

    def agents(self, key: Key) -> frozenset[str]:
        """The names of the agents that this key may give work to."""
        return self._opened(key).agents

    def team(self, key: Key) -> str | None:
        """The key's team: its own, else that of its user."""
        return key.team or (self._user_teams.get(key.user) if key.user else None)

    def _opened(self, key: Key) -> _Opened:
        found = self._found.get(key.id)
        if found is None or found.key is not key:
            found = self._found[key.id] = self._work_out(key)
        return found

    def _work_out(self, key: Key) -> _Opened:
        scopes = self._scopes(key)
        if scopes is None:
            return _Opened(key=key, models=frozenset(), knowledge=frozenset(), agents=frozenset())
        knowledge = _open_to(self._knowledge, [key.knowledge, *(scope.knowledge for scope in scopes)])
        models = _open_to(self._models, [key.models, *(scope.models for scope in scopes)])
        agents = _open_to(self._agents, [key.agents, *(scope.agents for scope in scopes)])
        asked = {f"{KNOWLEDGE}{name}" for name in knowledge} | {f"{AGENT}{name}" for name in agents}
        return _Opened(key=key, models=models | asked, knowledge=knowledge, agents=agents)

    def _scopes(self, key: Key) -> list[Scope] | None:
        """Those of its team and user; None when its team was taken out of the file, and with it what that allowed."""
        team = self.team(key)
        if team is not None and team not in self._teams:
            return None
        found = [] if team is None else [self._teams[team]]
        return [*found, self._users[key.user]] if key.user in self._users else found


def _open_to(names: Iterable[str], scopes: Sequence[Sequence[str]]) -> frozenset[str]:
    """The names that every one of these scopes has."""
    return frozenset(name for name in names if all(_fits(name, patterns) for patterns in scopes))


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
