"""`react`: the model thinks, uses tools, sees what came of it, and thinks again, until it answers.

Source: Yao et al., "ReAct: Synergizing Reasoning and Acting in Language Models", 2022, with native tool calls.
"""

from __future__ import annotations

from typing import Any

from langgraph.graph import END, START, StateGraph

from hanok.agents.patterns.steps import act, after_thinking, think
from hanok.agents.state import State
from hanok.agents.work import Work


def react() -> Any:
    """think → act → think → … → end."""
    graph: Any = StateGraph(State, context_schema=Work)
    graph.add_node("think", think)
    graph.add_node("act", act)
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", after_thinking, ["act", END])
    graph.add_edge("act", "think")
    return graph
