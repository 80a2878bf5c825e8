"""Where agents are found: each below `/a2a/NAME`, and the first also where a host's one agent is looked for."""

from __future__ import annotations

from collections.abc import Iterable

from hanok.errors import Unknown

BELOW = "/a2a"
CARDS = ("/.well-known/agent-card.json", "/.well-known/agent.json")
"""Where cards are, in 1.0 and 0.3, and where they were before."""


def path_of(agent: str) -> str:
    """Where that agent answers."""
    return f"{BELOW}/{agent}"


def agent_below(path: str, agents: Iterable[str]) -> str:
    """The agent that a path names. Raises `Unknown`."""
    names = list(agents)
    if path in CARDS and names:
        return names[0]
    name = path.removeprefix(f"{BELOW}/").partition("/")[0]
    if path.startswith(f"{BELOW}/") and name in names:
        return name
    raise no_such_agent(name or path)


def is_card(path: str) -> bool:
    """Whether a card is there."""
    return path.endswith(CARDS)


def no_such_agent(name: str) -> Unknown:
    """Also where there is one that a key does not open."""
    return Unknown(f"there is no agent {name!r}; see /v1/agents", code="agent_not_found")
