"""`react`: the model thinks, uses tools, sees what came of it, and thinks again, until it answers.

Source: Yao et al., "ReAct: Synergizing Reasoning and Acting in Language Models", 2022, with native tool calls.
"""

from __future__ import annotations

from typing import Any

from langgraph.graph import END, START

from hanok.agents.patterns.steps import act, after_thinking, new_graph, think


def react() -> Any:
    """think → act → think → … → end."""
    graph = new_graph()
    graph.add_node("think", think)
    graph.add_node("act", act)
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", after_thinking, ["act", END])
    graph.add_edge("act", "think")
    return graph
