"""What a site asks of robots in its `robots.txt`.

Python's own reader knows neither `*` nor `$` in paths, nor that the longest rule wins. Format: RFC 9309.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote, urlsplit

LIMIT_BYTES = 500 * 1024
"""The most that need be read of one (RFC 9309, 2.5)."""
RULES_LIMIT = 5000
_PLAIN = "/%:@!$&'()*+,;=?~-._"


class Robots:
    """The rules for one robot, by its `agent`: those that name it, else those for all."""

    def __init__(self, text: str, *, agent: str) -> None:
        groups = list(_read_groups(text))
        own = [rules for agents, rules in groups if agent in agents]
        chosen = own or [rules for agents, rules in groups if "*" in agents]
        flat = [rule for rules in chosen for rule in rules][:RULES_LIMIT]
        self._rules = sorted(flat, key=lambda rule: (-len(rule[1]), not rule[0]))

    def allows(self, url: str) -> bool:
        """Whether the robot may ask for that URL: the longest rule that fits says so."""
        parts = urlsplit(url)
        path = quote(parts.path or "/", safe=_PLAIN) + (f"?{parts.query}" if parts.query else "")
        return next((allowed for allowed, pattern in self._rules if _fits(pattern, path)), True)


Group = tuple[list[str], list[tuple[bool, str]]]


def _read_groups(text: str) -> Iterator[Group]:
    agents: list[str] = []
    rules: list[tuple[bool, str]] = []
    for name, value in _read_lines(text):
        if name == "user-agent":
            if rules:
                yield agents, rules
                agents, rules = [], []
            agents.append(value.partition("/")[0].strip().lower())
        elif name in ("allow", "disallow") and agents:
            rules.append((name == "allow" or not value, quote(value, safe=_PLAIN)))  # empty: nothing is closed
    yield agents, rules


def _read_lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.removeprefix("\ufeff").splitlines():
        name, colon, value = line.partition("#")[0].partition(":")
        if colon:
            yield name.strip().lower(), value.strip()


def _fits(pattern: str, path: str) -> bool:
    """Whether a path begins as the pattern says; with `$` at its end, ends so. No expression that could run away."""
    whole = pattern.endswith("$")
    first, *more = pattern.removesuffix("$").split("*")
    if not path.startswith(first):
        return False
    place = len(first)
    for part in more[:-1] if whole else more:
        found = path.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    if not whole:
        return True
    return path.endswith(more[-1]) and len(path) - len(more[-1]) >= place if more else place == len(path)
