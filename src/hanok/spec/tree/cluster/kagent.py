"""Agents as resources of kagent."""

from pydantic import Field

from hanok.spec.tree.values import Tree


class Kagent(Tree):
    """Whether agents are kagent's resources, too. Those that it cannot be told whole, Hanok's gateway leads for it."""

    enabled: bool = Field(default=False, description="Render them, with kagent itself.")
    agents: list[str] = Field(default=["*"], description="Patterns of those that are.")
