"""Which agents kagent can be told whole. Pure.

One that it can is declared to it with its prompt and tools. Any other is declared with Hanok's agent as its model
(`agent/NAME`): Hanok leads the run, and nothing of what was declared is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from hanok.kubernetes.plan import ClusterPlan
from hanok.spec.tree import Agent, KnowledgeTool, McpTool, Platform, Tool

RUNNERS = ("npx", "uvx")
"""Programs for which kmcp knows an image."""


def chosen(plan: ClusterPlan) -> list[Agent]:
    """The agents that are rendered."""
    patterns = plan.cluster.kagent.agents
    return [each for each in plan.platform.agents if any(fnmatchcase(each.name, one) for one in patterns)]


def tools_of(platform: Platform, agent: Agent) -> list[Tool]:
    """The tools that an agent declares or names."""
    shared = {tool.name: tool for tool in platform.tools}
    return [shared[tool] if isinstance(tool, str) else tool for tool in agent.tools]


def searches(platform: Platform, agent: Agent) -> list[str]:
    """Knowledge bases that an agent searches as they are."""
    named = [tool.base for tool in tools_of(platform, agent) if isinstance(tool, KnowledgeTool)]
    return sorted({*agent.knowledge, *named})


def servers(platform: Platform, agent: Agent) -> list[McpTool]:
    """MCP servers whose tools an agent has."""
    return [tool for tool in tools_of(platform, agent) if isinstance(tool, McpTool)]


def colleagues(platform: Platform, agent: Agent) -> list[str]:
    """Agents that it may give work to."""
    named = [tool.agent for tool in tools_of(platform, agent) if tool.type == "agent"]
    return sorted({*agent.team, *named})


def inexpressible(plan: ClusterPlan, agent: Agent) -> list[str]:
    """What of an agent kagent knows no word for; nothing where it can be told whole."""
    return sorted(set(_of_itself(agent)) | set(_of_tools(plan, agent)))


def _of_itself(agent: Agent) -> Iterator[str]:
    if agent.pattern not in ("react", "supervisor"):
        yield f"pattern {agent.pattern}"
    if agent.questions:
        yield "questions"
    if agent.memory.long_term is not None:
        yield "long-term memory"
    if "limits" in agent.model_fields_set:
        yield "limits"
    if agent.prompt and "@" in agent.prompt and not agent.prompt.endswith("@latest"):
        yield f"prompt {agent.prompt}"


def _of_tools(plan: ClusterPlan, agent: Agent) -> Iterator[str]:
    known = {each.name for each in chosen(plan)}
    yield from (f"agent {name}" for name in colleagues(plan.platform, agent) if name not in known)
    for tool in tools_of(plan.platform, agent):
        if tool.type in ("http", "python", "code", "openapi"):
            yield f"tool {tool.name} ({tool.type})"
        elif isinstance(tool, KnowledgeTool) and (tool.filters or tool.k):
            yield f"tool {tool.name} (filters)"
        elif isinstance(tool, McpTool) and not _is_plain(tool):
            yield f"tool {tool.name} (patterns, variables or a program without an image)"
    names = [f"search_{base}" for base in searches(plan.platform, agent)]
    if any(not _matches_all(pattern, names) for pattern in agent.approvals):
        yield "approvals of tools whose names only their server knows"


def _is_plain(tool: McpTool) -> bool:
    """All tools of a server that is reached, or of a program that brings no secrets."""
    whole = tool.include == ["*"] and not tool.exclude
    return whole and (tool.url is not None or (tool.command[0] in RUNNERS and not tool.env))


def _matches_all(pattern: str, names: Sequence[str]) -> bool:
    """Whether a pattern is of names that are known."""
    return any(fnmatchcase(name, pattern) for name in names) and pattern != "*"
