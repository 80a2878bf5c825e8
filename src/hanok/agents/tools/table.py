"""From what an agent declares to the tools that it has. A kind's library is imported when the first of it is opened."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hanok.agents.tool import Toolbox
from hanok.agents.tools.surroundings import Surroundings
from hanok.errors import AgentError, ToolUnavailable
from hanok.spec import Agent, AgentTool, CodeTool, KnowledgeTool
from hanok.spec import Tool as Declared

_KINDS: Mapping[str, str] = {
    "http": "hanok.agents.tools.http_tool:open_http",
    "openapi": "hanok.agents.tools.openapi_client:open_openapi",
    "python": "hanok.agents.tools.python:open_python",
    "code": "hanok.agents.tools.code:open_code",
    "mcp": "hanok.agents.tools.mcp_client:open_mcp",
    "knowledge": "hanok.agents.tools.knowledge:open_knowledge",
    "agent": "hanok.agents.tools.agent:open_agent",
}
"""Functions of a declared tool and its `Surroundings` that give a `Toolbox`."""
MEMORY = "hanok.agents.tools.memory:open_memory"


def declared_tools(agent: Agent, shared: Sequence[Declared]) -> list[Declared]:
    """What an agent declares: by name or by itself, its knowledge and its team too. Raises `AgentError`."""
    by_name = {tool.name: tool for tool in shared}
    tools: list[Declared] = []
    for each in agent.tools:
        if not isinstance(each, str):
            tools.append(each)
        elif each in by_name:
            tools.append(by_name[each])
        else:
            raise AgentError(f"agent {agent.name!r} has no tool {each!r}")
    tools += [KnowledgeTool(type="knowledge", name=f"search_{base}", base=base) for base in agent.knowledge]
    tools += [AgentTool(type="agent", name=name, agent=name) for name in agent.team]
    return tools


def called_by_code(offered: Sequence[Declared], agent: Agent, shared: Sequence[Declared]) -> list[Declared]:
    """The tools that code of these may call, whether or not the agent itself is offered them."""
    own = [tool for tool in agent.tools if not isinstance(tool, str)]
    known = {tool.name: tool for tool in (*shared, *own)}
    names = [name for tool in offered if isinstance(tool, CodeTool) for name in tool.functions]
    return [known[name] for name in dict.fromkeys(names) if name in known]


def open_toolbox(tool: Declared, around: Surroundings) -> Toolbox:
    """Where this tool comes from. Raises `ToolUnavailable`."""
    module, _, function = _KINDS[tool.type].partition(":")
    try:
        opening: Callable[[Any, Surroundings], Toolbox] = getattr(importlib.import_module(module), function)
    except ImportError as error:
        missing = error.name or module
        message = f"tool {tool.name!r} of type {tool.type} needs {missing.partition('.')[0]}, which is not installed"
        raise ToolUnavailable(message, hint='pip install "hanok[agents]"') from None
    return opening(tool, around)
