"""Which models agents need: their own, and those of whatever is below them."""

from __future__ import annotations

from collections.abc import Iterable

from hanok.knowledge.embedding import embedder_of
from hanok.spec import Agent, Loaded, ModelType, Platform, Tool


def models_of(loaded: Loaded, agents: Iterable[Agent]) -> set[str]:
    """The models that these agents may ask, and those below them, and the knowledge that they search."""
    platform = loaded.platform
    found: set[str | None] = set()
    bases: set[str] = set()
    for agent in with_those_below(platform, agents):
        found |= {agent.model or _first(platform, "chat"), agent.memory.summary_model}
        if agent.memory.long_term is not None:
            found.add(agent.memory.long_term.embed or _first(platform, "embedding"))
        used = tools_of(platform, agent)
        bases |= {*agent.knowledge, *(tool.base for tool in used if tool.type == "knowledge")}
    for base in platform.knowledge:
        if base.name in bases:
            found |= {embedder_of(platform, base).name, base.retrieve.rerank, base.retrieve.rewrite}
    return {name for name in found if name is not None}


def with_those_below(platform: Platform, agents: Iterable[Agent]) -> list[Agent]:
    """These agents and all that they may give work to, each once."""
    found: dict[str, Agent] = {}
    waiting = list(agents)
    while waiting:
        agent = waiting.pop()
        if agent.name not in found:
            found[agent.name] = agent
            below = (*agent.team, *(tool.agent for tool in tools_of(platform, agent) if tool.type == "agent"))
            waiting += [each for name in below if (each := platform.agent(name)) is not None]
    return list(found.values())


def tools_of(platform: Platform, agent: Agent) -> list[Tool]:
    """The tools that an agent declares or names."""
    shared = {tool.name: tool for tool in platform.tools}
    return [
        tool if not isinstance(tool, str) else shared[tool]
        for tool in agent.tools
        if not isinstance(tool, str) or tool in shared
    ]


def _first(platform: Platform, type_: ModelType) -> str | None:
    model = platform.first(type_)
    return None if model is None else model.name
