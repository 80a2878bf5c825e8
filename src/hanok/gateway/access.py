"""What a key opens: its own scope, within its team's and its user's. Patterns are shell patterns, as `small-*`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from hanok.ledger import Key
from hanok.spec import Platform, Scope

_EVERYTHING = ("*",)


class Access:
    """Who may use which models. What a key opens is worked out once and remembered while the key stays as it is."""

    def __init__(self, platform: Platform) -> None:
        self._models = platform.names()
        self._all = frozenset(self._models)
        self._teams: dict[str, Scope] = {team.name: team for team in platform.teams}
        self._users: dict[str, Scope] = {user.name: user for user in platform.users}
        self._user_teams = {user.name: user.team for user in platform.users}
        self._found: dict[str, tuple[Key, frozenset[str]]] = {}

    def models(self, key: Key) -> frozenset[str]:
        """The names of the models that this key may use."""
        found = self._found.get(key.id)
        if found is None or found[0] is not key:
            found = self._found[key.id] = (key, self._work_out(key))
        return found[1]

    def team(self, key: Key) -> str | None:
        """The key's team: its own, else that of its user."""
        return key.team or (self._user_teams.get(key.user) if key.user else None)

    def _work_out(self, key: Key) -> frozenset[str]:
        scopes: list[Sequence[str]] = [key.models]
        team = self.team(key)
        if team is not None and team not in self._teams:  # it was taken out of the file, and with it what it allowed
            return frozenset()
        if team is not None:
            scopes.append(self._teams[team].models)
        if key.user in self._users:
            scopes.append(self._users[key.user].models)
        if all(tuple(patterns) == _EVERYTHING for patterns in scopes):
            return self._all
        return frozenset(name for name in self._models if all(_fits(name, patterns) for patterns in scopes))


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
