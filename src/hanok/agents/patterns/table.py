"""From an agent to its graph."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from hanok.agents.patterns.plan_execute import plan_execute
from hanok.agents.patterns.react import react
from hanok.agents.patterns.supervisor import supervisor
from hanok.errors import AgentError
from hanok.spec import Agent

Graph = Any
"""A `StateGraph`, not compiled: its type parameters are the user's."""
_PATTERNS: dict[str, Callable[[], Graph]] = {"react": react, "plan-execute": plan_execute, "supervisor": supervisor}


def graph_of(agent: Agent, folder: Path) -> Graph:
    """The agent's graph. A user's own module is found in `folder` too. Raises `AgentError`."""
    if agent.graph is None:
        return _PATTERNS[agent.pattern]()
    module, _, function = agent.graph.partition(":")
    make = _load(agent.graph, module, function, folder)
    try:
        graph = make()
    except Exception as error:
        raise AgentError(f"{agent.graph} of agent {agent.name!r} failed: {type(error).__name__}: {error}") from error
    if not hasattr(graph, "compile"):
        message = f"{agent.graph} of agent {agent.name!r} returned {type(graph).__name__}, not a StateGraph"
        raise AgentError(
            message, hint="return the StateGraph before `compile()`: Hanok compiles it with its checkpoints"
        )
    return graph


def _load(name: str, module: str, function: str, folder: Path) -> Callable[[], Graph]:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        return cast("Callable[[], Graph]", getattr(importlib.import_module(module), function))
    except (ImportError, AttributeError, SyntaxError) as error:
        hint = f"put {module.replace('.', '/')}.py beside platform.yaml, or install the package that has it"
        raise AgentError(f"the graph {name} cannot be loaded: {error}", hint=hint) from error
